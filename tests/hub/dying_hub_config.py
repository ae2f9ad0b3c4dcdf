"""jupyterhub_config.py of a hub in a process of its own, which is killed at a point that the environment names."""

import json
import os
from pathlib import Path

from crash_points import install
from running_hub import ADMIN_TOKEN, RememberingProxy

from gpuspawner import configure, with_workspaces

c = get_config()  # type: ignore[name-defined]  # noqa: F821

FOLDER = Path(os.environ["HUB_FOLDER"])
SECTION = json.loads((FOLDER / "section.json").read_text())

install()
c.JupyterHub.hub_bind_url = os.environ["HUB_URL"]
c.JupyterHub.db_url = f"sqlite:///{FOLDER / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(FOLDER / "cookie_secret")
c.JupyterHub.proxy_class = RememberingProxy
c.JupyterHub.authenticator_class = with_workspaces("dummy")
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 0
c.JupyterHub.services = [{"name": "tests", "api_token": ADMIN_TOKEN}]
c.JupyterHub.load_roles = [{"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers"]}]
c.Authenticator.allow_all = True
for name, value in SECTION.items():
    c.GPUSpawner[name] = value
configure(c)
