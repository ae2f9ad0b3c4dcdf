"""gpuspawner: log in to a JupyterHub, pick a GPU profile, get a notebook within your quota."""
