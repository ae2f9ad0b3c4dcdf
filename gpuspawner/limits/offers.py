"""What a login may choose, as plain values: CPU in cores, memory in bytes, times in seconds. Pure."""

from typing import Any

from gpuspawner.entitlement import Bounds, ClassOffer, ProfileOffer, WorkspaceOffer
from gpuspawner.limits.usage import Availability

__all__ = ["offer_as_json"]


def offer_as_json(offer: WorkspaceOffer) -> dict[str, Any]:
    """A workspace with its profiles and their GPU classes, for the API."""
    return {
        "name": offer.name,
        "title": offer.title,
        "until": offer.until.isoformat() if offer.until is not None else None,
        "default": offer.default,
        "reason": offer.reason,
        "profiles": [_profile(profile) for profile in offer.profiles],
    }


def _profile(offer: ProfileOffer) -> dict[str, Any]:
    return {
        "name": offer.name,
        "title": offer.title,
        "description": offer.description,
        "reason": offer.reason,
        **{key: _bounds(getattr(offer, key)) for key in ("cpu", "memory", "gpus", "runtime", "wait")},
        "gpu_class": offer.gpu_class or None,
        "gpu_classes": [_gpu_class(one) for one in offer.gpu_classes],
        "availability": _availability(offer.availability),
        "image": offer.image,
        "images": list(offer.images),
    }


def _gpu_class(offer: ClassOffer) -> dict[str, Any]:
    return {
        "name": offer.name,
        "title": offer.title,
        "description": offer.description,
        "memory": offer.memory,
        "reason": offer.reason,
        "gpus": _bounds(offer.gpus),
        "held": offer.held,
        "quota": offer.quota,
        "free": offer.free,
        "total": offer.total,
        "free_together": offer.free_together,
        "exact": offer.exact,
        "availability": _availability(offer.availability),
    }


def _bounds(bounds: Bounds[Any]) -> dict[str, Any]:
    return {"default": bounds.default, "min": bounds.min, "max": bounds.max, "why": bounds.why}


def _availability(found: Availability | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"state": str(found.state), "reason": found.reason, "wait": found.wait, "ahead": found.ahead}
