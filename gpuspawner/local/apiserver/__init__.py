"""The Kubernetes API of the engine: objects, admission, validation, watches, and how they are shown."""
