"""What follows for the pods of a node that is deleted, or tainted so that nothing may run on it (NoExecute).

In Kubernetes this is done by the pod garbage collector and the taint eviction controller, with these very words.
"""

import asyncio
from typing import Any

from gpuspawner.local.apiserver.binding import set_condition
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store, timestamp

__all__ = ["LostNodes"]

Object = dict[str, Any]
_ENDED = ("Succeeded", "Failed")


class LostNodes:
    """Ends the pods of lost nodes. Unlike Kubernetes it does not wait 40 s before it collects those of deleted ones."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Take in a change of the store."""
        if resource == "nodes" and type_ == "DELETED":
            for namespace, name in self._on(obj):
                self._mark(namespace, name, "DeletionByPodGC", "PodGC: node no longer exists", failed=True)
                self._store.remove("pods", namespace, name)
        elif resource == "nodes":
            taints = [
                taint for taint in (obj.get("spec") or {}).get("taints") or () if taint.get("effect") == "NoExecute"
            ]
            for namespace, name in self._on(obj) if taints else ():
                self._evict(namespace, name, taints)

    def _on(self, node: Object) -> list[tuple[str, str]]:
        pods = self._store.items("pods")
        return [(p.namespace, p.name) for p in pods if p.obj["spec"].get("nodeName") == node["metadata"]["name"]]

    def _evict(self, namespace: str, name: str, taints: list[Object]) -> None:
        pod = self._store.get("pods", namespace, name)
        if "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in _ENDED:
            return
        tolerations = pod["spec"].get("tolerations") or []
        seconds = [_tolerated_for(taint, tolerations) for taint in taints]
        bounded = [each for each in seconds if each is not None]
        if not bounded:
            return
        if min(bounded) > 0:
            asyncio.get_running_loop().call_later(min(bounded), self._delete, namespace, name, pod["metadata"]["uid"])
        else:
            self._delete(namespace, name, pod["metadata"]["uid"])

    def _delete(self, namespace: str, name: str, uid: str) -> None:
        pod = self._store.find("pods", namespace, name)
        node = self._store.find("nodes", None, pod["spec"]["nodeName"]) if pod else None
        if pod is None or node is None or pod["metadata"]["uid"] != uid:
            return
        if any(taint.get("effect") == "NoExecute" for taint in (node.get("spec") or {}).get("taints") or ()):
            self._mark(namespace, name, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
            try:
                self._store.delete("pods", namespace, name, uid=uid)
            except StatusError as error:
                if error.status not in (404, 409):
                    raise

    def _mark(self, namespace: str, name: str, reason: str, message: str, *, failed: bool = False) -> None:
        condition = {"type": "DisruptionTarget", "status": "True", "lastProbeTime": None}
        condition |= {"lastTransitionTime": timestamp(self._store.clock()), "reason": reason, "message": message}

        def mark(pod: Object) -> None:
            status = pod.setdefault("status", {})
            set_condition(status, condition)
            if failed and status.get("phase") not in _ENDED:
                status["phase"] = "Failed"

        self._store.modify("pods", namespace, name, mark)


def _tolerated_for(taint: Object, tolerations: list[Object]) -> float | None:
    """Seconds for which the taint is tolerated: None for ever, 0 not at all."""
    found = [each for each in tolerations if _tolerates(each, taint)]
    if not found:
        return 0.0
    bounded = [each["tolerationSeconds"] for each in found if each.get("tolerationSeconds") is not None]
    return float(max(0, min(bounded))) if bounded else None


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    exists, key = toleration.get("operator") == "Exists", toleration.get("key") or ""
    if key != taint["key"] and (key or not exists):
        return False
    return exists or (toleration.get("value") or "") == (taint.get("value") or "")
