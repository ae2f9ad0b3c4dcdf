"""The REST API below ``/hub/api/gpuspawner/``: thin handlers over pure functions. Errors are JSON with a remedy."""

from typing import Any

from gpuspawner.web.api.activity import ActivityHandler
from gpuspawner.web.api.costs import BalanceHandler, EstimateHandler
from gpuspawner.web.api.explain import ExplainHandler
from gpuspawner.web.api.grants import GrantHandler, GrantsHandler
from gpuspawner.web.api.notices import NoticesHandler
from gpuspawner.web.api.sessions import ExtendHandler, SessionsHandler, StopHandler
from gpuspawner.web.api.version import VersionHandler

__all__ = ["api_handlers"]

_PREFIX = "/api/gpuspawner"
_USER = r"(?P<user_name>[^/]+)"
_SERVER = rf"{_USER}(?:/(?P<server_name>[^/]*))?"


def api_handlers() -> list[tuple[str, type[Any]]]:
    """What goes into ``c.JupyterHub.extra_handlers``; the paths are below ``/hub``."""
    return [
        (f"{_PREFIX}/?", VersionHandler),
        (f"{_PREFIX}/activity", ActivityHandler),
        (f"{_PREFIX}/notices", NoticesHandler),
        (f"{_PREFIX}/sessions/{_USER}", SessionsHandler),
        (f"{_PREFIX}/sessions/{_SERVER}/extend", ExtendHandler),
        (f"{_PREFIX}/sessions/{_SERVER}/stop", StopHandler),
        (f"{_PREFIX}/estimate", EstimateHandler),
        (f"{_PREFIX}/explain", ExplainHandler),
        (f"{_PREFIX}/balance", BalanceHandler),
        (f"{_PREFIX}/grants", GrantsHandler),
        (f"{_PREFIX}/grants/([^/]+)", GrantHandler),
    ]
