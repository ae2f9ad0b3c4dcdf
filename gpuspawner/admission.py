"""May it start? A pure decision over the request, the limits, what is held, and what is free."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from gpuspawner.catalog import Catalog, GPUClass, Offer
from gpuspawner.config import Settings
from gpuspawner.errors import DeniedError
from gpuspawner.quantity import say_cores, say_gpus, say_memory, say_servers
from gpuspawner.request import LaunchRequest, grants
from gpuspawner.workspace import PerMember, Workspace

__all__ = ["Availability", "Capacity", "Granted", "Held", "OfferCapacity", "Part", "Placement", "State", "admit"]

# firstAvailable of resource.k8s.io/v1
_MOST_ALTERNATIVES = 8


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
    back, where that is known.
    """

    state: State
    reason: str
    part: Part | None = None
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What one server, starting or running, holds: ``cpu`` in cores, ``memory`` in bytes.

    ``gpu_classes`` are several while it may still land on any of them; it then counts in each.
    """

    user: str
    server: str
    workspace: str
    gpu_classes: tuple[str, ...]
    gpus: int
    cpu: float
    memory: int

    @property
    def key(self) -> tuple[str, str]:
        """User name and server name."""
        return self.user, self.server


@dataclass(frozen=True, slots=True)
class Placement:
    """One offer a server may land on, and the class it counts as there."""

    gpu_class: str
    offer: Offer


@dataclass(frozen=True, slots=True)
class Granted:
    """A launch that may start.

    ``placements`` share one resource name, or are all of device classes, in order of preference; empty without GPU.
    """

    request: LaunchRequest
    placements: tuple[Placement, ...]

    @property
    def gpu_classes(self) -> tuple[str, ...]:
        """The classes it may land on."""
        return tuple(dict.fromkeys(placement.gpu_class for placement in self.placements))

    @property
    def held(self) -> Held:
        """What it holds from now on."""
        asked = self.request
        return Held(asked.user, asked.server, asked.workspace, self.gpu_classes, asked.gpus, asked.cpu, asked.memory)


def admit(request: LaunchRequest, settings: Settings, usage: Iterable[Held], capacity: Capacity, day: date) -> Granted:
    """Decide on a checked request, given what every server of the hub holds, starting ones included.

    Raises
    ------
    DeniedError
        Naming the limit that refuses it, what is used of it, and what to do next.
    """
    workspace = settings.workspaces[request.workspace]
    if not workspace.is_open(day):
        raise _closed(workspace, day)
    limits = workspace.limits(day)
    here = [held for held in usage if held.workspace == workspace.name and held.key != (request.user, request.server)]
    _check_member(request, workspace, limits.per_member, [held for held in here if held.user == request.user])
    if not request.gpus:
        return Granted(request, ())
    held_by_class = {
        name: sum(held.gpus for held in here if name in held.gpu_classes) for name in settings.catalog.gpu_classes
    }
    room = [
        name
        for name in request.gpu_classes
        if (quota := limits.quota_of(name)) is None or held_by_class[name] + request.gpus <= quota
    ]
    if not room:
        raise _over_quota(request, settings, held_by_class, capacity, day)
    return Granted(request, _place(request, room, settings.catalog, capacity))


def _place(request: LaunchRequest, classes: list[str], catalog: Catalog, capacity: Capacity) -> tuple[Placement, ...]:
    """All offers of one resource name, since a pod cannot ask for "this resource or that".

    Of device classes it can, of eight at most. The resource is that of the first class, in order of preference, with
    enough GPUs free on one node, and within a class that of the offer with most GPUs free; with none free, that of
    the offer with most GPUs in all.
    """
    offers = [Placement(name, offer) for name in classes for offer in catalog.gpu_classes[name].accepts]

    def worth(placement: Placement) -> tuple[bool, int, int, int]:
        now = capacity.of(placement.offer)
        fits = now.most_free_on_a_node >= request.gpus
        return fits, -classes.index(placement.gpu_class), now.free, now.total

    best = max(offers, key=worth)
    patch = catalog.gpu_classes[best.gpu_class].pod
    found = tuple(
        placement
        for placement in offers
        if placement.offer.resource == best.offer.resource and catalog.gpu_classes[placement.gpu_class].pod == patch
    )
    return found if best.offer.resource else found[:_MOST_ALTERNATIVES]


def _check_member(request: LaunchRequest, workspace: Workspace, limit: PerMember, mine: list[Held]) -> None:
    amounts: tuple[tuple[Callable[[float], str], float, float, float | None], ...] = (
        (say_servers, 1, len(mine), limit.servers),
        (say_gpus, request.gpus, sum(held.gpus for held in mine), limit.gpus),
        (say_cores, request.cpu, round(sum(held.cpu for held in mine), 3), limit.cpu),
        (say_memory, request.memory, sum(held.memory for held in mine), limit.memory),
    )
    for show, asked, used, allowed in amounts:
        if allowed is None or not asked or round(used + asked, 3) <= allowed:
            continue
        if asked > allowed:
            raise DeniedError(
                f"You asked for {show(asked)}; {workspace.title} allows each member {show(allowed)}.",
                f"Ask for at most {show(allowed)}." if allowed else "Choose another workspace.",
            )
        names = ", ".join(f"the server {held.server!r}" if held.server else "your default server" for held in mine)
        raise DeniedError(
            f"You hold {show(used)} in {workspace.title} ({names}); {show(asked)} more would be over the "
            f"{show(allowed)} each member may hold.",
            "Stop one of them first." if show is say_servers else "Stop one of them, or ask for less.",
        )


def _closed(workspace: Workspace, day: date) -> DeniedError:
    if workspace.starts and day < workspace.starts:
        return DeniedError(f"{workspace.title} opens on {workspace.starts:%-d %B %Y}.", "Choose another workspace.")
    return DeniedError(f"{workspace.title} ended on {workspace.ends:%-d %B %Y}.", "Choose another workspace.")


def _over_quota(
    request: LaunchRequest, settings: Settings, held: Mapping[str, int], capacity: Capacity, day: date
) -> DeniedError:
    workspace = settings.workspaces[request.workspace]
    limits = workspace.limits(day)
    classes = settings.catalog.gpu_classes
    quota = {name: limits.quota_of(name) or 0 for name in request.gpu_classes}
    if all(request.gpus > allowed for allowed in quota.values()):
        most = max(quota.values())
        may = " or ".join(_gpus(allowed, _words(classes[name])) for name, allowed in quota.items())
        return DeniedError(
            f"You asked for {say_gpus(request.gpus)}; {workspace.title} may hold {may} at once.",
            f"Ask for at most {most}." if most else "Choose another GPU class or workspace.",
        )
    holds = " and ".join(f"{held[name]} of {_gpus(quota[name], _words(classes[name]))}" for name in quota)
    reason = f"{workspace.title} holds {holds}; you asked for {request.gpus} more."
    profile = settings.catalog.profiles[request.profile]
    for name in grants(workspace, profile, day):
        allowed = limits.quota_of(name)
        room = allowed is None or held[name] + request.gpus <= allowed
        if room and capacity.fits(classes[name], request.gpus):
            free = f"{_gpus(request.gpus, _words(classes[name]))} {'is' if request.gpus == 1 else 'are'} free now"
            return DeniedError(reason, f"{free}: choose that, or wait until a server of this workspace stops.")
    wait = "Wait until a server of this workspace stops"
    return DeniedError(reason, f"{wait}." if profile.gpus.min else f"{wait}, or start without a GPU.")


def _words(gpu_class: GPUClass) -> str:
    """A class as an adjective of its GPUs; a title of several words is quoted."""
    return gpu_class.title if gpu_class.title.isalnum() else f"“{gpu_class.title}”"


def _gpus(count: int, of: str) -> str:
    return f"{count} {of} GPU{'' if count == 1 else 's'}"
