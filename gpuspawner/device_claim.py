"""What a launch asks of dynamic resource allocation: requests of a ResourceClaim, best alternative first. Pure."""

from typing import Any

from gpuspawner.admission import Granted
from gpuspawner.catalog import Offer
from gpuspawner.config import Settings
from gpuspawner.labels import COMPONENT, common_labels, owner_labels
from gpuspawner.names import pod_name, safe_slug

__all__ = ["CLAIM", "build_claim_template", "claim_spec", "wants_devices"]

CLAIM = "gpu"
"""The name of the claim in the pod, and of its one request."""


def wants_devices(granted: Granted) -> bool:
    """Whether a launch gets its GPUs by a claim of devices, not by an extended resource."""
    return bool(granted.placements) and bool(granted.placements[0].offer.device_class)


def build_claim_template(granted: Granted, settings: Settings) -> dict[str, Any] | None:
    """The ResourceClaimTemplate of a launch that gets its GPUs as devices, named as its pod; None for any other."""
    if not wants_devices(granted):
        return None
    asked = granted.request
    labels = {**common_labels(settings), "component": COMPONENT, **owner_labels(asked.user, asked.server)}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": pod_name(asked.user, asked.server), "labels": labels},
        "spec": {"metadata": {"labels": labels}, "spec": claim_spec(granted)},
    }


def claim_spec(granted: Granted) -> dict[str, Any]:
    """The spec of the ResourceClaim: one request for the GPUs, with ``firstAvailable`` where several offers will do.

    Kubernetes holds to the order of the alternatives on each node, not over all nodes.
    """
    count = granted.request.gpus
    offers = [placement.offer for placement in granted.placements]
    if len(offers) == 1:
        return {"devices": {"requests": [{"name": CLAIM, "exactly": _asked(offers[0], count)}]}}
    names: list[str] = []
    for placement in granted.placements:
        slug = safe_slug(placement.gpu_class, 40)
        names.append(slug if slug not in names else f"{slug}-{len(names)}")
    ways = [{"name": name, **_asked(offer, count)} for name, offer in zip(names, offers, strict=True)]
    return {"devices": {"requests": [{"name": CLAIM, "firstAvailable": ways}]}}


def _asked(offer: Offer, count: int) -> dict[str, Any]:
    asked: dict[str, Any] = {"deviceClassName": offer.device_class, "allocationMode": "ExactCount", "count": count}
    if offer.selectors:
        asked["selectors"] = [{"cel": {"expression": expression}} for expression in offer.selectors]
    return asked
