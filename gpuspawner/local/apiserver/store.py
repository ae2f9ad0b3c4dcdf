"""The engine's objects: resourceVersion, deletion with grace and finalizers, listeners, persistence."""

import builtins
import json
import os
import secrets
import uuid
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar, cast

from gpuspawner.local.apiserver.history import Change, History, Stored, Watch
from gpuspawner.local.apiserver.resources import BY_KEY
from gpuspawner.local.apiserver.status import StatusError

__all__ = ["Change", "Object", "StatusError", "Store", "Stored", "Watch", "clone", "random_suffix", "timestamp"]

Object = dict[str, Any]
Objects = list[Object]
Versions = list[Stored]
Listener = Callable[[str, str, Object], None]
_T = TypeVar("_T")

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_NOT_SAVED = frozenset({"pods", "events", "nodes", "resourceslices.resource.k8s.io"})
_RESTART_GAP = 1000  # versions a client may have seen after the last save are never given out again


def clone(value: _T) -> _T:
    """Return a deep copy of JSON data (several times faster than ``copy.deepcopy``)."""
    if isinstance(value, dict):
        copied = {key: clone(item) if isinstance(item, dict | list) else item for key, item in value.items()}
        return cast(_T, copied)
    if isinstance(value, list):
        return cast(_T, [clone(item) if isinstance(item, dict | list) else item for item in value])
    return value


def timestamp(moment: datetime) -> str:
    """Write a moment as ``metav1.Time`` does: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def random_suffix() -> str:
    """Return the five characters that ``generateName`` appends."""
    return "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(5))


def _now() -> datetime:
    return datetime.now(UTC)


def _spec_for_generation(obj: Object) -> Object:
    return {key: value for key, value in obj.get("spec", {}).items() if key != "nodeName"}


def _finalizers(resource: str, obj: Object) -> Any:
    if resource == "namespaces":
        return obj["metadata"].get("finalizers") or obj.get("spec", {}).get("finalizers")
    return obj["metadata"].get("finalizers")


class Store:
    """All objects of the engine, by resource, namespace and name.

    One event loop, no threads. What goes in and comes out is copied, except where a docstring says *shared*.
    Admission, defaults and validation are the API server's; the store keeps whatever it is given.

    Parameters
    ----------
    history
        How many changes of each resource a watch can go back.
    clock
        Tells the time; tests pass their own.
    """

    def __init__(self, *, history: int = 10_000, clock: Callable[[], datetime] = _now) -> None:
        self.clock = clock
        self.version = 1
        """The latest resourceVersion."""
        self.closed = False
        self._history_limit = history
        self._birth = self.version
        self._objects: dict[str, dict[tuple[str, str], Stored]] = {}
        self._histories: dict[str, History] = {}
        self._listeners: list[Listener] = []
        self._pending: deque[tuple[str, Change]] = deque()
        self._notifying = False

    def get(self, resource: str, namespace: str | None, name: str) -> Object:
        """Return one object; StatusError 404 if there is none."""
        return clone(self.stored(resource, namespace, name).obj)

    def find(self, resource: str, namespace: str | None, name: str) -> Object | None:
        """Return one object, *shared*, or None."""
        found = self._objects.get(resource, {}).get((namespace or "", name))
        return found.obj if found else None

    def stored(self, resource: str, namespace: str | None, name: str) -> Stored:
        """Return one object's stored version, *shared*; StatusError 404 if there is none."""
        found = self._objects.get(resource, {}).get((namespace or "", name))
        if found is None:
            raise StatusError.not_found(resource, name)
        return found

    def list(self, resource: str, namespace: str | None = None) -> tuple[Objects, int]:
        """Return the objects of one namespace (None: of all), ordered by namespace and name, and the version."""
        return [clone(stored.obj) for stored in self.items(resource, namespace)], self.version

    def items(self, resource: str, namespace: str | None = None) -> Versions:
        """Return the stored versions, *shared*, ordered by namespace and name."""
        objects = self._objects.get(resource, {})
        keys = sorted(objects if namespace is None else (key for key in objects if key[0] == namespace))
        return [objects[key] for key in keys]

    def dependents(self, uid: str) -> builtins.list[tuple[str, Stored]]:
        """Return, with their resources, the stored versions (*shared*) that name ``uid`` as an owner."""
        return [
            (resource, stored)
            for resource, objects in self._objects.items()
            for stored in tuple(objects.values())
            if any(owner.get("uid") == uid for owner in stored.obj["metadata"].get("ownerReferences", ()))
        ]

    def items_at(self, resource: str, namespace: str | None, version: int) -> Versions:
        """Return the stored versions as they were at an earlier version, *shared*; StatusError 410 if forgotten."""
        history = self._history(resource)
        if version < history.oldest:
            raise StatusError.expired(version, history.oldest)
        objects = dict(self._objects.get(resource, {}))
        for change in reversed(history.changes[bisect_right(history.changes, version, key=attrgetter("version")) :]):
            key = (change.new.namespace, change.new.name)
            if change.old is None:
                objects.pop(key, None)
            else:
                objects[key] = change.old
        return [objects[key] for key in sorted(objects) if namespace is None or key[0] == namespace]

    def create(self, resource: str, obj: Object, *, dry_run: bool = False) -> Object:
        """Add an object, with uid, resourceVersion, creationTimestamp and, from generateName, its name.

        StatusError 409 if the name is taken. A dry run keeps nothing and gives no resourceVersion.
        """
        new = clone(obj)
        metadata = new.setdefault("metadata", {})
        if not metadata.get("name"):
            metadata["name"] = metadata.get("generateName", "") + random_suffix()
        key = (metadata.get("namespace") or "", metadata["name"])
        if key in self._objects.get(resource, {}):
            raise StatusError.already_exists(resource, key[1])
        known = BY_KEY.get(resource)
        if known:
            new.setdefault("kind", known.kind)
            new.setdefault("apiVersion", known.api_version)
            if known.has_generation:
                metadata["generation"] = 1
        metadata["uid"] = metadata.get("uid") or str(uuid.uuid4())
        metadata["creationTimestamp"] = timestamp(self.clock())
        if dry_run:
            return new
        return clone(self._put(resource, "ADDED", new, None).obj)

    def update(self, resource: str, obj: Object, *, dry_run: bool = False) -> Object:
        """Replace an object. StatusError 404; 409 if ``metadata.resourceVersion`` or ``uid`` is given and differs.

        ``uid``, ``creationTimestamp`` and the deletion's fields stay as they are. An update that changes nothing
        makes no event. The last finalizer's removal ends a deletion.
        """
        metadata = obj["metadata"]
        old = self.stored(resource, metadata.get("namespace"), metadata["name"])
        return self._replace(resource, old, clone(obj), dry_run)

    def update_status(self, resource: str, namespace: str | None, name: str, status: Object) -> Object:
        """Replace an object's status."""
        old = self.stored(resource, namespace, name)
        return self._replace(resource, old, old.obj | {"status": clone(status)})

    def modify(self, resource: str, namespace: str | None, name: str, fn: Callable[[Object], None]) -> Object:
        """Read an object, let ``fn`` change it in place, and write it back."""
        new = self.get(resource, namespace, name)
        fn(new)
        return self._replace(resource, self.stored(resource, namespace, name), new)

    def delete(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Begin or finish a deletion and return the object as it then is.

        A pod that is bound to a node and has not ended keeps running for ``grace_seconds`` (its own
        terminationGracePeriodSeconds by default) with ``deletionTimestamp`` set, until `remove`. An object with
        finalizers stays until they are gone. Anything else is gone at once. StatusError 404, or 409 when ``uid`` or
        ``resource_version`` is given and differs.
        """
        old = self.stored(resource, namespace, name)
        self._check_preconditions(resource, old, uid, resource_version)
        if dry_run:
            return clone(old.obj)
        grace = self._grace(resource, old.obj, grace_seconds)
        if not grace and not _finalizers(resource, old.obj):
            return clone(self._drop(resource, old).obj)
        standing = old.obj["metadata"].get("deletionGracePeriodSeconds")
        begun = "deletionTimestamp" in old.obj["metadata"]
        if begun and (grace_seconds is None or standing is None or grace >= standing):
            return clone(old.obj)
        new = self._terminating(old.obj, grace)
        if resource == "namespaces":
            del new["metadata"]["deletionGracePeriodSeconds"]
            new["status"] = new.get("status", {}) | {"phase": "Terminating"}
        return clone(self._put(resource, "MODIFIED", new, old).obj)

    def remove(self, resource: str, namespace: str | None, name: str) -> None:
        """Finish a deletion now, as a kubelet does when the containers are gone; finalizers still hold the object."""
        old = self.stored(resource, namespace, name)
        metadata = old.obj["metadata"]
        standing = metadata.get("deletionGracePeriodSeconds")
        if standing or (metadata.get("finalizers") and "deletionTimestamp" not in metadata):
            old = self._put(resource, "MODIFIED", self._terminating(old.obj, 0), old)
        if not metadata.get("finalizers"):
            self._drop(resource, old)

    def watch(self, resource: str, namespace: str | None = None, since: int | None = None) -> Watch:
        """Follow the changes after version ``since``; without it, first every object as ``ADDED``.

        Nothing that happens after this call is missed. StatusError 410 when the history since then is gone.
        """
        history = self._history(resource)

        def current() -> int:
            return self.version

        if since is None:
            return Watch(history, namespace, self.items(resource, namespace), history.end, self.version, current)
        if since < history.oldest:
            raise StatusError.expired(since, history.oldest)
        index = bisect_right(history.changes, since, key=attrgetter("version"))
        return Watch(history, namespace, [], history.dropped + index, since, current)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(resource, type, object)`` after every change, in order; the object is *shared*.

        A listener may write to the store: what follows from that is told after the current change was told to all.
        Returns a function that ends the subscription.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def forget_history(self) -> None:
        """Forget all changes, so that watches from before now end with 410 (an apiserver's compaction)."""
        self._birth = self.version
        for history in self._histories.values():
            history.forget()
            history.oldest = self.version

    def close(self) -> None:
        """Let the watches that are served over HTTP end, because the server stops."""
        self.closed = True
        for history in self._histories.values():
            history.wake()

    def save(self, path: Path) -> None:
        """Write all but pods, events, nodes and their slices to a JSON file, atomically, readable by the owner only."""
        kept = {
            resource: [stored.obj for stored in self.items(resource)]
            for resource in self._objects
            if resource not in _NOT_SAVED
        }
        temporary = path.with_name(path.name + ".new")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump({"resourceVersion": self.version, "objects": kept}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Read what `save` wrote into this empty store; watches from before then end with 410."""
        data = json.loads(path.read_text(encoding="utf-8"))
        self.version = int(data["resourceVersion"]) + _RESTART_GAP
        self._birth = self.version
        self._histories.clear()
        for resource, objects in data["objects"].items():
            table = self._objects.setdefault(resource, {})
            for obj in objects:
                stored = Stored(obj)
                table[(stored.namespace, stored.name)] = stored

    def _history(self, resource: str) -> History:
        history = self._histories.get(resource)
        if history is None:
            history = self._histories[resource] = History(self._history_limit, self._birth)
        return history

    def _check_preconditions(self, resource: str, old: Stored, uid: str | None, version: str | None) -> None:
        metadata = old.obj["metadata"]
        for what, asked, actual in (
            ("UID", uid, metadata["uid"]),
            ("ResourceVersion", version, metadata["resourceVersion"]),
        ):
            if asked is not None and asked != actual:
                why = f"Precondition failed: {what} in precondition: {asked}, {what} in object meta: {actual}"
                raise StatusError.conflict(resource, old.name, why)

    def _grace(self, resource: str, obj: Object, asked: int | None) -> int:
        if resource != "pods" or not obj.get("spec", {}).get("nodeName"):
            return 0
        if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return 0
        grace = asked if asked is not None else obj["spec"].get("terminationGracePeriodSeconds", 30)
        return 1 if grace < 0 else int(grace)

    def _terminating(self, obj: Object, grace: int) -> Object:
        """A copy of an object that is being deleted, with this grace period from when its deletion began."""
        new = clone(obj)
        metadata = new["metadata"]
        begun, standing = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds") or 0
        if begun is None and "generation" in metadata:
            metadata["generation"] += 1
        start = self.clock() if begun is None else datetime.fromisoformat(begun) - timedelta(seconds=standing)
        metadata["deletionTimestamp"] = timestamp(start + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        return new

    def _replace(self, resource: str, old: Stored, new: Object, dry_run: bool = False) -> Object:
        before = old.obj["metadata"]
        metadata = new["metadata"] = dict(new["metadata"])
        asked = metadata.get("resourceVersion")
        if (asked and asked != before["resourceVersion"]) or metadata.get("uid", before["uid"]) != before["uid"]:
            raise StatusError.conflict(resource, old.name)
        kept = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
        for field in ("resourceVersion", *kept):
            metadata.pop(field, None)
            if field in before:
                metadata[field] = before[field]
        for field in ("kind", "apiVersion"):
            if field in old.obj:
                new.setdefault(field, old.obj[field])
        if "generation" in metadata and _spec_for_generation(new) != _spec_for_generation(old.obj):
            metadata["generation"] += 1
        if dry_run or new == old.obj:
            return clone(new)
        held = _finalizers(resource, new) or metadata.get("deletionGracePeriodSeconds")
        if "deletionTimestamp" in metadata and not held:
            return clone(self._drop(resource, Stored(new), old).obj)
        return clone(self._put(resource, "MODIFIED", new, old).obj)

    def _drop(self, resource: str, last: Stored, old: Stored | None = None) -> Stored:
        del self._objects[resource][(last.namespace, last.name)]
        gone = Stored(last.obj | {"metadata": dict(last.obj["metadata"])})
        self._record(resource, Change("DELETED", gone, old or last))
        return gone

    def _put(self, resource: str, type_: str, new: Object, old: Stored | None) -> Stored:
        stored = Stored(new)
        self._objects.setdefault(resource, {})[(stored.namespace, stored.name)] = stored
        self._record(resource, Change(type_, stored, old))
        return stored

    def _record(self, resource: str, change: Change) -> None:
        history = self._history(resource)
        self.version += 1
        change.new.obj["metadata"]["resourceVersion"] = str(self.version)
        history.append(change)
        self._pending.append((resource, change))
        if self._notifying:
            return
        self._notifying = True
        try:
            while self._pending:
                of, told = self._pending.popleft()
                for listener in tuple(self._listeners):
                    listener(of, told.type, told.new.obj)
        finally:
            self._notifying = False
