"""Workspaces as a list and one at a glance: who is in, what runs, what it holds of its quotas, what is left."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.estimate import account_as_json
from gpuspawner.budgets.pricing import MICRO, micro_of, say_units
from gpuspawner.config import Settings
from gpuspawner.limits.checks import day_of
from gpuspawner.limits.usage import Held
from gpuspawner.reports.balances import Balance, balance_of
from gpuspawner.workspace import Workspace

__all__ = ["ClassUse", "WorkspaceLine", "classes_in_use", "workspace_line", "workspace_lines"]


@dataclass(frozen=True, slots=True)
class ClassUse:
    """What a workspace holds of one GPU class now, in GPUs.

    ``running`` are those of servers that run, ``starting`` those of launches under way, which count in each class they
    may land on. ``quota`` is what it may hold of its own, None for no limit; ``cohort`` is who lends it more.
    """

    gpu_class: str
    title: str
    running: int
    starting: int
    quota: int | None
    cohort: str = ""

    @property
    def held(self) -> int:
        """What counts."""
        return self.running + self.starting

    @property
    def borrowed(self) -> int:
        """What it holds beyond its own."""
        return 0 if self.quota is None else max(0, self.held - self.quota)

    @property
    def sentence(self) -> str:
        """``"3 of 12 GPUs in use, 1 starting"``."""
        of = "" if self.quota is None else f" of {self.quota}"
        parts = [f"{self.running}{of} in use"]
        if self.starting:
            parts.append(f"{self.starting} starting")
        if self.borrowed:
            parts.append(f"{self.borrowed} borrowed from {self.cohort}" if self.cohort else f"{self.borrowed} over")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """For the API; in GPUs."""
        return {
            "gpu_class": self.gpu_class,
            "title": self.title,
            "running": self.running,
            "starting": self.starting,
            "held": self.held,
            "quota": self.quota,
            "borrowed": self.borrowed,
        }


@dataclass(frozen=True, slots=True)
class WorkspaceLine:
    """One workspace as it is now. ``state``: ``open``, ``not open yet`` or ``ended``; ``members`` are those who have
    logged in; ``pool`` is what all members share, ``per_member`` what each has in a period, in micro-units."""

    name: str
    title: str
    state: str
    starts: date | None
    ends: date | None
    members: int
    running: int
    starting: int
    classes: tuple[ClassUse, ...]
    per_member: int | None
    renews: str
    pool: Balance | None

    @property
    def when(self) -> str:
        """Its days in words; empty where it has none."""
        if self.state == "not open yet" and self.starts is not None:
            return f"opens on {_say(self.starts)}"
        if self.ends is not None:
            return f"{'ended' if self.state == 'ended' else 'open until'} {_say(self.ends)}"
        return f"open since {_say(self.starts)}" if self.starts is not None else ""

    @property
    def budget(self) -> str:
        """What there is to spend, in words; empty where nothing is bounded."""
        parts = []
        if self.per_member is not None:
            parts.append(f"{say_units(self.per_member)} for each member")
        if self.pool is not None:
            parts.append(f"{say_units(self.pool.account.allowance)} for all together")
        return f"{' and '.join(parts)}, {self.renews}" if parts else ""

    def as_json(self) -> dict[str, Any]:
        """For the API: GPUs and service units."""
        return {
            "name": self.name,
            "title": self.title,
            "state": self.state,
            "starts": self.starts and self.starts.isoformat(),
            "ends": self.ends and self.ends.isoformat(),
            "members": self.members,
            "running": self.running,
            "starting": self.starting,
            "gpu_classes": [one.as_json() for one in self.classes],
            "budget": {
                "per_member": None if self.per_member is None else self.per_member / MICRO,
                "pool": self.pool and account_as_json(self.pool.account, self.pool.used),
                "renews": self.renews,
            }
            if self.renews
            else None,
        }


def workspace_lines(
    names: Iterable[str],
    settings: Settings,
    held: Collection[Held],
    accounts: Accounts,
    members: Mapping[str, int],
    now: datetime,
) -> tuple[WorkspaceLine, ...]:
    """Some workspaces as they are now: those that are open first, by title. ``members`` are how many each has."""
    by_space: dict[str, list[Held]] = {}
    for one in held:
        by_space.setdefault(one.workspace, []).append(one)
    lines = [
        workspace_line(settings.workspaces[name], settings, by_space.get(name, ()), accounts, members.get(name, 0), now)
        for name in names
    ]
    order = ("open", "not open yet", "ended")
    return tuple(sorted(lines, key=lambda line: (order.index(line.state), line.title.casefold(), line.name)))


def workspace_line(
    workspace: Workspace,
    settings: Settings,
    held: Sequence[Held],
    accounts: Accounts,
    members: int,
    now: datetime,
) -> WorkspaceLine:
    """One workspace as it is now; ``held`` are its own servers."""
    day, budget = day_of(now, settings), workspace.budget
    running = sum(one.ends is not None for one in held)
    per_member = budget.per_member if budget is not None else None
    return WorkspaceLine(
        name=workspace.name,
        title=workspace.title,
        state=_state(workspace, day),
        starts=workspace.starts,
        ends=workspace.ends,
        members=members,
        running=running,
        starting=len(held) - running,
        classes=tuple(classes_in_use(workspace, settings, held, day)),
        per_member=None if per_member is None else micro_of(per_member),
        renews=_renews(workspace) if budget is not None and budget.bounds else "",
        pool=balance_of(workspace, None, settings, accounts, now),
    )


def classes_in_use(workspace: Workspace, settings: Settings, held: Sequence[Held], day: date) -> Iterator[ClassUse]:
    """The GPU classes that a workspace may hold today, or holds, in the order of the configuration."""
    limits, cohort = workspace.limits(day), settings.cohort_of(workspace.name)
    lends = cohort is not None and cohort.limits(day).borrowing
    running: dict[str, int] = {}
    starting: dict[str, int] = {}
    for one in held:
        taken = starting if one.ends is None else running
        for name in one.gpu_classes:
            taken[name] = taken.get(name, 0) + one.gpus
    for name, gpu_class in settings.catalog.gpu_classes.items():
        quota = limits.quota_of(name)
        if quota != 0 or name in running or name in starting:
            lender = cohort.title if cohort is not None and lends and name in limits.quota else ""
            yield ClassUse(name, gpu_class.title, running.get(name, 0), starting.get(name, 0), quota, lender)


def _state(workspace: Workspace, day: date) -> str:
    if workspace.is_open(day):
        return "open"
    return "not open yet" if workspace.starts is not None and day < workspace.starts else "ended"


def _renews(workspace: Workspace) -> str:
    budget = workspace.budget
    if budget is None or budget.renews == "never":
        return "once"
    if budget.renews == "rolling":
        return f"over {budget.window} days"
    return "each term" if budget.renews == "terms" else budget.renews


def _say(day: date) -> str:
    return f"{day:%-d %B %Y}"
