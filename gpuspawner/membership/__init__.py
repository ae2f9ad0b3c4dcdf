"""Who belongs where: rules over a login, rosters, and the JupyterHub groups and roles that follow from them."""
