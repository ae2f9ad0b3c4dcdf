"""The embedded engine: a Kubernetes API on loopback whose pods are processes of this machine."""
