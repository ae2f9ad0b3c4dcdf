"""The pages: templates and static files that extend JupyterHub's own. Knows no Kubernetes."""

from functools import partial
from pathlib import Path
from typing import Any

from gpuspawner.web.api import api_handlers
from gpuspawner.web.costs import CostPage
from gpuspawner.web.sessions import ExtendPage, running_servers
from gpuspawner.web.static_files import StaticFiles, static_dir, static_version

__all__ = ["handlers", "static_dir", "template_dir", "template_vars"]

template_dir = Path(__file__).parent / "templates"
"""Goes first into ``c.JupyterHub.template_paths``."""


def handlers() -> list[tuple[Any, ...]]:
    """What goes into ``c.JupyterHub.extra_handlers``; the paths are below ``/hub``."""
    return [
        (r"/gpuspawner/static/(.*)", StaticFiles, {"path": str(static_dir)}),
        (r"/gpuspawner/sessions/(?P<user_name>[^/]+)(?:/(?P<server_name>[^/]*))?/extend", ExtendPage),
        (r"/gpuspawner/cost", CostPage),
        *api_handlers(),
    ]


def template_vars() -> dict[str, Any]:
    """What goes into ``c.JupyterHub.template_vars``: the version of the static files, for their URLs, and how to find
    the running servers of a user, for the home page. JupyterHub calls what is callable with the user of each page."""
    return {
        "gpuspawner_version": static_version(),
        "gpuspawner_servers": lambda user: partial(running_servers, user),
    }
