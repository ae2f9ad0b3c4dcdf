"""The launcher at its edges: creations that are cut off, answers that get lost, crashes in the middle of a launch."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accounting import asked as request
from cluster import section

from gpuspawner.cluster.client import Client, UnreachableError
from gpuspawner.config import load_settings
from gpuspawner.errors import LaunchError
from gpuspawner.feed import Feed
from gpuspawner.launcher import Launcher
from gpuspawner.local.engine import Engine
from gpuspawner.pod import Server

SERVER = Server({"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/", "JUPYTERHUB_API_TOKEN": "secret"}, None, [])


@pytest.fixture
async def launcher(engine: Engine, tmp_path: Path) -> AsyncIterator[Launcher]:
    settings = load_settings({k: v for k, v in section(engine, tmp_path).items() if k != "start_timeout"})
    launcher = Launcher(settings, owned=lambda user, server: False, sleep=lambda seconds: asyncio.sleep(0))
    launcher.begin()
    await launcher.view.started()
    yield launcher
    await launcher.close()


async def settled(launcher: Launcher) -> None:
    async with asyncio.timeout(20):
        while launcher._tasks:
            await asyncio.wait(set(launcher._tasks))


def pods(engine: Engine) -> list[dict[str, Any]]:
    return engine.store.list("pods", None)[0]


async def test_fifty_launches_at_once_for_two_gpus_start_exactly_two(engine: Engine, launcher: Launcher) -> None:
    feeds = [Feed() for _ in range(50)]
    results = await asyncio.gather(
        *(launcher.launch(request(f"user{n}"), SERVER, feeds[n].tell, 60) for n in range(50)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, LaunchError)]
    assert len(refused) == 48
    assert all("holds 2 of 2 Small GPUs" in error.reason for error in refused)
    assert len(pods(engine)) == 2
    assert len(launcher.usage()) == 2


async def test_a_creation_whose_answer_is_lost_leaves_no_pod(
    engine: Engine, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Client.create

    async def lost(self: Client, resource: str, namespace: str | None, manifest: Any) -> Any:
        created = await create(self, resource, namespace, manifest)
        if resource == "pods":
            raise UnreachableError("the connection was closed")
        return created

    monkeypatch.setattr(Client, "create", lost)
    with pytest.raises(LaunchError, match="Kubernetes does not answer right now"):
        await launcher.launch(request(), SERVER, Feed().tell, 60)
    await settled(launcher)
    assert not pods(engine)
    assert not launcher.usage()


async def test_a_creation_that_reaches_the_api_after_it_was_given_up_is_deleted(
    engine: Engine, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[dict[str, Any]] = []
    create = Client.create

    async def held_up(self: Client, resource: str, namespace: str | None, manifest: Any) -> Any:
        if resource != "pods":
            return await create(self, resource, namespace, manifest)
        late.append(dict(manifest))
        raise UnreachableError("no answer in time")

    monkeypatch.setattr(Client, "create", held_up)
    with pytest.raises(LaunchError):
        await launcher.launch(request(), SERVER, Feed().tell, 60)
    await settled(launcher)
    assert not launcher.usage()
    appeared = launcher.view.namespace, "jupyter-ada"
    gone = asyncio.Event()
    launcher.view.on_pod(lambda pod, is_gone: gone.set() if is_gone else None, namespace=appeared[0], name=appeared[1])
    await create(launcher.client, "pods", "default", late[0])
    await asyncio.wait_for(gone.wait(), 20)
    await settled(launcher)
    assert not pods(engine)


async def test_a_launch_that_waits_too_long_for_a_gpu_is_withdrawn(engine: Engine, launcher: Launcher) -> None:
    node = engine.store.get("nodes", None, "t4-0")
    node["spec"]["unschedulable"] = True
    engine.store.update("nodes", node)
    feed = Feed()
    with pytest.raises(LaunchError, match="the launch is withdrawn") as raised:
        await launcher.launch(request(), SERVER, feed.tell, 1)
    assert raised.value.code == "too_slow"
    await settled(launcher)
    assert not pods(engine)
    assert not launcher.usage()


async def test_a_relaunch_waits_for_the_old_pod_and_takes_its_place(engine: Engine, launcher: Launcher) -> None:
    first = await launcher.launch(request(), SERVER, Feed().tell, 60)
    second = await launcher.launch(request(), SERVER, Feed().tell, 60)
    assert first.uid != second.uid
    assert [pod["metadata"]["uid"] for pod in pods(engine)] == [second.uid]
    assert len(launcher.usage()) == 1


async def test_a_feed_tells_latecomers_everything_and_never_goes_back(launcher: Launcher) -> None:
    feed = Feed()
    await launcher.launch(request(), SERVER, feed.tell, 60)
    feed.close()
    told = [step async for step in feed]
    assert [step.percent for step in told] == sorted(step.percent for step in told)
    assert len({step.message for step in told}) == len(told) >= 3


async def test_a_stop_that_could_not_reach_the_api_does_not_end_the_next_launch(
    engine: Engine, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await launcher.launch(request(), SERVER, Feed().tell, 60)
    get, away = Client.get, asyncio.Event()

    async def unreachable(self: Client, resource: str, namespace: str | None, name: str) -> Any:
        if not away.is_set():
            raise UnreachableError("no answer in time")
        return await get(self, resource, namespace, name)

    monkeypatch.setattr(Client, "get", unreachable)
    stopping = asyncio.create_task(launcher.stop("ada", "", grace_seconds=0))
    await asyncio.sleep(0)
    retrying = launcher._stopping["ada", ""]
    away.set()
    second = await launcher.launch(request(), SERVER, Feed().tell, 60)
    await stopping
    assert retrying.done()
    await settled(launcher)
    assert second.uid != first.uid
    assert [pod["metadata"]["uid"] for pod in pods(engine)] == [second.uid]


async def test_nobody_else_s_pod_is_replaced(engine: Engine, launcher: Launcher) -> None:
    spec = {"containers": [{"name": "main", "image": "example.org/silent:1"}]}
    await launcher.client.create("pods", "default", {"metadata": {"name": "jupyter-ada"}, "spec": spec})
    with pytest.raises(LaunchError, match="not of this hub"):
        await launcher.launch(request(), SERVER, Feed().tell, 60)
    await settled(launcher)
    assert len(pods(engine)) == 1
    assert not launcher.usage()


async def test_a_stop_deletes_the_pod_the_view_knows_without_asking_for_it_first(
    engine: Engine, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await launcher.launch(request(), SERVER, Feed().tell, 60)
    asked: list[str] = []
    send = Client._request

    async def noted(self: Client, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(f"{method} {path.split('/')[5]}")
        return await send(self, method, path, *args, **kwargs)

    monkeypatch.setattr(Client, "_request", noted)
    await launcher.stop("ada", "")
    assert asked == ["DELETE pods", "DELETE secrets"]
    assert not pods(engine)


async def test_a_stop_of_a_pod_that_was_made_anew_behind_the_view_deletes_the_new_one(
    engine: Engine, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = await launcher.launch(request(), SERVER, Feed().tell, 60)
    current = launcher.objects.pod
    stale = replace(pod, uid="that-of-an-earlier-pod")
    monkeypatch.setattr(launcher.objects, "pod", lambda key: stale)
    await launcher.stop("ada", "")
    monkeypatch.setattr(launcher.objects, "pod", current)
    assert not pods(engine)
    assert launcher.exit_code("ada", "") is not None


async def test_without_secrets_a_launch_is_one_request_and_a_stop_another(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {k: v for k, v in section(engine, tmp_path).items() if k != "start_timeout"}
    launcher = Launcher(
        load_settings({**changes, "storage": None, "token_in_secret": False}), owned=lambda user, server: False
    )
    launcher.begin()
    await launcher.view.started()
    asked: list[str] = []
    send = Client._request

    async def noted(self: Client, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(f"{method} {path.split('/')[5]}")
        return await send(self, method, path, *args, **kwargs)

    monkeypatch.setattr(Client, "_request", noted)
    await launcher.launch(request(), SERVER, Feed().tell, 60)
    await launcher.stop("ada", "")
    await launcher.close()
    assert [one for one in asked if one != "GET events"] == ["POST pods", "DELETE pods"]
