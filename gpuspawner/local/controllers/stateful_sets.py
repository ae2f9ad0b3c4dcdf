"""StatefulSets: pods with a number and a volume of their own, one after another.

Source: ``pkg/controller/statefulset`` of https://github.com/kubernetes/kubernetes. Claims are kept, whatever
``persistentVolumeClaimRetentionPolicy`` says.
"""

from gpuspawner.local.apiserver.operations import Operations, WriteOptions
from gpuspawner.local.apiserver.resources import BY_KEY
from gpuspawner.local.apiserver.store import Object, Store, clone
from gpuspawner.local.controllers.pods import Pods, available_in, is_active, is_ready, template_hash
from gpuspawner.local.controllers.work import WorkQueue

__all__ = ["StatefulSets"]

_RESOURCE, _CLAIMS = "statefulsets.apps", "persistentvolumeclaims"
_HASH = "controller-revision-hash"
_NAME, _INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"


class StatefulSets:
    """Keeps the pods of every StatefulSet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pods = Pods(store, "statefulset-controller")
        self._operations = Operations(store)
        self._queue = WorkQueue(self._reconcile)
        self.stop = self._queue.stop

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Take in one change of the store."""
        if resource == _RESOURCE and type_ != "DELETED":
            self._queue.add_object(obj)
        elif resource == "pods":
            self._queue.add_controller(obj, "StatefulSet")

    def _reconcile(self, namespace: str, name: str) -> None:
        found = self._store.find(_RESOURCE, namespace, name)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return
        self._advance(found)
        self._publish(found)

    def _advance(self, found: Object) -> None:
        """Make, replace or delete what is next; in order unless the set is Parallel."""
        spec = found["spec"]
        parallel = spec["podManagementPolicy"] == "Parallel"
        pods = {pod["metadata"]["name"]: pod for pod in self._pods.owned(found)}
        wanted = [f"{found['metadata']['name']}-{index}" for index in range(spec["replicas"])]
        for index, name in enumerate(wanted):
            pod = pods.get(name)
            if pod is None:
                self._make(found, name, index)
            elif pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                self._pods.delete(found, pod)
            if not parallel and (pod is None or not is_ready(pod)):
                return
        for name in sorted(pods.keys() - set(wanted), key=_ordinal, reverse=True):
            if is_active(pods[name]):
                self._pods.delete(found, pods[name])
            if not parallel:
                return
        self._update(found, [pods[name] for name in wanted if name in pods])

    def _update(self, found: Object, pods: list[Object]) -> None:
        """Replace the last pod of an old template, once all after it are ready again."""
        strategy, digest = found["spec"]["updateStrategy"], template_hash(found["spec"]["template"])
        if strategy["type"] != "RollingUpdate":
            return
        for pod in reversed(pods[strategy.get("rollingUpdate", {}).get("partition", 0) :]):
            if not is_active(pod):
                return
            if pod["metadata"]["labels"].get(_HASH) != digest:
                self._pods.delete(found, pod)
                return
            if not is_ready(pod):
                return

    def _make(self, found: Object, name: str, index: int) -> None:
        spec, namespace = found["spec"], found["metadata"]["namespace"]
        template = clone(spec["template"])
        volumes = list(template["spec"].get("volumes", []))
        for claim in spec.get("volumeClaimTemplates", []):
            volume = claim["metadata"]["name"]
            self._claim(found, claim, f"{volume}-{name}")
            volumes = [one for one in volumes if one["name"] != volume]
            volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": f"{volume}-{name}"}})
        template["spec"] |= {"hostname": name, "volumes": volumes}
        if spec.get("serviceName"):
            template["spec"]["subdomain"] = spec["serviceName"]
        labels = {_HASH: template_hash(spec["template"]), _NAME: name, _INDEX: str(index)}
        if self._store.find("pods", namespace, name) is None:  # the one before may still be going
            self._pods.create(found, template, name=name, labels=labels)

    def _claim(self, found: Object, template: Object, name: str) -> None:
        namespace = found["metadata"]["namespace"]
        if self._store.find(_CLAIMS, namespace, name) is None:
            labels = template["metadata"].get("labels", {}) | found["spec"]["selector"].get("matchLabels", {})
            body = {"metadata": {"name": name, "labels": labels}, "spec": clone(template["spec"])}
            self._operations.create(BY_KEY[_CLAIMS], namespace, body, WriteOptions())

    def _publish(self, found: Object) -> None:
        metadata, spec, now = found["metadata"], found["spec"], self._store.clock()
        pods = [pod for pod in self._pods.owned(found) if is_active(pod)]
        digest = template_hash(spec["template"])
        waits = [available_in(pod, spec.get("minReadySeconds", 0), now) for pod in pods]
        soon = [seconds for seconds in waits if seconds]
        if soon:
            self._queue.add_after(min(soon), metadata["namespace"], metadata["name"])
        new = sum(pod["metadata"]["labels"].get(_HASH) == digest for pod in pods)
        status = {"replicas": len(pods), "availableReplicas": sum(seconds == 0 for seconds in waits)}
        status |= {"readyReplicas": sum(map(is_ready, pods)), "updatedReplicas": new, "currentReplicas": new}
        status |= {"observedGeneration": metadata["generation"], "collisionCount": 0}
        update = f"{metadata['name']}-{digest}"
        before = found.get("status", {}).get("currentRevision", update)
        revisions = {"currentRevision": update if new == spec["replicas"] else before, "updateRevision": update}
        self._pods.set_status(_RESOURCE, found, status | revisions)


def _ordinal(name: str) -> int:
    return int(name.rpartition("-")[2])
