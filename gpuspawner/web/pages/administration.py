"""The pages of the administration, and where they are."""

from gpuspawner.web.pages.admin import AdminPage, OverviewPage, WorkspacesPage
from gpuspawner.web.pages.admin_cluster import CapacityPage, ConfigurationPage, QueuePage
from gpuspawner.web.pages.admin_limits import ExplainPage, LimitsPage
from gpuspawner.web.pages.admin_records import AuditPage, GrantsPage, RevokePage

__all__ = ["admin_pages"]

_PATH = r"/gpuspawner/admin"


def admin_pages() -> list[tuple[str, type[AdminPage]]]:
    """What goes into ``c.JupyterHub.extra_handlers``; the paths are below ``/hub``."""
    return [
        (rf"{_PATH}/?", OverviewPage),
        (rf"{_PATH}/workspaces", WorkspacesPage),
        (rf"{_PATH}/limits", LimitsPage),
        (rf"{_PATH}/explain", ExplainPage),
        (rf"{_PATH}/grants", GrantsPage),
        (rf"{_PATH}/grants/revoke", RevokePage),
        (rf"{_PATH}/queue", QueuePage),
        (rf"{_PATH}/capacity", CapacityPage),
        (rf"{_PATH}/audit", AuditPage),
        (rf"{_PATH}/configuration", ConfigurationPage),
    ]
