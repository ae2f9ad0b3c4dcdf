"""Events are recorded once and repeats are counted."""

from datetime import UTC, datetime, timedelta

from gpuspawner.local.apiserver.events import EVENT_TTL, record_event
from gpuspawner.local.apiserver.store import Store

POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "alice", "namespace": "demo", "uid": "u-1", "resourceVersion": "7"},
}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_a_kubelet_counts_an_event_that_comes_again() -> None:
    clock = Clock()
    store = Store(clock=clock)
    for _ in range(3):
        record_event(store, POD, "Warning", "BackOff", "again", "kubelet", host="n", field_path="spec.containers{c}")
        clock.now += timedelta(seconds=5)
    record_event(store, POD, "Warning", "BackOff", "something else", "kubelet", host="n")
    first, second = sorted((stored.obj for stored in store.items("events")), key=lambda event: -event["count"])
    assert (first["count"], second["count"]) == (3, 1)
    assert (first["firstTimestamp"], first["lastTimestamp"]) == ("2026-11-21T05:00:00Z", "2026-11-21T05:00:10Z")
    assert first["source"] == {"component": "kubelet", "host": "n"}
    assert first["involvedObject"]["fieldPath"] == "spec.containers{c}"
    assert first["metadata"]["name"].startswith("alice.")


def test_a_scheduler_keeps_a_series() -> None:
    store = Store()
    for _ in range(2):
        record_event(store, POD, "Warning", "FailedScheduling", "no room", "default-scheduler")
    (event,) = [stored.obj for stored in store.items("events")]
    assert event["series"]["count"] == 2
    assert event["firstTimestamp"] is None
    assert event["action"] == "Scheduling"


def test_an_event_that_a_client_deleted_comes_anew() -> None:
    store = Store()
    first = record_event(store, POD, "Normal", "Pulled", "there", "kubelet")
    store.delete("events", "demo", first["metadata"]["name"])
    again = record_event(store, POD, "Normal", "Pulled", "there", "kubelet")
    assert again["count"] == 1
    assert again["metadata"]["name"] != first["metadata"]["name"]


def test_events_are_forgotten_after_an_hour() -> None:
    clock = Clock()
    store = Store(clock=clock)
    record_event(store, POD, "Normal", "Old", "old", "kubelet")
    clock.now += timedelta(seconds=EVENT_TTL - 1)
    record_event(store, POD, "Normal", "Young", "young", "kubelet")
    assert len(store.items("events")) == 2
    clock.now += timedelta(seconds=2)
    record_event(store, POD, "Normal", "Now", "now", "kubelet")
    assert sorted(stored.obj["reason"] for stored in store.items("events")) == ["Now", "Young"]
