"""How a hub is at a glance: GPUs in use, what needs a hand, and which limits change soon."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol, Self

from gpuspawner.catalog import GPUClass
from gpuspawner.cluster.view import View
from gpuspawner.config import Settings
from gpuspawner.errors import LaunchError
from gpuspawner.ledger.records import Action
from gpuspawner.limits.usage import Capacity
from gpuspawner.quantity import format_duration, say_count
from gpuspawner.reports.balances import Balance
from gpuspawner.reports.cluster_look import ClusterLook
from gpuspawner.reports.configuration import Remark
from gpuspawner.reports.effective_limits import EffectiveLimit, effective_limits
from gpuspawner.reports.queue import QueueLine

__all__ = ["IMPORTANT", "ClassNow", "Concern", "Configured", "ExceptionAhead", "concerns", "exceptions_ahead"]

IMPORTANT = frozenset({Action.GRANT, Action.REVOCATION, Action.STOP, Action.ROLE, Action.DENIAL, Action.WARNING})
"""Of the audit log, what is worth a look by itself."""
_SILENT, _LONG_WAIT = 180, 3600
"""Seconds."""
_NEARLY = 0.9
_AHEAD = 30
"""Days."""


@dataclass(frozen=True, slots=True)
class ClassNow:
    """The GPUs of one class now, on nodes that take launches."""

    name: str
    title: str
    used: int
    total: int

    @classmethod
    def of(cls, gpu_class: GPUClass, capacity: Capacity) -> Self:
        """As the cluster is."""
        total = capacity.total(gpu_class)
        return cls(gpu_class.name, gpu_class.title, max(0, total - capacity.free(gpu_class)), total)


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that needs a hand: ``kind`` is ``danger`` or ``warning``; ``tab`` tells more of it."""

    kind: str
    sentence: str
    remedy: str = ""
    tab: str = ""


class Configured(Protocol):
    """What is known of the configuration."""

    @property
    def mistakes(self) -> Sequence[Remark]: ...
    @property
    def notes(self) -> Sequence[Remark]: ...
    @property
    def cluster(self) -> ClusterLook | None: ...
    @property
    def cluster_unknown(self) -> str: ...


class Pooled(Protocol):
    """What is known of a workspace."""

    @property
    def title(self) -> str: ...
    @property
    def pool(self) -> Balance | None: ...


def concerns(
    view: View,
    ledger: LaunchError | None,
    configured: Configured,
    waiting: Iterable[QueueLine],
    workspaces: Iterable[Pooled],
    settings: Settings,
) -> list[Concern]:
    """What needs a hand, the worst first."""
    found = [
        *_of_the_hub(view, ledger),
        *_of_nodes(view, settings),
        *_of_the_configuration(configured),
        *_of_people(waiting, workspaces),
    ]
    return sorted(found, key=lambda one: one.kind != "danger")


def _of_the_hub(view: View, ledger: LaunchError | None) -> Iterator[Concern]:
    if ledger is not None:
        yield Concern(
            "danger",
            f"The ledger does not take what is to be written: {ledger.reason}",
            "What costs something cannot start until it does.",
        )
    if view.unreachable is not None:
        yield Concern("danger", view.unreachable, "Running servers go on; nothing new can start.")
    elif view.silent_for > _SILENT:
        silent = format_duration(round(view.silent_for))
        yield Concern("warning", f"Kubernetes has said nothing for {silent}.", "What is shown may be old.")


def _of_nodes(view: View, settings: Settings) -> Iterator[Concern]:
    """Nodes with GPUs of the configuration that take no launches now."""
    resources = {offer.resource for offer in settings.catalog.offers() if offer.resource}
    closed = [
        node.name
        for node in view.nodes.values()
        if not node.usable and any(node.allocatable.get(resource, 0) for resource in resources)
    ]
    if closed:
        named = ", ".join(sorted(closed)[:3]) + (f" and {len(closed) - 3} more" if len(closed) > 3 else "")
        what = "1 node with GPUs takes" if len(closed) == 1 else f"{len(closed)} nodes with GPUs take"
        yield Concern("warning", f"{what} no launches: {named}.", "Cordoned, not ready, or about to go.", "capacity")


def _of_the_configuration(configured: Configured) -> Iterator[Concern]:
    if configured.mistakes:
        yield Concern(
            "danger", say_count(len(configured.mistakes), "mistake") + " in the configuration.", "", "configuration"
        )
    if configured.cluster is not None and configured.cluster.misconfigured:
        number = say_count(configured.cluster.misconfigured, "launch", "launches")
        yield Concern("danger", f"No node can ever hold {number} on offer.", "", "configuration")
    if configured.cluster_unknown:
        yield Concern("warning", f"The nodes are not known: {configured.cluster_unknown}.", "", "configuration")
    if configured.notes:
        notes = say_count(len(configured.notes), "thing")
        yield Concern("warning", f"{notes} in the configuration can hardly be meant.", "", "configuration")


def _of_people(waiting: Iterable[QueueLine], workspaces: Iterable[Pooled]) -> Iterator[Concern]:
    long = [line for line in waiting if line.waits and line.seconds >= _LONG_WAIT]
    if long:
        most = format_duration(max(line.seconds for line in long) // 60 * 60)
        wait = "waits" if len(long) == 1 else "wait"
        yield Concern(
            "warning",
            f"{say_count(len(long), 'launch', 'launches')} {wait} for over an hour, up to {most}.",
            "",
            "queue",
        )
    for space in workspaces:
        pool = space.pool
        if pool is not None and pool.total and pool.total - pool.left >= _NEARLY * pool.total:
            used = round(100 * (pool.total - pool.left) / pool.total)
            words = f"{used} % of the pool of {space.title} are used or held."
            yield Concern(
                "warning", words, f"{pool.renews[:1].upper()}{pool.renews[1:]}." if pool.renews else "", "grants"
            )


@dataclass(frozen=True, slots=True)
class ExceptionAhead:
    """A dated exception that holds today or begins soon, and what it changes."""

    first: date
    last: date
    workspace: str
    title: str
    changes: tuple[EffectiveLimit, ...]

    def holds(self, day: date) -> bool:
        """Whether it is in force on a day."""
        return self.first <= day <= self.last


def exceptions_ahead(settings: Settings, today: date, days: int = _AHEAD) -> list[ExceptionAhead]:
    """Those of workspaces and their cohorts, the one that begins first on top."""
    found: dict[tuple[date, date, str], ExceptionAhead] = {}
    for space in settings.workspaces.values():
        for exception in space.exceptions:
            if exception.to < today or exception.from_ > today + timedelta(days=days):
                continue
            first, last = exception.from_, exception.to
            on = effective_limits(settings, space, max(first, today))
            changes = tuple(one for one in on.limits if (one.first, one.last) == (first, last))
            found[first, last, space.name] = ExceptionAhead(first, last, space.name, space.title, changes)
    return [found[key] for key in sorted(found)]
