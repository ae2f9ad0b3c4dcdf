"""Events of starting pods: one watch for all of them, open only while somebody starts, and nothing kept after."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_cluster import FakeCluster
from scripted_apiserver import ScriptedServer, event, listing, stream

from gpuspawner.cluster.client import Client
from gpuspawner.cluster.event_feed import EventFeed
from gpuspawner.cluster.wire import ApiError, UnreachableError


def happening(name: str, pod: str, reason: str = "Pulling", count: int = 1, kind: str = "Pod") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "hub"},
        "involvedObject": {"kind": kind, "name": pod, "uid": f"uid-{pod}"},
        "reason": reason,
        "message": f"{reason} of {pod}",
        "count": count,
        "lastTimestamp": "2026-11-21T05:00:00Z",
    }


class Pauses:
    """Pauses that last until a test lets them pass."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.passing = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.passing.wait()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def feed(cluster: FakeCluster, pauses: Pauses) -> AsyncIterator[EventFeed]:
    feed = EventFeed(cluster, sleep=pauses.sleep, chance=lambda: 0.0)  # type: ignore[arg-type]
    yield feed
    await feed.close()


async def watched(cluster: FakeCluster) -> None:
    async with asyncio.timeout(10):
        await cluster.watched.wait()


async def test_many_launches_share_one_list_of_one_event_and_one_watch(cluster: FakeCluster, feed: EventFeed) -> None:
    for number in range(1000):
        cluster.set("events", happening(f"old{number}", "a"), tell=False)
    with feed.follow("hub", "a") as a, feed.follow("hub", "b") as b:
        await watched(cluster)
        cluster.set("events", happening("e1", "a"))
        cluster.set("events", happening("e2", "b", "Scheduled"))
        cluster.set("events", happening("e3", "somebody-else"))
        cluster.set("events", happening("e4", "a", kind="PersistentVolumeClaim"))
        await cluster.quiet()
        assert [e.reason for e in a.events] == ["Pulling"]
        assert [e.reason for e in b.events] == ["Scheduled"]
        assert feed.open == 1
    assert cluster.calls == [("list", "events", "hub"), ("watch", "events", "hub")]


async def test_a_repeated_event_is_told_again_and_kept_once(cluster: FakeCluster, feed: EventFeed) -> None:
    told: list[int] = []
    with feed.follow("hub", "a", lambda: told.append(1)) as follower:
        await watched(cluster)
        for count in range(1, 4):
            cluster.set("events", happening("e1", "a", "BackOff", count))
        await cluster.quiet()
        assert [e.count for e in follower.events] == [3]
        assert len(told) == 3


async def test_a_pod_keeps_at_most_fifty_events(cluster: FakeCluster, feed: EventFeed) -> None:
    with feed.follow("hub", "a") as follower:
        await watched(cluster)
        for number in range(80):
            cluster.set("events", happening(f"e{number}", "a"))
        await cluster.quiet()
        assert len(follower.events) == 50
        assert follower.events[-1].name == "e79"


async def test_the_watch_closes_some_time_after_the_last_launch(
    cluster: FakeCluster, feed: EventFeed, pauses: Pauses
) -> None:
    with feed.follow("hub", "a"):
        await watched(cluster)
    assert feed.open == 1
    (closing,) = feed._closings.values()
    pauses.passing.set()
    await closing
    assert feed.open == 0
    assert pauses.asked == [30.0]
    assert not feed._followers


async def test_a_launch_soon_after_another_finds_the_watch_still_open(
    cluster: FakeCluster, feed: EventFeed, pauses: Pauses
) -> None:
    with feed.follow("hub", "a"):
        await watched(cluster)
    with feed.follow("hub", "b") as b:
        cluster.set("events", happening("e1", "b"))
        pauses.passing.set()  # the end of the first launch must not close it for the second
        for _ in range(3):
            await asyncio.sleep(0)
        cluster.set("events", happening("e2", "b"))
        await cluster.quiet()
        assert len(b.events) == 2
    assert len(cluster.calls) == 2


@pytest.mark.parametrize(
    "trouble",
    [
        ApiError(410, "Expired", "too old"),
        ApiError(403, "Forbidden", "no"),
        UnreachableError("away"),
        RuntimeError("bug"),
    ],
)
async def test_trouble_with_events_never_reaches_the_launch(
    cluster: FakeCluster, feed: EventFeed, pauses: Pauses, trouble: Exception
) -> None:
    pauses.passing.set()
    with feed.follow("hub", "a") as follower:
        await watched(cluster)
        cluster.frame("events", trouble)
        cluster.set("events", happening("e1", "a"))
        await cluster.quiet()
        assert len(follower.events) == 1


async def test_a_server_whose_history_began_anew_is_listed_again(server: ScriptedServer, client: Client) -> None:
    """Recorded: a watch from a version in the future is granted and ends without a word."""
    server.on("list", "events", listing(version="9000"), listing(version="5"))
    server.on("watch", "events", stream(end="close"), stream(event("ADDED", happening("e1", "a"))))
    told = asyncio.Event()
    feed = EventFeed(client, sleep=lambda seconds: asyncio.sleep(0))
    with feed.follow("hub", "a", told.set) as follower:
        async with asyncio.timeout(10):
            await told.wait()
        assert [one.reason for one in follower.events] == ["Pulling"]
    assert [seen.query["resourceVersion"] for seen in server.asked("watch", "events")] == ["9000", "5"]
    await feed.close()
