"""The members of a workspace and what each has used in this period: sorted, searched and in pages."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gpuspawner.budgets.accounts import Account, Accounts
from gpuspawner.budgets.period import period_of
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.config import Settings
from gpuspawner.ledger.records import SessionFilter
from gpuspawner.ledger.store import Store
from gpuspawner.limits.usage import Held
from gpuspawner.membership.people import Person
from gpuspawner.membership.roles import Role
from gpuspawner.reports.use import Use, use_of
from gpuspawner.workspace import Workspace

__all__ = [
    "COLUMNS",
    "SORTS",
    "MemberLine",
    "Members",
    "MembersAsked",
    "begins_of",
    "member_lines",
    "members_page",
    "use_by_member",
]

COLUMNS = (
    "user", "roles", "last_seen", "running", "starting", "sessions", "gpu_hours", "units", "held", "left", "total",
)  # fmt: skip
"""Of the CSV; the keys of :meth:`MemberLine.as_json`."""
_WITHOUT_PERIOD = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class MemberLine:
    """One person in a workspace, and what they used there in the period. ``account`` is None where no budget of their
    own bounds them; ``awaited``: they belong here and have never logged in."""

    person: Person
    running: int
    starting: int
    use: Use
    account: Account | None = None
    awaited: bool = False

    @property
    def user(self) -> str:
        """Their user name."""
        return self.person.name

    @property
    def is_member(self) -> bool:
        """Whether they may launch here; an auditor who is no member may not."""
        return Role.MEMBER in self.person.roles

    def as_json(self) -> dict[str, Any]:
        """For the API and as a row of the CSV; service units, GPUs times hours."""
        account = self.account
        return {
            "user": self.user,
            "roles": [str(role) for role in self.person.roles],
            "last_seen": self.person.seen and self.person.seen.isoformat(timespec="seconds"),
            "running": self.running,
            "starting": self.starting,
            "sessions": self.use.sessions,
            "gpu_hours": round(self.use.gpu_hours, 3),
            "units": self.use.units,
            "held": 0.0 if account is None else account.held / MICRO,
            "left": None if account is None else account.left / MICRO,
            "total": None if account is None else account.total / MICRO,
        }


@dataclass(frozen=True, slots=True)
class MembersAsked:
    """Which members, in which order: those whose name has ``search`` in it, ``limit`` of them from place ``after``."""

    search: str = ""
    sort: str = "user"
    descending: bool = False
    limit: int = 50
    after: int = 0


@dataclass(frozen=True, slots=True)
class Members:
    """A page of the members, and how many there are: ``found`` by the search, ``count`` in all."""

    lines: tuple[MemberLine, ...]
    found: int
    count: int
    asked: MembersAsked

    @property
    def next(self) -> int | None:
        """Where the next page begins; None on the last."""
        after = self.asked.after + self.asked.limit
        return after if after < self.found else None

    @property
    def previous(self) -> int | None:
        """Where the page before begins; None on the first."""
        return max(0, self.asked.after - self.asked.limit) if self.asked.after else None


def _seen(line: MemberLine) -> float:
    return line.person.seen.timestamp() if line.person.seen is not None else 0.0


SORTS: Mapping[str, Callable[[MemberLine], Any]] = {
    "user": lambda line: line.user.casefold(),
    "role": lambda line: len(line.person.roles),
    "last_seen": _seen,
    "running": lambda line: line.running + line.starting,
    "gpu_hours": lambda line: line.use.gpu_seconds,
    "units": lambda line: line.use.micro,
    "left": lambda line: line.account.left if line.account is not None else -1,
}
"""By what they may be sorted."""


def begins_of(workspace: Workspace, settings: Settings, now: datetime) -> datetime:
    """Since when use is counted as that of this period: the budget's, or else the last thirty days."""
    if workspace.budget is not None and workspace.budget.bounds:
        begins = period_of(workspace.budget, now, settings.timezone, workspace).begins
        if begins is not None:
            return begins
    return now - _WITHOUT_PERIOD


async def use_by_member(
    store: Store, workspace: str, accounts: Accounts, since: datetime, now: datetime
) -> dict[str, Use]:
    """What each user's sessions used that were launched in a workspace since then, running ones until now.

    Raises
    ------
    StoreUnavailableError
    """
    where = SessionFilter(workspace=workspace, since=since, settled=True)
    found = {one.name or "": use_of(one) for one in await store.usage(where, by="user")}
    for session, started, _, cost in accounts.running(workspace, now):
        if session.opened >= since:
            seconds = max(0, round((now - started).total_seconds()))
            found[session.user] = found.get(session.user, Use()) + Use(1, seconds, seconds * session.gpus, cost)
    return found


def member_lines(
    people: Iterable[Person], awaited: Iterable[str], used: Mapping[str, Use], held: Iterable[Held]
) -> list[MemberLine]:
    """Everybody in a workspace, and whoever has used something there in the period and has left since.

    ``held`` are the servers of the workspace. The accounts are filled in by :func:`members_page`, for those it shows.
    """
    running: dict[str, int] = {}
    starting: dict[str, int] = {}
    for one in held:
        counts = starting if one.ends is None else running
        counts[one.user] = counts.get(one.user, 0) + 1
    known = {person.name: person for person in people}
    gone = {*used, *running, *starting} - known.keys()
    known.update({name: Person(name, (), None) for name in gone})
    lines = [
        MemberLine(person, running.get(name, 0), starting.get(name, 0), used.get(name, Use()))
        for name, person in known.items()
    ]
    new = [Person(name, (Role.MEMBER,), None) for name in awaited if name not in known]
    return lines + [MemberLine(person, 0, 0, Use(), awaited=True) for person in new]


def members_page(
    lines: Collection[MemberLine], workspace: str, accounts: Accounts, asked: MembersAsked, now: datetime
) -> Members:
    """The lines that are asked for; what is left to each is worked out for those alone, unless it is the order."""
    needle = asked.search.strip().casefold()
    found = [line for line in lines if needle in line.user.casefold()]
    if asked.sort == "left":
        found = [_with_account(line, workspace, accounts, now) for line in found]
    found.sort(key=SORTS["user"])
    found.sort(key=SORTS[asked.sort], reverse=asked.descending)
    shown = found[asked.after : asked.after + asked.limit]
    if asked.sort != "left":
        shown = [_with_account(line, workspace, accounts, now) for line in shown]
    return Members(tuple(shown), len(found), len(lines), asked)


def _with_account(line: MemberLine, workspace: str, accounts: Accounts, now: datetime) -> MemberLine:
    if not line.is_member:
        return line
    return replace(line, account=accounts.member(workspace, line.user, now))
