"""Pods and nodes as slim records: what the hub needs of each, and nothing else of the object."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING
from functools import lru_cache
from sys import intern
from typing import Any

from gpuspawner.labels import MAINTENANCE, PLACEHOLDER, QUEUE
from gpuspawner.quantity import parse_quantity

from .wire import Raw

__all__ = [
    "CPU",
    "MEMORY",
    "NodeRecord",
    "PodRecord",
    "Taint",
    "Toleration",
    "gives_way",
    "node_record",
    "pod_record",
    "requests_of",
    "tolerations_of",
]

CPU = "cpu"
MEMORY = "memory"
_MAIN = "notebook"
_KEPT_PREFIXES = ("gpuspawner/", "hub.jupyter.org/")
_KEPT_LABELS = frozenset({"app", "component", QUEUE})
_NEVER = "1970-"
_ORDINARY_WAITING = frozenset({"ContainerCreating", "PodInitializing", ""})
# Taints by which Kubernetes and the node autoscalers close a node, whatever a pod tolerates.
_CLOSING_TAINTS = frozenset({"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption"})


@dataclass(frozen=True, slots=True)
class Toleration:
    """One entry of a pod's ``spec.tolerations``."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True)
class Taint:
    """One entry of a node's ``spec.taints``."""

    key: str
    value: str = ""
    effect: str = ""

    @property
    def repels(self) -> bool:
        """Whether pods that do not tolerate it are kept off (PreferNoSchedule only discourages)."""
        return self.effect in ("NoSchedule", "NoExecute")

    @property
    def closes(self) -> bool:
        """Whether it says that the node takes no new pods at all for now."""
        return self.repels and (self.key.startswith("node.kubernetes.io/") or self.key in _CLOSING_TAINTS)

    def tolerated(self, tolerations: Iterable[Toleration]) -> bool:
        """Whether a pod with these tolerations may be placed (core/v1 Toleration.ToleratesTaint)."""
        return any(
            (not t.effect or t.effect == self.effect)
            and (t.key == self.key or (not t.key and t.operator == "Exists"))
            and (t.operator == "Exists" or t.value == self.value)
            for t in tolerations
        )

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A pod. Of a foreign pod (``own`` False) only identity, node, phase, ``deleting`` and ``requests`` are filled, and
    of one that ends by itself ``started_at`` and ``runtime`` (``activeDeadlineSeconds``; 0 without one).

    ``requests`` is what kube-scheduler counts for the whole pod: cpu in thousandths of a core, memory in bytes,
    extended resources in pieces. ``waiting_*`` and ``terminated_*`` are of the container that has a problem, named
    ``container``, else of the first one. ``ran_from`` and ``ran_until`` are when the process of the notebook's
    container (else of the first one) started and ended: empty while it has not, and where no kubelet has told.
    ``claims`` are the names of its ResourceClaims, empty for one not made yet. ``nominated`` is the node where others
    are ended to make room for it. ``deleted_at`` is its ``deletionTimestamp``, by which it is to be gone; ``forced``
    says that its deletion waits for no node's word. Times are Kubernetes' RFC 3339 texts.
    """

    namespace: str
    name: str
    uid: str
    version: str
    own: bool
    node: str
    phase: str
    deleting: bool
    requests: Mapping[str, int]
    ready: bool = False
    ip: str = ""
    created_at: str = ""
    started_at: str = ""
    runtime: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    claims: tuple[str, ...] = ()
    finalizers: tuple[str, ...] = ()
    deleted_at: str = ""
    forced: bool = False
    ran_from: str = ""
    ran_until: str = ""
    nominated: str = ""
    scheduled_message: str = ""
    reason: str = ""
    message: str = ""
    disruption_reason: str = ""
    disruption_message: str = ""
    disrupted_at: str = ""
    container: str = ""
    image: str = ""
    memory_limit: int = 0
    waiting_reason: str = ""
    waiting_message: str = ""
    running: bool = False
    terminated_reason: str = ""
    terminated_message: str = ""
    exit_code: int | None = None
    restarts: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def ended(self) -> bool:
        """Whether every container has ended for good."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def over(self) -> bool:
        """Whether it is certain that no container runs or ever will: a pod without node is not given one any more
        once it is being deleted (pkg/controller/resourceclaim isPodDone)."""
        return self.ended or (self.deleting and not self.node)

    @property
    def ends(self) -> datetime | None:
        """When Kubernetes ends it at the latest; its runtime counts from the kubelet's first sight of it."""
        if not self.runtime or not self.started_at:
            return None
        return datetime.fromisoformat(self.started_at) + timedelta(seconds=self.runtime)

    @property
    def gated(self) -> bool:
        """Whether kube-scheduler does not look at it yet, since a queue such as Kueue has not admitted it."""
        return not self.node and "scheduling gates" in self.scheduled_message

    @property
    def extended(self) -> Mapping[str, int]:
        """The requests of extended resources, such as nvidia.com/gpu."""
        return {name: amount for name, amount in self.requests.items() if "/" in name}


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node. ``allocatable`` counts as :attr:`PodRecord.requests` does; ``maintenance`` is its annotation of that
    name, when its servers are to end, as it stands there."""

    name: str
    labels: Mapping[str, str]
    allocatable: Mapping[str, int]
    unschedulable: bool
    ready: bool
    taints: tuple[Taint, ...]
    maintenance: str = ""

    @property
    def usable(self) -> bool:
        """Whether it takes new pods at all: ready, not cordoned, not being removed."""
        return self.ready and not self.unschedulable and not any(taint.closes for taint in self.taints)

    def repelling(self, tolerations: Collection[Toleration]) -> tuple[Taint, ...]:
        """The taints that keep pods with these tolerations off it; those by which it takes none for now aside."""
        lasting = (taint for taint in self.taints if taint.repels and not taint.closes)
        return tuple(taint for taint in lasting if not taint.tolerated(tolerations))


def pod_record(raw: Raw, *, own: bool) -> PodRecord:
    """The record of a Pod object. Raises ``KeyError`` if it has no name."""
    metadata = raw["metadata"]
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    node, phase = intern(spec.get("nodeName") or ""), intern(status.get("phase") or "")
    identity = {
        "namespace": intern(metadata.get("namespace") or ""),
        "name": metadata["name"],
        "uid": metadata.get("uid") or "",
        "version": metadata.get("resourceVersion") or "",
        "own": own,
        "node": node,
        "phase": phase,
        "deleting": bool(metadata.get("deletionTimestamp")),
        "requests": requests_of(spec),
    }
    runtime = spec.get("activeDeadlineSeconds") or 0
    if not own:
        return PodRecord(**identity, started_at=status.get("startTime") or "" if runtime else "", runtime=runtime)
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    disruption = conditions.get("DisruptionTarget") or conditions.get("TerminationTarget") or {}
    if disruption.get("status") != "True":
        disruption = {}
    return PodRecord(
        **identity,
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        ip=status.get("podIP") or "",
        created_at=metadata.get("creationTimestamp") or "",
        started_at=status.get("startTime") or "",
        runtime=runtime,
        labels=_kept(metadata.get("labels"), _KEPT_LABELS),
        annotations=_kept(metadata.get("annotations"), frozenset()),
        tolerations=() if node else tolerations_of(spec),
        claims=_device_claims(spec, status),
        finalizers=tuple(map(intern, metadata.get("finalizers") or ())),
        deleted_at=metadata.get("deletionTimestamp") or "",
        forced=metadata.get("deletionGracePeriodSeconds") == 0,
        nominated=status.get("nominatedNodeName") or "",
        scheduled_message=(scheduled.get("message") or "") if scheduled.get("status") == "False" else "",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        disruption_reason=disruption.get("reason") or "",
        disruption_message=disruption.get("message") or "",
        disrupted_at=disruption.get("lastTransitionTime") or "",
        **_containers(spec, status),
    )


def gives_way(raw: Raw) -> bool:
    """Whether a Pod object is a placeholder, which kube-scheduler ends as soon as a launch needs its place.

    So it takes nothing. One whose priority is not negative would not give way to pods of no priority, and counts.
    """
    labels = raw["metadata"].get("labels") or {}
    return PLACEHOLDER in labels and ((raw.get("spec") or {}).get("priority") or 0) < 0


def node_record(raw: Raw) -> NodeRecord:
    """The record of a Node object. Raises ``KeyError`` if it has no name."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    allocatable = status.get("allocatable") or {}
    return NodeRecord(
        name=intern(raw["metadata"]["name"]),
        labels={intern(key): value for key, value in (raw["metadata"].get("labels") or {}).items()},
        allocatable={name: _amount(name, value) for name, value in allocatable.items() if _counted(name)},
        unschedulable=bool(spec.get("unschedulable")),
        ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ()),
        taints=tuple(
            Taint(t.get("key") or "", t.get("value") or "", t.get("effect") or "") for t in spec.get("taints") or ()
        ),
        maintenance=(raw["metadata"].get("annotations") or {}).get(MAINTENANCE) or "",
    )


def requests_of(spec: Mapping[str, Any]) -> Mapping[str, int]:
    """What kube-scheduler reserves for a pod with this spec; equal requests share one mapping, so never change it.

    The containers and the sidecars (init containers that restart) together, or the largest init container with the
    sidecars before it, whichever is more; requests of the whole pod replace that; the runtime class' overhead is added
    (k8s.io/component-helpers/resource PodRequests).
    """
    total: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        total.update(_requested(container))
    init = spec.get("initContainers")
    if init:
        sidecars: Counter[str] = Counter()
        peak: Counter[str] = Counter()
        for container in init:
            own = Counter(_requested(container))
            if container.get("restartPolicy") == "Always":
                sidecars.update(own)
                peak |= sidecars
            else:
                peak |= own + sidecars
        total.update(sidecars)
        total |= peak
    if spec.get("resources"):
        total.update({name: amount - total[name] for name, amount in _requested(spec).items()})
    for name, value in (spec.get("overhead") or {}).items():
        if _counted(name):
            total[name] += _amount(name, value)
    return _shared(tuple(sorted((name, amount) for name, amount in total.items() if amount)))


def _requested(container: Mapping[str, Any]) -> dict[str, int]:
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    asked = {**limits, **requests} if limits else requests
    return {name: _amount(name, value) for name, value in asked.items() if _counted(name)}


def _counted(name: str) -> bool:
    return name in (CPU, MEMORY) or "/" in name


@lru_cache(maxsize=4096)
def _amount(name: str, value: str | int | float) -> int:
    try:
        number = parse_quantity(value)
    except ValueError:
        return 0
    return int((number * 1000 if name == CPU else number).to_integral_value(ROUND_CEILING))


@lru_cache(maxsize=4096)
def _shared(items: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    return {intern(name): amount for name, amount in items}


def _kept(found: Mapping[str, str] | None, names: frozenset[str]) -> Mapping[str, str]:
    return {intern(k): v for k, v in (found or {}).items() if k.startswith(_KEPT_PREFIXES) or k in names}


def tolerations_of(spec: Mapping[str, Any]) -> tuple[Toleration, ...]:
    """Those of a pod with this spec."""
    return tuple(
        Toleration(t.get("key") or "", t.get("operator") or "Equal", t.get("value") or "", t.get("effect") or "")
        for t in spec.get("tolerations") or ()
    )


def _device_claims(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[str, ...]:
    if not spec.get("resourceClaims"):
        return ()
    made = {one.get("name"): one.get("resourceClaimName") for one in status.get("resourceClaimStatuses") or ()}
    return tuple(one.get("resourceClaimName") or made.get(one["name"]) or "" for one in spec["resourceClaims"])


def _containers(spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    """The state of the container that has a problem, else of the notebook's, or the first one."""
    containers: list[Raw] = spec.get("containers") or []
    specs: dict[str, Raw] = {c.get("name") or "": c for c in (*(spec.get("initContainers") or ()), *containers)}
    main = _MAIN if _MAIN in specs or not containers else containers[0].get("name") or ""
    statuses: list[Raw] = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    first: Raw = next((s for s in statuses if s.get("name") == main), {})
    chosen = next((s for s in statuses if _troubled(s)), first)
    name = chosen.get("name") or main
    state, last = chosen.get("state") or {}, chosen.get("lastState") or {}
    waiting = state.get("waiting") or {}
    terminated = state.get("terminated") or last.get("terminated") or {}
    container = specs.get(name) or {}
    limits = (container.get("resources") or {}).get("limits") or {}
    return {
        "container": intern(name),
        "image": intern(container.get("image") or chosen.get("image") or ""),
        "memory_limit": _amount(MEMORY, limits[MEMORY]) if MEMORY in limits else 0,
        "waiting_reason": waiting.get("reason") or "",
        "waiting_message": waiting.get("message") or "",
        "running": bool((first.get("state") or {}).get("running")),
        **_ran(first),
        "terminated_reason": terminated.get("reason") or "",
        "terminated_message": terminated.get("message") or "",
        "exit_code": terminated.get("exitCode") if isinstance(terminated.get("exitCode"), int) else None,
        "restarts": chosen.get("restartCount") or 0,
    }


def _ran(status: Mapping[str, Any]) -> dict[str, str]:
    """When a container's process started and ended. One that could not be started says 1970."""
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated") or {}
    now = state.get("running") or state.get("terminated") or last
    began, ended = now.get("startedAt") or "", now.get("finishedAt") or ""
    return {"ran_from": began, "ran_until": ended} if began and not began.startswith(_NEVER) else {}


def _troubled(status: Mapping[str, Any]) -> bool:
    state, last = status.get("state") or {}, status.get("lastState") or {}
    if (state.get("waiting") or {}).get("reason", "") not in _ORDINARY_WAITING:
        return True
    terminated = state.get("terminated") or (last.get("terminated") if not status.get("ready") else None) or {}
    return bool(terminated.get("exitCode"))
