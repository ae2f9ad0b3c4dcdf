"""Does a pod fit on a node, and how well: the scheduler's filters and scores, pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpuspawner.local.apiserver.device_claims import claim_names
from gpuspawner.local.apiserver.store import Object
from gpuspawner.quantity import parse_quantity

__all__ = ["NodeInfo", "PodInfo", "Verdict", "amounts", "choose_node", "count_reasons", "filter_node", "pod_requests"]

_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_BEST_EFFORT = {"cpu": 100, "memory": 200 * 1024**2}  # what scoring assumes of a container that requests nothing
_SIDECAR = "Always"


def amounts(resources: Mapping[str, Any] | None) -> dict[str, int]:
    """Whole amounts of a resource list: cpu in millicores, everything else in its own unit, rounded up."""
    return {
        name: math.ceil(parse_quantity(value) * (1000 if name == "cpu" else 1))
        for name, value in (resources or {}).items()
    }


def pod_requests(spec: Object) -> dict[str, int]:
    """What a pod occupies on a node: its containers together, or its largest init step, plus overhead.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
    """
    steady: Counter[str] = Counter()
    for container in spec.get("containers", []):
        steady.update(amounts(container.get("resources", {}).get("requests")))
    sidecars: Counter[str] = Counter()
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or []:
        requests = amounts(container.get("resources", {}).get("requests"))
        if container.get("restartPolicy") == _SIDECAR:
            sidecars.update(requests)
            requests = {}
        for name in {*requests, *sidecars}:
            peak[name] = max(peak.get(name, 0), requests.get(name, 0) + sidecars[name])
    steady.update(sidecars)
    total = {name: max(steady[name], peak.get(name, 0)) for name in {*steady, *peak}}
    for name, amount in amounts(spec.get("overhead")).items():
        total[name] = total.get(name, 0) + amount
    return {name: amount for name, amount in total.items() if amount}


@dataclass(frozen=True, slots=True)
class PodInfo:
    """What the scheduler needs to know of a pod."""

    namespace: str
    name: str
    uid: str
    created: str
    """creationTimestamp; sorts by age."""
    priority: int
    requests: Mapping[str, int]
    """cpu in millicores, memory in bytes, extended resources in devices."""
    node_selector: Mapping[str, str]
    required: Sequence[Object] | None
    """nodeSelectorTerms, any of which must match; None when the pod requires nothing."""
    preferred: Sequence[Object]
    tolerations: Sequence[Object]
    claims: tuple[str, ...]
    ephemeral: tuple[str, ...]
    """The claims of its generic ephemeral volumes, which a controller makes."""
    node_name: str
    nominated: str
    """The node where a preemption makes room for this pod."""
    may_preempt: bool
    terminating: bool
    started: str
    gated: bool
    device_claims: tuple[str, ...] = ()
    """Names of its ResourceClaims."""
    awaits_claims: bool = False
    """Whether one of them is not made yet."""

    @classmethod
    def of(cls, pod: Object) -> "PodInfo":
        """Read a Pod."""
        metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
        affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        volumes = spec.get("volumes") or []
        devices = claim_names(pod).values()
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            created=metadata.get("creationTimestamp", ""),
            priority=spec.get("priority") or 0,
            requests=pod_requests(spec),
            node_selector=spec.get("nodeSelector") or {},
            required=None if required is None else required.get("nodeSelectorTerms") or [],
            preferred=affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or [],
            tolerations=spec.get("tolerations") or [],
            claims=tuple(v["persistentVolumeClaim"]["claimName"] for v in volumes if v.get("persistentVolumeClaim")),
            ephemeral=tuple(f"{metadata['name']}-{v['name']}" for v in volumes if v.get("ephemeral")),
            node_name=spec.get("nodeName") or "",
            nominated=status.get("nominatedNodeName") or "",
            may_preempt=spec.get("preemptionPolicy") != "Never",
            terminating="deletionTimestamp" in metadata,
            started=status.get("startTime") or "",
            gated=bool(spec.get("schedulingGates")),
            device_claims=tuple(name for name in devices if name),
            awaits_claims=None in devices,
        )


@dataclass(slots=True)
class NodeInfo:
    """A node with the pods that hold resources on it."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Object]
    unschedulable: bool
    allocatable: Mapping[str, int]
    pods: dict[str, PodInfo] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, node: Object, pods: Iterable[PodInfo] = ()) -> "NodeInfo":
        """Read a Node."""
        spec, status = node.get("spec", {}), node.get("status", {})
        info = cls(
            name=node["metadata"]["name"],
            labels=node["metadata"].get("labels") or {},
            taints=spec.get("taints") or [],
            unschedulable=bool(spec.get("unschedulable")),
            allocatable=amounts(status.get("allocatable") or status.get("capacity")),
        )
        for pod in pods:
            info.add(pod)
        return info

    def add(self, pod: PodInfo) -> None:
        """Count a pod; a second time changes nothing."""
        if pod.uid in self.pods:
            self.remove(pod.uid)
        self.pods[pod.uid] = pod
        self.used.update(pod.requests)

    def remove(self, uid: str) -> None:
        """Count a pod no more."""
        pod = self.pods.pop(uid, None)
        if pod is not None:
            self.used.subtract(pod.requests)

    def copy(self) -> "NodeInfo":
        """A node whose pods may be added and removed without changing this one."""
        return NodeInfo(
            self.name,
            self.labels,
            self.taints,
            self.unschedulable,
            self.allocatable,
            dict(self.pods),
            Counter(self.used),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a pod does not fit on a node."""

    reasons: tuple[str, ...]
    curable: bool
    """Whether it could fit if other pods left."""


def filter_node(pod: PodInfo, node: NodeInfo) -> Verdict | None:
    """None if the pod fits, else the reasons of the first filter that fails, in kube-scheduler's order."""
    if node.unschedulable and not _tolerated(_UNSCHEDULABLE, pod.tolerations):
        return Verdict(("node(s) were unschedulable",), curable=False)
    hard = (taint for taint in node.taints if taint.get("effect") in ("NoSchedule", "NoExecute"))
    if not all(_tolerated(taint, pod.tolerations) for taint in hard):
        return Verdict(("node(s) had untolerated taint(s)",), curable=False)
    if not _selected(pod, node):
        return Verdict(("node(s) didn't match Pod's node affinity/selector",), curable=False)
    return _room(pod, node)


def _room(pod: PodInfo, node: NodeInfo) -> Verdict | None:
    reasons, curable = [], True
    most_pods = node.allocatable.get("pods", 0)
    if len(node.pods) + 1 > most_pods:
        reasons.append("Too many pods")
        curable = most_pods > 0
    for resource, amount in sorted(pod.requests.items(), key=lambda item: ("/" in item[0], item[0])):
        have = node.allocatable.get(resource, 0)
        if amount > have - node.used[resource]:
            reasons.append(f"Insufficient {resource}")
            curable = curable and amount <= have
    return Verdict(tuple(reasons), curable) if reasons else None


def _tolerated(taint: Object, tolerations: Sequence[Object]) -> bool:
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    key = toleration.get("key") or ""
    if key and key != taint.get("key"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def _selected(pod: PodInfo, node: NodeInfo) -> bool:
    if any(node.labels.get(key) != value for key, value in pod.node_selector.items()):
        return False
    return pod.required is None or any(_term(term, node) for term in pod.required)


def _term(term: Object, node: NodeInfo) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_requirement(requirement, node.labels) for requirement in expressions) and all(
        _requirement(requirement, {"metadata.name": node.name}) for requirement in fields
    )


def _requirement(requirement: Object, labels: Mapping[str, str]) -> bool:
    key, operator, values = requirement["key"], requirement["operator"], requirement.get("values") or []
    found = labels.get(key)
    match operator:
        case "In":
            return found is not None and found in values
        case "NotIn":
            return found is None or found not in values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case "Gt" | "Lt":
            try:
                number, bound = int(found or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return number > bound if operator == "Gt" else number < bound
    return False


def choose_node(pod: PodInfo, nodes: Iterable[NodeInfo]) -> NodeInfo:
    """The best of the nodes that the pod fits on.

    By the sum of the preferred affinity's weights, then fewest untolerated soft taints, then the least allocated
    share of cpu and memory, then the name.
    """
    return min(nodes, key=lambda node: (-_preference(pod, node), _soft_taints(pod, node), _load(pod, node), node.name))


def _preference(pod: PodInfo, node: NodeInfo) -> int:
    return sum(int(term["weight"]) for term in pod.preferred if _term(term.get("preference") or {}, node))


def _soft_taints(pod: PodInfo, node: NodeInfo) -> int:
    soft = (taint for taint in node.taints if taint.get("effect") == "PreferNoSchedule")
    return sum(not _tolerated(taint, pod.tolerations) for taint in soft)


def _load(pod: PodInfo, node: NodeInfo) -> float:
    shares = []
    for resource, least in _BEST_EFFORT.items():
        have = node.allocatable.get(resource, 0)
        if have:
            wanted = node.used[resource] + (pod.requests.get(resource) or least)
            shares.append(min(1.0, wanted / have))
    return sum(shares) / len(shares) if shares else 1.0


def count_reasons(verdicts: Iterable[Sequence[str]], total: int) -> str:
    """``0/16 nodes are available: 14 ..., 2 ...`` from the reasons of every node, sorted as kube-scheduler does."""
    counts = Counter(reason for reasons in verdicts for reason in reasons)
    return f"0/{total} nodes are available: " + ", ".join(sorted(f"{count} {why}" for why, count in counts.items()))
