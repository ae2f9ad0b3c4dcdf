"""What is left of a budget: what is carried over, what grants add, and the balances of the whole hub in memory."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from gpuspawner.budgets.history import Book, Given, History, counts, end_of, history_of
from gpuspawner.budgets.period import Period, first_day, midnight, period_of
from gpuspawner.budgets.pricing import Price, micro_of
from gpuspawner.workspace import Budget, Workspace

__all__ = ["Account", "Accounts", "Charged", "Given", "Paid", "Period", "period_of"]


class Charged(Protocol):
    """What an account must know of a session that is settled; the ledger's ``Charge`` is one."""

    @property
    def id(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def workspace(self) -> str: ...
    @property
    def opened(self) -> datetime: ...
    @property
    def charged(self) -> int | None: ...


class Paid(Charged, Protocol):
    """What an account must know of any session; the ledger's ``Session`` is one. ``price`` is a ``Price`` in JSON."""

    @property
    def gpus(self) -> int: ...
    @property
    def cpu(self) -> float: ...
    @property
    def price(self) -> Mapping[str, Any]: ...
    @property
    def held(self) -> int: ...
    @property
    def started(self) -> datetime | None: ...
    @property
    def gpu_class(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Account:
    """The balance of a member or a pool in one period, in micro-units.

    ``granted`` is what grants add: what this period has taken of them, and what is left of them. ``spent`` was charged
    for sessions that were opened in the period, ``held`` is for those among them that are not settled. ``renews`` is
    when more will be there, in UTC, where that is to come.
    """

    period: Period
    allowance: int
    carried: int = 0
    granted: int = 0
    spent: int = 0
    held: int = 0
    renews: datetime | None = None

    @property
    def total(self) -> int:
        """What there is to spend in the period."""
        return self.allowance + self.carried + self.granted

    @property
    def left(self) -> int:
        """What may still be held."""
        return max(0, self.total - self.spent - self.held)


_LOOK_AHEAD = 400
"""Periods, or days of a rolling budget."""
_Key = tuple[str, str | None]
"""Workspace and user; None for its pool."""


@dataclass(slots=True)
class _Open:
    """A session that is not settled, and what becomes known of it while it runs. ``day``: what its budget counts it
    with."""

    session: Paid
    price: Price
    day: date | None
    held: int
    started: datetime | None
    gpu_class: str | None

    def accrued(self, now: datetime) -> int:
        """What it has cost so far."""
        if self.started is None:
            return 0
        asked = self.session
        return self.price.charge(self.gpu_class, asked.gpus, asked.cpu, self.started, now, self.held)


class Accounts:
    """The balances of all members and pools of a hub. Synchronous, so that deciding and holding are one step; not
    thread-safe: one hub, one event loop.

    A session is paid from the period it was opened in, also where it runs on into the next. It takes the period's own
    allowance first, with what was carried over, and then the grants, those that end first before the others.
    """

    def __init__(self, workspaces: Mapping[str, Workspace], timezone: ZoneInfo) -> None:
        self._workspaces = workspaces
        self._timezone = timezone
        self._clear()

    def _clear(self) -> None:
        self._open: dict[str, _Open] = {}
        self._accrued: dict[tuple[str, int], int] = {}
        """What the open sessions of a pool have cost till a second; exact, as costs are to the second."""
        self._settled: set[str] = set()
        self._books: dict[_Key, Book] = defaultdict(Book)
        self._grants: dict[_Key, dict[str, Given]] = defaultdict(dict)
        self._histories: dict[_Key, History] = {}

    def since(self, grants: Iterable[Given], now: datetime) -> datetime | None:
        """Since when charges still matter to any balance, for :meth:`load`; None: since ever."""
        lasting: dict[str, list[Given]] = defaultdict(list)
        for grant in grants:
            lasting[grant.workspace].append(grant)
        days = [now.astimezone(self._timezone).date()]
        for workspace in self._workspaces.values():
            if workspace.budget is not None:
                first = self._since(workspace.budget, lasting[workspace.name], now)
                days.append(max(first, workspace.starts or date.min))
        return None if min(days) == date.min else midnight(min(days), self._timezone)

    def _since(self, budget: Budget, grants: Sequence[Given], now: datetime) -> date:
        """The day before which nothing of one budget matters: since then the grants are whole that last still, and
        those that lasted at any time together with one that matters."""
        begin = now
        while True:
            first = first_day(budget, begin, self._timezone)
            if budget.carry_over is not None or first == date.min:
                return date.min
            if budget.renews == "rolling":
                first -= timedelta(days=2 * budget.window)
            counted_from = midnight(first, self._timezone)
            earlier = [grant.at for grant in grants if grant.at < begin and end_of(grant) > counted_from]
            if not earlier:
                return first
            begin = min(earlier)

    def load(self, unsettled: Iterable[Paid], charges: Iterable[Charged], grants: Iterable[Given]) -> None:
        """Begin anew, with what the ledger knows."""
        self._clear()
        for session in unsettled:
            self.hold(session)
        for charge in charges:
            if charge.charged is not None and charge.id not in self._open:
                self._spend(charge, self._day(charge), charge.charged)
        for grant in grants:
            self.grant(grant)

    def hold(self, session: Paid) -> None:
        """From now on the cost of this session is held; once for each id."""
        if session.id in self._open or session.id in self._settled:
            return
        price = Price.from_json(session.price)
        entry = _Open(session, price, self._day(session), 0, session.started, session.gpu_class)
        self._open[session.id] = entry
        self.extend(session.id, session.held)

    def started(self, session_id: str, at: datetime, gpu_class: str | None) -> None:
        """The session runs, on GPUs of this class: from now on its cost accrues."""
        entry = self._open.get(session_id)
        if entry is not None:
            entry.started, entry.gpu_class = at, gpu_class
            self._accrued.clear()

    def extend(self, session_id: str, held: int) -> None:
        """The session may run longer, or shorter: so much is held for it altogether."""
        entry = self._open.get(session_id)
        if entry is not None:
            for book in self._books_of(entry.session, entry.day):
                book.hold(entry.day or date.min, entry.session.opened, held - entry.held)
            entry.held = held
            self._accrued.clear()

    def settle(self, session_id: str, charged: int) -> bool:
        """The session is over: its hold ends, and so much is charged. False where that has happened before."""
        entry = self._open.get(session_id)
        if entry is None:
            return False
        self.extend(session_id, 0)
        del self._open[session_id]
        self._accrued.clear()
        self._spend(entry.session, entry.day, charged)
        return True

    def grant(self, grant: Given) -> None:
        """A grant as it is now: new, or revoked. What was taken of it before it was revoked stays paid."""
        self._grants[grant.workspace, grant.user][grant.id] = grant
        self._histories.pop((grant.workspace, grant.user), None)

    def is_open(self, session_id: str) -> bool:
        """Whether a session is not settled yet, be it that it costs nothing."""
        return session_id in self._open

    def held(self, session_id: str) -> int:
        """What is held for a session; 0 where it is not open."""
        entry = self._open.get(session_id)
        return 0 if entry is None else entry.held

    def accrued(self, session_id: str, now: datetime) -> int:
        """What an open session has cost so far."""
        entry = self._open.get(session_id)
        return 0 if entry is None else entry.accrued(now)

    def member(self, workspace: str, user: str, now: datetime) -> Account | None:
        """The balance of a member in a workspace; None where it has no budget per member."""
        return self._account((workspace, user), now, now)

    def pool(self, workspace: str, now: datetime) -> Account | None:
        """The balance that all members of a workspace share; None where it has no pool."""
        return self._account((workspace, None), now, now)

    def left(self, workspace: str, user: str, now: datetime) -> int | None:
        """What a launch of a member may cost now; None: as much as it likes."""
        accounts = (self.member(workspace, user, now), self.pool(workspace, now))
        return min((account.left for account in accounts if account is not None), default=None)

    def left_for(self, session_id: str, now: datetime) -> int | None:
        """By how much the hold of an open session may grow; None: as much as it likes.

        It is paid from the period it was opened in; what that period has passed on to the next must be there, too.
        """
        entry = self._open.get(session_id)
        if entry is None or entry.day is None:
            return None
        session, budget = entry.session, self._workspaces[entry.session.workspace].budget
        times = [session.opened]
        if budget is not None and (budget.carry_over is not None or budget.renews == "rolling"):
            times = [now] if budget.renews == "rolling" else [session.opened, now]
        keys: tuple[_Key, ...] = ((session.workspace, session.user), (session.workspace, None))
        accounts = (self._account(key, at, now) for key in keys for at in times)
        return min((account.left for account in accounts if account is not None), default=None)

    def so_far(self, workspace: str, user: str | None, now: datetime) -> int:
        """What a member, or with None the whole pool, has really used in this period: charged, and accrued till now."""
        account = self._account((workspace, user), now, now)
        budget = self._workspaces[workspace].budget
        if account is None or budget is None:
            return 0
        second = workspace, int(now.timestamp())
        if user is None and second in self._accrued:
            return account.spent + self._accrued[second]
        first = first_day(budget, now, self._timezone)
        accrued = sum(
            entry.accrued(now)
            for entry in self._open.values()
            if entry.session.workspace == workspace
            and user in (None, entry.session.user)
            and entry.day is not None
            and counts(budget, entry.day, first)
        )
        if user is None:
            self._accrued = {key: known for key, known in self._accrued.items() if key[1] == second[1]}
            self._accrued[second] = accrued
        return account.spent + accrued

    def held_by_workspace(self) -> dict[str, int]:
        """What the open sessions of each workspace may cost at most, whether or not a budget bounds it."""
        held: dict[str, int] = dict.fromkeys(self._workspaces, 0)
        for entry in self._open.values():
            held[entry.session.workspace] = held.get(entry.session.workspace, 0) + entry.held
        return held

    def running(self, workspace: str, now: datetime) -> Iterator[tuple[Paid, datetime, str | None, int]]:
        """The open sessions of a workspace that run: each with its start, the class it is on (None without GPU, or
        where nobody knows), and what it has cost so far."""
        for entry in self._open.values():
            if entry.session.workspace == workspace and entry.started is not None:
                yield entry.session, entry.started, entry.gpu_class, entry.accrued(now)

    def users_of(self, workspace: str) -> set[str]:
        """Whose open sessions the budgets of a workspace pay."""
        return {one.session.user for one in self._open.values() if one.session.workspace == workspace}

    def running_down(self, now: datetime) -> Iterator[tuple[str, str | None, int, Account]]:
        """Every account that sessions cost something now: workspace, user (None: the pool), what was really used in
        this period (see :meth:`so_far`), and the balance."""
        accrued: dict[_Key, int] = defaultdict(int)
        for entry in self._open.values():
            day, workspace = entry.day, entry.session.workspace
            budget = self._workspaces[workspace].budget if day is not None else None
            if budget is None or day is None or not counts(budget, day, first_day(budget, now, self._timezone)):
                continue
            for user in (entry.session.user, None):
                accrued[workspace, user] += entry.accrued(now)
        for (workspace, user), amount in accrued.items():
            account = self._account((workspace, user), now, now)
            if account is not None:
                yield workspace, user, account.spent + amount, account

    def when(self, workspace: str, user: str | None, cost: int, now: datetime) -> datetime | None:
        """When so much will be left of one account if nothing else is spent and no hold ends; None: never."""
        budget = self._workspaces[workspace].budget
        at, carried = now, -1
        for _ in range(_LOOK_AHEAD):
            account = self._account((workspace, user), at, at)
            if budget is None or account is None or account.left >= cost:
                return at
            following = account.renews if budget.renews == "rolling" else account.period.ends
            grows = budget.renews in ("rolling", "terms") or at == now or account.carried > carried
            if following is None or not grows or budget.renews == "never":
                return None
            at, carried = following, account.carried
        return None

    def _day(self, session: Charged) -> date | None:
        workspace = self._workspaces.get(session.workspace)
        if workspace is None or workspace.budget is None:
            return None
        return first_day(workspace.budget, session.opened, self._timezone)

    def _spend(self, session: Charged, day: date | None, charged: int) -> None:
        self._settled.add(session.id)
        for book in self._books_of(session, day):
            book.spend(day or date.min, session.opened, charged)

    def _books_of(self, session: Charged, day: date | None) -> Iterator[Book]:
        if day is None:
            return
        keys: list[_Key] = [(session.workspace, session.user), (session.workspace, None)]
        for key in keys:
            self._histories.pop(key, None)
            yield self._books[key]

    def _account(self, key: _Key, at: datetime, now: datetime) -> Account | None:
        """The balance in the period of ``at``, with the grants that last ``now``."""
        workspace = self._workspaces.get(key[0])
        budget = workspace.budget if workspace is not None else None
        units = None if budget is None else budget.pool if key[1] is None else budget.per_member
        if workspace is None or budget is None or units is None:
            return None
        allowance, day = micro_of(units), first_day(budget, at, self._timezone)
        book, grants = self._books.get(key, Book()), list(self._grants.get(key, {}).values())
        history = self._history(workspace, key[1], budget, allowance, grants, day)
        counted = [one for one in history.own if counts(budget, one, day)] if budget.renews == "rolling" else [day]
        lasting = sum(history.grants[one.id] for one in grants if one.at <= now < end_of(one))
        period = period_of(budget, at, self._timezone, workspace)
        renews = None if budget.renews == "never" else period.ends
        if budget.renews == "rolling":
            used = [one for one in counted if book.used(one)]
            renews = midnight(min(used) + timedelta(days=budget.window), self._timezone) if used else None
        return Account(
            period=period,
            allowance=allowance,
            carried=history.carried[day],
            granted=sum(history.taken[one] for one in counted) + lasting,
            spent=sum(book.spent.get(one, 0) for one in counted),
            held=sum(book.held.get(one, 0) for one in counted),
            renews=renews,
        )

    def _history(
        self, workspace: Workspace, user: str | None, budget: Budget, allowance: int, grants: Sequence[Given], day: date
    ) -> History:
        """As :func:`history_of`, once for all who ask until something changes."""
        key, cap = (workspace.name, user), _cap(budget, user)
        known = self._histories.get(key)
        begin = self._begin(workspace, budget) if cap else None
        if known is None or known.begin != begin or not known.tells(budget, day):
            book = self._books.get(key, Book())
            known = history_of(budget, allowance, cap, book, grants, self._timezone, day, begin)
            self._histories[key] = known
        return known

    def _begin(self, workspace: Workspace, budget: Budget) -> date | None:
        """Since when periods pass on what is left of them: the workspace's first day, or else its first charge."""
        if workspace.starts is not None:
            return first_day(budget, midnight(workspace.starts, self._timezone), self._timezone)
        pool = self._books.get((workspace.name, None), Book())
        return min((day for day in pool.days() if pool.used(day)), default=None)


def _cap(budget: Budget, user: str | None) -> int:
    """The most that one period passes on to the next."""
    if budget.carry_over is None:
        return 0
    return micro_of((budget.carry_over.pool if user is None else budget.carry_over.per_member) or 0)
