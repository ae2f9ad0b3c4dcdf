"""A hub whose Kubernetes API goes away for minutes: while servers run, start and stop, and while the hub itself starts.

Time is passed in: all timers of the event loop, JupyterHub's polls and time-outs included, go by the test's clock.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from line import Line
from passing_time import PassingTime
from running_hub import RunningHub

from gpuspawner.cluster.events import Phase
from gpuspawner.launcher import Launcher
from gpuspawner.local.engine import Engine

GPU = {"profile": "pytorch", "gpu_class": "small", "gpus": 1}
LONGEST_PAUSE = 10.0
HALF_OPEN = 150.0  # until a silent watch is noticed, and what was asked on dead connections is given up
StartHub = Callable[..., Awaitable[RunningHub]]


@pytest.fixture
async def line(engine: Engine) -> AsyncIterator[Line]:
    line = Line(int(engine.url.rpartition(":")[2]))
    await line.mend()
    yield line
    await line.cut()


@pytest.fixture
async def time() -> PassingTime:
    return PassingTime(asyncio.get_running_loop())


@pytest.fixture
async def start_far_hub(engine: Engine, line: Line, start_gpu_hub: StartHub, tmp_path: Path) -> StartHub:
    """Start a hub that reaches the engine by the line only."""

    async def start(**changes: Any) -> RunningHub:
        engine.write_kubeconfig(tmp_path / "direct")
        line.write_kubeconfig(tmp_path / "direct", tmp_path / "by-line")
        return await start_gpu_hub(connect={"kubeconfig": str(tmp_path / "by-line")}, **changes)

    return start


def launcher_of(hub: RunningHub) -> Launcher:
    return hub.app.tornado_settings["gpuspawner_launcher"]


def begin(hub: RunningHub, user: str, options: dict[str, Any] | None = None) -> asyncio.Task[Any]:
    return asyncio.create_task(hub.api("POST", f"users/{user}/server", json=GPU if options is None else options))


async def running(hub: RunningHub, user: str, options: dict[str, Any] | None = None) -> None:
    """Start a server and wait until JupyterHub calls it ready."""
    await hub.login(user, "x")
    answer = await begin(hub, user, options)
    assert answer.status in (201, 202), await answer.text()
    await spawned(hub, user)
    assert hub.user(user).spawner.ready


async def spawned(hub: RunningHub, user: str) -> None:
    future = hub.user(user).spawner._spawn_future
    if future:
        await asyncio.wait({future})


def pod_of(engine: Engine, user: str) -> dict[str, Any] | None:
    return engine.store.find("pods", "default", f"jupyter-{user}")


def uid_of(engine: Engine, user: str) -> str:
    pod = pod_of(engine, user)
    assert pod is not None
    return pod["metadata"]["uid"]


def waits(hub: RunningHub, user: str) -> bool:
    """Whether a launch has its pod and waits for a node."""
    feed = hub.user(user).spawner._launch_feed
    return feed is not None and any(step.phase is Phase.WAITING for step in feed._steps)


async def told_until(hub: RunningHub, user: str, words: str) -> str:
    """The first sentence of a launch that has these words."""
    async with asyncio.timeout(3600):
        async for step in hub.user(user).spawner._launch_feed:
            if words in step.message:
                return step.message
    raise AssertionError(f"the launch ended without a word of {words!r}")


@pytest.mark.parametrize("seconds", [10, 60, 300])
@pytest.mark.parametrize("fault", [Line.cut, Line.deaden])
async def test_servers_outlive_an_outage_and_the_next_launch_works(
    start_far_hub: StartHub, engine: Engine, line: Line, time: PassingTime, fault: Any, seconds: int
) -> None:
    hub = await start_far_hub()
    await running(hub, "ada")
    launcher, uid = launcher_of(hub), uid_of(engine, "ada")
    await fault(line)
    await time.pass_(seconds)
    spawner = hub.user("ada").spawner
    assert await spawner.poll() is None
    assert spawner.ready
    person = await hub.login("bob", "x")
    assert (await person.get("home")).status == 200, "the hub serves its pages"
    assert launcher.capacity().free(launcher.settings.catalog.gpu_classes["small"]) == 1, "the last knowledge stays"
    await line.mend()
    await time.pass_until(lambda: launcher.view.unreachable is None, within=HALF_OPEN)
    answering = begin(hub, "bob")
    await time.pass_until(lambda: hub.user("bob").spawner.ready, within=HALF_OPEN)
    assert (await answering).status in (201, 202)
    assert spawner.ready
    assert uid_of(engine, "ada") == uid
    assert launcher.capacity().free(launcher.settings.catalog.gpu_classes["small"]) == 0


async def test_a_launch_during_an_outage_says_what_is_wrong_and_leaves_nothing(
    start_far_hub: StartHub, engine: Engine, line: Line, time: PassingTime
) -> None:
    hub = await start_far_hub()
    await running(hub, "ada")
    await hub.login("bob", "x")
    await line.cut()
    await time.pass_(75)
    answering = begin(hub, "bob")
    took = await time.pass_until(answering.done, within=15)
    answer = await answering
    message = (await answer.json())["message"]
    assert answer.status in (424, 503), message  # 5.5 counts 503 as a failure of the hub
    assert "Kubernetes does not answer right now" in message
    assert took <= 7, "nobody waits a minute to hear it"
    assert [held.user for held in launcher_of(hub).usage()] == ["ada"]
    await line.mend()
    assert (await begin(hub, "bob")).status in (201, 202), "the first launch after the outage succeeds"
    await spawned(hub, "bob")
    assert hub.user("bob").spawner.ready


@pytest.mark.parametrize("seconds", [10, 75, 300])
async def test_a_launch_that_waits_for_a_gpu_goes_on_after_an_outage(
    start_far_hub: StartHub, engine: Engine, line: Line, time: PassingTime, seconds: int
) -> None:
    hub = await start_far_hub(start_timeout=3600)
    close_node(engine, "t4-0", closed=True)
    await hub.login("ada", "x")
    answering = begin(hub, "ada")
    await time.pass_until(lambda: waits(hub, "ada"), within=30)
    told = asyncio.create_task(told_until(hub, "ada", "does not answer right now"))
    await line.cut()
    await time.pass_(seconds)
    sentence = await asyncio.wait_for(told, 1)
    assert sentence.endswith("The launch goes on as soon as it does.")
    close_node(engine, "t4-0", closed=False)  # the scheduler and the node work on without the hub
    await line.mend()
    assert await time.pass_until(lambda: launcher_of(hub).view.unreachable is None, within=60) <= LONGEST_PAUSE + 1
    await spawned(hub, "ada")
    assert (await answering).status in (201, 202)
    assert hub.user("ada").spawner.ready


async def test_a_launch_whose_pod_became_ready_and_died_in_an_outage_says_so(
    start_far_hub: StartHub, engine: Engine, line: Line, time: PassingTime
) -> None:
    hub = await start_far_hub(start_timeout=3600)
    close_node(engine, "t4-0", closed=True)
    await hub.login("ada", "x")
    answering = begin(hub, "ada")
    await time.pass_until(lambda: waits(hub, "ada"), within=30)
    await line.cut()
    await time.pass_(20)
    engine.store.delete("pods", "default", "jupyter-ada", grace_seconds=0)
    await line.mend()
    await time.pass_until(lambda: launcher_of(hub).view.unreachable is None, within=60)
    await spawned(hub, "ada")
    progress = hub.user("ada").spawner._launch_feed
    assert not hub.user("ada").spawner.ready
    assert progress._closed
    await answering
    await settled(hub)
    assert not launcher_of(hub).usage()


async def test_a_stop_in_an_outage_is_made_up_for_when_it_is_over(
    start_far_hub: StartHub, engine: Engine, line: Line, time: PassingTime
) -> None:
    hub = await start_far_hub()
    await running(hub, "ada")
    launcher = launcher_of(hub)
    await line.cut()
    stopping = asyncio.create_task(hub.api("DELETE", "users/ada/server"))
    await time.pass_until(stopping.done, within=30)
    assert (await stopping).status in (202, 204)
    await time.pass_until(lambda: not hub.user("ada").spawner.pending, within=90)
    assert pod_of(engine, "ada") is not None
    assert [held.user for held in launcher.usage()] == ["ada"], "a GPU that is not given back is not given away"
    await time.pass_(120)
    await line.mend()
    await time.pass_until(lambda: pod_of(engine, "ada") is None, within=60)
    await settled(hub, time)
    assert not launcher.usage()
    assert not engine.store.list("secrets", "default")[0]


async def test_a_server_that_was_stopped_in_an_outage_can_be_started_again_right_after(
    start_far_hub: StartHub, engine: Engine, line: Line, time: PassingTime
) -> None:
    hub = await start_far_hub()
    await running(hub, "ada")
    uid = uid_of(engine, "ada")
    await line.cut()
    stopping = asyncio.create_task(hub.api("DELETE", "users/ada/server"))
    await time.pass_until(lambda: stopping.done() and not hub.user("ada").spawner.pending, within=120)
    await line.mend()
    answering = begin(hub, "ada")
    await time.pass_until(lambda: uid_of(engine, "ada") != uid if pod_of(engine, "ada") else False, within=60)
    await spawned(hub, "ada")
    assert (await answering).status in (201, 202)
    assert hub.user("ada").spawner.ready
    await settled(hub)
    assert [held.user for held in launcher_of(hub).usage()] == ["ada"]


@pytest.mark.parametrize("seconds", [20, 300])
async def test_a_hub_that_starts_without_the_api_keeps_its_servers(
    start_far_hub: StartHub, engine: Engine, line: Line, time: PassingTime, seconds: int
) -> None:
    hub = await start_far_hub()
    await running(hub, "ada")
    await running(hub, "bob")
    uid = uid_of(engine, "ada")
    await line.cut()
    starting = asyncio.create_task(start_far_hub())
    await time.pass_until(starting.done, within=60)
    hub = await starting
    spawner = hub.user("ada").spawner
    assert spawner.ready, "who had a server is let through to it, with or without the API"
    await time.pass_(seconds)
    assert await poll(spawner, time) is None
    assert spawner.ready
    engine.store.delete("pods", "default", "jupyter-bob", grace_seconds=0)
    ended = asyncio.Event()
    hub.user("bob").spawner.add_poll_callback(ended.set)
    await line.mend()
    await time.pass_until(lambda: launcher_of(hub).view.synced, within=60)
    await time.pass_until(ended.is_set, within=60)
    assert hub.user("ada").spawner.ready
    assert uid_of(engine, "ada") == uid
    answering = begin(hub, "ada", {"profile": "cpu"})
    assert (await answering).status == 400, "it runs already"
    await settled(hub)
    assert [held.user for held in launcher_of(hub).usage()] == ["ada"]


async def test_a_launch_cut_off_by_the_end_of_a_hub_is_found_although_the_next_starts_without_the_api(
    start_far_hub: StartHub, engine: Engine, line: Line, time: PassingTime
) -> None:
    hub = await start_far_hub()
    await running(hub, "ada")
    hub.user("ada").spawner.orm_spawner.state = {}  # the hub had not come to storing it
    hub.app.db.commit()
    await line.cut()
    starting = asyncio.create_task(start_far_hub())
    await time.pass_until(starting.done, within=60)
    hub = await starting
    assert hub.user("ada").spawner.pending == "check"
    await time.pass_(100)
    await line.mend()
    await time.pass_until(lambda: hub.user("ada").spawner.ready, within=60)
    assert pod_of(engine, "ada") is not None


async def test_a_server_that_died_in_an_outage_is_reported_when_it_is_over(
    start_far_hub: StartHub, engine: Engine, line: Line, time: PassingTime
) -> None:
    hub = await start_far_hub(poll_interval=100_000)
    await running(hub, "ada")
    spawner = hub.user("ada").spawner
    ended = asyncio.Event()
    spawner.add_poll_callback(ended.set)
    await line.cut()
    await time.pass_(30)
    engine.store.delete("pods", "default", "jupyter-ada", grace_seconds=0)
    await time.pass_(30)
    assert await spawner.poll() is None, "unknown is never stopped"
    await line.mend()
    await time.pass_until(ended.is_set, within=LONGEST_PAUSE + 2)
    assert await spawner.poll() is not None


async def test_a_death_is_reported_before_any_poll(start_far_hub: StartHub, engine: Engine) -> None:
    hub = await start_far_hub(poll_interval=100_000)
    await running(hub, "ada")
    ended = asyncio.Event()
    hub.user("ada").spawner.add_poll_callback(ended.set)
    engine.store.delete("pods", "default", "jupyter-ada", grace_seconds=0)
    await asyncio.wait_for(ended.wait(), 10)


async def test_a_new_list_during_a_launch_does_not_disturb_it(
    start_far_hub: StartHub, engine: Engine, line: Line, time: PassingTime
) -> None:
    hub = await start_far_hub(start_timeout=3600)
    close_node(engine, "t4-0", closed=True)
    await hub.login("ada", "x")
    answering = begin(hub, "ada")
    await time.pass_until(lambda: waits(hub, "ada"), within=30)
    launcher = launcher_of(hub)
    lists = launcher.view._pod_watch.lists
    await line.cut()
    other = {
        "metadata": {"name": "other", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    engine.store.create("pods", other)
    engine.store.forget_history()  # a compaction: the watch cannot go on from where it was
    await line.mend()
    await time.pass_until(lambda: launcher.view._pod_watch.lists > lists, within=60)
    close_node(engine, "t4-0", closed=False)
    await spawned(hub, "ada")
    assert (await answering).status in (201, 202)
    assert hub.user("ada").spawner.ready


def close_node(engine: Engine, name: str, *, closed: bool) -> None:
    node = engine.store.get("nodes", None, name)
    node["spec"]["unschedulable"] = closed
    engine.store.update("nodes", node)


async def poll(spawner: Any, time: PassingTime) -> int | None:
    """Ask JupyterHub's question, which waits a few seconds for a view that knows nothing yet."""
    polling = asyncio.create_task(spawner.poll())
    await time.pass_until(polling.done, within=30)
    return await polling


async def settled(hub: RunningHub, time: PassingTime | None = None) -> None:
    """Wait for what the launcher does in the background."""
    launcher = launcher_of(hub)
    if time is not None:
        await time.pass_until(lambda: not launcher._tasks, within=60)
    async with asyncio.timeout(20):
        while launcher._tasks:
            await asyncio.wait(set(launcher._tasks))
