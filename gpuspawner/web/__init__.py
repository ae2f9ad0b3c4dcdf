"""The pages: templates and static files that extend JupyterHub's own. Knows no Kubernetes."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gpuspawner.web.api import api_handlers
from gpuspawner.web.costs import CostPage
from gpuspawner.web.navigation import navigation
from gpuspawner.web.pages.administration import admin_pages
from gpuspawner.web.pages.servers import DeletePage, ExtendPage, NewServerPage, StopPage
from gpuspawner.web.pages.status import StatusPage
from gpuspawner.web.pages.usage import UsagePage
from gpuspawner.web.pages.workspaces import workspace_pages
from gpuspawner.web.pictures import PicturePage
from gpuspawner.web.policy import POLICY, form_action
from gpuspawner.web.said import take_said
from gpuspawner.web.servers import home_of
from gpuspawner.web.static_files import STATIC_PATH, StaticFiles, static_dir, static_folder

__all__ = ["handlers", "static_dir", "template_dir", "template_vars"]

template_dir = Path(__file__).parent / "templates"
"""Goes first into ``c.JupyterHub.template_paths``."""
_OWN = r"/gpuspawner/sessions/(?P<user_name>[^/]+)"


def handlers() -> list[tuple[Any, ...]]:
    """What goes into ``c.JupyterHub.extra_handlers``; the paths are below ``/hub``."""
    return [
        (STATIC_PATH, StaticFiles, {"path": str(static_dir)}),
        (rf"{_OWN}(?:/(?P<server_name>[^/]*))?/extend", ExtendPage),
        (rf"{_OWN}(?:/(?P<server_name>[^/]*))?/stop", StopPage),
        (rf"{_OWN}/(?P<server_name>[^/]+)/delete", DeletePage),
        (r"/gpuspawner/servers", NewServerPage),
        (r"/gpuspawner/cost", CostPage),
        (r"/gpuspawner/usage", UsagePage),
        (r"/gpuspawner/status", StatusPage),
        (r"/gpuspawner/pictures/(?P<profile_name>[^/]+)", PicturePage),
        *workspace_pages(),
        *admin_pages(),
        *api_handlers(),
    ]


def template_vars() -> dict[str, Any]:
    """What goes into ``c.JupyterHub.template_vars``; JupyterHub calls what is callable with the user of each page.

    The folder of the static files, below ``base_url``; the links of the navigation, by the scopes of a request; what
    is told once after a form; the Content-Security-Policy, which a site can replace; and the servers and budgets of
    a user, for the home page.
    """
    return {
        "gpuspawner_static": static_folder(),
        "gpuspawner_navigation": lambda user: navigation,
        "gpuspawner_said": lambda user: partial(take_said, user),
        "gpuspawner_csp": POLICY,
        "gpuspawner_form_action": lambda user: form_action(_settings_of(user)) if user is not None else "",
        "gpuspawner_home": lambda user: partial(home_of, user),
    }


def _settings_of(user: Any) -> Mapping[str, Any]:
    return getattr(user, "settings", None) or {}
