"""One event in its two shapes: core ``v1`` (how the store keeps it) and ``events.k8s.io/v1``."""

from typing import Any

__all__ = ["from_events_group", "to_events_group"]

Object = dict[str, Any]
_RENAMED = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_BACK = {new: old for old, new in _RENAMED.items()}


def to_events_group(event: Object) -> Object:
    """Return a core event as ``events.k8s.io/v1``."""
    return {_RENAMED.get(key, key): value for key, value in event.items()} | {"apiVersion": "events.k8s.io/v1"}


def from_events_group(event: Object) -> Object:
    """Return an ``events.k8s.io/v1`` event as a core one."""
    return {_BACK.get(key, key): value for key, value in event.items()} | {"apiVersion": "v1"}
