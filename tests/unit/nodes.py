"""Whether a pod may land on a node, as kube-scheduler decides: node affinity, taints and resources."""

from typing import Any

_OPERATORS = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def node(labels: dict[str, str] | None = None, taints: tuple[str, ...] = (), **allocatable: int) -> dict[str, Any]:
    """A node; ``nvidia_com__gpu=8`` is 8 of ``nvidia.com/gpu``."""
    names = {name: name.replace("__", "/").replace("_com", ".com") for name in allocatable}
    return {
        "labels": labels or {},
        "taints": [{"key": key, "effect": "NoSchedule"} for key in taints],
        "allocatable": {names[name]: count for name, count in allocatable.items()},
    }


def fits(pod: dict[str, Any], where: dict[str, Any]) -> bool:
    """Whether the pod may land on the node, CPU and memory aside."""
    spec = pod["spec"]
    needs = spec["containers"][0]["resources"]["requests"]
    enough = all(int(count) <= where["allocatable"].get(name, 0) for name, count in needs.items() if "/" in name)
    return enough and _affine(spec, where["labels"]) and all(_tolerated(spec, taint) for taint in where["taints"])


def preference(pod: dict[str, Any], where: dict[str, Any]) -> int:
    """The weight of the node for the pod."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    wishes = affinity.get("preferredDuringSchedulingIgnoredDuringExecution", [])
    return sum(wish["weight"] for wish in wishes if _matches(wish["preference"], where["labels"]))


def _affine(spec: dict[str, Any], labels: dict[str, str]) -> bool:
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    selected = all(labels.get(key) == value for key, value in spec.get("nodeSelector", {}).items())
    return selected and (required is None or any(_matches(term, labels) for term in required["nodeSelectorTerms"]))


def _matches(term: dict[str, Any], labels: dict[str, str]) -> bool:
    expressions = term.get("matchExpressions", [])
    return bool(expressions) and all(
        _OPERATORS[one["operator"]](labels.get(one["key"]), one.get("values", [])) for one in expressions
    )


def _tolerated(spec: dict[str, Any], taint: dict[str, str]) -> bool:
    return any(
        one.get("key", taint["key"]) == taint["key"]
        and one.get("effect", taint["effect"]) == taint["effect"]
        and (one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", ""))
        for one in spec.get("tolerations", [])
    )
