"""People in workspaces: what each is there and when they were seen last, and who has never logged in. Pure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from gpuspawner.membership.roles import Role
from gpuspawner.membership.rules import Login, names_in, rosters_in
from gpuspawner.workspace import Workspace

__all__ = ["Person", "awaited"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a workspace. ``roles`` ascend; there are none where somebody has left. ``seen`` is when JupyterHub
    last saw them or a server of theirs active, their login at the latest; None: never."""

    name: str
    roles: tuple[Role, ...]
    seen: datetime | None

    @property
    def role(self) -> Role | None:
        """The one that says most."""
        return self.roles[-1] if self.roles else None


def awaited(workspace: Workspace, login_of: Callable[[str], Login], known: Collection[str]) -> list[str]:
    """Who belongs to a workspace by name, in the configuration or on its rosters, and is not ``known``: whoever has
    never logged in. Those whom rosters name by their e-mail address alone are not told.

    ``login_of``: what is known of a login, see :meth:`~gpuspawner.membership.current.Memberships.login`.
    """
    rules, rosters = (*workspace.members, *workspace.managers), login_of("").rosters
    named = set(names_in(rules)) - {"*"}
    for path in rosters_in(rules):
        if path in rosters:
            named.update(rosters[path].by_user)
    return sorted(name for name in named.difference(known) if workspace.stands(Role.MEMBER, login_of(name)))
