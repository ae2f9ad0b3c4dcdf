"""GPUs by dynamic resource allocation, from the request to the device and back: on the engine."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_gpu_kinds import SERVER, environment, free, request, running_launcher

from gpuspawner.cluster.client import ApiError, Client
from gpuspawner.errors import LaunchError
from gpuspawner.feed import Feed
from gpuspawner.launcher import Launcher
from gpuspawner.local.engine import Engine

NVIDIA = "gpu.nvidia.com"
CLASSES: dict[str, list[dict[str, Any]]] = {
    "h100": [{"device_class": NVIDIA, "product": "NVIDIA H100 80GB HBM3"}],
    "a100": [{"device_class": NVIDIA, "product": ["NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-40GB"]}],
    "slice": [{"device_class": "mig.nvidia.com", "selector": f"device.attributes['{NVIDIA}'].profile == '1g.10gb'"}],
    "large": [
        {"device_class": NVIDIA, "selector": f"device.capacity['{NVIDIA}'].memory.compareTo(quantity('60Gi')) > 0"}
    ],
    "plugin": [{"resource": "nvidia.com/gpu"}],
}
NODES = "dra-h100=1x1 dra-a100=1x2 dra-a100-mig-1g.10gb=1x2 t4=1x1 cpu=1"
TEMPLATES, CLAIMS = "resourceclaimtemplates.resource.k8s.io", "resourceclaims.resource.k8s.io"


def running(folder: Path, nodes: str = NODES, **changes: Any) -> Any:
    return running_launcher(folder, nodes, **{"classes": CLASSES, **changes})


async def launch(launcher: Launcher, *classes: str, gpus: int = 1, user: str = "ada", patience: float = 60) -> Any:
    return await launcher.launch(request(*classes, gpus=gpus, user=user), SERVER, Feed().tell, patience)


async def settled(launcher: Launcher) -> None:
    async with asyncio.timeout(20):
        while launcher._tasks:
            await asyncio.wait(set(launcher._tasks))


def leftovers(engine: Engine) -> list[str]:
    kinds = ("pods", "secrets", TEMPLATES, CLAIMS)
    return [f"{kind}/{stored.name}" for kind in kinds for stored in engine.store.items(kind)]


async def until(launcher: Launcher, holds: Callable[[], bool]) -> None:
    """Wait until something holds of what the view has heard of pods and devices."""
    changed, devices = asyncio.Event(), launcher.view.inventory.devices
    before = devices._changed

    def tell(lasting: bool) -> None:
        before(lasting)
        changed.set()

    devices._changed = tell
    stop = launcher.view.on_pod(lambda pod, gone: changed.set())
    try:
        async with asyncio.timeout(20):
            while not holds():
                changed.clear()
                await changed.wait()
    finally:
        stop()
        devices._changed = before


async def counted(launcher: Launcher, name: str, expected: tuple[int, int]) -> None:
    await until(launcher, lambda: free(launcher, name) == expected)


async def held_classes(launcher: Launcher, expected: list[tuple[str, ...]]) -> None:
    await until(launcher, lambda: sorted(held.gpu_classes for held in launcher.usage()) == sorted(expected))


async def test_a_launch_gets_a_device_of_its_class_and_leaves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, launcher):
        assert free(launcher, "h100") == (1, 1)
        assert free(launcher, "a100") == (2, 2)
        assert free(launcher, "large") == (3, 3)
        assert free(launcher, "slice") == (2, 2)
        assert free(launcher, "plugin") == (1, 1)
        pod = await launch(launcher, "a100", gpus=2)
        assert pod.node == "dra-a100-0"
        assert not pod.extended
        assert (await environment(launcher))["CUDA_VISIBLE_DEVICES"] == "0,1"
        await counted(launcher, "a100", (0, 2))
        assert free(launcher, "large") == (1, 3)
        (template,) = engine.store.list(TEMPLATES)[0]
        assert template["metadata"]["name"] == pod.name
        (asked,) = template["spec"]["spec"]["devices"]["requests"]
        assert asked["exactly"]["count"] == 2
        await held_classes(launcher, [("a100",)])
        await launcher.stop("ada", "", grace_seconds=0)
        await counted(launcher, "a100", (2, 2))
        assert not leftovers(engine)
        assert not launcher.usage()


async def test_the_first_available_of_several_classes_counts_in_its_own(tmp_path: Path) -> None:
    async with running(tmp_path, "dra-h100=1x1 dra-a100=1x2") as (engine, launcher):
        pods = await asyncio.gather(*(launch(launcher, "h100", "a100", user=f"user{n}") for n in range(3)))
        assert sorted(pod.node for pod in pods) == ["dra-a100-0", "dra-a100-0", "dra-h100-0"]
        await held_classes(launcher, [("a100",), ("a100",), ("h100",)])
        claims = engine.store.list(CLAIMS)[0]
        (asked,) = claims[0]["spec"]["devices"]["requests"]
        assert [way["name"] for way in asked["firstAvailable"]] == ["h100", "a100"]
        with pytest.raises(LaunchError, match="All 3 h100 or a100 GPUs are taken"):
            await launch(launcher, "h100", "a100", patience=1)
        await asyncio.gather(*(launcher.stop(f"user{n}", "", grace_seconds=0) for n in range(3)))
        await settled(launcher)
        assert not leftovers(engine)


async def test_a_slice_of_a_card_by_selector(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, launcher):
        pod = await launch(launcher, "slice")
        assert pod.node == "dra-a100-mig-1g.10gb-0"
        assert (await environment(launcher))["CUDA_VISIBLE_DEVICES"].startswith("MIG-")
        await counted(launcher, "slice", (1, 2))


async def test_a_class_quota_counts_devices(tmp_path: Path) -> None:
    workspaces = {"everyone": {"members": "*", "quota": {"a100": 1}}}
    async with running(tmp_path, workspaces=workspaces) as (_, launcher):
        await launch(launcher, "a100")
        with pytest.raises(LaunchError, match="holds 1 of 1"):
            await launch(launcher, "a100", user="grace")


async def test_more_devices_than_any_node_has_are_refused_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, launcher):
        with pytest.raises(LaunchError) as raised:
            await launch(launcher, "a100", gpus=3)
        assert raised.value.code == "too_many_gpus"
        await settled(launcher)
        assert not leftovers(engine)


async def test_a_device_that_no_driver_publishes_is_not_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path, "dra-t4=1x1") as (_, launcher):
        with pytest.raises(LaunchError) as raised:
            await launch(launcher, "h100")
        assert raised.value.code == "no_such_gpu"


async def test_a_pod_waits_for_a_device_and_gets_it_when_it_is_given_back(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, launcher):
        await launch(launcher, "h100")
        waiting = asyncio.create_task(launch(launcher, "h100", user="grace"))
        await until(launcher, lambda: launcher.view.pod("default", "jupyter-grace") is not None)
        await launcher.stop("ada", "", grace_seconds=0)
        assert (await waiting).node == "dra-h100-0"


async def test_devices_of_foreign_claims_are_not_free(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, launcher):
        await launcher.client.create("namespaces", None, {"metadata": {"name": "theirs"}})
        request_ = {"name": "gpu", "exactly": {"deviceClassName": NVIDIA, "allocationMode": "ExactCount", "count": 1}}
        spec = {"spec": {"devices": {"requests": [request_]}}}
        await launcher.client.create("resourceclaimtemplates", "theirs", {"metadata": {"name": "one"}, "spec": spec})
        container = {"name": "main", "image": "example.org/silent:1", "resources": {"claims": [{"name": "gpu"}]}}
        pod = {
            "metadata": {"name": "theirs"},
            "spec": {
                "containers": [container],
                "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one"}],
                "tolerations": [{"operator": "Exists"}],
            },
        }
        await launcher.client.create("pods", "theirs", pod)
        await counted(launcher, "large", (2, 3))


async def test_a_template_that_is_gone_too_early_ends_the_launch_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpuspawner.cluster.failures.DeviceClaimError.patience", 0.0)
    create = Client.create

    async def forgetful(self: Client, resource: str, namespace: str | None, manifest: Any) -> Any:
        return manifest if resource == "resourceclaimtemplates" else await create(self, resource, namespace, manifest)

    monkeypatch.setattr(Client, "create", forgetful)
    async with running(tmp_path) as (engine, launcher):
        with pytest.raises(LaunchError) as raised:
            await launch(launcher, "a100")
        assert raised.value.code == "device_claim"
        assert "not found" in raised.value.detail
        await settled(launcher)
        assert not leftovers(engine)


async def test_a_hub_that_may_not_read_devices_launches_and_shows_no_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_ = Client.list

    async def refused(self: Client, resource: str, *args: Any, **more: Any) -> Any:
        if resource == "resourceslices":
            raise ApiError(403, "Forbidden", "resourceslices is forbidden")
        return await list_(self, resource, *args, **more)

    monkeypatch.setattr(Client, "list", refused)
    async with running(tmp_path) as (_, launcher):
        assert not launcher.capacity().live
        assert launcher.view.capacity_unknown == "resourceslices is forbidden"
        pod = await launch(launcher, "a100")
        assert pod.node == "dra-a100-0"
        assert [held.gpu_classes for held in launcher.usage()] == [("a100",)]


async def test_a_device_class_that_goes_away_has_no_gpus(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, launcher):
        engine.store.delete("deviceclasses.resource.k8s.io", None, NVIDIA)
        await counted(launcher, "a100", (0, 0))


async def test_a_hub_that_restarts_knows_which_devices_its_servers_hold(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, launcher):
        await launch(launcher, "h100", "a100")
        await until(launcher, lambda: len(launcher.usage()[0].gpu_classes) == 1)
        again = Launcher(launcher.settings, owned=lambda user, server: True)
        again.begin()
        try:
            await again.view.started()
            await asyncio.wait(set(again._tasks))
            await held_classes(again, [launcher.usage()[0].gpu_classes])
            assert sum(free(again, name)[0] for name in ("h100", "a100")) == 2
        finally:
            await again.close()


async def test_who_waits_for_a_device_is_told_who_is_ahead(tmp_path: Path) -> None:
    async with running(tmp_path, "dra-h100=1x1") as (_, launcher):
        await launch(launcher, "h100")
        await counted(launcher, "h100", (0, 1))
        first = asyncio.create_task(launch(launcher, "h100", user="grace"))
        await until(launcher, lambda: launcher.view.pod("default", "jupyter-grace") is not None)
        with pytest.raises(LaunchError, match="1 launch is ahead of you"):
            await launch(launcher, "h100", user="mary", patience=3)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_a_taken_device_class_gives_way_to_the_next_choice(tmp_path: Path) -> None:
    async with running(tmp_path, "dra-h100=1x1 t4=1x1", fallback_after="1s") as (_, launcher):
        await launch(launcher, "h100")
        await counted(launcher, "h100", (0, 1))
        pod = await launch(launcher, "h100", "plugin", user="grace")
        assert pod.node == "t4-0"
