"""Where a pod may land: the node affinity and the tolerations of what was granted. Pure."""

from typing import Any

from gpuspawner.admission import Granted
from gpuspawner.catalog import gpu_node_labels
from gpuspawner.config import Settings

__all__ = ["place"]


def place(spec: dict[str, Any], granted: Granted, settings: Settings) -> None:
    """Add the launch's own node affinity and tolerations to those a pod's spec has; what is there is not added twice.

    Terms of a node affinity are or-ed and the expressions within one and-ed, so that its own and ours both hold.
    """
    _add_affinity(spec, granted, settings)
    tolerations = spec.get("tolerations") or []
    spec["tolerations"] = [*tolerations, *(one for one in _tolerations(granted, settings) if one not in tolerations)]


def _add_affinity(spec: dict[str, Any], granted: Granted, settings: Settings) -> None:
    ours, preferred = _node_terms(granted, settings)
    if not ours and not preferred:
        return
    node = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    if ours:
        required = node.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
        theirs = [term for term in required.get("nodeSelectorTerms", ()) if term] or [{}]
        required["nodeSelectorTerms"] = [both for term in theirs for both in _both(term, ours)]
    if preferred:
        wishes = node.setdefault("preferredDuringSchedulingIgnoredDuringExecution", [])
        wishes.extend(wish for wish in preferred if wish not in wishes)


def _both(term: dict[str, Any], ours: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    there = term.get("matchExpressions") or []
    if any(all(expression in there for expression in expressions) for expressions in ours):
        return [term]
    return [{**term, "matchExpressions": [*there, *expressions]} for expressions in ours]


def _node_terms(granted: Granted, settings: Settings) -> tuple[list[list[dict[str, Any]]], list[dict[str, Any]]]:
    if not granted.placements:
        without = [{"key": label, "operator": "DoesNotExist"} for label in gpu_node_labels(settings.catalog)]
        if settings.catalog.profiles[granted.request.profile].allow_gpu_nodes:
            return [], [{"weight": 100, "preference": {"matchExpressions": without}}]
        return [without], []
    terms = [[r.manifest() for r in placement.offer.requirements] for placement in granted.placements]
    classes = granted.gpu_classes
    preferred = []
    for placement, expressions in zip(granted.placements, terms, strict=True):
        if len(classes) == 1 or not expressions:
            # Every node with the resource is meant: nothing after it can be told from it.
            break
        weight = 100 - 99 * classes.index(placement.gpu_class) // len(classes)
        preferred.append({"weight": weight, "preference": {"matchExpressions": expressions}})
    return ([] if [] in terms else terms), preferred


def _tolerations(granted: Granted, settings: Settings) -> list[dict[str, str]]:
    """Zero-to-JupyterHub's dedicated nodes; for GPU launches the taints that vendors and clouds put on GPU nodes."""
    tolerations = [
        {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
        for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
    ]
    offers = {placement.offer for placement in granted.placements}
    if not offers and settings.catalog.profiles[granted.request.profile].allow_gpu_nodes:
        offers = set(settings.catalog.offers())
    taints = {f"{offer.vendor}/gpu" for offer in offers if offer.vendor} | {offer.resource for offer in offers}
    tolerations += [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in sorted(taints - {""})]
    if offers:
        tolerations.append({"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"})
    return tolerations
