"""The REST API below ``/hub/api/gpuspawner/``: thin handlers over pure functions. Errors are JSON with a remedy."""

from typing import Any

from gpuspawner.web.api.activity import ActivityHandler
from gpuspawner.web.api.administration import CapacityHandler, ConfigurationHandler, LimitsHandler, QueueHandler
from gpuspawner.web.api.audit import AuditHandler
from gpuspawner.web.api.availability import AvailabilityHandler
from gpuspawner.web.api.catalog import CatalogHandler, EntitlementsHandler
from gpuspawner.web.api.costs import BalanceHandler, EstimateHandler
from gpuspawner.web.api.explain import ExplainHandler
from gpuspawner.web.api.grants import GrantHandler, GrantsHandler
from gpuspawner.web.api.notices import NoticesHandler
from gpuspawner.web.api.openapi import DocumentHandler
from gpuspawner.web.api.operations import Route, pattern_of
from gpuspawner.web.api.sessions import ExtendHandler, SessionsHandler, StopHandler
from gpuspawner.web.api.status import StatusHandler
from gpuspawner.web.api.usage import HistoryHandler, UsageHandler
from gpuspawner.web.api.version import VersionHandler
from gpuspawner.web.api.workspaces import MembersHandler, ServersHandler, WorkspaceHandler, WorkspacesHandler

__all__ = ["ROUTES", "api_handlers"]

_PREFIX = "/api/gpuspawner"

ROUTES = (
    Route("/", VersionHandler),
    Route("/openapi.json", DocumentHandler),
    Route("/activity", ActivityHandler),
    Route("/availability", AvailabilityHandler),
    Route("/notices", NoticesHandler),
    Route("/status", StatusHandler),
    Route("/usage", UsageHandler),
    Route("/usage/sessions", HistoryHandler),
    Route("/sessions/{user_name}", SessionsHandler),
    Route("/sessions/{user_name}/extend", ExtendHandler),
    Route("/sessions/{user_name}/{server_name}/extend", ExtendHandler),
    Route("/sessions/{user_name}/stop", StopHandler),
    Route("/sessions/{user_name}/{server_name}/stop", StopHandler),
    Route("/catalog", CatalogHandler),
    Route("/entitlements", EntitlementsHandler),
    Route("/estimate", EstimateHandler),
    Route("/explain", ExplainHandler),
    Route("/balance", BalanceHandler),
    Route("/workspaces", WorkspacesHandler),
    Route("/workspaces/{workspace}", WorkspaceHandler),
    Route("/workspaces/{workspace}/members", MembersHandler),
    Route("/workspaces/{workspace}/servers", ServersHandler),
    Route("/grants", GrantsHandler),
    Route("/grants/{grant_id}", GrantHandler),
    Route("/audit", AuditHandler),
    Route("/limits", LimitsHandler),
    Route("/queue", QueueHandler),
    Route("/capacity", CapacityHandler),
    Route("/configuration", ConfigurationHandler),
)
"""What is more special comes first."""


def api_handlers() -> list[tuple[Any, ...]]:
    """What goes into ``c.JupyterHub.extra_handlers``; the paths are below ``/hub``."""
    return [
        (_PREFIX, VersionHandler),
        *((_PREFIX + pattern_of(route.path), route.handler, *_arguments(route)) for route in ROUTES),
    ]


def _arguments(route: Route) -> list[dict[str, Any]]:
    """The document is told of all the others."""
    return [{"routes": ROUTES}] if route.handler is DocumentHandler else []
