"""May it start? A pure decision over the request, the limits, what is held, and what is free; with its trace."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.payment import Payment, bills_of, payment_of
from gpuspawner.budgets.pricing import Price
from gpuspawner.catalog import Catalog, Offer
from gpuspawner.config import Settings
from gpuspawner.errors import DeniedError
from gpuspawner.limits.checks import (
    day_of,
    gpus_of,
    judge,
    launch_limits,
    member_limits,
    member_limits_everywhere,
    offer_checks,
    open_check,
    possible_from,
)
from gpuspawner.limits.class_checks import QUOTA, ClassRoom
from gpuspawner.limits.trace import Check
from gpuspawner.limits.usage import Availability, Capacity, Held, OfferCapacity, Part, State
from gpuspawner.quantity import say_gpus
from gpuspawner.request import LaunchRequest, grants

__all__ = [
    "Availability",
    "Capacity",
    "Decision",
    "Granted",
    "Held",
    "OfferCapacity",
    "Part",
    "Placement",
    "State",
    "admit",
    "decide",
]

# firstAvailable of resource.k8s.io/v1
_MOST_ALTERNATIVES = 8
_LOOKS_AHEAD = 6


@dataclass(frozen=True, slots=True)
class Placement:
    """One offer a server may land on, and the class it counts as there."""

    gpu_class: str
    offer: Offer


@dataclass(frozen=True, slots=True)
class Granted:
    """A launch that may start.

    ``placements`` share one resource name, or are all of device classes, in order of preference; empty without GPU.
    ``checks`` are the trace of the decision. ``cost`` micro-units are held for it, what it may cost at most on any
    class of ``price``, the tariff it is charged by. The request's ``runtime`` is what that pays for: less than was
    asked for where it is ``limited_by`` ``"budget"``.
    """

    request: LaunchRequest
    placements: tuple[Placement, ...]
    checks: tuple[Check, ...] = field(default=(), compare=False, repr=False)
    cost: int = 0
    price: Price = field(default=Price(), compare=False)
    limited_by: Literal["", "budget"] = ""

    @property
    def gpu_classes(self) -> tuple[str, ...]:
        """The classes it may land on."""
        return tuple(dict.fromkeys(placement.gpu_class for placement in self.placements))

    def pays_for(self, gpu_class: str) -> bool:
        """Whether what is held for it covers this class, too."""
        return gpu_class in self.price.rates or not self.price.rates

    @property
    def held(self) -> Held:
        """What it holds from now on."""
        asked = self.request
        return Held(asked.user, asked.server, asked.workspace, self.gpu_classes, asked.gpus, asked.cpu, asked.memory)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided on a launch, and every limit that was looked at.

    ``room`` are the GPU classes, of those it may take, that have room for it. ``refusal`` is None where it may start.
    ``allowed_from`` is then when it might, None where nobody can know. ``payment`` is what it approves.
    """

    checks: tuple[Check, ...]
    payment: Payment
    room: tuple[str, ...] = ()
    refusal: DeniedError | None = None
    allowed_from: datetime | None = None


def admit(
    request: LaunchRequest,
    settings: Settings,
    usage: Iterable[Held],
    capacity: Capacity,
    now: datetime,
    accounts: Accounts | None = None,
) -> Granted:
    """Decide on a checked request, given what every server of the hub holds, starting ones included.

    Without ``accounts`` no budget is looked at. Of several classes a launch may land on those that its budgets cover,
    and what is held for it is the cost of the dearest of these.

    Raises
    ------
    DeniedError
        Naming the limit that refuses it, what is used of it, and what to do next; with the trace of the decision.
    """
    decision = decide(request, settings, usage, capacity, now, accounts)
    if decision.refusal is not None:
        raise decision.refusal
    placements = _place(request, decision.room, settings.catalog, capacity) if request.gpus else ()
    payment = decision.payment
    return Granted(
        replace(request, runtime=payment.runtime),
        placements,
        decision.checks,
        payment.cost,
        payment.price,
        "budget" if payment.runtime < request.runtime else "",
    )


def decide(
    request: LaunchRequest,
    settings: Settings,
    usage: Iterable[Held],
    capacity: Capacity,
    now: datetime,
    accounts: Accounts | None = None,
) -> Decision:
    """As :func:`admit`, without raising: for whoever wants to know why, and from when it would be allowed."""
    held = list(usage)
    found = _decide(request, settings, held, capacity, now, accounts)
    if found.refusal is None:
        return found
    since = _possible(request, settings, held, found.allowed_from, accounts)
    refusal = found.refusal
    pays = any(check.limit.startswith("workspace.budget") for check in found.checks if not check.allowed)
    remedy = refusal.remedy if pays else refusal.remedy + possible_from(since, settings, now)
    return replace(found, refusal=DeniedError(refusal.reason, remedy, checks=found.checks), allowed_from=since)


def _possible(
    request: LaunchRequest,
    settings: Settings,
    usage: Sequence[Held],
    since: datetime | None,
    accounts: Accounts | None,
) -> datetime | None:
    """From ``since`` on, the first time at which every limit would allow a launch, if nobody else comes before it.

    Each limit knows when it would; by then another one may have changed. What is free in the cluster is not known.
    """
    for _ in range(_LOOKS_AHEAD):
        if since is None:
            return None
        later = [held for held in usage if held.ends is None or held.ends > since]
        then = _decide(request, settings, later, Capacity(), since, accounts)
        if then.refusal is None:
            return since
        since = then.allowed_from if then.allowed_from is None or then.allowed_from > since else None
    return None


def _decide(
    request: LaunchRequest,
    settings: Settings,
    usage: Sequence[Held],
    capacity: Capacity,
    now: datetime,
    accounts: Accounts | None,
) -> Decision:
    workspace = settings.workspaces[request.workspace]
    others = [held for held in usage if held.key != (request.user, request.server)]
    mine = [held for held in others if held.user == request.user]
    here = [held for held in mine if held.workspace == workspace.name]
    opened = open_check(workspace, settings, now)
    checks = [opened] if opened else []
    checks += offer_checks(request, workspace, settings, now)
    limits = [
        *launch_limits(request, workspace),
        *member_limits(request, workspace, here),
        *member_limits_everywhere(request, settings, mine),
    ]
    checks += judge(limits, settings, now)
    by_class = {
        name: ClassRoom(name, workspace, settings, others, capacity, now).checks(request.gpus)
        for name in request.gpu_classes
    }
    covered = request.gpu_classes
    if accounts is not None:
        bills = bills_of(request, settings, accounts, now)
        checks += bills.pop(None, [])
        covered = tuple(name for name in by_class if all(check.allowed for check in bills[name]))
        by_class = {name: [*found, *bills[name]] for name, found in by_class.items()}
    payment = payment_of(request, covered, settings, accounts, now)
    room = tuple(name for name, found in by_class.items() if all(check.allowed for check in found))
    trace = (*checks, *(check for found in by_class.values() for check in found))
    refused = [check for check in checks if not check.allowed]
    if refused:
        first = refused[0]
        return Decision(trace, payment, room, DeniedError(first.reason, first.remedy, checks=trace), _all_from(refused))
    if by_class and not room:
        refusal, since = _no_room(request, settings, by_class, others, capacity, now)
        return Decision(trace, payment, room, DeniedError(refusal.reason, refusal.remedy, checks=trace), since)
    return Decision(trace, payment, room)


def _all_from(refused: Iterable[Check]) -> datetime | None:
    """When all of these would be allowed; None if that is not known of one."""
    times = [check.allowed_from for check in refused]
    known = [at for at in times if at is not None]
    return max(known) if len(known) == len(times) else None


def _place(
    request: LaunchRequest, classes: Sequence[str], catalog: Catalog, capacity: Capacity
) -> tuple[Placement, ...]:
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


def _no_room(
    request: LaunchRequest,
    settings: Settings,
    by_class: Mapping[str, Sequence[Check]],
    others: Sequence[Held],
    capacity: Capacity,
    now: datetime,
) -> tuple[DeniedError, datetime | None]:
    """Why none of the classes of a launch has room, which other one is free now, and when one of its own has."""
    refused = [[check for check in found if not check.allowed] for found in by_class.values()]
    times = [at for at in map(_all_from, refused) if at is not None]
    since = min(times, default=None)
    first = [checks[0] for checks in refused]
    if any(check.limit != QUOTA for check in first):
        reasons = " ".join(dict.fromkeys(check.reason for check in first))
        return DeniedError(reasons, first[0].remedy), since
    reason, remedy = _over_quota(request, settings, {check.gpu_class: check for check in first})
    if remedy is None:
        other = _free_instead(request, settings, others, capacity, now)
        wait = "wait until a server of this workspace stops"
        needs_gpu = settings.catalog.profiles[request.profile].gpus.min
        remedy = f"{other}: choose that, or {wait}." if other else wait.capitalize()
        remedy += "" if other else "." if needs_gpu else ", or start without a GPU."
    return DeniedError(reason, remedy), since


def _over_quota(request: LaunchRequest, settings: Settings, checks: Mapping[str, Check]) -> tuple[str, str | None]:
    """The reason, and the remedy where waiting is none."""
    title = settings.workspaces[request.workspace].title
    quota = {name: int(check.value) for name, check in checks.items() if isinstance(check.value, int | float)}
    if all(request.gpus > allowed for allowed in quota.values()):
        most = max(quota.values())
        may = " or ".join(gpus_of(allowed, name, settings) for name, allowed in quota.items())
        remedy = f"Ask for at most {most}." if most else "Choose another GPU class or workspace."
        return f"You asked for {say_gpus(request.gpus)}; {title} may hold {may} at once.", remedy
    holds = " and ".join(f"{checks[name].used:g} of {gpus_of(quota[name], name, settings)}" for name in quota)
    return f"{title} holds {holds}; you asked for {request.gpus} more.", None


def _free_instead(
    request: LaunchRequest, settings: Settings, others: Sequence[Held], capacity: Capacity, now: datetime
) -> str:
    """The first other class of the profile that has room and GPUs free now, in words; empty if there is none."""
    workspace, profile = settings.workspaces[request.workspace], settings.catalog.profiles[request.profile]
    for name in grants(workspace, profile, settings, day_of(now, settings)):
        room = ClassRoom(name, workspace, settings, others, capacity, now).checks(request.gpus)
        free = capacity.fits(settings.catalog.gpu_classes[name], request.gpus)
        if free and all(check.allowed for check in room):
            return f"{gpus_of(request.gpus, name, settings)} {'is' if request.gpus == 1 else 'are'} free now"
    return ""
