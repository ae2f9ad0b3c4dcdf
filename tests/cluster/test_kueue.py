"""Places in Kueue's queue: as its API tells them, and how often it is asked."""

from typing import Any

import pytest
from fake_cluster import pod

from gpuspawner.cluster.kueue import Kueue, places
from gpuspawner.cluster.outlook import Outlook
from gpuspawner.cluster.records import PodRecord, pod_record
from gpuspawner.cluster.wire import ApiError, UnreachableError


def workload(uid: str, place: int, kind: str = "Pod") -> dict[str, Any]:
    """One item of a PendingWorkloadsSummary."""
    owner = {"apiVersion": "v1", "kind": kind, "name": f"of-{uid}", "uid": uid}
    metadata = {"name": f"{kind.lower()}-{uid}", "namespace": "jupyter", "ownerReferences": [owner]}
    positions = {"positionInClusterQueue": place, "positionInLocalQueue": 0}
    return {"metadata": metadata, "priority": 0, "localQueueName": "teaching", **positions}


class Queues:
    """Stands in for the client: what it answers, and how often it was asked."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.answer: dict[str, Any] | Exception = {"kind": "PendingWorkloadsSummary", "items": list(items)}
        self.asked: list[tuple[str, str]] = []

    async def pending_workloads(self, namespace: str, queue: str) -> dict[str, Any]:
        self.asked.append((namespace, queue))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def waiting(uid: str = "uid-a", queue: str | None = "teaching") -> PodRecord:
    """A pod that Kueue has not admitted."""
    raw = pod("a")
    raw["metadata"] |= {"uid": uid, "namespace": "jupyter"}
    raw["metadata"].setdefault("labels", {}).update({} if queue is None else {"kueue.x-k8s.io/queue-name": queue})
    return pod_record(raw, own=True)


def test_a_place_counts_who_is_ahead_in_the_whole_cluster_queue():
    found = places({"items": [workload("a", 0), workload("b", 3), workload("c", 1, "Job"), {"metadata": {}}]})
    assert found == {"a": 0, "b": 3}
    assert places({}) == {}


async def test_one_answer_serves_all_pods_of_a_queue_for_a_quarter_of_a_minute():
    queues, clock = Queues(workload("uid-a", 2), workload("uid-b", 0)), Clock()
    kueue = Kueue(queues, clock)  # type: ignore[arg-type]
    assert await kueue.outlook(waiting("uid-a")) == Outlook(2)
    assert await kueue.outlook(waiting("uid-b")) == Outlook(0)
    assert await kueue.outlook(waiting("uid-c")) is None
    assert queues.asked == [("jupyter", "teaching")]
    queues.answer = {"items": [workload("uid-a", 1)]}
    clock.now += 16
    assert await kueue.outlook(waiting("uid-a")) == Outlook(1)


async def test_a_pod_without_a_queue_asks_nobody():
    queues = Queues()
    assert await Kueue(queues).outlook(waiting(queue=None)) is None  # type: ignore[arg-type]
    assert queues.asked == []


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (ApiError(404, "NotFound", "no such API"), 600),
        (ApiError(403, "Forbidden", "no"), 600),
        (UnreachableError("x"), 15),
    ],
)
async def test_a_queue_that_cannot_be_read_is_left_alone_for_a_while(error, pause):
    queues, clock = Queues(workload("uid-a", 2)), Clock()
    answer, queues.answer = queues.answer, error
    kueue = Kueue(queues, clock)  # type: ignore[arg-type]
    assert await kueue.outlook(waiting()) is None
    queues.answer = answer
    clock.now += pause - 1
    assert await kueue.outlook(waiting()) is None
    clock.now += 2
    assert await kueue.outlook(waiting()) == Outlook(2)
