"""JupyterHub's groups that hold the members, managers, auditors and administrators, kept as the rules say."""

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from typing import Any

from jupyterhub import orm
from sqlalchemy.orm import Session, selectinload

from gpuspawner.config import Settings
from gpuspawner.membership.log import because_of
from gpuspawner.membership.roles import ADMINISTRATORS, Role, group_of
from gpuspawner.membership.rules import Login, holds, names_in
from gpuspawner.workspace import Workspace

__all__ = ["Groups", "give_roles", "has_role", "wanted_groups"]

_IN_WORKSPACES = (Role.MEMBER, Role.MANAGER, Role.AUDITOR)
_AT_ONCE = 500


def has_role(space: Workspace, role: Role, login: Login, groups: Collection[str]) -> bool:
    """Whether a login has a role; where the rules cannot tell now, whether it is in the group of that role."""
    verdict = space.stands(role, login)
    return group_of(space.name, role) in groups if verdict is None else verdict


def wanted_groups(settings: Settings, login: Login, groups: Collection[str]) -> frozenset[str]:
    """The groups of ours a login belongs in; ``groups``: those it stays in as long as the rules cannot tell.

    Members leave a workspace that has ended; its managers and auditors go on to see what was used.
    """
    sure, unsure = _verdicts(settings, login)
    return sure | unsure.intersection(groups)


def _verdicts(settings: Settings, login: Login) -> tuple[frozenset[str], frozenset[str]]:
    """The groups a login belongs in, and those of which the rules cannot tell now."""
    verdicts = {
        group_of(space.name, role): space.stands(role, login)
        for space in settings.workspaces.values()
        for role in _IN_WORKSPACES
        if role is not Role.MEMBER or space.ends is None or login.day <= space.ends
    }
    verdicts[ADMINISTRATORS] = holds(settings.administrators, Role.ADMINISTRATOR, login)
    return (
        frozenset(group for group, verdict in verdicts.items() if verdict),
        frozenset(group for group, verdict in verdicts.items() if verdict is None),
    )


def give_roles(db: Session, roles: Iterable[Mapping[str, Any]]) -> None:
    """Give groups the roles that JupyterHub knows without them; written as in ``c.JupyterHub.load_roles``."""
    for spec in roles:
        role = orm.Role.find(db, spec["name"])
        role.groups = [orm.Group.find(db, name) or orm.Group(name=name) for name in spec["groups"]]
    db.commit()


class Groups:
    """The groups of one hub that are ours; all others are left alone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.names = frozenset(
            {group_of(name, role) for name in settings.workspaces for role in _IN_WORKSPACES} | {ADMINISTRATORS}
        )

    def with_others(self, groups: Collection[str], ours: frozenset[str]) -> list[str]:
        """A user's groups: those that are none of ours, and ``ours``."""
        return sorted((set(groups) - self.names) | ours)

    def fill(self, user: orm.User, wanted: frozenset[str], db: Session, cause: str) -> None:
        """Make the user's groups among ours equal to ``wanted``, in the hub's own database session."""
        held = {group.name: group for group in user.groups}
        left = (held.keys() & self.names) - wanted
        joined = wanted - held.keys()
        if not left and not joined:
            return
        with because_of(cause):
            for name in left:
                user.groups.remove(held[name])
            existing = {group.name: group for group in db.query(orm.Group).filter(orm.Group.name.in_(joined))}
            user.groups.extend(existing.get(name) or orm.Group(name=name) for name in sorted(joined))
            db.commit()

    def reconcile(
        self, db: Session, login_of: Callable[[str], Login], cause: str, names: Collection[str] | None = None
    ) -> None:
        """Make the groups of these users, or of all, what the rules say now; who is right already costs little."""
        held: dict[str, set[str]] = {}
        pairs: Any = db.query(orm.User.name, orm.Group.name).outerjoin(orm.User.groups)
        if names is not None:
            pairs = pairs.filter(orm.User.name.in_(names))
        for user, group in pairs:
            held.setdefault(user, set()).update({group} - {None})
        wrong = self._wrong(held, login_of)
        for start in range(0, len(wrong), _AT_ONCE):
            some = [*wrong][start : start + _AT_ONCE]
            users = db.query(orm.User).options(selectinload(orm.User.groups)).filter(orm.User.name.in_(some))
            for user in users.all():
                self.fill(user, wrong[user.name], db, cause)

    def _wrong(self, held: Mapping[str, Set[str]], login_of: Callable[[str], Login]) -> dict[str, frozenset[str]]:
        """Most users are named nowhere and nothing is known of them: of all those the rules say the same."""
        nobody = login_of("")
        sure, unsure = _verdicts(self._settings, nobody)
        named = {name for _, _, rules in self._settings.rules() for name in names_in(rules)}
        named.update(name for roster in nobody.rosters.values() for name in roster.by_user)
        wanted = {}
        for user, groups in held.items():
            login = login_of(user)
            alike = user not in named and login.addresses == nobody.addresses and login.claims == nobody.claims
            wanted[user] = sure | unsure & groups if alike else wanted_groups(self._settings, login, groups)
        return {user: groups for user, groups in wanted.items() if groups != self.names & held[user]}
