"""Ways of logging in that no kept library covers, as authenticators of JupyterHub."""
