"""Every limit of a workspace on one day: its value, the place in the configuration that sets it, until when. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from re import search
from typing import Any

from gpuspawner.config import SECTION, Settings
from gpuspawner.limits.checks import place_of
from gpuspawner.limits.cohort import Cohort
from gpuspawner.limits.limits import Dated, Limits
from gpuspawner.limits.trace import Check, Unit
from gpuspawner.quantity import micro_of, say_units
from gpuspawner.workspace import Budget, Workspace

__all__ = ["EffectiveLimit", "EffectiveLimits", "Scope", "effective_limits", "title_of"]


class Scope(StrEnum):
    """Whom a limit is about; the value is a heading."""

    OFFER = "On offer"
    WORKSPACE = "All members together"
    COHORT = "With its cohort"
    MEMBER = "Each member, here"
    EVERYWHERE = "Each member, in all workspaces"
    LAUNCH = "Each launch"
    BUDGET = "Budget"


_WHOSE = {
    Scope.MEMBER: "each member",
    Scope.EVERYWHERE: "each member in all workspaces",
    Scope.LAUNCH: "one launch",
}


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """One limit on one day.

    ``value`` is None where nothing bounds it, ``said`` says it in words. ``rule`` is the place in the configuration.
    Where a dated exception sets it, ``first`` and ``last`` are its days, and ``ordinarily`` says what holds without it.
    """

    scope: Scope
    name: str
    title: str
    value: float | bool | tuple[str, ...] | None
    said: str
    rule: str
    first: date | None = None
    last: date | None = None
    ordinarily: str = ""

    @property
    def about(self) -> str:
        """What it bounds, where no heading says whom it is about."""
        whose = _WHOSE.get(self.scope)
        return f"{self.title} of {whose}" if whose else self.title

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "limit": self.name,
            "title": self.title,
            "scope": self.scope.name.lower(),
            "value": list(self.value) if isinstance(self.value, tuple) else self.value,
            "said": self.said,
            "rule": self.rule,
            "exception": None
            if self.first is None or self.last is None
            else {"from": self.first.isoformat(), "to": self.last.isoformat(), "ordinarily": self.ordinarily},
        }


@dataclass(frozen=True, slots=True)
class EffectiveLimits:
    """All limits of a workspace on a ``day``; ``before`` and ``after`` are the next days on which any may differ."""

    workspace: str
    title: str
    day: date
    open: bool
    limits: tuple[EffectiveLimit, ...]
    before: date | None
    after: date | None

    def of(self, scope: Scope) -> tuple[EffectiveLimit, ...]:
        """Those about one kind of thing."""
        return tuple(limit for limit in self.limits if limit.scope is scope)

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "workspace": self.workspace,
            "title": self.title,
            "date": self.day.isoformat(),
            "open": self.open,
            "changes_before": self.before and self.before.isoformat(),
            "changes_after": self.after and self.after.isoformat(),
            "limits": [limit.as_json() for limit in self.limits],
        }


def effective_limits(settings: Settings, workspace: Workspace, day: date) -> EffectiveLimits:
    """What holds in a workspace on a day, of a calendar that may be long past or to come."""
    cohort = settings.cohort_of(workspace.name)
    changes = {*workspace.changes(), *settings.per_member.changes(), *(cohort.changes() if cohort else ())}
    return EffectiveLimits(
        workspace=workspace.name,
        title=workspace.title,
        day=day,
        open=workspace.is_open(day),
        limits=tuple(_Reader(settings, workspace, cohort, day).limits()),
        before=max((one - timedelta(days=1) for one in changes if one <= day), default=None),
        after=min((one for one in changes if one > day), default=None),
    )


_KINDS = {
    "workspace.open": "Days of the workspace",
    "workspace.quota": "Quota of the workspace",
    "cohort.quota": "Quota of the cohort",
    "cohort.borrowing": "What the cohort lends",
    "workspace.budget.per_member": "Budget of the member",
    "workspace.budget.pool": "Budget of all members",
    "workspace.profiles": "Profiles on offer",
    "workspace.gpu_classes": "GPU classes on offer",
    "workspace.images": "Images on offer",
    "profile.images": "Images of the profile",
}
_OWNERS = {
    "profile": "the profile",
    "workspace.per_launch": "one launch here",
    "workspace.per_member": "each member here",
    "hub.per_member": "each member in all workspaces",
}


def title_of(check: Check, settings: Settings) -> str:
    """The kind of a limit that a decision looked at, for people: ``"Memory of each member here"``."""
    of_class = settings.catalog.class_title(check.gpu_class)
    owner, _, key = check.limit.rpartition(".")
    what = _OF_MEMBERS.get(key) or _OF_LAUNCHES.get(key)
    title = _KINDS.get(check.limit)
    if title is None and owner in _OWNERS:
        title = f"{what[0] if what else key.replace('_', ' ').capitalize()} of {_OWNERS[owner]}"
    return ", ".join(part for part in (title or check.limit, of_class) if part)


_AMOUNTS = {"gpus": ("GPUs", Unit.GPUS), "cpu": ("CPU", Unit.CORES), "memory": ("Memory", Unit.BYTES)}
_OF_MEMBERS = {**_AMOUNTS, "servers": ("Servers", Unit.SERVERS)}
_OF_LAUNCHES = {**_AMOUNTS, "runtime": ("Runtime", Unit.SECONDS)}
_UNLIMITED = "unlimited"


class _Reader:
    def __init__(self, settings: Settings, workspace: Workspace, cohort: Cohort | None, day: date) -> None:
        self.settings = settings
        self.workspace = workspace
        self.cohort = cohort
        self.day = day
        self.now = workspace.limits(day)
        self.ordinary = workspace.ordinary_limits()
        self.here = place_of(workspace)

    def limits(self) -> Iterator[EffectiveLimit]:
        yield from self._offer()
        yield from self._quota()
        yield from self._cohort()
        yield from self._amounts(Scope.MEMBER, "per_member", _OF_MEMBERS)
        yield from self._everywhere()
        yield from self._amounts(Scope.LAUNCH, "per_launch", _OF_LAUNCHES)
        if self.workspace.budget is not None:
            yield from self._budget(self.workspace.budget)

    def _offer(self) -> Iterator[EffectiveLimit]:
        for key, title, nothing in (
            ("profiles", "Profiles", "all"),
            ("gpu_classes", "GPU classes", "those of its quota" if self.workspace.quota is not None else "all"),
            ("images", "Images of one’s own", "none"),
        ):
            found, usual = getattr(self.now, key), getattr(self.ordinary, key)
            said, ordinarily = (", ".join(one) if one else nothing for one in (found, usual))
            yield self._made(Scope.OFFER, key, title, found, said, self.now.rule(key), ordinarily)

    def _quota(self) -> Iterator[EffectiveLimit]:
        for name, gpu_class in self.settings.catalog.gpu_classes.items():
            value, usual = self.now.quota_of(name), self.ordinary.quota_of(name)
            yield self._made(
                Scope.WORKSPACE,
                f"quota[{name!r}]",
                f"{gpu_class.title} GPUs at once",
                value,
                _of_class(value, self.now, name),
                self.now.rule_of_quota(name),
                _of_class(usual, self.ordinary, name),
            )

    def _cohort(self) -> Iterator[EffectiveLimit]:
        if self.cohort is None:
            return
        cohort, limits, here = self.cohort, self.cohort.limits(self.day), f"cohorts[{self.cohort.name!r}]"
        for name, gpu_class in self.settings.catalog.gpu_classes.items():
            if not any(self.settings.workspaces[one].limits(self.day).quota_of(name) for one in cohort.workspaces):
                continue
            if name in limits.quota:
                most: float | None = limits.quota[name]
                rule = limits.rule(f"quota[{name!r}]")
            else:
                quotas = [self.settings.workspaces[one].limits(self.day).quota_of(name) for one in cohort.workspaces]
                most = None if None in quotas else sum(quota or 0 for quota in quotas)
                rule = "workspaces"
            title = f"{gpu_class.title} GPUs of {cohort.title} together"
            said = _UNLIMITED if most is None else Unit.GPUS.say(most)
            ordinarily = self._said_ordinarily(cohort.quota.get(name))
            yield self._made(Scope.COHORT, f"cohort.quota[{name!r}]", title, most, said, rule, ordinarily, here)
            if limits.borrowing and limits.reserve.get(name):
                kept = limits.reserve[name]
                yield self._made(
                    Scope.COHORT,
                    f"cohort.reserve[{name!r}]",
                    f"{gpu_class.title} GPUs that borrowing leaves free",
                    kept,
                    Unit.GPUS.say(kept),
                    limits.rule(f"reserve[{name!r}]"),
                    self._said_ordinarily(cohort.reserve.get(name)),
                    here,
                )
            if limits.borrowing and name in self.now.borrowing_limit:
                may, rule = self.now.borrowing_limit[name], self.now.rule(f"borrowing_limit[{name!r}]")
                usual = self._said_ordinarily(self.ordinary.borrowing_limit.get(name))
                title, key = f"{gpu_class.title} GPUs beyond the quota", f"borrowing_limit[{name!r}]"
                yield self._made(Scope.COHORT, key, title, may, Unit.GPUS.say(may), rule, usual)
        yield self._made(
            Scope.COHORT,
            "cohort.borrowing",
            f"Borrowing within {cohort.title}",
            limits.borrowing,
            _yes(limits.borrowing),
            limits.rule("borrowing"),
            _yes(cohort.borrowing),
            here,
        )

    def _amounts(self, scope: Scope, part: str, keys: dict[str, tuple[str, Unit]]) -> Iterator[EffectiveLimit]:
        for key, (title, unit) in keys.items():
            found, usual = getattr(getattr(self.now, part), key), getattr(getattr(self.ordinary, part), key)
            rule = self.now.rule(f"{part}.{key}")
            yield self._made(scope, f"{part}.{key}", title, found, _amount(found, unit), rule, _amount(usual, unit))

    def _everywhere(self) -> Iterator[EffectiveLimit]:
        for key, (title, unit) in _OF_MEMBERS.items():
            found, rule = self.settings.per_member.limit(key, self.day)
            usual = _amount(getattr(self.settings.per_member, key), unit)
            name = f"hub.per_member.{key}"
            yield self._made(Scope.EVERYWHERE, name, title, found, _amount(found, unit), rule, usual, "")

    def _budget(self, budget: Budget) -> Iterator[EffectiveLimit]:
        for key, title in (("per_member", "Each member"), ("pool", "All members together")):
            units = getattr(budget, key)
            said = _UNLIMITED if units is None else f"{say_units(micro_of(units))} {_each_period(budget)}".rstrip()
            yield self._made(Scope.BUDGET, f"budget.{key}", title, units, said, f"budget.{key}")
        over = budget.carry_over
        for key, title in (("per_member", "Each member carries over"), ("pool", "The pool carries over")):
            units = getattr(over, key) if over is not None else None
            if units is not None:
                name = f"budget.carry_over.{key}"
                yield self._made(Scope.BUDGET, name, title, units, f"{say_units(micro_of(units))} at most", name)

    def _said_ordinarily(self, value: float | None) -> str:
        return "not set" if value is None else Unit.GPUS.say(value)

    def _made(
        self,
        scope: Scope,
        name: str,
        title: str,
        value: Any,
        said: str,
        rule: str,
        ordinarily: str = "",
        place: str | None = None,
    ) -> EffectiveLimit:
        """The limit, with the days of the exception that its rule names."""
        place = self.here if place is None else place
        exception = self._exception(place, rule)
        where = ".".join(part for part in (SECTION, place, rule) if part)
        if exception is None:
            return EffectiveLimit(scope, name, title, value, said, where)
        first, last = exception.from_, exception.to
        return EffectiveLimit(scope, name, title, value, said, where, first, last, ordinarily)

    def _exception(self, place: str, rule: str) -> Dated | None:
        found = search(r"\bexceptions\[(\d+)\]", rule)
        if found is None:
            return None
        owner: Any = self.settings.per_member
        if place:
            owner = self.workspace if place == self.here else self.cohort
        exception: Dated = owner.exceptions[int(found.group(1))]
        return exception


def _of_class(value: int | None, limits: Limits, name: str) -> str:
    if value is None:
        return _UNLIMITED
    if not value:
        return "none" if name in limits.quota and limits.offers(name) else "not granted"
    return Unit.GPUS.say(value)


def _each_period(budget: Budget) -> str:
    if budget.renews == "rolling":
        return f"in any {budget.window} days" if budget.window > 1 else "a day"
    words = {"weekly": "a week", "monthly": "a month", "quarterly": "a quarter", "terms": "a term", "never": "in all"}
    return words[budget.renews]


def _amount(value: float | None, unit: Unit) -> str:
    return _UNLIMITED if value is None else unit.say(value)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
