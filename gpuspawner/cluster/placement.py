"""What a pod's spec asks of a node, as kube-scheduler reads it: selector, affinity, tolerations, amounts. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .records import NodeRecord, Taint, Toleration, requests_of, tolerations_of

__all__ = ["Needs"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a pod needs of its node. ``requests`` are counted as :attr:`PodRecord.requests` are, the scarcest first."""

    requests: Mapping[str, int]
    tolerations: tuple[Toleration, ...]
    selector: Mapping[str, str]
    terms: tuple[Mapping[str, Any], ...] | None

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> "Needs":
        """The needs of a pod with this spec (core/v1 PodSpec)."""
        affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        amounts = requests_of(spec)
        return cls(
            requests={name: amounts[name] for name in sorted(amounts, key=lambda name: "/" not in name)},
            tolerations=tolerations_of(spec),
            selector=spec.get("nodeSelector") or {},
            terms=None if required is None else tuple(required.get("nodeSelectorTerms") or ()),
        )

    def selects(self, node: NodeRecord) -> bool:
        """Whether the pod may land on the node by its labels and name."""
        if any(node.labels.get(key) != value for key, value in self.selector.items()):
            return False
        return self.terms is None or any(_matches(term, node) for term in self.terms)

    def repelled_by(self, node: NodeRecord) -> tuple[Taint, ...]:
        """The taints that keep the pod off the node, but for those of nodes that take no pods at all for now."""
        return node.repelling(self.tolerations)

    def fits(self, node: NodeRecord) -> bool:
        """Whether the node, were it empty, is large enough."""
        return all(node.allocatable.get(name, 0) >= amount for name, amount in self.requests.items())


def _matches(term: Mapping[str, Any], node: NodeRecord) -> bool:
    """An empty term matches nothing (core/v1 NodeSelectorTerm)."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return _all_hold(expressions, node.labels) and _all_hold(fields, {"metadata.name": node.name})


def _all_hold(expressions: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> bool:
    return all(_holds(one.get("operator"), labels.get(one["key"]), one.get("values") or ()) for one in expressions)


def _holds(operator: Any, value: str | None, values: Any) -> bool:
    match operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            try:
                found, bound = int(value or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return found > bound if operator == "Gt" else found < bound
    return False
