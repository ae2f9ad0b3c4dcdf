"""Entitlements in the units and words of the launch form, as its script reads them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpuspawner.admission import State
from gpuspawner.budgets.quote import Costs
from gpuspawner.entitlement import Bounds, ClassOffer, ProfileOffer, WorkspaceOffer
from gpuspawner.quantity import MICRO
from gpuspawner.reports.availability import say_free, say_room

__all__ = [
    "GB",
    "HOURS",
    "MINUTES",
    "ONES",
    "Unit",
    "availability",
    "counts_own_only",
    "data_of",
    "data_of_costs",
    "gpu_classes_of",
    "memory_unit",
    "profiles_of",
    "room",
    "said_images",
]


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit an amount is shown and posted in: the form field, the label, and its size in the base unit."""

    field: str
    label: str
    size: int


GB = Unit("memory_gb", "GB", 10**9)
GIB = Unit("memory_gib", "GiB", 2**30)
HOURS = Unit("runtime_hours", "hours", 3600)
MINUTES = Unit("wait_minutes", "min", 60)
ONES = Unit("", "", 1)


def memory_unit(offers: Sequence[WorkspaceOffer]) -> Unit:
    """GiB where the administrator thinks in GiB, else GB."""
    defaults = [profile.memory.default for offer in offers for profile in offer.profiles]
    return GIB if defaults and all(default % GIB.size == 0 for default in defaults) else GB


def profiles_of(offers: Sequence[WorkspaceOffer]) -> list[ProfileOffer]:
    """Every profile of any workspace, once."""
    return list({profile.name: profile for offer in offers for profile in offer.profiles}.values())


def gpu_classes_of(offers: Sequence[WorkspaceOffer]) -> list[ClassOffer]:
    """Every GPU class of any profile, once."""
    return list({one.name: one for profile in profiles_of(offers) for one in profile.gpu_classes}.values())


def availability(offer: ClassOffer) -> str:
    """How many GPUs of a class are free now: ``"3 of 8 free now"``; empty where that is not known."""
    return say_free(offer.free, offer.total, exact=offer.exact, known=offer.availability)


def room(offer: ProfileOffer) -> str:
    """Where a launch without GPU could not start now: why; else empty."""
    if offer.availability is None or offer.gpu_classes:
        return ""
    return say_room(offer.availability)


def said_images(patterns: Sequence[str]) -> str:
    """What an image's name must be like; empty where there is no choice."""
    return f"Names like {' or '.join(patterns)}." if patterns else ""


def counts_own_only(offers: Sequence[WorkspaceOffer]) -> bool:
    """Whether what is called free may be taken by somebody whose pods the hub does not see."""
    return any(one.free is not None and not one.exact for one in gpu_classes_of(offers))


def data_of(offers: Sequence[WorkspaceOffer], memory: Unit) -> list[dict[str, Any]]:
    """The offers for the form's script, amounts in the form's units."""
    return [
        {
            "name": offer.name,
            "title": offer.title,
            "reason": offer.reason,
            "profiles": [_profile(profile, offer, memory) for profile in offer.profiles],
        }
        for offer in offers
    ]


def data_of_costs(costs: Costs) -> dict[str, Any]:
    """What launches cost for the form's script: service units and hours."""
    return {
        "rates": {name: rate / MICRO for name, rate in costs.rates.items()},
        "cpuRate": costs.cpu_rate / MICRO,
        "steps": [[seconds / HOURS.size, factor / MICRO] for seconds, factor in costs.steps],
        "workspaces": {
            name: {
                "left": quote.left / MICRO,
                "total": quote.total / MICRO,
                "sentence": quote.sentence,
                "endsEarly": quote.ends_early,
            }
            for name, quote in costs.quotes.items()
        },
    }


def _profile(profile: ProfileOffer, workspace: WorkspaceOffer, memory: Unit) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "reason": profile.reason,
        "otherReason": profile.other_reason,
        "free": room(profile),
        "startable": not room(profile),
        "gpuClass": profile.gpu_class,
        "usualGpus": profile.usual_gpus,
        "leastGpus": profile.least_gpus,
        "gpus": _bounds(profile.gpus, ONES),
        "cpu": _bounds(profile.cpu, ONES),
        "memory": _bounds(profile.memory, memory),
        "runtime": _bounds(profile.runtime, HOURS),
        "wait": _bounds(profile.wait, MINUTES),
        "gpuClasses": [_gpu_class(offer, workspace) for offer in profile.gpu_classes],
        "image": profile.image if profile.images else "",
        "images": said_images(profile.images),
    }


def _gpu_class(offer: ClassOffer, workspace: WorkspaceOffer) -> dict[str, Any]:
    held = f"{workspace.title} uses {offer.held} of its {offer.quota}" if offer.quota else ""
    known = offer.availability
    return {
        "name": offer.name,
        "title": offer.title,
        "gpus": _bounds(offer.gpus, ONES),
        "own": offer.own,
        "ownWhy": offer.own_why,
        "quota": offer.quota,
        "held": held,
        "free": availability(offer),
        "startable": bool(offer.free) and (offer.availability is None or offer.availability.state is State.FREE),
        "freeTogether": offer.free_together,
        "wait": known.wait if known is not None else None,
        "ahead": known.ahead if known is not None else 0,
        "reason": offer.reason,
    }


def _bounds(bounds: Bounds[Any], unit: Unit) -> dict[str, Any]:
    """Rounded inwards to hundredths of the unit, unless nothing would be left."""
    low, high = bounds.min / unit.size, bounds.max / unit.size
    rounded = math.ceil(low * 100 - 1e-9) / 100, math.floor(high * 100 + 1e-9) / 100
    if rounded[0] < rounded[1]:
        low, high = max(low, rounded[0]), min(high, rounded[1])
    default = min(max(round(bounds.default / unit.size, 2), low), high)
    return {"min": low, "max": high, "default": default, "why": bounds.why}
