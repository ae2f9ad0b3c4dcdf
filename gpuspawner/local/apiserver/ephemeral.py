"""The claims of generic ephemeral volumes: made for a pod from the template in its spec, gone with the pod."""

from typing import Any

from gpuspawner.local.apiserver.operations import Operations, WriteOptions
from gpuspawner.local.apiserver.resources import BY_KEY
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store, clone

__all__ = ["EphemeralClaims"]

Object = dict[str, Any]
_CLAIMS = "persistentvolumeclaims"


class EphemeralClaims:
    """Makes the claim ``POD-VOLUME`` of every ephemeral volume, owned by its pod.

    Source: k8s.io/kubernetes/pkg/controller/volume/ephemeral. A claim that a quota forbids is tried for again when the
    pod or a claim of its namespace changes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._operations = Operations(store)

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Follow the store."""
        if resource == "pods" and type_ != "DELETED":
            self._provide(obj)
        elif resource == _CLAIMS and type_ == "DELETED":
            for stored in self._store.items("pods", obj["metadata"]["namespace"]):
                self._provide(stored.obj)

    def _provide(self, pod: Object) -> None:
        metadata = pod["metadata"]
        if "deletionTimestamp" in metadata or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        for volume in pod["spec"].get("volumes") or ():
            name = f"{metadata['name']}-{volume['name']}"
            if volume.get("ephemeral") and self._store.find(_CLAIMS, metadata["namespace"], name) is None:
                self._create(pod, name, volume["ephemeral"]["volumeClaimTemplate"])

    def _create(self, pod: Object, name: str, template: Object) -> None:
        metadata = pod["metadata"]
        owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        owner |= {"controller": True, "blockOwnerDeletion": True}
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {**clone(template.get("metadata") or {}), "name": name, "ownerReferences": [owner]},
            "spec": clone(template["spec"]),
        }
        try:
            self._operations.create(BY_KEY[_CLAIMS], metadata["namespace"], claim, WriteOptions())
        except StatusError as error:
            if error.status not in (403, 404, 409, 422):
                raise
