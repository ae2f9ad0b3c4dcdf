"""Deployments: one ReplicaSet for each pod template, and the way from the old one to the new.

Source: ``pkg/controller/deployment`` of https://github.com/kubernetes/kubernetes.
"""

from datetime import datetime
from typing import Any

from gpuspawner.local.apiserver.binding import set_condition
from gpuspawner.local.apiserver.operations import DeleteOptions, Operations, WriteOptions
from gpuspawner.local.apiserver.resources import BY_KEY
from gpuspawner.local.apiserver.store import Object, Store, clone
from gpuspawner.local.controllers.pods import Pods, controller_of, controller_reference, scaled, template_hash
from gpuspawner.local.controllers.rollout import next_replicas
from gpuspawner.local.controllers.work import WorkQueue

__all__ = ["Deployments"]

_RESOURCE, _SETS = "deployments.apps", "replicasets.apps"
_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"
_NOT_COPIED = ("kubectl.kubernetes.io/last-applied-configuration", _REVISION)
_ENDED = ("Succeeded", "Failed")


class Deployments:
    """Rolls every Deployment out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._operations = Operations(store)
        self._pods = Pods(store, "deployment-controller")
        self._queue = WorkQueue(self._reconcile)
        self.stop = self._queue.stop

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Take in one change of the store."""
        if resource == _RESOURCE and type_ != "DELETED":
            self._queue.add_object(obj)
        elif resource == _SETS:
            self._queue.add_controller(obj, "Deployment")
        elif resource == "pods" and type_ == "DELETED":  # Recreate waits for the last one
            owner = controller_of(obj)
            found = owner and self._store.find(_SETS, obj["metadata"]["namespace"], owner["name"])
            if found:
                self.on_change(_SETS, "MODIFIED", found)

    def _reconcile(self, namespace: str, name: str) -> None:
        found = self._store.find(_RESOURCE, namespace, name)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return
        new, old = self._sets(found)
        if found["spec"].get("paused"):
            if new is not None and not any(one["spec"]["replicas"] for one in old):
                self._scale(found, new, found["spec"]["replicas"])
        elif found["spec"]["strategy"]["type"] == "Recreate":
            for one in old:
                self._scale(found, one, 0)
            if not any(self._still_runs(one) for one in old):
                new = self._raise(found, new, old)
                self._scale(found, new, found["spec"]["replicas"])
        else:
            new = self._raise(found, new, old)
            self._roll(found, new, old)
        self._publish(found)
        self._forget_history(found)

    def _roll(self, found: Object, new: Object, old: list[Object]) -> None:
        rolling, replicas = found["spec"]["strategy"].get("rollingUpdate", {}), found["spec"]["replicas"]
        surge = scaled(rolling.get("maxSurge", 0), replicas, up=True)
        unavailable = scaled(rolling.get("maxUnavailable", 0), replicas, up=False)
        if not surge and not unavailable:
            unavailable = 1
        wanted, reduced = next_replicas(replicas, surge, unavailable, _counts(new), [_counts(one) for one in old])
        self._scale(found, new, wanted)
        for one, count in zip(old, reduced, strict=True):
            self._scale(found, one, count)

    def _sets(self, found: Object) -> tuple[Object | None, list[Object]]:
        """The ReplicaSet of the template as it is now, if there is one, and the others from oldest to newest."""
        metadata = found["metadata"]
        everyone = [stored.obj for stored in self._store.items(_SETS, metadata["namespace"])]
        mine = [one for one in everyone if (controller_of(one) or {}).get("uid") == metadata["uid"]]
        mine.sort(key=lambda one: (_revision(one), one["metadata"]["creationTimestamp"], one["metadata"]["name"]))
        template = _bare(found["spec"]["template"])
        new = next((one for one in mine if _bare(one["spec"]["template"]) == template), None)
        return new, [one for one in mine if one is not new]

    def _raise(self, found: Object, new: Object | None, old: list[Object]) -> Object:
        """Make the new ReplicaSet, or give the one there is the highest revision."""
        revision = str(max((_revision(one) for one in old), default=0) + 1)
        if new is not None:
            if _revision(new) < int(revision):
                new = self._annotate(_SETS, new, revision)
            revision = str(_revision(new))
        else:
            new = self._make(found, revision)
        if found["metadata"].get("annotations", {}).get(_REVISION) != revision:
            self._annotate(_RESOURCE, found, revision)
        return new

    def _make(self, found: Object, revision: str) -> Object:
        metadata, spec = found["metadata"], clone(found["spec"])
        digest = template_hash(spec["template"])
        labels = spec["template"]["metadata"].setdefault("labels", {})
        labels[_HASH] = digest
        selector = spec["selector"]
        selector["matchLabels"] = selector.get("matchLabels", {}) | {_HASH: digest}
        copied = {key: text for key, text in metadata.get("annotations", {}).items() if key not in _NOT_COPIED}
        about = {"name": f"{metadata['name']}-{digest}", "namespace": metadata["namespace"], "labels": dict(labels)}
        about |= {"annotations": copied | {_REVISION: revision}, "ownerReferences": [controller_reference(found)]}
        body = {"metadata": about, "spec": {"replicas": 0, "selector": selector, "template": spec["template"]}}
        if spec.get("minReadySeconds"):
            body["spec"]["minReadySeconds"] = spec["minReadySeconds"]
        made = self._operations.create(BY_KEY[_SETS], metadata["namespace"], body, WriteOptions())
        name = made["metadata"]["name"]
        self._progress(found, "True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
        return made

    def _annotate(self, resource: str, obj: Object, revision: str) -> Object:
        def change(new: Object) -> None:
            new["metadata"].setdefault("annotations", {})[_REVISION] = revision

        metadata = obj["metadata"]
        return self._store.modify(resource, metadata["namespace"], metadata["name"], change)

    def _scale(self, found: Object, one: Object, replicas: int) -> None:
        metadata, before = one["metadata"], one["spec"]["replicas"]
        if before == replicas:
            return
        way = "up" if replicas > before else "down"
        self._store.modify(
            _SETS, metadata["namespace"], metadata["name"], lambda new: new["spec"].update(replicas=replicas)
        )
        message = f"Scaled {way} replica set {metadata['name']} from {before} to {replicas}"
        self._pods.event(found, "Normal", "ScalingReplicaSet", message)

    def _still_runs(self, one: Object) -> bool:
        return any(pod.get("status", {}).get("phase") not in _ENDED for pod in self._pods.owned(one))

    # Status

    def _publish(self, found: Object) -> None:
        metadata = found["metadata"]
        current = self._store.find(_RESOURCE, metadata["namespace"], metadata["name"])
        if current is None:
            return
        new, old = self._sets(current)
        everyone = [*old, *([new] if new else [])]
        before, wanted = current.get("status", {}), current["spec"]["replicas"]
        totals = {key: sum(one.get("status", {}).get(key, 0) for one in everyone) for key in _COUNTED}
        updated = new.get("status", {}).get("replicas", 0) if new else 0
        status: Object = {"observedGeneration": metadata["generation"]}
        counts = totals | {"updatedReplicas": updated}
        counts["unavailableReplicas"] = max(0, wanted - totals["availableReplicas"])
        status |= {key: count for key, count in counts.items() if count}
        status["conditions"] = clone(before.get("conditions", []))
        self._say_available(current, status, totals["availableReplicas"], wanted)
        complete = updated == wanted == totals["replicas"] == totals["availableReplicas"]
        self._say_progress(current, status, new, before, complete)
        self._say_refused(status, everyone)
        self._pods.set_status(_RESOURCE, current, status)

    def _say_available(self, found: Object, status: Object, available: int, wanted: int) -> None:
        rolling = found["spec"]["strategy"].get("rollingUpdate", {})
        least = wanted - scaled(rolling.get("maxUnavailable", 0), wanted, up=False) if rolling else wanted
        if available >= least:
            self._say(status, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        else:
            message = "Deployment does not have minimum availability."
            self._say(status, "Available", "False", "MinimumReplicasUnavailable", message)

    def _say_progress(self, found: Object, status: Object, new: Object | None, before: Object, complete: bool) -> None:
        name = new["metadata"]["name"] if new else found["metadata"]["name"]
        what = f'ReplicaSet "{name}"'
        standing: Object = next((c for c in status["conditions"] if c["type"] == "Progressing"), {})
        if complete:
            self._say(status, "Progressing", "True", "NewReplicaSetAvailable", f"{what} has successfully progressed.")
            return
        keys = ("updatedReplicas", "readyReplicas", "availableReplicas", "replicas")
        moved = any(status.get(key, 0) != before.get(key, 0) for key in keys)
        if moved or not standing or standing.get("reason") == "NewReplicaSetAvailable":
            self._say(status, "Progressing", "True", "ReplicaSetUpdated", f"{what} is progressing.", renew=True)
            standing = next(c for c in status["conditions"] if c["type"] == "Progressing")
        if standing["status"] == "False":
            return
        since = datetime.fromisoformat(standing["lastUpdateTime"])
        left = found["spec"]["progressDeadlineSeconds"] - (self._store.clock() - since).total_seconds()
        if left <= 0:
            self._say(status, "Progressing", "False", "ProgressDeadlineExceeded", f"{what} has timed out progressing.")
        else:
            self._queue.add_after(left, found["metadata"]["namespace"], found["metadata"]["name"])

    def _say_refused(self, status: Object, sets: list[Object]) -> None:
        conditions = [c for one in sets for c in one.get("status", {}).get("conditions", [])]
        failure = next((c for c in conditions if c["type"] == "ReplicaFailure"), None)
        if failure:
            self._say(status, "ReplicaFailure", "True", failure["reason"], failure["message"])
        else:
            status["conditions"] = [c for c in status["conditions"] if c["type"] != "ReplicaFailure"]

    def _progress(self, found: Object, state: str, reason: str, message: str) -> None:
        metadata = found["metadata"]

        def change(new: Object) -> None:
            self._say(new.setdefault("status", {}), "Progressing", state, reason, message, renew=True)

        self._store.modify(_RESOURCE, metadata["namespace"], metadata["name"], change)

    def _say(self, status: Object, kind: str, state: str, reason: str, message: str, *, renew: bool = False) -> None:
        standing = next((c for c in status.get("conditions", []) if c["type"] == kind), None)
        new: dict[str, Any] = {"type": kind, "status": state, "reason": reason, "message": message}
        same = standing is not None and all(standing.get(key) == value for key, value in new.items())
        if same and not renew:
            return
        now = self._pods.now()
        set_condition(status, new | {"lastUpdateTime": now, "lastTransitionTime": now})

    def _forget_history(self, found: Object) -> None:
        metadata = found["metadata"]
        current = self._store.find(_RESOURCE, metadata["namespace"], metadata["name"])
        if current is None:
            return
        _, old = self._sets(current)
        empty = [one for one in old if not one["spec"]["replicas"] and not one.get("status", {}).get("replicas")]
        for one in empty[: max(0, len(empty) - found["spec"]["revisionHistoryLimit"])]:
            name = one["metadata"]["name"]
            self._operations.delete(BY_KEY[_SETS], metadata["namespace"], name, DeleteOptions())


_COUNTED = ("replicas", "readyReplicas", "availableReplicas")


def _revision(obj: Object) -> int:
    text = obj["metadata"].get("annotations", {}).get(_REVISION, "0")
    return int(text) if str(text).isdigit() else 0


def _bare(template: Object) -> Object:
    """A template without the label that its ReplicaSet adds."""
    metadata = dict(template.get("metadata", {}))
    metadata["labels"] = {key: value for key, value in metadata.get("labels", {}).items() if key != _HASH}
    return {**template, "metadata": metadata}


def _counts(one: Object) -> tuple[int, int]:
    """How many replicas a ReplicaSet is asked for, and how many of them are available."""
    return one["spec"]["replicas"], one.get("status", {}).get("availableReplicas", 0)
