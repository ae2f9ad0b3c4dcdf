"""DaemonSets: one pod on every node that takes it.

Source: ``pkg/controller/daemon`` of https://github.com/kubernetes/kubernetes. An update deletes the old pod of a node
before it makes the new one (``maxSurge`` is not served).
"""

from dataclasses import replace

from gpuspawner.local.apiserver.store import Object, Store, clone
from gpuspawner.local.controllers.pods import (
    Pods,
    available_in,
    is_active,
    is_ready,
    scaled,
    template_hash,
)
from gpuspawner.local.controllers.work import WorkQueue
from gpuspawner.local.scheduler.fit import NodeInfo, PodInfo, filter_node

__all__ = ["DaemonSets"]

_RESOURCE = "daemonsets.apps"
_HASH = "controller-revision-hash"
_TOLERATED = (
    *((f"node.kubernetes.io/{name}", "NoExecute") for name in ("not-ready", "unreachable")),
    *(
        (f"node.kubernetes.io/{name}", "NoSchedule")
        for name in ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
    ),
)


class DaemonSets:
    """Keeps the pods of every DaemonSet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pods = Pods(store, "daemonset-controller")
        self._queue = WorkQueue(self._reconcile)
        self.stop = self._queue.stop

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Take in one change of the store."""
        if resource == _RESOURCE and type_ != "DELETED":
            self._queue.add_object(obj)
        elif resource == "nodes":
            for stored in self._store.items(_RESOURCE):
                self._queue.add(stored.namespace, stored.name)
        elif resource == "pods":
            self._queue.add_controller(obj, "DaemonSet")

    def _reconcile(self, namespace: str, name: str) -> None:
        found = self._store.find(_RESOURCE, namespace, name)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return
        template = _template(found)
        digest = template_hash(found["spec"]["template"])
        nodes = {stored.name: NodeInfo.of(stored.obj) for stored in self._store.items("nodes")}
        wanted = {name for name, node in nodes.items() if _takes(node, found, template)}
        standing: dict[str, list[Object]] = {}
        for pod in self._pods.owned(found):
            standing.setdefault(_node_of(pod), []).append(pod)
        for node, pods in standing.items():
            self._clean(found, pods, keep=node in wanted)
        self._update(found, [pod for node in wanted for pod in standing.get(node, ())], digest, len(wanted))
        for node in sorted(wanted - standing.keys()):
            spec = clone(template["spec"])
            _pin(spec, node)
            self._pods.create(found, template | {"spec": spec}, labels={_HASH: digest})
        self._publish(found, wanted, digest)

    def _clean(self, found: Object, pods: list[Object], *, keep: bool) -> None:
        """Delete what ended, what its node does not take any more, and all but the oldest of several."""
        active = sorted(filter(is_active, pods), key=lambda pod: pod["metadata"]["creationTimestamp"])
        spare = active[1:] if keep else active
        ended = [pod for pod in pods if pod.get("status", {}).get("phase") in ("Succeeded", "Failed")]
        for pod in (*spare, *ended):
            self._pods.delete(found, pod)

    def _update(self, found: Object, pods: list[Object], digest: str, total: int) -> None:
        strategy = found["spec"]["updateStrategy"]
        old = [pod for pod in pods if is_active(pod) and pod["metadata"]["labels"].get(_HASH) != digest]
        if strategy["type"] != "RollingUpdate" or not old:
            return
        most = max(1, scaled(strategy["rollingUpdate"].get("maxUnavailable", 1), total, up=True))
        away = total - sum(is_ready(pod) for pod in pods)
        broken = [pod for pod in old if not is_ready(pod)]
        healthy = [pod for pod in old if is_ready(pod)]
        for pod in (*broken, *healthy[: max(0, most - away)]):
            self._pods.delete(found, pod)

    def _publish(self, found: Object, wanted: set[str], digest: str) -> None:
        metadata, now = found["metadata"], self._store.clock()
        pods = [pod for pod in self._pods.owned(found) if is_active(pod)]
        there = [pod for pod in pods if _node_of(pod) in wanted]
        waits = [available_in(pod, found["spec"].get("minReadySeconds", 0), now) for pod in there]
        soon = [seconds for seconds in waits if seconds]
        if soon:
            self._queue.add_after(min(soon), metadata["namespace"], metadata["name"])
        available = sum(seconds == 0 for seconds in waits)
        status = {
            "currentNumberScheduled": len({_node_of(pod) for pod in there}),
            "numberMisscheduled": len(pods) - len(there),
            "desiredNumberScheduled": len(wanted),
            "numberReady": sum(map(is_ready, there)),
            "observedGeneration": metadata["generation"],
        }
        updated = sum(pod["metadata"]["labels"].get(_HASH) == digest for pod in there)
        others = {"updatedNumberScheduled": updated, "numberAvailable": available}
        others["numberUnavailable"] = len(wanted) - available
        self._pods.set_status(_RESOURCE, found, status | {key: count for key, count in others.items() if count})


def _template(found: Object) -> Object:
    template: Object = clone(found["spec"]["template"])
    tolerations = template["spec"].setdefault("tolerations", [])
    for key, effect in _TOLERATED:
        if not any(one.get("key") == key and one.get("effect") == effect for one in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": effect})
    return template


def _takes(node: NodeInfo, found: Object, template: Object) -> bool:
    """Whether labels, affinity and taints of a node let the pod onto it, whatever room there is."""
    about = {"namespace": found["metadata"]["namespace"], "name": "", "uid": ""}
    pod = PodInfo.of({"metadata": about, "spec": template["spec"]})
    roomy = replace(node, allocatable={"pods": 1})
    return filter_node(replace(pod, requests={}), roomy) is None


def _pin(spec: Object, node: str) -> None:
    """Have the scheduler put a pod onto this node only (``ReplaceDaemonSetPodNodeNameNodeAffinity``)."""
    here = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [{"matchFields": [here]}]}


def _node_of(pod: Object) -> str:
    """The node that a pod is on, or is pinned to."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    required = (spec.get("affinity") or {}).get("nodeAffinity", {})
    for term in required.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", []):
        for field in term.get("matchFields", []):
            return str(field["values"][0])
    return ""
