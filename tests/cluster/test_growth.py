"""A hub that runs for months: what comes and goes leaves nothing behind, and what is not the hub's costs nothing."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_cluster import FakeCluster, node, pod, ready
from test_event_feed import happening

from gpuspawner.cluster.event_feed import EventFeed
from gpuspawner.cluster.view import View

FOREIGN_EVENTS = 35_000
BATCH = 1000
KIB = 1024


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
async def view(cluster: FakeCluster) -> AsyncIterator[View]:
    cluster.set("nodes", node("t4-0"), tell=False)
    view = View(cluster, "hub", {"gpuspawner/hub": "test"})  # type: ignore[arg-type]
    view.start()
    async with asyncio.timeout(10):
        await view.started()
    yield view
    await view.close()


@pytest.fixture
def traced() -> Any:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def held() -> int:
    """Bytes that Python objects hold now."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def one_life(cluster: FakeCluster, view: View, name: str) -> None:
    """A server that is launched, becomes ready, and is stopped."""
    view.observe(cluster.set("pods", pod(name, gpus=1)))
    waiting = asyncio.create_task(view.wait_for("hub", name, lambda record: record.ready))
    stop = view.on_pod(lambda record, gone: None, namespace="hub", name=name)
    cluster.set("pods", ready(name, gpus=1))
    assert (await waiting) is not None
    stop()
    going = asyncio.create_task(view.wait_for("hub", name, lambda record: False))
    cluster.remove("pods", "hub", name)
    assert (await going) is None


async def test_three_thousand_servers_of_as_many_names_leave_nothing_behind(
    cluster: FakeCluster, view: View, traced: None
) -> None:
    for number in range(1500):  # as many as are remembered, and more
        await one_life(cluster, view, f"jupyter-{number:05}")
    before = held()
    for number in range(1500, 3000):
        await one_life(cluster, view, f"jupyter-{number:05}")
    assert held() - before < 200 * KIB
    assert not view.pods
    assert not view._waiters
    assert not view._listeners
    assert not view._observed
    assert not view._pod_watch._known
    assert view.inventory.used("t4-0") == {}


async def test_pods_of_others_that_come_and_go_leave_nothing_behind(
    cluster: FakeCluster, view: View, traced: None
) -> None:
    async def come_and_go(first: int) -> None:
        for number in range(first, first + BATCH):
            cluster.set("pods", pod(f"job-{number:05}", own=False, node="t4-0", gpus=1))
            cluster.remove("pods", "elsewhere", f"job-{number:05}")
        await cluster.quiet()

    await come_and_go(0)
    before = held()
    for first in range(1, 5):
        await come_and_go(first * BATCH)
    assert held() - before < 100 * KIB
    assert not view._foreign
    assert not view._vanished, "only the hub's own are remembered"


async def test_thirty_five_thousand_foreign_events_cost_no_memory(cluster: FakeCluster, traced: None) -> None:
    feed = EventFeed(cluster)  # type: ignore[arg-type]

    async def pour(first: int) -> None:
        for number in range(first, first + BATCH):
            raw = happening(f"event-{number:06}", f"crawler-{number:06}", "BackOff")
            raw["metadata"]["resourceVersion"] = str(1000 + number)
            cluster.frame("events", {"type": "ADDED", "object": raw})
        await cluster.quiet()

    with feed.follow("hub", "jupyter-ada") as follower:
        async with asyncio.timeout(10):
            await cluster.watched.wait()
        await pour(0)
        before = held()
        for first in range(BATCH, FOREIGN_EVENTS, BATCH):
            await pour(first)
        assert held() - before < 100 * KIB
        assert follower.events == ()
        cluster.set("events", happening("mine", "jupyter-ada"))
        await cluster.quiet()
        assert [event.reason for event in follower.events] == ["Pulling"]
    assert not feed._followers
    await feed.close()


async def test_what_happened_to_a_server_is_kept_only_while_it_starts(cluster: FakeCluster, traced: None) -> None:
    feed = EventFeed(cluster)  # type: ignore[arg-type]

    async def launches(first: int) -> None:
        for number in range(first, first + 200):
            with feed.follow("hub", f"jupyter-{number}") as follower:
                cluster.frame("events", {"type": "ADDED", "object": happening(f"e{number}", f"jupyter-{number}")})
                async with asyncio.timeout(10):
                    await cluster.watched.wait()
                await cluster.quiet()
                assert len(follower.events) == 1

    await launches(0)
    before = held()
    for first in range(200, 1000, 200):
        await launches(first)
    assert held() - before < 100 * KIB
    assert feed.open == 1
    await feed.close()
