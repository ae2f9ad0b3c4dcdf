"""The GPUs as they are: by class and by node, for one login, and over the next hours. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpuspawner.catalog import GPUClass
from gpuspawner.cluster.gpus import ClassGPUs, NodeGPUs, NodeState
from gpuspawner.config import Settings
from gpuspawner.entitlement import WorkspaceOffer
from gpuspawner.quantity import MICRO, micro_of
from gpuspawner.reports.availability import AvailabilityReport, ClassNow
from gpuspawner.reports.standing import Standing, standing_of

__all__ = ["ClassStatus", "NodeStatus", "StatusReport", "status_report"]

_WORDS = {
    NodeState.OPEN: "Open",
    NodeState.CORDONED: "Closed for maintenance",
    NodeState.CLOSING: "Being removed",
    NodeState.NOT_READY: "Not ready",
    NodeState.RESERVED: "Reserved for others",
}


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """GPUs of one class on one node."""

    gpus: NodeGPUs
    gpu_class: str
    title: str

    @property
    def words(self) -> str:
        """Whether it takes servers, and if not, why."""
        reserved = f" ({self.gpus.taint})" if self.gpus.taint else ""
        return _WORDS[self.gpus.state] + reserved

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "node": self.gpus.node or None,
            "gpu_class": self.gpu_class,
            "product": self.gpus.product,
            "total": self.gpus.total,
            "used": self.gpus.used,
            "free": self.gpus.free,
            "state": self.gpus.state.value,
            "sentence": self.words,
        }


@dataclass(frozen=True, slots=True)
class ClassStatus:
    """A GPU class: what is free ``now`` on nodes that take servers; ``closed`` GPUs are on nodes that take none.

    ``ahead`` are times and how many are free from then on; ``mine`` is None where nobody asks for themselves.
    """

    gpu_class: GPUClass
    now: ClassNow
    closed: int
    waiting: int
    ahead: Sequence[tuple[datetime, int]]
    nodes: tuple[NodeStatus, ...]
    mine: Standing | None

    @property
    def total(self) -> int:
        """All there are."""
        return (self.now.total or 0) + self.closed

    @property
    def words(self) -> str:
        """``"3 of 8 free now; 2 on closed nodes"``."""
        if self.closed and not self.now.total:
            return "the only one is on a closed node" if self.closed == 1 else f"all {self.closed} are on closed nodes"
        closed = f"{self.closed} on closed nodes" if self.closed else ""
        return "; ".join(part for part in (self.now.sentence, closed) if part)

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "name": self.gpu_class.name,
            "title": self.gpu_class.title,
            "memory": self.gpu_class.memory,
            "rate": micro_of(self.gpu_class.rate) / MICRO,
            "free": self.now.free,
            "used": self.now.used,
            "total": self.total,
            "closed": self.closed,
            "waiting": self.waiting,
            "state": None if self.now.state is None else self.now.state.value,
            "sentence": self.words,
            "for_you": self.mine and self.mine.as_json(),
            "ahead": [{"at": at.isoformat(timespec="seconds"), "free": free} for at, free in self.ahead],
        }


@dataclass(frozen=True, slots=True)
class StatusReport:
    """All classes ``at`` a time, in the hub's time zone.

    ``waiting`` launches of this hub wait for a GPU. ``unknown`` is why the nodes cannot be read, empty where they can.
    ``exact`` unless others may hold what is called free.
    """

    at: datetime
    classes: tuple[ClassStatus, ...]
    waiting: int
    exact: bool
    unknown: str = ""

    @property
    def free(self) -> int:
        """GPUs of all classes that are free."""
        return sum(one.now.free or 0 for one in self.classes)

    @property
    def total(self) -> int:
        """GPUs of all classes."""
        return sum(one.total for one in self.classes)

    @property
    def nodes(self) -> list[NodeStatus]:
        """Every node with GPUs, by class."""
        return [node for one in self.classes for node in one.nodes]

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "known": not self.unknown,
            "exact": self.exact,
            "waiting": self.waiting,
            "classes": [one.as_json() for one in self.classes],
            "nodes": [node.as_json() for node in self.nodes],
        }


def status_report(
    settings: Settings,
    now: AvailabilityReport,
    gpus: Mapping[str, ClassGPUs],
    offers: Sequence[WorkspaceOffer] | None,
    *,
    waiting: int = 0,
    unknown: str = "",
) -> StatusReport:
    """What is free ``now``, by class and node; ``offers`` are what a login may choose, None for nobody."""
    zone, known = now.at.tzinfo, {one.name: one for one in now.classes}
    return StatusReport(
        at=now.at,
        classes=tuple(
            _status(gpu_class, known[name], gpus.get(name, _NONE), offers, zone)
            for name, gpu_class in settings.catalog.gpu_classes.items()
        ),
        waiting=waiting,
        exact=now.exact,
        unknown=unknown,
    )


_NONE = ClassGPUs((), (), 0)


def _status(
    gpu_class: GPUClass, now: ClassNow, gpus: ClassGPUs, offers: Sequence[WorkspaceOffer] | None, zone: Any
) -> ClassStatus:
    closed = [one for one in gpus.nodes if one.state is not NodeState.OPEN]
    return ClassStatus(
        gpu_class=gpu_class,
        now=now,
        closed=sum(one.total for one in closed),
        waiting=gpus.waiting,
        ahead=[(datetime.fromtimestamp(at, zone), free) for at, free in gpus.ahead],
        nodes=tuple(NodeStatus(one, gpu_class.name, gpu_class.title) for one in gpus.nodes),
        mine=None if offers is None else standing_of(gpu_class.name, offers),
    )
