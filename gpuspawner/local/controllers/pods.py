"""Pods from templates: made in the name of their owner, counted, and sorted by who is missed least."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from gpuspawner.local.apiserver.events import record_event
from gpuspawner.local.apiserver.operations import DeleteOptions, Operations, WriteOptions
from gpuspawner.local.apiserver.resources import BY_KEY
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Object, Store, clone, random_suffix, timestamp

__all__ = [
    "Pods",
    "available_in",
    "controller_of",
    "controller_reference",
    "is_active",
    "is_ready",
    "ready_since",
    "scaled",
    "template_hash",
]

_ENDED = ("Succeeded", "Failed")
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_NAME_BASE = 58
_PODS = BY_KEY["pods"]


def template_hash(template: Object) -> str:
    """Return ten letters and digits that stand for a pod template, safe in names and labels."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:10])


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference of the controller that manages an object."""
    owners: list[Object] = obj["metadata"].get("ownerReferences", [])
    return next((owner for owner in owners if owner.get("controller")), None)


def controller_reference(owner: Object) -> Object:
    """Return the reference by which an object belongs to its controller."""
    metadata = owner["metadata"]
    who = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return who | {"controller": True, "blockOwnerDeletion": True}


def is_active(pod: Object) -> bool:
    """Whether a pod runs or may yet run."""
    return pod.get("status", {}).get("phase") not in _ENDED and "deletionTimestamp" not in pod["metadata"]


def ready_since(pod: Object) -> datetime | None:
    """Return when a pod became ready; None while it is not."""
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] == "True":
            when = condition.get("lastTransitionTime")
            return datetime.fromisoformat(when) if when else datetime.fromtimestamp(0, UTC)
    return None


def is_ready(pod: Object) -> bool:
    """Whether a pod is ready and not about to go."""
    return is_active(pod) and ready_since(pod) is not None


def available_in(pod: Object, least_seconds: int, now: datetime) -> float | None:
    """Return in how many seconds a pod counts as available, 0 if it does now; None while it is not ready."""
    since = ready_since(pod) if is_active(pod) else None
    if since is None:
        return None
    return max(0.0, least_seconds - (now - since).total_seconds()) if least_seconds else 0.0


def scaled(value: Any, total: int, *, up: bool) -> int:
    """Return a number or a percentage of ``total``, rounded up or down (``intstr.GetScaledValueFromIntOrPercent``)."""
    if isinstance(value, int):
        return value
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    share = int(text[:-1]) * total
    return -(-share // 100) if up else share // 100


class Pods:
    """Makes and deletes the pods of one kind of controller, through the API's admission as a client does.

    Parameters
    ----------
    component
        Name of the controller in events and as field manager, such as ``replicaset-controller``.
    """

    def __init__(self, store: Store, component: str) -> None:
        self._store = store
        self._component = component
        self._operations = Operations(store)

    def owned(self, owner: Object) -> list[Object]:
        """Return the pods (*shared*) that an object controls, ordered by name."""
        uid, namespace = owner["metadata"]["uid"], owner["metadata"]["namespace"]
        found = (stored.obj for stored in self._store.items("pods", namespace))
        return [pod for pod in found if (controller_of(pod) or {}).get("uid") == uid]

    def create(self, owner: Object, template: Object, **metadata: Any) -> Object:
        """Make a pod from a template.

        ``metadata`` adds to the template's (labels, annotations, finalizers) or names the pod. StatusError, after an
        event ``FailedCreate``, where admission or validation refuses.
        """
        of_owner = owner["metadata"]
        base = clone(template.get("metadata", {}))
        about = {key: clone(value) for key, value in base.items() if key in ("labels", "annotations", "finalizers")}
        for key, value in metadata.items():
            about[key] = {**about.get(key, {}), **value} if isinstance(value, dict) else value
        about.setdefault("name", f"{of_owner['name'][: _NAME_BASE - 1]}-{random_suffix()}")
        about |= {"namespace": of_owner["namespace"], "ownerReferences": [controller_reference(owner)]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": clone(template["spec"])}
        options = WriteOptions(field_validation="Ignore", field_manager=self._component)
        try:
            pod = self._operations.create(_PODS, of_owner["namespace"], body, options)
        except StatusError as error:
            self.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return pod

    def delete(self, owner: Object, pod: Object) -> None:
        """Delete a pod; no trouble if it is gone already."""
        metadata = pod["metadata"]
        try:
            options = DeleteOptions(uid=metadata["uid"])
            self._operations.delete(_PODS, metadata["namespace"], metadata["name"], options)
        except StatusError as error:
            if error.status not in (404, 409):
                raise
            return
        self.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {metadata['name']}")

    def event(self, owner: Object, type_: str, reason: str, message: str) -> None:
        """Record an event about the owner."""
        record_event(self._store, owner, type_, reason, message, self._component)

    def set_status(self, resource: str, obj: Object, status: Object) -> None:
        """Write the status of an object that is still there, if it changed."""
        metadata = obj["metadata"]
        found = self._store.find(resource, metadata["namespace"], metadata["name"])
        if found is not None and found["metadata"]["uid"] == metadata["uid"] and found.get("status") != status:
            self._store.update_status(resource, metadata["namespace"], metadata["name"], status)

    def now(self) -> str:
        """Return the time as the API writes it."""
        return timestamp(self._store.clock())

    @staticmethod
    def least_missed(pods: Iterable[Object]) -> list[Object]:
        """Return pods in the order in which a workload that shrinks gives them up: least useful first."""

        def usefulness(pod: Object) -> tuple[bool, bool, bool, str, str]:
            status, metadata = pod.get("status", {}), pod["metadata"]
            bound, running = bool(pod["spec"].get("nodeName")), status.get("phase") == "Running"
            ready = ready_since(pod)
            age = ready.isoformat() if ready else metadata["creationTimestamp"]
            return bound, running, ready is not None, _reversed(age), metadata["name"]

        return sorted(pods, key=usefulness)


def _reversed(text: str) -> str:
    """A text that sorts the other way round: of two pods the younger goes first."""
    return "".join(chr(0x10FFFF - ord(character)) for character in text)
