"""The Kubernetes side: the API client, the watches, the live view, and events in plain words. Knows no JupyterHub."""
