"""What was used on each day of which GPU class: hours and service units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.config import Settings
from gpuspawner.ledger.records import SessionFilter, Usage
from gpuspawner.ledger.store import Store
from gpuspawner.quantity import MICRO
from gpuspawner.reports.days import Days
from gpuspawner.reports.sessions import SessionLine, every_session

__all__ = ["NO_GPU", "Use", "UseOverDays", "launched_on", "use_of", "use_over_days"]

NO_GPU = ""
"""In place of a GPU class."""


@dataclass(frozen=True, slots=True)
class Use:
    """Amounts of some sessions; ``seconds`` they ran, ``gpu_seconds`` times GPUs, ``micro`` micro-units."""

    sessions: int = 0
    seconds: int = 0
    gpu_seconds: int = 0
    micro: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(
            self.sessions + other.sessions,
            self.seconds + other.seconds,
            self.gpu_seconds + other.gpu_seconds,
            self.micro + other.micro,
        )

    @property
    def gpu_hours(self) -> float:
        """GPUs times hours."""
        return self.gpu_seconds / 3600

    @property
    def units(self) -> float:
        """Service units."""
        return self.micro / MICRO

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "sessions": self.sessions,
            "seconds": self.seconds,
            "gpu_seconds": self.gpu_seconds,
            "units": self.units,
        }


@dataclass(frozen=True, slots=True)
class UseOverDays:
    """Use by day and GPU class (:data:`NO_GPU` without). A session counts with the day it was launched on, as its
    budget counts it; running ones with what they have used until now."""

    days: Days
    by_day: Sequence[Mapping[str, Use]]
    titles: Mapping[str, str] = field(default_factory=dict)
    """Of the classes that were used, for people, in the order of the configuration."""

    @property
    def total(self) -> Use:
        """All of it."""
        return sum((use for day in self.by_day for use in day.values()), Use())

    def of_class(self, name: str) -> Use:
        """What was used of one class."""
        return sum((day.get(name, Use()) for day in self.by_day), Use())

    def on(self, day: date) -> Mapping[str, Use]:
        """What was used on one day, by class."""
        return self.by_day[(day - self.days.first).days]

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "first": self.days.first.isoformat(),
            "last": self.days.last.isoformat(),
            "total": self.total.as_json(),
            "by_class": [{"gpu_class": name or None, **self.of_class(name).as_json()} for name in self.titles],
            "by_day": [
                {
                    "day": day.isoformat(),
                    "by_class": [{"gpu_class": name or None, **found[name].as_json()} for name in found],
                }
                for day, found in zip(self.days, self.by_day, strict=True)
            ],
        }


async def use_over_days(
    store: Store, where: SessionFilter, days: Days, settings: Settings, accounts: Accounts, now: datetime
) -> UseOverDays:
    """What the sessions of a filter used; its ``since`` and ``until`` are those of the days.

    Raises
    ------
    StoreUnavailableError
    """
    ended = launched_on(where, days, settled=True)
    found = [
        {use.name or NO_GPU: use_of(use) for use in day}
        for day in await store.usage_between(ended, days.midnights(), by="gpu_class")
    ]
    running = launched_on(where, days, settled=False)
    async for lines in every_session(store, running, settings, accounts, now):
        for line in lines:
            place = days.index(line.opened)
            if place is not None:
                name = line.gpu_class or NO_GPU
                found[place][name] = found[place].get(name, Use()) + _so_far(line)
    order = {name: place for place, name in enumerate(settings.catalog.gpu_classes)}
    names = sorted(
        {name for day in found for name, use in day.items() if use.seconds or use.micro},
        key=lambda name: (name == NO_GPU, order.get(name, len(order)), name),
    )
    return UseOverDays(days, found, {name: _title(name, settings) for name in names})


def launched_on(where: SessionFilter, days: Days, *, settled: bool | None = None) -> SessionFilter:
    """The sessions of a filter that were launched on these days."""
    return replace(where, since=days.begins, until=days.ends, settled=settled)


def use_of(usage: Usage) -> Use:
    """What the ledger has summed up."""
    return Use(usage.sessions, usage.seconds, usage.gpu_seconds, usage.charged)


def _so_far(line: SessionLine) -> Use:
    return Use(1, line.seconds, line.seconds * line.session.gpus, line.micro)


def _title(name: str, settings: Settings) -> str:
    return settings.catalog.class_title(name) or "Without GPU"
