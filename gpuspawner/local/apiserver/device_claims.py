"""ResourceClaims follow their pods: made from templates, and given back when the pod has ended."""

import asyncio
from typing import Any

from gpuspawner.local.apiserver.events import record_event
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store, clone, random_suffix

__all__ = ["CLAIMS", "PROTECTION", "DeviceClaims", "claim_names"]

Object = dict[str, Any]
CLAIMS = "resourceclaims.resource.k8s.io"
_TEMPLATES = "resourceclaimtemplates.resource.k8s.io"
_POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
_GENERATED_NAME_BASE = 58
_ENDED = ("Succeeded", "Failed")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 60.0
PROTECTION = "resource.kubernetes.io/delete-protection"
"""The finalizer of a claim that holds devices."""


def claim_names(pod: Object) -> dict[str, str | None]:
    """The ResourceClaim behind each entry of a pod's resourceClaims; None for one that is not made yet."""
    made = {one["name"]: one.get("resourceClaimName") for one in pod.get("status", {}).get("resourceClaimStatuses", [])}
    claims = pod["spec"].get("resourceClaims") or []
    return {one["name"]: one.get("resourceClaimName") or made.get(one["name"]) for one in claims}


class DeviceClaims:
    """kube-controller-manager's resource_claim controller.

    It looks for a template that is missing again after twice the time, and at once when the template comes.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._retries: dict[str, asyncio.TimerHandle] = {}

    def begin(self) -> None:
        """Give back what pods hold that did not outlive the engine."""
        living = {stored.obj["metadata"]["uid"] for stored in self.store.items("pods")}
        for stored in self.store.items(CLAIMS):
            users = {one["uid"] for one in stored.obj.get("status", {}).get("reservedFor", [])}
            for uid in (users | _owners(stored.obj)) - living:
                self._release(stored.namespace, uid)

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Take in a change of the store."""
        if resource == "pods" and obj["spec"].get("resourceClaims"):
            if type_ == "DELETED" or _done(obj):
                self._release(obj["metadata"]["namespace"], obj["metadata"]["uid"])
            elif "deletionTimestamp" not in obj["metadata"]:
                self._make(obj)
        elif resource == _TEMPLATES and type_ == "ADDED":
            for stored in self.store.items("pods", obj["metadata"]["namespace"]):
                if stored.obj["spec"].get("resourceClaims"):
                    self.on_change("pods", "MODIFIED", stored.obj)

    def stop(self) -> None:
        """Look for nothing more."""
        for retry in self._retries.values():
            retry.cancel()
        self._retries.clear()

    def _make(self, pod: Object, pause: float = _FIRST_PAUSE) -> None:
        """Make the claims of a pod that are missing, and write their names into its status."""
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        current = self.store.find("pods", namespace, name)
        if current is None or current["metadata"]["uid"] != pod["metadata"]["uid"]:
            return
        known = claim_names(current)
        made: list[Object] = []
        for entry in pod["spec"]["resourceClaims"]:
            if known[entry["name"]]:
                continue
            template = self.store.find(_TEMPLATES, namespace, entry["resourceClaimTemplateName"])
            if template is None:
                missing = entry["resourceClaimTemplateName"]
                why = f'resourceclaimtemplate.resource.k8s.io "{missing}" not found'
                told = f'PodResourceClaim {entry["name"]}: resource claim template "{missing}": {why}'
                record_event(self.store, pod, "Warning", "FailedResourceClaimCreation", told, "resource_claim")
                self._retry(pod, pause)
                continue
            claim = self.store.create(CLAIMS, _claim(pod, entry["name"], template))
            made.append({"name": entry["name"], "resourceClaimName": claim["metadata"]["name"]})
        if made:
            self.store.modify("pods", namespace, name, lambda new: _tell(new["status"], made))

    def _retry(self, pod: Object, pause: float) -> None:
        uid = pod["metadata"]["uid"]

        def again() -> None:
            del self._retries[uid]
            self._make(pod, min(2 * pause, _LONGEST_PAUSE))

        if uid in self._retries:
            self._retries[uid].cancel()
        self._retries[uid] = asyncio.get_running_loop().call_later(pause, again)

    def _release(self, namespace: str, uid: str) -> None:
        for stored in self.store.items(CLAIMS, namespace):
            users = stored.obj.get("status", {}).get("reservedFor", [])
            left = [one for one in users if one["uid"] != uid]
            if left != users:
                self.store.modify(CLAIMS, namespace, stored.name, lambda new, left=left: _reserve(new, left))  # type: ignore[misc]
            if not left and uid in _owners(stored.obj) and self.store.find(CLAIMS, namespace, stored.name):
                try:
                    self.store.delete(CLAIMS, namespace, stored.name)
                except StatusError as error:
                    if error.status != 404:
                        raise


def _done(pod: Object) -> bool:
    """Whether it is certain that no container of a pod runs or ever will, as where it is deleted without a node."""
    doomed = "deletionTimestamp" in pod["metadata"] and not pod["spec"].get("nodeName")
    return doomed or pod.get("status", {}).get("phase") in _ENDED


def _owners(claim: Object) -> set[str]:
    return {one["uid"] for one in claim["metadata"].get("ownerReferences", []) if one["kind"] == "Pod"}


def _claim(pod: Object, name: str, template: Object) -> Object:
    metadata = pod["metadata"]
    prefix = f"{metadata['name']}-{name}-"
    wanted = template["spec"].get("metadata", {})
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
    about: Object = {
        "name": prefix[:_GENERATED_NAME_BASE] + random_suffix(),
        "generateName": prefix,
        "namespace": metadata["namespace"],
        "annotations": {**wanted.get("annotations", {}), _POD_CLAIM: name},
        "ownerReferences": [owner],
    }
    if wanted.get("labels"):
        about["labels"] = dict(wanted["labels"])
    return {"metadata": about, "spec": clone(template["spec"]["spec"]), "status": {}}


def _tell(status: Object, made: list[Object]) -> None:
    known = [one for one in status.get("resourceClaimStatuses", []) if one["name"] not in {new["name"] for new in made}]
    status["resourceClaimStatuses"] = [*known, *made]


def _reserve(claim: Object, users: list[Object]) -> None:
    """A claim that nobody uses any more gives its devices back."""
    if users:
        claim["status"]["reservedFor"] = users
        return
    claim["status"] = {}
    finalizers = [one for one in claim["metadata"].get("finalizers", []) if one != PROTECTION]
    claim["metadata"].pop("finalizers", None)
    if finalizers:
        claim["metadata"]["finalizers"] = finalizers
