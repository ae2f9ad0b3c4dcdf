"""GPUs of each class over days: how many there were, how many were in use, and for how long none was free."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gpuspawner.config import Settings
from gpuspawner.ledger.records import CapacityChange, GPURun
from gpuspawner.ledger.store import Store

__all__ = ["PERIODS", "CapacityOverTime", "ClassOverTime", "Slot", "capacity_over_time", "classes_over_time"]

PERIODS: Mapping[int, timedelta] = {
    1: timedelta(minutes=30),
    7: timedelta(hours=2),
    30: timedelta(hours=6),
    90: timedelta(days=1),
}
"""Days that can be looked at, and the length of the slots in which they are told."""


@dataclass(frozen=True, slots=True)
class Slot:
    """GPUs from ``begins`` on, for the length of a slot: in use on average, ``most`` at once, and (None: unknown) in
    all on average."""

    begins: datetime
    used: float
    most: int
    total: float | None


@dataclass(frozen=True, slots=True)
class ClassOverTime:
    """One GPU class. ``gpu_seconds`` were used in all; ``known_seconds`` of them while it was known how many there
    were, which are ``of_seconds``. ``full`` are the seconds in which all there were have been in use."""

    gpu_class: str
    title: str
    slots: tuple[Slot, ...]
    gpu_seconds: float
    known_seconds: float
    of_seconds: float
    full: float

    @property
    def share(self) -> float | None:
        """What was used of what there was, from 0 to 1; None where that is not known."""
        return self.known_seconds / self.of_seconds if self.of_seconds else None

    @property
    def most(self) -> int:
        """The most that were in use at once."""
        return max((slot.most for slot in self.slots), default=0)

    @property
    def total(self) -> float | None:
        """How many there are at the end."""
        return self.slots[-1].total if self.slots else None

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "gpu_class": self.gpu_class,
            "title": self.title,
            "gpu_seconds": round(self.gpu_seconds),
            "known_seconds": round(self.known_seconds),
            "of_seconds": round(self.of_seconds),
            "full_seconds": round(self.full),
            "most": self.most,
            "slots": [
                {
                    "begins": slot.begins.isoformat(timespec="seconds"),
                    "used": round(slot.used, 3),
                    "most": slot.most,
                    "total": None if slot.total is None else round(slot.total, 3),
                }
                for slot in self.slots
            ],
        }


@dataclass(frozen=True, slots=True)
class CapacityOverTime:
    """From ``since`` until ``until``, in the hub's time zone; ``step`` is the length of a slot."""

    since: datetime
    until: datetime
    step: timedelta
    classes: tuple[ClassOverTime, ...]

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "since": self.since.isoformat(timespec="seconds"),
            "until": self.until.isoformat(timespec="seconds"),
            "step": round(self.step.total_seconds()),
            "classes": [one.as_json() for one in self.classes],
        }


async def capacity_over_time(store: Store, settings: Settings, now: datetime, days: int) -> CapacityOverTime:
    """The last ``days`` until now, which are one of :data:`PERIODS`.

    Of what is in use only this hub's own sessions are known.

    Raises
    ------
    StoreUnavailableError
    """
    now, step = now.astimezone(settings.timezone), PERIODS[days]
    since = now - timedelta(days=days)
    changes, runs = await store.capacity(since, now)
    classes = await asyncio.to_thread(classes_over_time, changes, runs, settings, since, now, step)
    return CapacityOverTime(since, now, step, tuple(classes))


def classes_over_time(
    changes: Iterable[CapacityChange],
    runs: Iterable[GPURun],
    settings: Settings,
    since: datetime,
    until: datetime,
    step: timedelta,
) -> list[ClassOverTime]:
    """Each class of the configuration, and each other one that was used."""
    totals: dict[str, list[CapacityChange]] = {}
    used: dict[str, list[GPURun]] = {}
    for change in changes:
        totals.setdefault(change.gpu_class, []).append(change)
    for run in runs:
        used.setdefault(run.gpu_class, []).append(run)
    known = settings.catalog.gpu_classes
    gone = sorted(name for name in used if name not in known)
    return [
        _over_time(
            name,
            settings.catalog.class_title(name),
            _moments(totals.get(name, ()), used.get(name, ()), since, until, step),
            since,
            step,
        )
        for name in (*known, *gone)
    ]


@dataclass(slots=True)
class _Moment:
    """From ``at`` for ``seconds``: so many in use, of so many, None where that is not known."""

    at: datetime
    seconds: float
    used: int
    total: int | None


def _moments(
    changes: Sequence[CapacityChange], runs: Iterable[GPURun], since: datetime, until: datetime, step: timedelta
) -> Iterator[_Moment]:
    """The time between two changes of anything, or ends of slots, piece by piece."""
    events: list[tuple[datetime, int, int | None]] = []
    for run in runs:
        events.append((max(run.started, since), run.gpus, None))
        if run.ended is not None and run.ended < until:
            events.append((max(run.ended, since), -run.gpus, None))
    total = next((change.total for change in reversed(changes) if change.at <= since), None)
    events += [(change.at, 0, change.total) for change in changes if since < change.at < until]
    slots = round((until - since) / step)
    events += [(since + number * step, 0, None) for number in range(1, slots)]
    events.sort(key=lambda event: event[0])
    at, used = since, 0
    for time, more, change_to in [*events, (until, 0, None)]:
        if time > at:
            yield _Moment(at, (time - at).total_seconds(), used, total)
            at = time
        used += more
        total = total if change_to is None else change_to


def _over_time(name: str, title: str, moments: Iterable[_Moment], since: datetime, step: timedelta) -> ClassOverTime:
    slots: list[Slot] = []
    here: list[_Moment] = []
    number, gpu_seconds, known_seconds, of_seconds, full = 0, 0.0, 0.0, 0.0, 0.0
    for moment in moments:
        place = int((moment.at - since) / step)
        if place != number and here:
            slots.append(_slot(here, since + number * step))
            here = []
        number = place
        here.append(moment)
        gpu_seconds += moment.used * moment.seconds
        if moment.total is not None:
            known_seconds += moment.used * moment.seconds
            of_seconds += moment.total * moment.seconds
        if moment.total and moment.used >= moment.total:
            full += moment.seconds
    if here:
        slots.append(_slot(here, since + number * step))
    return ClassOverTime(name, title, tuple(slots), gpu_seconds, known_seconds, of_seconds, full)


def _slot(moments: Sequence[_Moment], begins: datetime) -> Slot:
    seconds = sum(moment.seconds for moment in moments)
    totals = [(moment.total, moment.seconds) for moment in moments if moment.total is not None]
    length = sum(one for _, one in totals)
    return Slot(
        begins=begins,
        used=sum(moment.used * moment.seconds for moment in moments) / seconds,
        most=max(moment.used for moment in moments),
        total=sum(total * one for total, one in totals) / length if length else None,
    )
