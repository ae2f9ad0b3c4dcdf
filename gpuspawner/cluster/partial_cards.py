"""GPU classes that match MIG slices or shared cards by accident, where the administrator meant whole ones. Pure."""

from collections.abc import Iterable, Mapping
from itertools import groupby

from gpuspawner.catalog import GPUClass, Offer

from .failures import count, plain
from .inventory import Inventory
from .use import share_of

__all__ = ["partial_cards"]

_SLICING = ("nvidia.com/gpu.slices.gi", "cloud.google.com/gke-gpu-partition-size")


def partial_cards(gpu_classes: Iterable[GPUClass], inventory: Inventory) -> list[str]:
    """One warning for each offer whose pods kube-scheduler may put on a part of a card that the offer does not name.

    Nodes say so by labels of NVIDIA's GPU feature discovery and of GKE (https://cloud.google.com/kubernetes-engine/docs
    /concepts/timesharing-gpus). An offer names parts where its resource or one of its products does.
    """
    warnings = []
    for gpu_class in gpu_classes:
        for offer in gpu_class.accepts:
            if not _means_parts(offer):
                warnings += _warnings(gpu_class, offer, inventory)
    return warnings


def _warnings(gpu_class: GPUClass, offer: Offer, inventory: Inventory) -> list[str]:
    found = sorted(
        (part, node.name)
        for node in inventory.nodes.values()
        if node.allocatable.get(offer.resource)
        and all(requirement.matches(node.labels) for requirement in offer.requirements)
        and (part := _part(node.labels, offer))
    )
    return [
        f"GPU class {gpu_class.name} accepts {offer.resource} on {_where([name for _, name in nodes])}, "
        f"where that is {part}, not a whole card. Name the products it is meant for, or the parts in a class of "
        "their own."
        for part, nodes in groupby(found, key=lambda pair: pair[0])
    ]


def _means_parts(offer: Offer) -> bool:
    kind = offer.resource.partition("/")[2]
    named = any(mark in product for product in offer.product for mark in ("-MIG-", "-SHARED"))
    return named or kind.startswith("mig-") or kind.endswith(".shared")


def _part(labels: Mapping[str, str], offer: Offer) -> str:
    """What one of a node's GPUs is, if not a whole card: ``"a MIG slice"``; empty if it is."""
    product = labels.get(offer.label, "")
    if "-MIG-" in product or any(label in labels for label in _SLICING):
        return "a MIG slice"
    sharing = share_of(labels, offer.resource, product)
    if sharing is None:
        return ""
    return f"a share of a card ({plain(sharing)})" if sharing else "a share of a card"


def _where(names: list[str]) -> str:
    return f"node {plain(names[0])}" if len(names) == 1 else f"{count(len(names), 'node')} such as {plain(names[0])}"
