"""Hooks and profiles that are functions, in a hub whose servers run."""

import asyncio
from typing import Any

from launching import environment, launch, named

from gpuspawner.local.engine import Engine

GPU = {"profile": "pytorch", "gpu_class": "small"}


async def test_a_hook_changes_the_pod_but_not_its_quota(start_gpu_hub: Any, engine: Engine) -> None:
    async def hook(spawner: Any, pod: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        notebook = pod["spec"]["containers"][0]
        notebook["env"].append({"name": "TEAM", "value": f"team of {spawner.user.name}"})
        notebook["resources"]["limits"]["nvidia.com/gpu"] = "2"
        del pod["spec"]["activeDeadlineSeconds"]
        return pod

    hub = await start_gpu_hub(modify_pod_hook=hook)
    await hub.login("ada", "x")
    assert await launch(hub, "ada", GPU) == ""
    told = await environment(hub, "ada")
    assert told["TEAM"] == "team of ada"
    assert told["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    (pod,) = named(engine, "pods").values()
    assert pod["spec"]["activeDeadlineSeconds"] == 3600


async def test_a_hook_that_fails_leaves_nothing_and_is_not_the_members_fault(
    start_gpu_hub: Any, engine: Engine
) -> None:
    def wrong(spawner: Any, pod: dict[str, Any]) -> None:
        pod["spec"]["nodeName"] = "a100-0"

    hub = await start_gpu_hub(modify_pod_hook=wrong)
    await hub.login("ada", "x")
    said = await launch(hub, "ada", GPU)
    assert "The modify_pod_hook of this hub failed" in said
    assert "Tell the administrator" in said
    launcher = hub.app.tornado_settings["gpuspawner_launcher"]
    while launcher._tasks:
        await asyncio.wait(set(launcher._tasks))
    assert not named(engine, "pods")
    assert not launcher.usage()


async def test_the_words_of_a_hook_that_refuses_reach_the_member(start_gpu_hub: Any, engine: Engine) -> None:
    class NoContractError(Exception):
        jupyterhub_message = "Sign the terms of use first: https://example.org/terms"

    def refuse(spawner: Any, pod: dict[str, Any]) -> None:
        raise NoContractError

    hub = await start_gpu_hub(modify_pod_hook=refuse)
    await hub.login("ada", "x")
    assert "Sign the terms of use first: https://example.org/terms" in await launch(hub, "ada", GPU)
    assert not named(engine, "pods")
