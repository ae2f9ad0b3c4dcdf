"""What there is and what is taken: the GPUs behind each offer, and what each server holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gpuspawner.catalog import GPUClass, Offer

__all__ = ["Availability", "Capacity", "Held", "OfferCapacity", "Part", "State"]


@dataclass(frozen=True, slots=True)
class OfferCapacity:
    """GPUs behind one offer: in all, free, and the most on and free on a single node."""

    free: int = 0
    total: int = 0
    most_free_on_a_node: int = 0
    most_on_a_node: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the live view knows. ``live`` is False where nodes cannot be read; ``cluster_wide`` is False where only
    the hub's own pods are counted as taking GPUs."""

    offers: Mapping[Offer, OfferCapacity] = field(default_factory=dict)
    live: bool = False
    cluster_wide: bool = False

    def of(self, offer: Offer) -> OfferCapacity:
        """The GPUs behind one offer."""
        return self.offers.get(offer, OfferCapacity())

    def free(self, gpu_class: GPUClass) -> int:
        """GPUs of a class that are free now."""
        return sum(self.of(offer).free for offer in gpu_class.accepts)

    def fits(self, gpu_class: GPUClass, gpus: int) -> bool:
        """Whether so many GPUs of a class are free on one node."""
        return any(self.of(offer).most_free_on_a_node >= gpus for offer in gpu_class.accepts)

    def total(self, gpu_class: GPUClass) -> int:
        """GPUs of a class on ready, schedulable nodes."""
        return sum(self.of(offer).total for offer in gpu_class.accepts)


class State(StrEnum):
    """Whether a launch could start now."""

    FREE = "free"
    BUSY = "busy"
    NEEDS_NODE = "needs a node"
    MISCONFIGURED = "misconfigured"


class Part(StrEnum):
    """What of a configuration no node can satisfy."""

    RESOURCE = "resource name"
    LABEL = "label"
    TAINT = "taint"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a launch of one profile on one GPU class could start now, and why not, as a sentence with numbers.

    ``part`` is given where no node will do: what keeps it off them. ``wait`` are the seconds until the GPU is expected
    back, where that is known, and ``ahead`` the launches that wait for it already.
    """

    state: State
    reason: str
    part: Part | None = None
    wait: float | None = None
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What one server, starting or running, holds: ``cpu`` in cores, ``memory`` in bytes.

    ``gpu_classes`` are several while it may still land on any of them; it then counts in each. ``ends`` is when it has
    ended at the latest, None where that is not known, as before it runs.
    """

    user: str
    server: str
    workspace: str
    gpu_classes: tuple[str, ...]
    gpus: int
    cpu: float
    memory: int
    ends: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """User name and server name."""
        return self.user, self.server
