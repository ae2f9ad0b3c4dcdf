"""The live view: what the watch tells becomes pods, capacity, resolved waits and news for listeners."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_cluster import FakeCluster, node, pod, ready

from gpuspawner.catalog import Catalog, GPUClass, Offer
from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.view import View
from gpuspawner.cluster.wire import ApiError, UnreachableError

T4 = Offer(resource="nvidia.com/gpu", product=("Tesla-T4",))
A100 = Offer(resource="nvidia.com/gpu", product=("A100",))
CATALOG = Catalog(
    gpu_classes={
        "small": GPUClass(name="small", display_name="Small", accepts=(T4,)),
        "large": GPUClass(name="large", display_name="Large", accepts=(A100,)),
        "either": GPUClass(name="either", display_name="Either", accepts=(T4, A100)),
    },
    profiles={},
)
GONE = ApiError(410, "Expired", "too old")
FORBIDDEN = ApiError(403, "Forbidden", "nodes is forbidden")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def view(cluster: FakeCluster, clock: Clock) -> AsyncIterator[View]:
    view = View(cluster, "hub", {"gpuspawner/hub": "test"}, clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]
    yield view
    await view.close()


async def begun(view: View) -> View:
    view.start()
    async with asyncio.timeout(10):
        await view.started()
    return view


async def soon(awaitable: Any) -> Any:
    async with asyncio.timeout(10):
        return await awaitable


async def test_it_knows_own_pods_and_counts_foreign_ones(cluster: FakeCluster, view: View) -> None:
    cluster.set("nodes", node("t4-0"), tell=False)
    cluster.set("pods", pod("jupyter-a", node="t4-0", gpus=1), tell=False)
    cluster.set("pods", pod("training", node="t4-0", gpus=2, own=False), tell=False)
    await begun(view)
    assert set(view.pods) == {("hub", "jupyter-a")}
    assert view.pod("elsewhere", "training") is None
    assert view.pods["hub", "jupyter-a"].labels == {"gpuspawner/hub": "test"}
    capacity = view.capacity(CATALOG)
    assert (capacity.of(T4).free, capacity.of(T4).total) == (1, 4)
    assert (capacity.live, capacity.cluster_wide) == (True, True)
    assert view.unreachable is None


async def test_waiting_for_a_pod_ends_with_the_news_that_satisfies_it(cluster: FakeCluster, view: View) -> None:
    await begun(view)
    view.observe(cluster.set("pods", pod("a")))
    waiting = asyncio.create_task(view.wait_for("hub", "a", lambda p: p.ready))
    cluster.set("pods", pod("a", node="t4-0"))
    await cluster.quiet()
    assert not waiting.done()
    cluster.set("pods", ready("a"))
    record = await soon(waiting)
    assert (record.ip, record.node) == ("127.1.2.3", "t4-0")
    assert await view.wait_for("hub", "a", lambda p: p.ready) == record


async def test_waiting_for_a_pod_that_goes_or_was_never_there_ends_with_none(cluster: FakeCluster, view: View) -> None:
    await begun(view)
    assert await soon(view.wait_for("hub", "never", lambda p: p.ready)) is None
    view.observe(cluster.set("pods", pod("a")))
    waiting = asyncio.create_task(view.wait_for("hub", "a", lambda p: p.ready))
    await cluster.quiet()
    cluster.remove("pods", "hub", "a")
    assert await soon(waiting) is None


async def test_a_replaced_pod_is_gone_for_who_waits_for_the_earlier_one(cluster: FakeCluster, view: View) -> None:
    await begun(view)
    cluster.set("pods", pod("a", uid="one"))
    await cluster.quiet()
    waiting = asyncio.create_task(view.wait_for("hub", "a", lambda p: False, uid="one"))
    await asyncio.sleep(0)
    cluster.set("pods", pod("a", uid="two"))
    assert await soon(waiting) is None
    assert await soon(view.wait_for("hub", "a", lambda p: True, uid="one")) is None


async def test_an_error_in_a_predicate_goes_to_who_gave_it(cluster: FakeCluster, view: View) -> None:
    await begun(view)
    cluster.set("pods", pod("a"))
    await cluster.quiet()
    with pytest.raises(ZeroDivisionError):
        await view.wait_for("hub", "a", lambda p: bool(1 / 0))


async def test_a_cancelled_wait_leaves_nothing_behind(cluster: FakeCluster, view: View) -> None:
    await begun(view)
    cluster.set("pods", pod("a"))
    await cluster.quiet()
    waiting = asyncio.create_task(view.wait_for("hub", "a", lambda p: p.ready))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not view._waiters


async def test_a_new_pod_is_not_taken_for_its_predecessor_of_the_same_name(cluster: FakeCluster, view: View) -> None:
    cluster.set("pods", pod("a", uid="one"), tell=False)
    await begun(view)
    cluster.set("pods", pod("a", uid="one", node="t4-0"))  # not yet taken in when the new pod is created
    cluster.remove("pods", "hub", "a")
    created = cluster.set("pods", pod("a", uid="two"), tell=False)
    assert view.observe(created).uid == "two"
    waiting = asyncio.create_task(view.wait_for("hub", "a", lambda p: p.ready, uid="two"))
    await cluster.quiet()
    assert view.pods["hub", "a"].uid == "two"
    assert not waiting.done()
    cluster.set("pods", ready("a", uid="two"))
    assert (await soon(waiting)).uid == "two"


async def test_a_pod_observed_after_its_end_does_not_come_back(cluster: FakeCluster, view: View) -> None:
    await begun(view)
    created = cluster.set("pods", pod("a"))
    cluster.remove("pods", "hub", "a")
    await cluster.quiet()
    view.observe(created)
    assert view.pod("hub", "a") is None
    assert await soon(view.wait_for("hub", "a", lambda p: p.ready)) is None


async def test_a_pod_created_during_an_outage_and_gone_before_the_new_list_is_forgotten(
    cluster: FakeCluster, view: View
) -> None:
    await begun(view)
    view.observe(cluster.set("pods", pod("a"), tell=False))
    waiting = asyncio.create_task(view.wait_for("hub", "a", lambda p: p.ready))
    await asyncio.sleep(0)
    cluster.remove("pods", "hub", "a", tell=False)
    cluster.frame("pods", GONE)
    assert await soon(waiting) is None
    assert view.pod("hub", "a") is None


async def test_a_list_older_than_a_launch_does_not_end_the_launch(cluster: FakeCluster, view: View) -> None:
    await begun(view)
    view.observe(cluster.set("pods", pod("a"), tell=False, version=9000))
    cluster.version = 200  # the list is of a moment before the pod
    stored = cluster.objects["pods"].pop(("hub", "a"))
    cluster.frame("pods", GONE)
    cluster.set("pods", pod("other"))
    await cluster.quiet()
    waiting = asyncio.create_task(view.wait_for("hub", "a", lambda p: p.ready))
    await asyncio.sleep(0)
    assert not waiting.done()
    cluster.objects["pods"]["hub", "a"] = stored
    cluster.set("pods", ready("a"), version=9001)
    assert (await soon(waiting)).ready


async def test_the_last_of_a_pod_that_is_gone_is_remembered(cluster: FakeCluster, view: View) -> None:
    await begun(view)
    cluster.set("pods", pod("a", node="t4-0", reason="Evicted", phase="Failed"))
    cluster.remove("pods", "hub", "a")
    await cluster.quiet()
    assert view.pod("hub", "a") is None
    last = view.last("hub", "a")
    assert last is not None
    assert last.reason == "Evicted"
    cluster.set("pods", pod("a", uid="new"))
    await cluster.quiet()
    again = view.last("hub", "a")
    assert again is not None
    assert again.uid == "new"


async def test_no_more_than_a_thousand_lost_pods_are_remembered(cluster: FakeCluster, view: View) -> None:
    await begun(view)
    for number in range(1100):
        cluster.set("pods", pod(f"p{number}"))
        cluster.remove("pods", "hub", f"p{number}")
    await cluster.quiet()
    assert len(view._vanished) == 1000
    assert view.last("hub", "p1099") is not None
    assert not view._observed
    assert not view.pods


async def test_listeners_hear_of_all_pods_or_of_one_until_they_stop(cluster: FakeCluster, view: View) -> None:
    everything: list[tuple[str, bool]] = []
    only_a: list[tuple[str, bool]] = []

    def failing(record: PodRecord, gone: bool) -> None:
        raise RuntimeError

    view.on_pod(failing)
    view.on_pod(lambda record, gone: everything.append((record.name, gone)))
    stop = view.on_pod(lambda record, gone: only_a.append((record.phase, gone)), namespace="hub", name="a")
    await begun(view)
    cluster.set("pods", pod("a"))
    cluster.set("pods", pod("b"))
    cluster.set("pods", pod("foreign", own=False))
    cluster.remove("pods", "hub", "a")
    await cluster.quiet()
    assert everything == [("a", False), ("b", False), ("a", True)]
    assert only_a == [("Pending", False), ("Pending", True)]
    stop()
    cluster.set("pods", pod("a"))
    await cluster.quiet()
    assert len(only_a) == 2


async def test_pods_of_the_whole_cluster_fall_back_to_the_namespace(cluster: FakeCluster, view: View) -> None:
    cluster.failing["pods", None] = ApiError(403, "Forbidden", "pods is forbidden")
    cluster.set("pods", pod("a"), tell=False)
    cluster.set("pods", pod("foreign", own=False), tell=False)
    await begun(view)
    assert not view.cluster_wide
    assert not view.capacity(CATALOG).cluster_wide
    assert set(view.pods) == {("hub", "a")}
    assert view.unreachable is None


async def test_without_the_right_to_read_nodes_capacity_is_unknown_and_says_why(
    cluster: FakeCluster, view: View
) -> None:
    cluster.failing["nodes", None] = FORBIDDEN
    await begun(view)
    assert not view.capacity(CATALOG).live
    assert view.capacity_unknown == "nodes is forbidden"
    assert view.stock_for(view.observe(pod("a", gpus=1)), CATALOG, ["small"]) is None
    assert view.unreachable is None


async def test_an_outage_keeps_what_is_known_and_is_told_with_its_length(
    cluster: FakeCluster, view: View, clock: Clock
) -> None:
    cluster.set("nodes", node("t4-0"), tell=False)
    cluster.set("pods", pod("a", node="t4-0", gpus=1), tell=False)
    await begun(view)
    refused = asyncio.Event()

    async def stuck(seconds: float) -> None:
        if view.outage is not None:
            refused.set()
            await asyncio.Event().wait()

    view._pod_watch._sleep = stuck
    for _ in range(2):
        cluster.frame("pods", UnreachableError("connection refused"))
    await soon(refused.wait())
    clock.now += 75
    assert view.unreachable == "Kubernetes has not answered for 75 s: connection refused."
    assert view.pods["hub", "a"].node == "t4-0"
    assert view.capacity(CATALOG).of(T4).free == 3
    assert view.synced


async def test_a_bound_pod_belongs_to_the_class_of_its_node(cluster: FakeCluster, view: View) -> None:
    cluster.set("nodes", node("t4-0"), tell=False)
    cluster.set("nodes", node("big-0", "A100"), tell=False)
    await begun(view)
    on_t4 = view.observe(pod("a", node="t4-0", gpus=1))
    on_a100 = view.observe(pod("b", node="big-0", gpus=1))
    assert view.class_of(on_t4, CATALOG) == "small"
    assert view.class_of(on_a100, CATALOG) == "large"
    assert view.class_of(on_a100, CATALOG, ["either", "small"]) == "either"
    assert view.class_of(on_a100, CATALOG, ["small"]) is None
    assert view.class_of(view.observe(pod("c", gpus=1)), CATALOG) is None
    assert view.class_of(view.observe(pod("d", node="t4-0")), CATALOG) is None


async def test_the_stock_for_a_waiting_pod_names_its_classes_and_who_else_waits(
    cluster: FakeCluster, view: View
) -> None:
    cluster.set("nodes", node("t4-0"), tell=False)
    cluster.set("nodes", node("big-0", "A100", 8), tell=False)
    cluster.set("pods", pod("training", node="t4-0", gpus=4, own=False), tell=False)
    cluster.set("pods", pod("queued", gpus=1, own=False), tell=False)
    await begun(view)
    stock = view.stock_for(view.observe(pod("a", gpus=1)), CATALOG, ["small"])
    assert stock is not None
    assert (stock.title, stock.total, stock.free, stock.waiting, stock.most_on_a_node) == ("Small", 4, 0, 1, 4)
    both = view.stock_for(view.observe(pod("b", gpus=1)), CATALOG, ["small", "large"])
    assert both is not None
    assert (both.title, both.total, both.free) == ("Small or Large", 12, 8)


@pytest.mark.parametrize(("priority", "free"), [(-10, 4), (0, 2), (None, 2)])
async def test_a_placeholder_takes_nothing_as_long_as_it_would_give_way(
    cluster: FakeCluster, view: View, priority: int | None, free: int
) -> None:
    await begun(view)
    cluster.set("nodes", node("t4-0"))
    for name, where in (("placed", "t4-0"), ("pending", "")):
        placeholder = pod(name, node=where, gpus=2, own=False)
        placeholder["metadata"]["labels"]["gpuspawner/placeholder"] = "small"
        placeholder["spec"]["priority"] = priority
        cluster.set("pods", placeholder)
    await cluster.quiet()
    assert view.capacity(CATALOG).of(T4).free == free
    assert view.inventory.waiting("nvidia.com/gpu") == (free == 2)
    assert [found.name for found in view.all_pods()] == ([] if free == 4 else ["placed", "pending"])


async def test_foreign_pods_that_have_ended_take_no_place(cluster: FakeCluster, view: View) -> None:
    cluster.set("pods", pod("done", own=False, phase="Succeeded"), tell=False)
    await begun(view)
    cluster.set("pods", pod("ends", own=False, node="t4-0"))
    cluster.set("pods", pod("ends", own=False, phase="Failed"))
    await cluster.quiet()
    assert not view._foreign
