"""The limits of a workspace over the days to come: its quotas, its dated exceptions, and when budgets renew. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from gpuspawner.budgets.history import end_of
from gpuspawner.budgets.period import first_day, next_first_day
from gpuspawner.budgets.pricing import micro_of, say_units
from gpuspawner.config import SECTION, Settings
from gpuspawner.ledger.records import Grant
from gpuspawner.limits.checks import day_of, place_of
from gpuspawner.limits.limits import LimitException, Limits
from gpuspawner.limits.trace import Unit
from gpuspawner.quantity import say_gpus
from gpuspawner.workspace import Budget, Workspace

__all__ = ["AHEAD", "Change", "ClassQuota", "DatedException", "LimitsAhead", "QuotaStep", "Renewal", "limits_ahead"]

AHEAD = 60
"""Days."""
_NO_LIMIT = "no limit"
_AMOUNTS = {
    "gpus": Unit.GPUS,
    "cpu": Unit.CORES,
    "memory": Unit.BYTES,
    "servers": Unit.SERVERS,
    "runtime": Unit.SECONDS,
}
_OFFERS = {"profiles": "Profiles on offer", "gpu_classes": "GPU classes on offer", "images": "Images that may be named"}


@dataclass(frozen=True, slots=True)
class QuotaStep:
    """From ``day`` on, a workspace may hold so many GPUs of a class at once, None for no limit; ``rule`` says so."""

    day: date
    gpus: int | None
    rule: str


@dataclass(frozen=True, slots=True)
class ClassQuota:
    """The quota of one GPU class over the days; the first step is on the first of them."""

    gpu_class: str
    title: str
    steps: tuple[QuotaStep, ...]

    @property
    def now(self) -> int | None:
        """What it is on the first day."""
        return self.steps[0].gpus

    def on(self, day: date) -> int | None:
        """What it is on a day."""
        return [step for step in self.steps if step.day <= day][-1].gpus


@dataclass(frozen=True, slots=True)
class Change:
    """What an exception changes: a limit in words, its value, and what it is without the exception."""

    limit: str
    value: str
    usually: str


@dataclass(frozen=True, slots=True)
class DatedException:
    """One exception: from ``first`` to ``last``, both included; ``state`` is ``past``, ``now`` or ``to come``."""

    first: date
    last: date
    state: str
    changes: tuple[Change, ...]
    rule: str


@dataclass(frozen=True, slots=True)
class Renewal:
    """A day on which more, or less, is there to spend, and why, as a sentence."""

    day: date
    sentence: str


@dataclass(frozen=True, slots=True)
class LimitsAhead:
    """From ``first`` to ``last``, both included; ``grants`` are those that are not over."""

    first: date
    last: date
    quotas: tuple[ClassQuota, ...]
    exceptions: tuple[DatedException, ...]
    renewals: tuple[Renewal, ...]
    grants: tuple[Grant, ...]

    @property
    def changes(self) -> bool:
        """Whether any quota changes on these days."""
        return any(len(quota.steps) > 1 for quota in self.quotas)

    def as_json(self) -> dict[str, Any]:
        """For the API; days as in RFC 3339."""
        return {
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "quota": [
                {
                    "gpu_class": quota.gpu_class,
                    "title": quota.title,
                    "steps": [
                        {"day": step.day.isoformat(), "gpus": step.gpus, "rule": step.rule} for step in quota.steps
                    ],
                }
                for quota in self.quotas
            ],
            "exceptions": [
                {
                    "from": exception.first.isoformat(),
                    "to": exception.last.isoformat(),
                    "state": exception.state,
                    "rule": exception.rule,
                    "changes": [
                        {"limit": change.limit, "value": change.value, "usually": change.usually}
                        for change in exception.changes
                    ],
                }
                for exception in self.exceptions
            ],
            "renewals": [{"day": renewal.day.isoformat(), "sentence": renewal.sentence} for renewal in self.renewals],
        }


def limits_ahead(
    workspace: Workspace, settings: Settings, grants: Iterable[Grant], now: datetime, days: int = AHEAD
) -> LimitsAhead:
    """The limits of a workspace from today on, for so many days more; ``grants`` are those to it and its members."""
    first = day_of(now, settings)
    last = first + timedelta(days=days)
    standing = [grant for grant in grants if end_of(grant) > now]
    renewals = [*_dates(workspace, first, last), *_renewals(workspace, settings, now, last)]
    renewals += [_end_of_grant(grant, settings) for grant in standing if grant.until is not None and grant.until > now]
    return LimitsAhead(
        first=first,
        last=last,
        quotas=tuple(_quotas(workspace, settings, first, last)),
        exceptions=tuple(
            _exception(index, exception, workspace, settings, first)
            for index, exception in sorted(enumerate(workspace.exceptions), key=lambda one: (one[1].from_, one[0]))
        ),
        renewals=tuple(sorted((one for one in renewals if one.day <= last), key=lambda one: one.day)),
        grants=tuple(sorted(standing, key=lambda grant: grant.at, reverse=True)),
    )


def _quotas(workspace: Workspace, settings: Settings, first: date, last: date) -> Iterator[ClassQuota]:
    """Those of the classes that may be had on any of the days."""
    changes = [first, *sorted(day for day in workspace.changes() if first < day <= last)]
    limits = {day: workspace.limits(day) for day in reversed(changes)}
    for name, gpu_class in settings.catalog.gpu_classes.items():
        steps: list[QuotaStep] = []
        for day in changes:
            found = _quota(workspace, limits[day], name, day)
            if not steps or steps[-1].gpus != found.gpus:
                steps.append(found)
        if any(step.gpus != 0 for step in steps):
            yield ClassQuota(name, gpu_class.title, tuple(steps))


def _quota(workspace: Workspace, limits: Limits, gpu_class: str, day: date) -> QuotaStep:
    if not workspace.is_open(day):
        key = "starts" if workspace.starts is not None and day < workspace.starts else "ends"
        return QuotaStep(day, 0, _rule(workspace, key))
    return QuotaStep(day, limits.quota_of(gpu_class), _rule(workspace, limits.rule_of_quota(gpu_class)))


def _rule(workspace: Workspace, key: str) -> str:
    return f"{SECTION}.{place_of(workspace)}.{key}"


def _exception(
    index: int, exception: LimitException, workspace: Workspace, settings: Settings, today: date
) -> DatedException:
    state = "past" if exception.to < today else "now" if exception.from_ <= today else "to come"
    changes = tuple(_changes(exception, workspace, settings))
    return DatedException(exception.from_, exception.to, state, changes, _rule(workspace, f"exceptions[{index}]"))


def _changes(exception: LimitException, workspace: Workspace, settings: Settings) -> Iterator[Change]:
    usual = workspace.ordinary_limits()
    for name, gpus in exception.quota.items():
        yield Change(settings.catalog.class_title(name), f"{say_gpus(gpus)} at once", _say(usual.quota_of(name)))
    for name, gpus in exception.borrowing_limit.items():
        before = _say(usual.borrowing_limit.get(name))
        yield Change(settings.catalog.class_title(name), f"{say_gpus(gpus)} borrowed at most", before)
    for part, whose in (("per_member", "Each member"), ("per_launch", "Each server")):
        given: Mapping[str, float] = getattr(exception, part).model_dump(exclude_none=True)
        for key, value in given.items():
            unit, before = _AMOUNTS[key], getattr(getattr(usual, part), key)
            yield Change(whose, unit.say(value), _NO_LIMIT if before is None else unit.say(before))
    for part, words in _OFFERS.items():
        names: Sequence[str] | None = getattr(exception, part)
        if names is not None:
            yield Change(words, _names(part, names, settings), _names(part, getattr(usual, part), settings))


def _say(gpus: int | None) -> str:
    return _NO_LIMIT if gpus is None else say_gpus(gpus)


def _names(part: str, names: Sequence[str] | None, settings: Settings) -> str:
    if names is None:
        return "all"
    titles = {"profiles": settings.catalog.profile_title, "gpu_classes": settings.catalog.class_title}
    return ", ".join(map(titles.get(part, str), names)) or "none"


def _dates(workspace: Workspace, first: date, last: date) -> Iterator[Renewal]:
    if workspace.starts is not None and first <= workspace.starts <= last:
        yield Renewal(workspace.starts, "The workspace opens.")
    if workspace.ends is not None and first <= workspace.ends <= last:
        yield Renewal(workspace.ends, "Last day of the workspace.")


def _renewals(workspace: Workspace, settings: Settings, now: datetime, last: date) -> Iterator[Renewal]:
    """When a budget renews next, or the terms it renews with; of a rolling one, which renews every day, nothing."""
    budget = workspace.budget
    if budget is None or not budget.bounds or budget.renews in ("rolling", "never"):
        return
    day = next_first_day(budget, first_day(budget, now, settings.timezone))
    closing = last if workspace.ends is None else min(last, workspace.ends)
    again = {"weekly": "; then every week", "monthly": "; then every month", "quarterly": "; then every quarter"}
    while day is not None and day <= closing:
        yield Renewal(day, f"The budget renews: {_allowance(budget)}{again.get(budget.renews, '')}.")
        day = next_first_day(budget, day) if budget.renews == "terms" else None


def _allowance(budget: Budget) -> str:
    parts = []
    if budget.per_member is not None:
        parts.append(f"{say_units(micro_of(budget.per_member))} for each member")
    if budget.pool is not None:
        parts.append(f"{say_units(micro_of(budget.pool))} for all together")
    return ", ".join(parts)


def _end_of_grant(grant: Grant, settings: Settings) -> Renewal:
    whom = "all members" if grant.user is None else grant.user
    assert grant.until is not None  # noqa: S101 - asked for by those that have an end only
    day = (grant.until.astimezone(settings.timezone) - timedelta(microseconds=1)).date()
    return Renewal(day, f"Last day of the grant of {say_units(grant.units)} to {whom}.")
