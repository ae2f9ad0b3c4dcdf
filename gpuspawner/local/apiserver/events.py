"""Events as the scheduler and the kubelet record them, repeats counted in one object."""

import time
from collections import OrderedDict
from datetime import UTC
from typing import Any
from weakref import WeakKeyDictionary

from gpuspawner.local.apiserver.store import Object, StatusError, Store, timestamp

__all__ = ["EVENT_TTL", "record_event"]

EVENT_TTL = 3600.0
"""Seconds after its last repeat that an event is forgotten (kube-apiserver's ``--event-ttl``)."""

_ACTIONS = {"Scheduled": "Binding", "FailedScheduling": "Scheduling", "Preempted": "Preempting"}
_Key = tuple[str, ...]


class _Seen:
    """The events of one store by what makes two events the same, the least recently repeated first."""

    def __init__(self) -> None:
        self.names: OrderedDict[_Key, tuple[str, str, float]] = OrderedDict()
        self.last_stamp = 0

    def stamp(self) -> int:
        """Nanoseconds since 1970, never the same twice: event names end with it."""
        self.last_stamp = max(time.time_ns(), self.last_stamp + 1)
        return self.last_stamp

    def expired(self, now: float) -> list[tuple[str, str]]:
        gone = []
        while self.names:
            key, (namespace, name, when) = next(iter(self.names.items()))
            if now - when < EVENT_TTL:
                break
            del self.names[key]
            gone.append((namespace, name))
        return gone


_SEEN: WeakKeyDictionary[Store, _Seen] = WeakKeyDictionary()


def record_event(
    store: Store,
    obj: Object,
    type_: str,
    reason: str,
    message: str,
    component: str,
    *,
    host: str = "",
    field_path: str = "",
) -> Object:
    """Record an event about an object and return it; the same event again only raises its count.

    Parameters
    ----------
    store
        Where the event is kept.
    obj
        The object that it is about: a pod, a claim or a node.
    type_
        ``Normal`` or ``Warning``.
    reason, message
        As ``kubectl get events`` shows them.
    component
        ``default-scheduler`` (recorded in the events.k8s.io shape), ``kubelet`` or another controller.
    host
        The node that a kubelet speaks for.
    field_path
        The container that it is about, such as ``spec.containers{notebook}``.
    """
    seen = _SEEN.setdefault(store, _Seen())
    now = store.clock()
    for namespace, name in seen.expired(now.timestamp()):
        _forget(store, namespace, name)
    metadata = obj["metadata"]
    key = (metadata["uid"], type_, reason, message, component, host, field_path)
    known = seen.names.get(key)
    if known is not None and store.find("events", known[0], known[1]) is not None:
        seen.names[key] = (known[0], known[1], now.timestamp())
        seen.names.move_to_end(key)
        return store.modify("events", known[0], known[1], lambda event: _repeat(event, now))
    event = _event(obj, type_, reason, message, component, host, field_path, now, seen.stamp())
    created = store.create("events", event)
    place = created["metadata"]
    seen.names[key] = (place["namespace"], place["name"], now.timestamp())
    seen.names.move_to_end(key)
    return created


def _forget(store: Store, namespace: str, name: str) -> None:
    try:
        store.delete("events", namespace, name)
    except StatusError as error:
        if error.status != 404:
            raise


def _micro(moment: Any) -> str:
    return str(moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def _repeat(event: Object, now: Any) -> None:
    if event.get("eventTime"):
        series = event.setdefault("series", {"count": 1})
        series["count"] += 1
        series["lastObservedTime"] = _micro(now)
    else:
        event["count"] += 1
        event["lastTimestamp"] = timestamp(now)


def _event(
    obj: Object, type_: str, reason: str, message: str, component: str, host: str, field_path: str, now: Any, stamp: int
) -> Object:
    metadata = obj["metadata"]
    involved = {
        "kind": obj.get("kind", "Pod"),
        "namespace": metadata.get("namespace"),
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": obj.get("apiVersion", "v1"),
        "resourceVersion": metadata.get("resourceVersion"),
        "fieldPath": field_path,
    }
    namespace = metadata.get("namespace") or "default"
    event: Object = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": f"{metadata['name']}.{stamp:x}", "namespace": namespace},
        "involvedObject": {field: value for field, value in involved.items() if value},
        "reason": reason,
        "message": message,
    }
    if component == "default-scheduler":
        event |= {"source": {}, "firstTimestamp": None, "lastTimestamp": None, "type": type_}
        event |= {"eventTime": _micro(now), "action": _ACTIONS.get(reason, reason)}
        return event | {"reportingComponent": component, "reportingInstance": f"{component}-local"}
    source = {"component": component} | ({"host": host} if host else {})
    event |= {"source": source, "firstTimestamp": timestamp(now), "lastTimestamp": timestamp(now), "count": 1}
    return event | {
        "type": type_,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": host,
    }
