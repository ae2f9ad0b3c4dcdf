"""The scheduler: binds pending pods to nodes as soon as they fit, and says why they do not."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gpuspawner.local.apiserver.binding import bind, set_condition
from gpuspawner.local.apiserver.device_claims import CLAIMS
from gpuspawner.local.apiserver.events import record_event
from gpuspawner.local.apiserver.store import Object, StatusError, Store, timestamp
from gpuspawner.local.scheduler.devices import Chosen, DeviceStock, allocate, class_trouble, hold, reserve
from gpuspawner.local.scheduler.fit import NodeInfo, PodInfo, Verdict, choose_node, count_reasons, filter_node
from gpuspawner.local.scheduler.preemption import NOT_HELPFUL, Preemption, find_preemption

__all__ = ["Scheduler"]

_COMPONENT = "default-scheduler"
_ENDED = ("Succeeded", "Failed")
_GATED = "Scheduling is blocked due to non-empty scheduling gates"
_UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
_NO_DEVICES = Verdict(("cannot allocate all claims",), curable=False)
_LOOSENING = ("persistentvolumeclaims", "resourceslices.resource.k8s.io", "deviceclasses.resource.k8s.io")


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    preemption: Preemption | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a pod goes, and the devices that its claims get there."""

    node: str
    devices: Mapping[str, list[Chosen]]


class Scheduler:
    """Schedules every pending pod of the store, whatever its ``schedulerName``.

    Filters as kube-scheduler 1.36 does: cordons, taints, node selector and node affinity, resources including extended
    ones and the number of pods, claims of volumes and of devices. Preempts by priority. Pod affinity, topology spread
    and host ports are not considered. A pod that does not fit is tried again when a node, claim or device changes or
    another pod ends; nothing polls.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._nodes: dict[str, NodeInfo] = {}
        self._assigned: dict[str, PodInfo] = {}
        self._pending: dict[str, PodInfo] = {}
        self._failures: dict[str, _Failure] = {}
        self._scheduled = False
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Take in what the store holds and follow it; needs a running event loop."""
        for resource in ("nodes", "pods"):
            for stored in self._store.items(resource):
                self._on_change(resource, "ADDED", stored.obj)
        self._unsubscribe = self._store.subscribe(self._on_change)

    def stop(self) -> None:
        """Schedule nothing more."""
        if self._unsubscribe:
            self._unsubscribe()
            self._unsubscribe = None

    def _on_change(self, resource: str, type_: str, obj: Object) -> None:
        if resource == "pods":
            self._on_pod(type_, obj)
        elif resource == "nodes":
            self._on_node(type_, obj)
        elif resource in _LOOSENING or (
            resource == CLAIMS and (type_ == "DELETED" or not obj.get("status", {}).get("allocation"))
        ):
            self._loosened()

    def _on_node(self, type_: str, node: Object) -> None:
        name = node["metadata"]["name"]
        before = self._nodes.pop(name, None)
        if type_ != "DELETED":
            on_it = before.pods.values() if before else (p for p in self._assigned.values() if p.node_name == name)
            self._nodes[name] = NodeInfo.of(node, on_it)
        self._loosened()

    def _on_pod(self, type_: str, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        ended = type_ == "DELETED" or obj.get("status", {}).get("phase") in _ENDED
        if ended:
            waited = self._pending.pop(uid, None)
            held = self._assigned.pop(uid, None)
            if held and held.node_name in self._nodes:
                self._nodes[held.node_name].remove(uid)
            if held or (waited and waited.nominated):
                self._loosened()
            return
        known = self._assigned.get(uid)
        if known and known.terminating == ("deletionTimestamp" in obj["metadata"]):
            return
        pod = PodInfo.of(obj)
        if pod.node_name:
            self._pending.pop(uid, None)
            self._assigned[uid] = pod
            if pod.node_name in self._nodes:
                self._nodes[pod.node_name].add(pod)
        elif pod.terminating:  # a finalizer holds it, and it never gets a node any more
            waited = self._pending.pop(uid, None)
            if waited and waited.nominated:
                self._loosened()
        else:
            self._pending[uid] = pod
            self._soon()

    def _loosened(self) -> None:
        self._failures.clear()
        self._soon()

    def _soon(self) -> None:
        if self._pending and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        if self._unsubscribe is None:
            return
        # A dict keeps the order of arrival and sorting is stable: first come first served within a priority.
        for uid in sorted(self._pending, key=lambda uid: -self._pending[uid].priority):
            pod = self._pending.get(uid)
            if pod is not None:
                self._attempt(pod)

    def _attempt(self, pod: PodInfo) -> None:
        if pod.gated:
            self._refuse(pod, "SchedulingGated", _GATED)
            return
        claims = self._device_claims(pod)
        if claims is None:
            return
        signature = _signature(pod)
        failure = self._failures.get(signature)
        if failure is None:
            outcome = self._decide(pod, claims)
            if isinstance(outcome, _Place):
                self._bind(pod, outcome)
                return
            failure = outcome
            if failure.preemption is None:
                self._failures[signature] = failure
        self._refuse(pod, "Unschedulable", failure.message, failure.preemption)

    def _device_claims(self, pod: PodInfo) -> list[Object] | None:
        """The pod's ResourceClaims; None while one is missing, of which kube-scheduler says nothing."""
        found = [self._store.find(CLAIMS, pod.namespace, name) for name in pod.device_claims]
        there = [claim for claim in found if claim is not None and "deletionTimestamp" not in claim["metadata"]]
        return None if pod.awaits_claims or len(there) < len(found) else there

    def _decide(self, pod: PodInfo, claims: list[Object]) -> _Place | _Failure:
        if not self._nodes:
            return _Failure("no nodes available to schedule pods")
        total = len(self._nodes)
        trouble = self._claim_trouble(pod)
        if trouble:
            return _Failure(f"0/{total} nodes are available: {trouble}. not found")
        stock = DeviceStock.of(self._store) if claims else None
        helpless = "still not schedulable" if claims else "no new claims to deallocate"
        missing = class_trouble(claims, stock) if stock else ""
        if missing:
            remedy = count_reasons([(NOT_HELPFUL,)] * total, total)
            return _Failure(f"0/{total} nodes are available: {missing}. {helpless}, preemption: {remedy}.")
        verdicts: dict[str, Verdict] = {}
        fitting: list[NodeInfo] = []
        devices: dict[str, Mapping[str, list[Chosen]]] = {}
        for name, node in self._nodes.items():
            verdict = filter_node(pod, self._with_nominated(pod, node))
            if verdict is None and stock is not None:
                given = allocate(claims, name, stock)
                verdict = _NO_DEVICES if given is None else None
                devices[name] = given or {}
            if verdict is None:
                fitting.append(node)
            else:
                verdicts[name] = verdict
        if fitting:
            best = choose_node(pod, fitting).name
            return _Place(best, devices.get(best, {}))
        message = count_reasons((verdict.reasons for verdict in verdicts.values()), total) + "."
        found = find_preemption(pod, self._nodes, verdicts)
        if isinstance(found, Preemption):
            return _Failure(message, found)
        return _Failure(f"{message} {helpless}, preemption: {found}")

    def _with_nominated(self, pod: PodInfo, node: NodeInfo) -> NodeInfo:
        """The node as if the pods that a preemption made room for were there already."""
        coming = [
            other
            for other in self._pending.values()
            if other.nominated == node.name and other.uid != pod.uid and other.priority >= pod.priority
        ]
        if not coming:
            return node
        node = node.copy()
        for other in coming:
            node.add(other)
        return node

    def _claim_trouble(self, pod: PodInfo) -> str:
        unbound = False
        for name in (*pod.claims, *pod.ephemeral):
            claim = self._store.find("persistentvolumeclaims", pod.namespace, name)
            if claim is None and name in pod.ephemeral:
                return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if "deletionTimestamp" in claim["metadata"]:
                return f'persistentvolumeclaim "{name}" is being deleted'
            unbound = unbound or claim.get("status", {}).get("phase") != "Bound"
        return _UNBOUND if unbound else ""

    def _bind(self, pod: PodInfo, place: _Place) -> None:
        before = self._store.find("pods", pod.namespace, pod.name)
        if before is None:
            return
        for claim, chosen in place.devices.items():
            hold(self._store, pod.namespace, claim, chosen, place.node)
        for claim in pod.device_claims:
            reserve(self._store, pod.namespace, claim, before)
        bind(self._store, pod.namespace, pod.name, place.node)
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {place.node}"
        record_event(self._store, before, "Normal", "Scheduled", message, _COMPONENT)

    def _refuse(self, pod: PodInfo, reason: str, message: str, preemption: Preemption | None = None) -> None:
        found = self._store.find("pods", pod.namespace, pod.name)
        if found is None:
            return
        if preemption is None and _said(found, reason, message):
            return
        condition: Object = {"type": "PodScheduled"}
        if "generation" in found["metadata"]:
            condition["observedGeneration"] = found["metadata"]["generation"]
        condition |= {"status": "False", "lastProbeTime": None}
        condition |= {"lastTransitionTime": timestamp(self._store.clock()), "reason": reason, "message": message}

        def tell(obj: Object) -> None:
            set_condition(obj["status"], condition)
            if preemption:
                obj["status"]["nominatedNodeName"] = preemption.node

        if reason == "Unschedulable" and not _said(found, reason, message):
            record_event(self._store, found, "Warning", "FailedScheduling", message, _COMPONENT)
        self._store.modify("pods", pod.namespace, pod.name, tell)
        for victim in preemption.victims if preemption else ():
            self._evict(victim, pod, preemption.node if preemption else "")

    def _evict(self, victim: PodInfo, pod: PodInfo, node: str) -> None:
        found = self._store.find("pods", victim.namespace, victim.name)
        if found is None or found["metadata"]["uid"] != victim.uid:
            return
        why: Object = {"type": "DisruptionTarget", "status": "True", "lastProbeTime": None}
        why |= {"lastTransitionTime": timestamp(self._store.clock()), "reason": "PreemptionByScheduler"}
        why |= {"message": f"{_COMPONENT}: preempting to accommodate a higher priority pod"}
        message = f"Preempted by pod {pod.uid} on node {node}"
        record_event(self._store, found, "Normal", "Preempted", message, _COMPONENT)
        try:
            self._store.modify("pods", victim.namespace, victim.name, lambda obj: set_condition(obj["status"], why))
            self._store.delete("pods", victim.namespace, victim.name, uid=victim.uid)
        except StatusError as error:
            if error.status not in (404, 409):
                raise


def _signature(pod: PodInfo) -> str:
    """Equal for pods that fit on the same nodes."""
    parts = (pod.namespace, pod.priority, dict(pod.requests), pod.node_selector, pod.required, pod.preferred)
    claims = (pod.claims, pod.ephemeral, pod.device_claims)
    return json.dumps((*parts, *claims, pod.tolerations, pod.may_preempt, pod.nominated), sort_keys=True)


def _said(pod: Object, reason: str, message: str) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(
        c["type"] == "PodScheduled" and c.get("reason") == reason and c.get("message") == message for c in conditions
    )
