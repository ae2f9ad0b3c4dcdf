"""Who is in a workspace, as JupyterHub's groups and users say it: read from its database, a query each."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from jupyterhub import orm
from sqlalchemy import func
from sqlalchemy.orm import Session

from gpuspawner.membership.people import Person
from gpuspawner.membership.roles import Role, group_of

__all__ = ["count_members", "people_of"]

_IN_WORKSPACES = (Role.MEMBER, Role.MANAGER, Role.AUDITOR)


def people_of(db: Session, workspace: str) -> list[Person]:
    """Everybody in a workspace, by name."""
    groups = {group_of(workspace, role): role for role in _IN_WORKSPACES}
    query: Any = db.query(orm.User.name, orm.User.last_activity, orm.Group.name).join(orm.User.groups)
    roles: dict[str, list[Role]] = {}
    seen: dict[str, datetime | None] = {}
    for user, at, group in query.filter(orm.Group.name.in_(groups)):
        roles.setdefault(user, []).append(groups[group])
        seen[user] = None if at is None else at.replace(tzinfo=UTC)
    return [Person(name, tuple(sorted(roles[name], key=_IN_WORKSPACES.index)), seen[name]) for name in sorted(roles)]


def count_members(db: Session, workspaces: Collection[str]) -> Mapping[str, int]:
    """How many members each of these workspaces has; those without any are left out."""
    query: Any = db.query(orm.Group.name, func.count(orm.User.id)).join(orm.Group.users)
    return dict(query.filter(orm.Group.name.in_(workspaces)).group_by(orm.Group.name).all())
