"""Warnings of budgets that run low: at 75 and at 90 % of what a member, or all members together, may spend."""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from gpuspawner.budgets.accounts import Account, Accounts
from gpuspawner.budgets.payment import say_period
from gpuspawner.config import Settings
from gpuspawner.ledger.records import Action, AuditEntry, AuditFilter
from gpuspawner.ledger.store import Store, StoreUnavailableError
from gpuspawner.limits.trace import say_time
from gpuspawner.quantity import say_units
from gpuspawner.sessions.notices import Level, Notice, Notices
from gpuspawner.workspace import Budget

__all__ = ["PERCENT", "BudgetWarnings", "reached"]

logger = logging.getLogger(__name__)

PERCENT = (75, 90)
_EVERY = 60.0
"""Seconds between two looks, at what the hub has in memory."""
_AT_ONCE = 50
_REMEMBERED = timedelta(days=190)
_KIND = "budget"
_Key = tuple[str, str | None]


def reached(used: int, total: int) -> int | None:
    """The percentage of :data:`PERCENT` that was reached last; None below all, and where there is nothing to spend."""
    return max((percent for percent in PERCENT if total > 0 and used * 100 >= total * percent), default=None)


@dataclass(frozen=True, slots=True)
class _Told:
    period: str
    percent: int


class BudgetWarnings:
    """One for the hub. Who was warned of what is in the audit log, so that nobody is warned again after a restart.

    Parameters
    ----------
    managers
        The user names of those who steer a workspace: they are warned of its pool, as are the members who use it now.
    """

    def __init__(
        self,
        settings: Settings,
        accounts: Accounts,
        store: Store,
        notices: Notices,
        *,
        note: Callable[[AuditEntry], None],
        clock: Callable[[], datetime],
        managers: Callable[[str], Collection[str]] = lambda workspace: (),
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._store = store
        self._notices = notices
        self._note = note
        self._clock = clock
        self._managers = managers
        self._told: dict[_Key, _Told] = {}
        self._shown: dict[_Key, tuple[_Told, frozenset[str]]] = {}

    async def run(self) -> None:
        """Look every minute, without end; nothing is done where no workspace has a budget."""
        if not any(space.budget is not None for space in self._settings.workspaces.values()):
            return
        remembered = False
        while True:
            try:
                remembered = remembered or await self.remember()
                if remembered:
                    await self.look()
            except Exception:  # tomorrow's budgets want their warnings, too
                logger.exception("Error while looking at the budgets")
            await asyncio.sleep(_EVERY)

    async def remember(self) -> bool:
        """Read who was warned before; whether the ledger has answered."""
        where, after = AuditFilter(action=Action.WARNING, since=self._clock() - _REMEMBERED), None
        try:
            while True:
                page = await self._store.audit(where, after=after, limit=1000)
                for entry in page.rows:
                    told = _Told(str(entry.details.get("period")), int(entry.details.get("percent", 0)))
                    self._told.setdefault((entry.workspace or "", entry.user), told)  # the newest come first
                if page.next is None:
                    return True
                after = page.next
        except StoreUnavailableError:
            return False

    async def look(self) -> None:
        """Warn of whatever has reached a percentage since the last look."""
        now = self._clock()
        seen = set()
        for number, (workspace, user, used, account) in enumerate(list(self._accounts.running_down(now)), 1):
            seen.add((workspace, user))
            self._compare((workspace, user), used, account, now)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        for key in self._shown.keys() - seen:
            del self._shown[key]  # nothing runs: what was said stays on the page until the budget renews

    def _compare(self, key: _Key, used: int, account: Account, now: datetime) -> None:
        percent = reached(used, account.total)
        if percent is None:
            self._told.pop(key, None)
            if key in self._shown:
                _, people = self._shown.pop(key)
                for one in people:
                    self._notices.withdraw(one, "", _KIND, about=_about(key))
            return
        told = _Told(_period_of(account, self._settings.workspaces[key[0]].budget), percent)
        people = self._concerned(key)
        shown = self._shown.get(key)
        if shown is not None and shown[0] == told and people <= shown[1]:
            return
        before = self._told.get(key)
        known = before is not None and before.period == told.period and before.percent >= percent
        self._shown[key] = told, people
        for one in people:
            self._notices.tell(self._notice(key, one, used, account, told, now), quietly=known)
        if not known:
            self._told[key] = told
            details = {"period": told.period, "percent": percent}
            self._note(
                AuditEntry(at=now, actor="hub", action=Action.WARNING, workspace=key[0], user=key[1], details=details)
            )

    def _concerned(self, key: _Key) -> frozenset[str]:
        workspace, user = key
        if user is not None:
            return frozenset((user,))
        return frozenset((*self._managers(workspace), *self._accounts.users_of(workspace)))

    def _notice(self, key: _Key, person: str, used: int, account: Account, told: _Told, now: datetime) -> Notice:
        space = self._settings.workspaces[key[0]]
        period = f" {say_period(space.budget)}".rstrip() if space.budget is not None else ""
        spent, total = say_units(used, up=True), say_units(account.total)
        percent = used * 100 // account.total
        if key[1] is not None:
            sentence = f"You have used {percent} % of your budget in {space.title}{period}: {spent} of {total}."
        else:
            sentence = (
                f"The members of {space.title} have used {percent} % of the budget that they share{period}: "
                f"{spent} of {total}."
            )
        if account.renews is not None and space.budget is not None:
            more = "More comes back" if space.budget.renews == "rolling" else "It renews"
            sentence += f" {more} on {say_time(account.renews, now)}."
        return Notice(
            kind=_KIND,
            user=person,
            about=_about(key),
            at=now,
            level=Level.DANGER if told.percent == PERCENT[-1] else Level.WARNING,
            sentence=sentence,
            data={
                "workspace": space.name,
                "budget": "per_member" if key[1] is not None else "pool",
                "percent": percent,
                "used": used / 1e6,
                "total": account.total / 1e6,
                "renews": account.renews.isoformat(timespec="seconds") if account.renews else None,
            },
            until=account.renews,
        )


def _about(key: _Key) -> str:
    return key[0] if key[1] is not None else f"{key[0]}, all members"


def _period_of(account: Account, budget: Budget | None) -> str:
    """What tells one period from the next; nothing does where a budget rolls or never renews."""
    rolls = budget is None or budget.renews in ("rolling", "never")
    return "" if rolls or account.period.begins is None else account.period.begins.isoformat()
