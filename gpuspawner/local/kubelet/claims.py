"""The folders of PersistentVolumeClaims: they outlive the pods, and go with the claim."""

import shutil
from collections.abc import Callable
from pathlib import Path

from gpuspawner.local.apiserver.store import Object, Store
from gpuspawner.local.kubelet.volumes import claim_folder

__all__ = ["ClaimFolders"]

_CLAIMS = "persistentvolumeclaims"


class ClaimFolders:
    """Makes the folder of every bound claim, and removes it when the claim is deleted."""

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

    def _on_change(self, resource: str, type_: str, claim: Object) -> None:
        if resource != _CLAIMS:
            return
        metadata = claim["metadata"]
        folder = claim_folder(self._data_dir, metadata["namespace"], metadata["name"])
        if type_ != "DELETED":
            if claim.get("status", {}).get("phase") == "Bound":
                folder.mkdir(parents=True, exist_ok=True)
        elif folder.is_dir():
            # Out of the way at once: a claim of the same name may be made while the files are being removed.
            trash = folder.with_name(f".{metadata['uid']}")
            folder.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)
