"""What follows from a change without a client asking: namespaces, claims, quotas and owned objects."""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from gpuspawner.local.apiserver.access.bootstrap import AggregatedRoles
from gpuspawner.local.apiserver.device_claims import DeviceClaims
from gpuspawner.local.apiserver.ephemeral import EphemeralClaims
from gpuspawner.local.apiserver.lost_nodes import LostNodes
from gpuspawner.local.apiserver.quota import QuotaController
from gpuspawner.local.apiserver.resources import RESOURCES
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store

__all__ = ["DRIVER", "start_controllers"]

Object = dict[str, Any]
_CLASSES = "storageclasses.storage.k8s.io"
_NAMESPACED = tuple(r.key for r in RESOURCES if r.namespaced and not r.storage)
_CONFIG_MAPS = {"kube-root-ca.crt": "ca.crt", "openshift-service-ca.crt": "service-ca.crt"}
_EVENT_LIFE = timedelta(hours=1)
DRIVER = "local.gpuspawner"
"""The CSI driver's name in the volumes that the engine provisions; the handle is ``namespace/claim``."""


def start_controllers(store: Store, ca: str = "") -> Callable[[], None]:
    """Follow the store and keep it consistent; returns a function that stops it.

    Parameters
    ----------
    ca
        The API server's certificate authority (PEM), for the config map ``kube-root-ca.crt`` of each namespace.
    """
    namespaces, claims = _Namespaces(store, ca), _Claims(store)
    devices, ephemeral = DeviceClaims(store), EphemeralClaims(store)
    others = (
        QuotaController(store),
        _Owners(store),
        ephemeral,
        _Events(store),
        LostNodes(store),
        AggregatedRoles(store),
    )
    controllers = (namespaces, claims, devices, *others)

    def on_change(resource: str, type_: str, obj: Object) -> None:
        for controller in controllers:
            controller.on_change(resource, type_, obj)

    for stored in store.items("namespaces"):
        namespaces.on_change("namespaces", "ADDED", stored.obj)
    for stored in store.items("persistentvolumeclaims"):
        claims.on_change("persistentvolumeclaims", "ADDED", stored.obj)
    devices.begin()
    unsubscribe = store.subscribe(on_change)

    def stop() -> None:
        unsubscribe()
        devices.stop()

    return stop


def claims_of(pod: Object) -> Iterator[str]:
    """The names of the claims that a pod mounts; an ephemeral volume's is named after pod and volume."""
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield volume["persistentVolumeClaim"]["claimName"]
        elif volume.get("ephemeral"):
            yield f"{pod['metadata']['name']}-{volume['name']}"


class _Namespaces:
    """Gives a new namespace its service account and config maps; empties and removes a terminating one."""

    def __init__(self, store: Store, ca: str) -> None:
        self.store = store
        self.ca = ca

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        if resource == "namespaces":
            if type_ == "ADDED":
                self._furnish(obj["metadata"]["name"])
            if type_ != "DELETED" and "deletionTimestamp" in obj["metadata"]:
                self._empty(obj["metadata"]["name"])
        elif type_ == "DELETED" and obj["metadata"].get("namespace"):
            namespace = self.store.find("namespaces", None, obj["metadata"]["namespace"])
            if namespace and "deletionTimestamp" in namespace["metadata"]:
                self._finish(namespace["metadata"]["name"])
        elif resource == "serviceaccounts" and type_ == "DELETED" and obj["metadata"]["name"] == "default":
            self._furnish(obj["metadata"]["namespace"])

    def _furnish(self, namespace: str) -> None:
        metadata = {"name": "default", "namespace": namespace}
        if self.store.find("serviceaccounts", namespace, "default") is None:
            self.store.create("serviceaccounts", {"metadata": metadata})
        for name, key in _CONFIG_MAPS.items():
            if self.store.find("configmaps", namespace, name) is None:
                self.store.create("configmaps", {"metadata": metadata | {"name": name}, "data": {key: self.ca}})

    def _empty(self, namespace: str) -> None:
        for resource in _NAMESPACED:
            for stored in self.store.items(resource, namespace):
                if "deletionTimestamp" not in stored.obj["metadata"]:
                    self.store.delete(resource, namespace, stored.name)
        self._finish(namespace)

    def _finish(self, namespace: str) -> None:
        if any(self.store.items(resource, namespace) for resource in _NAMESPACED):
            return
        if self.store.find("namespaces", None, namespace):
            self.store.modify("namespaces", None, namespace, lambda obj: obj["spec"].pop("finalizers", None))


class _Claims:
    """Provisions and binds a volume for a claim whose StorageClass exists; lets an unused claim go."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        if resource == "persistentvolumeclaims":
            if type_ == "DELETED":
                self._release(obj)
            elif "deletionTimestamp" in obj["metadata"]:
                self._let_go(obj)
            elif obj.get("status", {}).get("phase") != "Bound":
                self._provision(obj)
            else:
                self._expand(obj)
        elif resource == "pods" and obj["metadata"].get("namespace"):
            if type_ == "DELETED" or obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                for stored in self.store.items("persistentvolumeclaims", obj["metadata"]["namespace"]):
                    if "deletionTimestamp" in stored.obj["metadata"]:
                        self._let_go(stored.obj)
        elif resource == _CLASSES and type_ == "ADDED":
            for stored in self.store.items("persistentvolumeclaims"):
                if stored.obj.get("status", {}).get("phase") == "Pending":
                    self._provision(stored.obj)

    def _provision(self, claim: Object) -> None:
        spec, metadata = claim["spec"], claim["metadata"]
        kind = self.store.find(_CLASSES, None, spec.get("storageClassName", ""))
        if kind is None or spec.get("volumeName"):
            return
        name = f"pvc-{metadata['uid']}"
        about = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": metadata["namespace"]}
        about |= {"name": metadata["name"], "uid": metadata["uid"]}
        capacity = {"storage": spec["resources"]["requests"]["storage"]}
        volume = {
            "metadata": {"name": name, "finalizers": ["kubernetes.io/pv-protection"]},
            "spec": {
                "accessModes": spec["accessModes"],
                "capacity": capacity,
                "claimRef": about,
                "csi": {"driver": DRIVER, "volumeHandle": f"{metadata['namespace']}/{metadata['name']}"},
                "persistentVolumeReclaimPolicy": kind.get("reclaimPolicy", "Delete"),
                "storageClassName": spec["storageClassName"],
                "volumeMode": spec.get("volumeMode", "Filesystem"),
            },
            "status": {"phase": "Bound"},
        }
        if self.store.find("persistentvolumes", None, name) is None:
            self.store.create("persistentvolumes", volume)

        def bind(new: Object) -> None:
            new["spec"]["volumeName"] = name
            done = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
            new["metadata"]["annotations"] = new["metadata"].get("annotations", {}) | done
            new["status"] = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": capacity}

        self._modify(claim, bind)

    def _expand(self, claim: Object) -> None:
        asked = claim["spec"]["resources"]["requests"]["storage"]
        if claim["status"].get("capacity", {}).get("storage") != asked:
            self._modify(claim, lambda new: new["status"].update(capacity={"storage": asked}))

    def _let_go(self, claim: Object) -> None:
        if self._is_used(claim["metadata"]):
            return

        def unprotect(new: Object) -> None:
            finalizers = new["metadata"].get("finalizers", [])
            new["metadata"]["finalizers"] = [one for one in finalizers if one != "kubernetes.io/pvc-protection"]

        self._modify(claim, unprotect)

    def _is_used(self, claim: Object) -> bool:
        return any(
            claim["name"] in claims_of(stored.obj)
            for stored in self.store.items("pods", claim["namespace"])
            if stored.obj.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        )

    def _release(self, claim: Object) -> None:
        volume = self.store.find("persistentvolumes", None, claim["spec"].get("volumeName", ""))
        if volume is None:
            return
        name = volume["metadata"]["name"]
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            self.store.modify("persistentvolumes", None, name, lambda new: new["metadata"].pop("finalizers", None))
            self.store.delete("persistentvolumes", None, name)
        else:
            self.store.update_status("persistentvolumes", None, name, {"phase": "Released"})

    def _modify(self, claim: Object, change: Callable[[Object], None]) -> None:
        metadata = claim["metadata"]
        try:
            self.store.modify("persistentvolumeclaims", metadata["namespace"], metadata["name"], change)
        except StatusError as error:
            if error.reason != "NotFound":
                raise


class _Events:
    """Forgets events an hour after they were last seen, as a kube-apiserver does."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._order: deque[tuple[datetime, str, str, str]] = deque()

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        if resource != "events" or type_ == "DELETED":
            return
        metadata, now = obj["metadata"], self.store.clock()
        self._order.append((now, metadata["namespace"], metadata["name"], metadata["resourceVersion"]))
        while self._order and now - self._order[0][0] > _EVENT_LIFE:
            _, namespace, name, version = self._order.popleft()
            found = self.store.find("events", namespace, name)
            if found and found["metadata"]["resourceVersion"] == version:
                self.store.delete("events", namespace, name)


class _Owners:
    """Deletes what belonged to a deleted object only."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        if type_ != "DELETED":
            return
        uid = obj["metadata"]["uid"]
        for dependent, stored in self.store.dependents(uid):
            owners = [one for one in stored.obj["metadata"]["ownerReferences"] if one["uid"] != uid]
            if not owners and "deletionTimestamp" not in stored.obj["metadata"]:
                self.store.delete(dependent, stored.namespace or None, stored.name)
