"""GPUSpawner in a real JupyterHub on the embedded engine."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from running_hub import RunningHub

from gpuspawner.cluster.failures import TooLargeError
from gpuspawner.launcher import Launcher
from gpuspawner.local.engine import Engine


async def launch(hub: RunningHub, user: str, options: dict[str, Any], server: str = "") -> aiohttp.ClientResponse:
    """Ask for a server through the REST API, and wait until it runs or has failed."""
    where = f"users/{user}/servers/{server}" if server else f"users/{user}/server"
    answer = await hub.api("POST", where, json=options)
    spawner = hub.user(user).spawners.get(server)
    if answer.status == 202 and spawner is not None and spawner._spawn_future:
        await asyncio.wait({spawner._spawn_future})
    return answer


async def stop(hub: RunningHub, user: str, server: str = "") -> None:
    """Stop a server through the REST API, and wait until it has stopped."""
    where = f"users/{user}/servers/{server}" if server else f"users/{user}/server"
    answer = await hub.api("DELETE", where)
    assert answer.status in (202, 204)
    spawner = hub.user(user).spawners.get(server)
    if spawner is not None and spawner._stop_future:
        await asyncio.wait({spawner._stop_future})


async def environment(hub: RunningHub, user: str, server: str = "") -> dict[str, str]:
    """The environment of a running server's process."""
    url = hub.user(user).spawners[server].server.url
    async with aiohttp.ClientSession() as session, session.get(url + "env") as answer:
        return await answer.json()


def pods(engine: Engine) -> dict[str, dict[str, Any]]:
    return {pod["metadata"]["name"]: pod for pod in engine.store.list("pods", None)[0]}


def free(hub: RunningHub, gpu_class: str) -> int:
    launcher = hub.app.tornado_settings["gpuspawner_launcher"]
    return launcher.capacity().free(launcher.settings.catalog.gpu_classes[gpu_class])


async def test_a_member_gets_a_gpu_and_gives_it_back(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    answer = await launch(hub, "ada", {"profile": "pytorch", "gpu_class": "small", "gpus": 1})
    assert answer.status in (201, 202), await answer.text()
    told = await environment(hub, "ada")
    assert told["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    assert told["GPUSPAWNER_GPU_CLASS"] == "small"
    assert told["GPUSPAWNER_WORKSPACE"] == "everyone"
    assert free(hub, "small") == 1
    (pod,) = pods(engine).values()
    assert pod["spec"]["nodeName"].startswith("t4")
    token = told["JUPYTERHUB_API_TOKEN"]
    assert token
    assert token not in json.dumps(pod)
    await stop(hub, "ada")
    assert not pods(engine)
    assert free(hub, "small") == 2
    assert not engine.store.list("secrets", "default")[0]


async def test_a_server_without_gpu_sees_none_and_stays_off_gpu_nodes(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    await launch(hub, "ada", {"profile": "cpu"})
    told = await environment(hub, "ada")
    assert told["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert pods(engine)["jupyter-ada"]["spec"]["nodeName"].startswith("cpu")


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ({"profile": "pytorch", "gpus": 9}, 400, ("9 GPUs", "PyTorch", "at most 4")),
        ({"profile": "pytorch", "gpus": 3}, 403, ("3 GPUs", "may hold 2", "at most 2")),
        ({"profile": "pytroch"}, 400, ("pytroch", "pytorch")),
        ({"workspace": "lab"}, 400, ("lab",)),
        ({"gpu": 1}, 400, ("gpu", "gpus")),
    ],
)
async def test_what_a_member_may_not_have_is_refused_by_the_api_with_what_why_and_what_next(
    start_gpu_hub: Any, engine: Engine, options: dict[str, Any], status: int, said: tuple[str, ...]
) -> None:
    hub = await start_gpu_hub()
    await hub.login("bob", "x")
    answer = await launch(hub, "bob", options)
    message = (await answer.json())["message"]
    assert answer.status == status, message
    assert message.startswith("Not started: ")
    for words in said:
        assert words in message
    assert "SpawnException" not in message
    assert not pods(engine)
    assert not hub.user("bob").spawner.orm_spawner.user_options, "a refused request must not stick to the next launch"


async def test_the_workspace_quota_counts_the_servers_of_all_members(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub()
    for name in ("ada", "bob", "eve"):
        await hub.login(name, "x")
    assert (await launch(hub, "ada", {"profile": "pytorch"})).status in (201, 202)
    assert (await launch(hub, "bob", {"profile": "pytorch"})).status in (201, 202)
    refused = await launch(hub, "eve", {"profile": "pytorch"})
    assert refused.status == 403
    assert "holds 2 of 2 Small GPUs" in (await refused.json())["message"]
    await stop(hub, "ada")
    assert (await launch(hub, "eve", {"profile": "pytorch"})).status in (201, 202)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"profile": "missing"}, ("example.org/missing:1", "does not exist")),
        ({"profile": "crash"}, ("exit code 3", "ImportError: no module named torch")),
        ({"profile": "huge", "gpu_class": "small", "memory": "8000G"}, ("memory",)),
    ],
)
async def test_a_launch_that_fails_says_why_and_leaves_nothing(
    start_gpu_hub: Any,
    engine: Engine,
    options: dict[str, Any],
    said: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TooLargeError, "patience", 0)  # a node autoscaler would get its chance
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    answer = await launch(hub, "ada", options)
    message = (await answer.json())["message"]
    for words in said:
        assert words in message
    await settled(hub)
    assert not pods(engine)
    assert not engine.store.list("secrets", "default")[0]
    assert free(hub, "small") == 2
    assert not hub.app.tornado_settings["gpuspawner_launcher"].usage()


async def settled(hub: RunningHub) -> None:
    """Wait for what the launcher does in the background, but for the sweep's and the watches' own tasks."""
    launcher = hub.app.tornado_settings["gpuspawner_launcher"]
    while launcher._tasks:
        await asyncio.wait(set(launcher._tasks))


async def test_the_hub_restarts_and_finds_its_servers(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub()
    for name in ("ada", "bob"):
        await hub.login(name, "x")
        await launch(hub, name, {"profile": "pytorch"})
    before = {name: pod["metadata"]["uid"] for name, pod in pods(engine).items()}
    hub = await start_gpu_hub()
    assert {name: pod["metadata"]["uid"] for name, pod in pods(engine).items()} == before
    for name in ("ada", "bob"):
        assert (await environment(hub, name))["JUPYTERHUB_USER"] == name
    await hub.login("eve", "x")
    refused = await launch(hub, "eve", {"profile": "pytorch"})
    assert refused.status == 403, "the quota still counts them"
    await stop(hub, "ada")
    assert "jupyter-ada" not in pods(engine)


async def test_a_server_that_died_is_reported_at_once_and_its_gpu_is_free(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    await launch(hub, "ada", {"profile": "pytorch"})
    spawner = hub.user("ada").spawner
    ended = asyncio.Event()
    spawner.add_poll_callback(ended.set)
    engine.store.delete("pods", "default", "jupyter-ada", grace_seconds=0)
    await asyncio.wait_for(ended.wait(), 10)
    assert await spawner.poll() is not None
    await settled(hub)
    assert free(hub, "small") == 2


async def test_a_pod_that_nobody_owns_is_swept(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    await launch(hub, "ada", {"profile": "pytorch"})
    orphan = json.loads(json.dumps(pods(engine)["jupyter-ada"]))
    orphan["metadata"]["name"] = "jupyter-gone"
    for key in ("uid", "resourceVersion", "creationTimestamp"):
        orphan["metadata"].pop(key, None)
    annotations = orphan["metadata"]["annotations"]
    annotations["hub.jupyter.org/username"] = "gone"
    annotations["gpuspawner/held"] = annotations["gpuspawner/held"].replace('"ada"', '"gone"')
    orphan["spec"].pop("nodeName", None)
    orphan.pop("status", None)
    hub = await start_gpu_hub()
    engine.store.create("pods", orphan)
    hub = await start_gpu_hub()
    await (await hub.login("ada", "x")).get("home")
    await settled(hub)
    assert set(pods(engine)) == {"jupyter-ada"}


async def test_named_servers_stand_side_by_side(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    await launch(hub, "ada", {"profile": "cpu"})
    await launch(hub, "ada", {"profile": "pytorch", "workspace": "lab"}, server="training")
    assert set(pods(engine)) == {"jupyter-ada", "jupyter-ada--training"}
    assert (await environment(hub, "ada", "training"))["GPUSPAWNER_GPU_CLASS"] == "medium"
    fourth = [await launch(hub, "ada", {"profile": "cpu"}, server=f"s{n}") for n in range(3)]
    assert fourth[-1].status == 403
    assert "3 servers" in (await fourth[-1].json())["message"]


async def test_poll_never_raises_because_a_hub_that_restarts_would_forget_the_server(
    start_gpu_hub: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    await launch(hub, "ada", {"profile": "cpu"})

    def broken(self: Launcher, user: str, server: str) -> int | None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(Launcher, "exit_code", broken)
    assert await hub.user("ada").spawner.poll() is None
