"""ReplicaSets: as many pods as asked for.

Source: ``pkg/controller/replicaset/replica_set.go`` of https://github.com/kubernetes/kubernetes. Pods without a
controller are not adopted.
"""

from gpuspawner.local.apiserver.binding import set_condition
from gpuspawner.local.apiserver.selectors import selects
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Object, Store
from gpuspawner.local.controllers.pods import Pods, available_in, is_active, is_ready
from gpuspawner.local.controllers.work import WorkQueue

__all__ = ["ReplicaSets"]

_RESOURCE = "replicasets.apps"


class ReplicaSets:
    """Keeps the pods of every ReplicaSet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pods = Pods(store, "replicaset-controller")
        self._queue = WorkQueue(self._reconcile)
        self.stop = self._queue.stop

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Take in one change of the store."""
        if resource == _RESOURCE and type_ != "DELETED":
            self._queue.add_object(obj)
        elif resource == "pods":
            self._queue.add_controller(obj, "ReplicaSet")

    def _reconcile(self, namespace: str, name: str) -> None:
        found = self._store.find(_RESOURCE, namespace, name)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return
        refused: StatusError | None = None
        active = [pod for pod in self._pods.owned(found) if is_active(pod)]
        missing = found["spec"]["replicas"] - len(active)
        try:
            for _ in range(missing):
                self._pods.create(found, found["spec"]["template"])
        except StatusError as error:
            refused = error
        if missing < 0:
            for pod in Pods.least_missed(active)[:-missing]:
                self._pods.delete(found, pod)
        self._publish(found, refused)
        if refused:
            raise refused

    def _publish(self, found: Object, refused: StatusError | None) -> None:
        metadata, spec, now = found["metadata"], found["spec"], self._store.clock()
        active = [pod for pod in self._pods.owned(found) if is_active(pod)]
        waits = [available_in(pod, spec.get("minReadySeconds", 0), now) for pod in active]
        soon = [seconds for seconds in waits if seconds]
        if soon:
            self._queue.add_after(min(soon), metadata["namespace"], metadata["name"])
        wanted = {"matchLabels": spec["template"]["metadata"].get("labels", {})}
        status: Object = {"replicas": len(active)}
        for key, count in (
            ("fullyLabeledReplicas", sum(selects(wanted, pod["metadata"].get("labels", {})) for pod in active)),
            ("readyReplicas", sum(is_ready(pod) for pod in active)),
            ("availableReplicas", sum(seconds == 0 for seconds in waits)),
        ):
            if count:
                status[key] = count
        status["observedGeneration"] = metadata["generation"]
        if refused:
            status["conditions"] = found.get("status", {}).get("conditions", [])
            condition = {"type": "ReplicaFailure", "status": "True", "lastTransitionTime": self._pods.now()}
            set_condition(status, condition | {"reason": "FailedCreate", "message": refused.message})
        self._pods.set_status(_RESOURCE, found, status)
