"""The life of PersistentVolumeClaims: each is a folder that outlives its pods."""

import shutil
from collections.abc import Callable
from pathlib import Path

from gpuspawner.local.events import record_event
from gpuspawner.local.store import Object, StatusError, Store
from gpuspawner.local.volumes import claim_folder

__all__ = ["STORAGE_CLASS", "ClaimController"]

STORAGE_CLASS = "local"
"""The storage class of a claim that names none."""

_PROVISIONER = "gpuspawner.local"
_PROTECTION = "kubernetes.io/pvc-protection"
_CLAIMS, _VOLUMES = "persistentvolumeclaims", "persistentvolumes"


class ClaimController:
    """Binds claims to folders, keeps a claim while a pod uses it, and removes the folder with the claim.

    A claim whose storageClassName is empty asks for a volume that an administrator made beforehand: there are none
    here, so it stays Pending.
    """

    def __init__(self, store: Store, data_dir: Path) -> None:
        self._store = store
        self._data_dir = data_dir
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Take in the claims that the store holds and follow it."""
        for stored in self._store.items(_CLAIMS):
            self._on_change(_CLAIMS, "ADDED", stored.obj)
        self._unsubscribe = self._store.subscribe(self._on_change)

    def stop(self) -> None:
        """Follow the store no more."""
        if self._unsubscribe:
            self._unsubscribe()
            self._unsubscribe = None

    def _on_change(self, resource: str, type_: str, obj: Object) -> None:
        if resource == _CLAIMS:
            if type_ == "DELETED":
                self._reclaim(obj)
            elif "deletionTimestamp" in obj["metadata"]:
                self._let_go(obj)
            elif obj.get("status", {}).get("phase") != "Bound":
                self._bind(obj)
        elif resource == "pods" and (type_ == "DELETED" or _ended(obj)):
            for volume in obj["spec"].get("volumes") or []:
                name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
                claim = self._store.find(_CLAIMS, obj["metadata"]["namespace"], name) if name else None
                if claim and "deletionTimestamp" in claim["metadata"]:
                    self._let_go(claim)

    def _bind(self, claim: Object) -> None:
        metadata, spec = claim["metadata"], claim["spec"]
        wanted = spec.get("storageClassName", STORAGE_CLASS)
        if wanted == "":
            return
        folder = claim_folder(self._data_dir, metadata["namespace"], metadata["name"])
        folder.mkdir(parents=True, exist_ok=True)
        volume = f"pvc-{metadata['uid']}"
        capacity = {"storage": spec.get("resources", {}).get("requests", {}).get("storage", "1Gi")}
        modes = spec.get("accessModes") or ["ReadWriteOnce"]
        self._provision(volume, claim, wanted, capacity, modes, folder)

        def bound(obj: Object) -> None:
            obj["spec"] |= {"storageClassName": wanted, "volumeName": volume}
            obj["status"] = {"phase": "Bound", "accessModes": modes, "capacity": capacity}
            notes = obj["metadata"].setdefault("annotations", {})
            notes["pv.kubernetes.io/bind-completed"] = "yes"
            notes["volume.kubernetes.io/storage-provisioner"] = _PROVISIONER

        self._store.modify(_CLAIMS, metadata["namespace"], metadata["name"], bound)
        message = f"Successfully provisioned volume {volume}"
        record_event(self._store, claim, "Normal", "ProvisioningSucceeded", message, _PROVISIONER)

    def _provision(
        self, name: str, claim: Object, wanted: str, capacity: Object, modes: list[str], folder: Path
    ) -> None:
        if self._store.find(_VOLUMES, None, name):
            return
        metadata = claim["metadata"]
        reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}
        reference |= {key: metadata[key] for key in ("namespace", "name", "uid")}
        volume = {
            "kind": "PersistentVolume",
            "apiVersion": "v1",
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": _PROVISIONER}},
            "spec": {
                "capacity": capacity,
                "hostPath": {"path": str(folder), "type": ""},
                "accessModes": modes,
                "claimRef": reference,
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": wanted,
                "volumeMode": "Filesystem",
            },
            "status": {"phase": "Bound"},
        }
        self._store.create(_VOLUMES, volume)

    def _let_go(self, claim: Object) -> None:
        """Take the protection from a claim that no pod uses any more."""
        metadata = claim["metadata"]
        if _PROTECTION not in (metadata.get("finalizers") or []) or self._in_use(claim):
            return

        def unprotected(obj: Object) -> None:
            obj["metadata"]["finalizers"].remove(_PROTECTION)

        try:
            self._store.modify(_CLAIMS, metadata["namespace"], metadata["name"], unprotected)
        except StatusError as error:
            if error.status != 404:
                raise

    def _in_use(self, claim: Object) -> bool:
        metadata = claim["metadata"]
        for stored in self._store.items("pods", metadata["namespace"]):
            volumes = stored.obj["spec"].get("volumes") or []
            names = [(volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in volumes]
            if metadata["name"] in names and stored.obj["spec"].get("nodeName") and not _ended(stored.obj):
                return True
        return False

    def _reclaim(self, claim: Object) -> None:
        metadata = claim["metadata"]
        folder = claim_folder(self._data_dir, metadata["namespace"], metadata["name"])
        if folder.exists():
            # Out of the way at once: a claim of the same name may be made while the files are being removed.
            trash = folder.with_name(f".{metadata['uid']}")
            folder.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)
        volume = f"pvc-{metadata['uid']}"
        if self._store.find(_VOLUMES, None, volume):
            self._store.delete(_VOLUMES, None, volume)


def _ended(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
