"""Hooks and profiles that are functions, in a hub whose servers run."""

import asyncio
from typing import Any

import pytest
from launching import environment, launch, named, stop

from gpuspawner.errors import ConfigurationError
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


CPU = {"image": "example.org/notebook:1"}


async def test_profiles_may_be_a_function_of_the_user(start_gpu_hub: Any, engine: Engine) -> None:
    ada = {"mine": {**CPU, "display_name": "Own", "pod": {"metadata": {"labels": {"for": "{username}"}}}}}

    async def profiles(spawner: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        return ada if spawner.user.name == "ada" else {"plain": {**CPU, "display_name": "Plain"}}

    hub = await start_gpu_hub(profiles=profiles)
    pages = {name: await (await (await hub.login(name, "x")).get("spawn")).text() for name in ("ada", "bob")}
    assert ('value="mine"' in pages["ada"], 'value="plain"' in pages["ada"]) == (True, False)
    assert ('value="mine"' in pages["bob"], 'value="plain"' in pages["bob"]) == (False, True)
    assert "is not on offer" in await launch(hub, "bob", {"profile": "mine"})
    assert await launch(hub, "ada", {"profile": "mine"}) == ""
    assert named(engine, "pods")["jupyter-ada"]["metadata"]["labels"]["for"] == "ada"
    await stop(hub, "ada")
    ada["other"] = ada.pop("mine")
    assert "is not on offer" in await launch(hub, "ada", {"profile": "mine"})
    assert await launch(hub, "bob", {}) == ""
    assert named(engine, "pods")["jupyter-bob"]["metadata"]["labels"]["gpuspawner/profile"] == "plain"


@pytest.mark.parametrize(
    "profiles",
    [lambda spawner: {"x": {"imaeg": "y"}}, lambda spawner: None, lambda spawner: 1 / 0],
    ids=["mistake", "none", "error"],
)
async def test_a_function_of_profiles_that_fails_is_not_the_members_fault(start_gpu_hub: Any, profiles: Any) -> None:
    hub = await start_gpu_hub(profiles=profiles)
    person = await hub.login("ada", "x")
    page = await person.get("spawn")
    assert page.status == 500
    assert "the profiles on offer to you cannot be told" in await page.text()
    assert "Tell the administrator" in await launch(hub, "ada", {})


async def test_the_rest_of_the_configuration_is_still_checked_at_the_start(start_gpu_hub: Any) -> None:
    with pytest.raises(ConfigurationError, match="found 'huge', which is no GPU class"):
        await start_gpu_hub(profiles=lambda spawner: {}, workspaces={"lab": {"quota": {"huge": 1}, "profiles": ["x"]}})
