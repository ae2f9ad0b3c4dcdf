"""The links on top of every page: which pages of ours there are, and who sees which."""

from collections.abc import Collection
from dataclasses import dataclass

from gpuspawner.membership.roles import Action, may, may_somewhere

__all__ = ["Link", "navigation"]


@dataclass(frozen=True, slots=True)
class Link:
    """A page in the navigation; ``path`` is below ``/hub/``, ``here`` what that page's template calls itself."""

    title: str
    path: str
    here: str


_FOR_ALL = (
    Link("Home", "home", "home"),
    Link("Start", "spawn", "start"),
    Link("Usage", "gpuspawner/usage", "usage"),
    Link("GPUs", "gpuspawner/status", "status"),
)
_WORKSPACES = Link("Workspaces", "gpuspawner/workspaces", "workspaces")
_ADMINISTRATION = Link("Administration", "gpuspawner/admin", "administration")


def navigation(scopes: Collection[str]) -> tuple[Link, ...]:
    """The links for whoever has these scopes of JupyterHub, expanded; JupyterHub's own follow in the template."""
    reads = (_WORKSPACES,) if may_somewhere(scopes, Action.READ) else ()
    administers = (_ADMINISTRATION,) if may(scopes, Action.ADMINISTER) else ()
    return (*_FOR_ALL, *reads, *administers)
