"""Whether a workspace, by its own quota or with what its cohort lends, has room for GPUs of a class. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from math import inf

from gpuspawner.config import SECTION, Settings
from gpuspawner.limits.checks import (
    Bound,
    Counted,
    Limit,
    Words,
    allowed_from,
    day_of,
    gpus_of,
    judge,
    place_of,
)
from gpuspawner.limits.cohort import Cohort
from gpuspawner.limits.trace import Check, Unit
from gpuspawner.limits.usage import Capacity, Held
from gpuspawner.quantity import say_gpus
from gpuspawner.workspace import Workspace

__all__ = ["BORROWING", "QUOTA", "ClassRoom"]

QUOTA = "workspace.quota"
BORROWING = "cohort.borrowing"


@dataclass(frozen=True, slots=True)
class Loan:
    """The most a workspace may hold of a class with what it borrows, the place that bounds it, and why."""

    most: float
    rule: str
    why: str
    since: Sequence[Limit] = ()
    """What must allow it, for it to be more; empty where nobody knows when that is."""


class ClassRoom:
    """What of one GPU class a workspace may have at one time; ``others`` are the servers there are, but for its own."""

    def __init__(
        self,
        gpu_class: str,
        workspace: Workspace,
        settings: Settings,
        others: Iterable[Held],
        capacity: Capacity,
        now: datetime,
    ) -> None:
        self.gpu_class = gpu_class
        self.workspace = workspace
        self.settings = settings
        self.capacity = capacity
        self.now = now
        self.day = day_of(now, settings)
        self.limits = workspace.limits(self.day)
        self.cohort = settings.cohort_of(workspace.name)
        spaces = self.cohort.workspaces if self.cohort else (workspace.name,)
        taken = [held for held in others if held.workspace in spaces and gpu_class in held.gpu_classes]
        self._together = [Counted(held, held.gpus) for held in taken]
        self._here = [one for one in self._together if one.held.workspace == workspace.name]

    @property
    def held(self) -> int:
        """What the workspace holds."""
        return sum(one.held.gpus for one in self._here)

    @property
    def lends(self) -> bool:
        """Whether the workspace may borrow this class."""
        return (
            self.cohort is not None
            and self.gpu_class in self.limits.quota
            and self.limits.offers(self.gpu_class)
            and self.cohort.limits(self.day).borrowing
        )

    def checks(self, gpus: int) -> list[Check]:
        """Whether there is room for so many more: by the quota, else by what the cohort lends, and in the cohort."""
        own = judge([self.quota(gpus)], self.settings, self.now)
        together = judge([self.in_cohort(gpus, self.cohort)], self.settings, self.now) if self.cohort else []
        if own and not own[0].allowed and self.lends and self.cohort:
            own = [self._borrow(gpus, own[0], self.cohort)]
        return [*own, *together]

    def left(self) -> tuple[float, str]:
        """How many more GPUs there is room for, infinity where nothing bounds it, and the sentence that says so."""
        title = self.workspace.title
        bounds: list[tuple[float, str]] = [(inf, "")]
        quota = self.limits.quota_of(self.gpu_class)
        if quota is not None:
            why = f"{title} holds {self.held} of its {say_gpus(quota)} of this class."
            if not self.held:
                why = f"{title} may hold {say_gpus(quota)} of this class at once." if quota else ""
            left: float = quota - self.held
            if self.lends and self.cohort:
                loan = self.loan(self.cohort)
                if loan.most > quota:
                    left, why = max(left, loan.most - self.held), loan.why
            bounds.append((left, why or f"{title} grants none of these."))
        if self.cohort:
            most = self._cohort_quota(self.cohort, self.day).value
            if most is not None:
                used = sum(one.held.gpus for one in self._together)
                bounds.append((most - used, f"{self.cohort.title} holds {used} of its {say_gpus(most)} of this class."))
        return min(bounds, key=lambda bound: bound[0])

    def quota(self, gpus: int) -> Limit:
        """What the workspace may hold at once of its own."""

        def words(limit: Limit, value: float) -> Words:
            of = gpus_of(value, self.gpu_class, self.settings)
            if limit.asked > value:
                return Words(
                    f"You asked for {say_gpus(limit.asked)}; {self.workspace.title} may hold {of} at once.",
                    f"Ask for at most {value:g}." if value else "Choose another GPU class or workspace.",
                )
            return Words(
                f"{self.workspace.title} holds {limit.used:g} of {of}; you asked for {limit.asked:g} more.",
                "Wait until a server of this workspace stops.",
            )

        days = self.workspace.changes()
        return Limit(QUOTA, Unit.GPUS, gpus, self._quota, words, days, self._here, self.gpu_class)

    def in_cohort(self, gpus: int, cohort: Cohort) -> Limit:
        """What the workspaces of the cohort may hold together."""

        def words(limit: Limit, value: float) -> Words:
            of = gpus_of(value, self.gpu_class, self.settings)
            borrowed = "" if self.held + gpus > (self.limits.quota_of(self.gpu_class) or 0) else self._borrowed(cohort)
            return Words(
                f"The workspaces of {cohort.title} hold {limit.used:g} of {of} together{borrowed}; "
                f"you asked for {limit.asked:g} more.",
                "Wait until one of their servers stops."
                if limit.asked <= value
                else f"Ask for at most {value:g}."
                if value
                else "Choose another GPU class or workspace.",
            )

        def bound(day: date) -> Bound:
            return self._cohort_quota(cohort, day)

        days = self._days(cohort)
        return Limit("cohort.quota", Unit.GPUS, gpus, bound, words, days, self._together, self.gpu_class)

    def loan(self, cohort: Cohort) -> Loan:
        """The most the workspace may hold with what it may borrow now; no less than its own quota."""
        here, limits = f"cohorts[{cohort.name!r}]", cohort.limits(self.day)
        name, quota, held = self.gpu_class, self.limits.quota_of(self.gpu_class) or 0, self.held
        reserve = limits.reserve.get(name, 0)
        kept = f" and {reserve} {'is' if reserve == 1 else 'are'} kept in reserve" if reserve else ""
        reserve_rule = f"{here}.{limits.rule(f'reserve[{name!r}]' if reserve else 'borrowing')}"
        loans = []
        if name in self.limits.borrowing_limit:
            most = self.limits.borrowing_limit[name]
            rule = f"{place_of(self.workspace)}.{self.limits.rule(f'borrowing_limit[{name!r}]')}"
            loans.append(Loan(quota + most, rule, f"it may borrow {most} at most", (self._by_limit(),)))
        together = self._cohort_quota(cohort, self.day)
        if together.value is not None:
            idle = max(0, together.value - sum(one.held.gpus for one in self._together))
            why = f"its cohort {cohort.title} has {idle:g} idle{kept}"
            loans.append(Loan(held + idle - reserve, reserve_rule, why, (self._by_reserve(cohort),)))
        if self.capacity.live:
            free = self.capacity.free(self.settings.catalog.gpu_classes[name])
            why = f"{free} {'is' if free == 1 else 'are'} free in the cluster{kept}"
            loans.append(Loan(held + free - reserve, reserve_rule, why))
        tightest = min(loans, key=lambda loan: loan.most, default=Loan(inf, f"{here}.borrowing", ""))
        why = f"{self.workspace.title} holds {held} of its own {say_gpus(quota)} of this class; {tightest.why}."
        return replace(tightest, most=max(quota, tightest.most), why=why)

    def _borrow(self, gpus: int, own: Check, cohort: Cohort) -> Check:
        """The check of a launch that is beyond the quota and may borrow."""
        loan = self.loan(cohort)
        made = replace(own, limit=BORROWING, value=loan.most, rule=f"{SECTION}.{loan.rule}")
        if self.held + gpus <= loan.most:
            return replace(made, allowed=True, reason="", remedy="", allowed_from=None)
        waits = [replace(limit, asked=gpus) for limit in loan.since]
        lent = [allowed_from(limit, limit.bound(self.day).value or 0, self.settings, self.now) for limit in waits]
        since = min((at for at in (own.allowed_from, *lent) if at is not None), default=None)
        reason = loan.why.removesuffix(".") + f"; you asked for {gpus} more."
        remedy = "Wait until a server of this workspace stops."
        return replace(made, allowed=False, reason=reason, remedy=remedy, allowed_from=since)

    def _borrowed(self, cohort: Cohort) -> str:
        """Who of the others holds more than its own quota, in words."""
        found = []
        for name in cohort.workspaces:
            space = self.settings.workspaces[name]
            quota = space.limits(self.day).quota_of(self.gpu_class)
            held = sum(one.held.gpus for one in self._together if one.held.workspace == name)
            if quota is not None and held > quota and name != self.workspace.name:
                found.append(f"{held - quota} of them borrowed by {space.title}")
        return f", {', '.join(found)}" if found else ""

    def _quota(self, day: date) -> Bound:
        limits = self.workspace.limits(day)
        rule = f"{place_of(self.workspace)}.{limits.rule_of_quota(self.gpu_class)}"
        return Bound(limits.quota_of(self.gpu_class), rule)

    def _cohort_quota(self, cohort: Cohort, day: date) -> Bound:
        """Its own, else the sum of its workspaces' quotas; none where one of them is unlimited."""
        limits, name = cohort.limits(day), self.gpu_class
        if name in limits.quota:
            return Bound(limits.quota[name], f"cohorts[{cohort.name!r}].{limits.rule(f'quota[{name!r}]')}")
        quotas = [self.settings.workspaces[one].limits(day).quota_of(name) for one in cohort.workspaces]
        total = None if any(quota is None for quota in quotas) else sum(quota or 0 for quota in quotas)
        return Bound(total, f"cohorts[{cohort.name!r}].workspaces")

    def _by_limit(self) -> Limit:
        def bound(day: date) -> Bound:
            limits = self.workspace.limits(day)
            most = limits.borrowing_limit.get(self.gpu_class)
            return Bound(None if most is None else (limits.quota_of(self.gpu_class) or 0) + most, "")

        return replace(self.quota(0), bound=bound)

    def _by_reserve(self, cohort: Cohort) -> Limit:
        def bound(day: date) -> Bound:
            most = self._cohort_quota(cohort, day).value
            return Bound(None if most is None else most - cohort.limits(day).reserve.get(self.gpu_class, 0), "")

        return replace(self.in_cohort(0, cohort), bound=bound)

    def _days(self, cohort: Cohort) -> set[date]:
        spaces = (self.settings.workspaces[name] for name in cohort.workspaces)
        return cohort.changes().union(*(space.changes() for space in spaces))
