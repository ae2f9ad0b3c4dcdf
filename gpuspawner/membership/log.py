"""Every change of who is in a workspace, whoever makes it, told once the hub's database has it."""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jupyterhub import orm
from sqlalchemy import event, inspect
from sqlalchemy.orm import Session

from gpuspawner.ledger.records import Action, AuditEntry
from gpuspawner.membership.roles import Role, standing_of

__all__ = ["JUPYTERHUB", "MembershipChange", "MembershipLog", "asked_by", "because_of", "entry_of"]

logger = logging.getLogger(__name__)

JUPYTERHUB = "jupyterhub"
"""The cause of a change that is none of ours: JupyterHub's administrators, its REST API, or ``load_groups``."""

_cause: ContextVar[str] = ContextVar("gpuspawner_cause_of_membership", default=JUPYTERHUB)
_actor: ContextVar[str] = ContextVar("gpuspawner_actor_of_membership", default=JUPYTERHUB)
_OURSELVES = "gpuspawner"
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """Somebody has joined or left; ``workspace`` is empty for administrators.

    ``cause``: ``"login"``, ``"refresh"``, ``"start"`` of the hub, ``"roster"``, ``"new user"``, or ``JUPYTERHUB``.
    ``actor``: gpuspawner, by its rules; else who asked JupyterHub for it, where that is known.
    """

    at: datetime
    user: str
    workspace: str
    role: Role
    joined: bool
    cause: str
    actor: str


def entry_of(change: MembershipChange) -> AuditEntry:
    """A change as the audit log has it."""
    member = change.role is Role.MEMBER
    told = {"cause": change.cause} if member else {"cause": change.cause, "role": change.role, "given": change.joined}
    return AuditEntry(
        at=change.at,
        actor=change.actor,
        action=Action.ROLE if not member else Action.JOIN if change.joined else Action.LEAVE,
        user=change.user,
        workspace=change.workspace or None,
        details=told,
    )


def asked_by(actor: str) -> None:
    """Whatever the request under way writes to the database, this one has asked for."""
    _actor.set(actor)


@contextmanager
def because_of(cause: str) -> Iterator[None]:
    """Whatever is written to the database within has this cause."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


class MembershipLog:
    """Tells the changes of the groups named ``groups`` to whoever has subscribed."""

    def __init__(self, groups: Collection[str], clock: Callable[[], datetime]) -> None:
        self._groups = groups
        self._clock = clock
        self._uncommitted: list[MembershipChange] = []
        self._recent: deque[MembershipChange] = deque(maxlen=_REMEMBERED)
        self._listeners: list[Callable[[MembershipChange], Any]] = []

    def subscribe(self, listener: Callable[[MembershipChange], Any]) -> None:
        """Tell ``listener`` each change from now on, after those since the hub's start; it must not wait."""
        self._listeners.append(listener)
        for change in tuple(self._recent):
            self._tell(listener, change)

    def watch(self, db: Session) -> None:
        """Learn of the changes from the hub's own database session."""
        event.listen(db, "before_flush", self._collect)
        event.listen(db, "after_commit", self._committed)
        event.listen(db, "after_rollback", lambda _: self._uncommitted.clear())

    def _collect(self, db: Session, *_: Any) -> None:
        now, cause = self._clock(), _cause.get()
        actor = _actor.get() if cause == JUPYTERHUB else _OURSELVES
        for user, group, joined in dict.fromkeys(self._changes(db)):
            if group in self._groups:
                workspace, role = standing_of(group)
                self._uncommitted.append(MembershipChange(now, user, workspace, role, joined, cause, actor))

    def _changes(self, db: Session) -> Iterator[tuple[str, str, bool]]:
        """User, group, and whether joined: a change shows on the side, user or group, that was loaded, or on both."""
        for one in {*db.new, *db.dirty}:
            if isinstance(one, orm.User):
                history = inspect(one).attrs.groups.history
                yield from ((one.name, group.name, True) for group in history.added)
                yield from ((one.name, group.name, False) for group in history.deleted)
            elif isinstance(one, orm.Group) and one not in db.deleted:
                history = inspect(one).attrs.users.history
                yield from ((user.name, one.name, True) for user in history.added)
                yield from ((user.name, one.name, False) for user in history.deleted)
        for deleted in db.deleted:
            one = getattr(deleted, "orm_user", deleted)  # JupyterHub deletes its wrapper of a user
            if isinstance(one, orm.User):
                yield from ((one.name, group.name, False) for group in one.groups)
            elif isinstance(one, orm.Group):
                yield from ((user.name, one.name, False) for user in one.users)

    def _committed(self, _: Session) -> None:
        changes, self._uncommitted = self._uncommitted, []
        for change in changes:
            self._recent.append(change)
            logger.info(
                "%s %s %s%s (%s)",
                change.user,
                "has joined" if change.joined else "has left",
                change.workspace or "the administrators",
                "" if change.role in (Role.MEMBER, Role.ADMINISTRATOR) else f" as {change.role.value}",
                change.cause,
            )
            for listener in self._listeners:
                self._tell(listener, change)

    @staticmethod
    def _tell(listener: Callable[[MembershipChange], Any], change: MembershipChange) -> None:
        try:
            listener(change)
        except Exception:
            logger.exception("Error while telling of %s", change)
