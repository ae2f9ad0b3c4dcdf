"""Who belongs where in a running hub: what is known of its logins, and its groups, kept as the rules say."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from jupyterhub import orm
from sqlalchemy.orm import Session, object_session

from gpuspawner.membership.groups import Groups, wanted_groups
from gpuspawner.membership.log import MembershipLog
from gpuspawner.membership.rosters import Rosters
from gpuspawner.membership.rules import Login, addresses_in
from gpuspawner.settings import Settings

__all__ = ["Memberships"]

logger = logging.getLogger(__name__)

_AT_ONCE = 200
ROSTER_INTERVAL = 5.0
"""Seconds between two looks at the rosters."""


class Memberships:
    """One for the hub. It begins with what the rosters say now, and with nothing known of any login.

    Of a login only the verified e-mail addresses are remembered, and since when they are known, until the hub ends.

    Parameters
    ----------
    clock
        Now, in the hub's time zone.
    normalize
        Makes a name on a roster into that of a login.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime], normalize: Callable[[str], str]) -> None:
        self.settings = settings
        self.rosters = Rosters(settings.rosters(), normalize)
        self.rosters.read()
        self._groups = Groups(settings)
        self.log = MembershipLog(self._groups.names, clock)
        self._clock = clock
        self._db: Session | None = None
        self._newcomers: dict[str, frozenset[str]] = {}
        self._addresses: dict[str, frozenset[str]] = {}
        self._known_since: dict[str, datetime] = {}
        self._watching: asyncio.Task[None] | None = None

    def begin(self, db: Session) -> None:
        """Bring the groups of all users in line, hear of every change of them, and look after the rosters.

        ``db`` is the hub's own database session. Needs a running loop.
        """
        self._db = db
        self.log.watch(db)
        self._groups.reconcile(db, self.login, "start")
        if self.rosters:
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop looking at the rosters."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def login(self, name: str, claims: Mapping[str, Any] | None = None, complete: bool = False) -> Login:
        """What is known of a login today; ``complete``: whether ``claims`` are all it has."""
        return Login(
            name, self._clock().date(), claims or {}, complete, self._addresses.get(name), self.rosters.current
        )

    def logged_in(self, name: str, claims: Mapping[str, Any], user: orm.User | None) -> frozenset[str]:
        """Somebody has logged in, with these claims and no other; returns the groups of ours they belong in.

        Who is no user of the hub yet is put into them as soon as they are (:meth:`added`).
        """
        self._told(name, claims)
        held = [group.name for group in user.groups] if user else ()
        wanted = wanted_groups(self.settings, self.login(name, claims, complete=True), held)
        if user is None:
            self._newcomers[name] = wanted
        else:
            self._fill(user, wanted, "login")
        return wanted

    def added(self, user: orm.User) -> None:
        """The hub has a new user, by a login or otherwise; or it has just begun and tells those it has."""
        wanted = self._newcomers.pop(user.name, None)
        if wanted is not None:
            self._fill(user, wanted, "login")
        elif self._db is not None:
            self.forget(user.name)
            self._groups.reconcile(self._db, self.login, "new user", [user.name])

    def refreshed(self, user: orm.User, claims: Mapping[str, Any], complete: bool) -> frozenset[str]:
        """A login has been refreshed, which told these claims or none; returns the groups of ours they belong in."""
        if complete:
            self._told(user.name, claims)
        held = [group.name for group in user.groups]
        wanted = wanted_groups(self.settings, self.login(user.name, claims, complete), held)
        self._fill(user, wanted, "refresh")
        return wanted

    def forget(self, name: str) -> None:
        """Forget what is remembered of a user: somebody else may come to have the name."""
        self._addresses.pop(name, None)
        self._known_since.pop(name, None)

    def is_too_old(self, name: str) -> bool:
        """Whether what a login has told is older than it may be; a hub that restarts begins to count anew."""
        longest = self.settings.longest_login
        if longest is None:
            return False
        now = self._clock()
        return now - self._known_since.setdefault(name, now) >= timedelta(seconds=longest)

    def with_others(self, groups: Collection[str], ours: frozenset[str]) -> list[str]:
        """All groups of a user whose authenticator manages them: those that are none of ours, and ours."""
        return self._groups.with_others(groups, ours)

    async def reread(self) -> None:
        """Look for changes of the rosters; whoever is new on one, or gone, joins or leaves."""
        changed = await self.rosters.check()
        emails = {line.email for line in changed if line.email}
        names = {line.user for line in changed if line.user}
        names.update(name for name, addresses in self._addresses.items() if not emails.isdisjoint(addresses))
        ordered = sorted(names)
        for start in range(0, len(ordered), _AT_ONCE):
            if self._db is not None:
                self._groups.reconcile(self._db, self.login, "roster", ordered[start : start + _AT_ONCE])
            await asyncio.sleep(0)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(ROSTER_INTERVAL)
            try:
                await self.reread()
            except Exception:
                logger.exception("Error while reading the rosters; memberships stay as they are")

    def _told(self, name: str, claims: Mapping[str, Any]) -> None:
        self._addresses[name] = addresses_in(claims)
        self._known_since[name] = self._clock()

    def _fill(self, user: orm.User, wanted: frozenset[str], cause: str) -> None:
        db: Any = object_session(user)
        self._groups.fill(user, wanted, db, cause)
