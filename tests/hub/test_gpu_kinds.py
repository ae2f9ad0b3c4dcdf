"""Every kind of GPU that a class may name, from the request to the card: on the engine, with one launch each."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cluster import IMAGES, section

from gpuspawner.config import load_settings
from gpuspawner.errors import LaunchError
from gpuspawner.feed import Feed
from gpuspawner.launcher import Launcher
from gpuspawner.local.engine import Engine
from gpuspawner.pod import Server
from gpuspawner.request import LaunchRequest

SERVER = Server({"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/", "JUPYTERHUB_API_TOKEN": "secret"}, None, [])
NODES = (
    "t4=1x1 t4-shared4=1x1 t4-shared2-renamed=1x1 l4-mps3=1x1 a100=1x4 a100-mig-3g.40gb=1x2 "
    "a100-40-mig-single-1g.5gb=1x7 mi300x=1x2 max1550=1x2 b580=1x1 cpu=1"
)
NVIDIA = "nvidia.com/gpu"
CLASSES: dict[str, list[dict[str, Any]]] = {
    "t4": [{"resource": NVIDIA, "product": "Tesla-T4"}],
    "whole": [{"resource": NVIDIA}],
    "sliced": [{"resource": NVIDIA, "product": "Tesla-T4-SHARED"}],
    "renamed": [{"resource": "nvidia.com/gpu.shared"}],
    "mps": [{"resource": NVIDIA, "product": "NVIDIA-L4-SHARED"}],
    "mig-mixed": [{"resource": "nvidia.com/mig-3g.40gb"}],
    "mig-single": [{"resource": NVIDIA, "product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}],
    "amd": [{"resource": "amd.com/gpu", "product": "AMD_Instinct_MI300X_OAM"}],
    "intel": [{"resource": "gpu.intel.com/i915", "product": "Max_1550"}],
    "arc": [{"resource": "gpu.intel.com/xe"}],
    "several": [{"resource": NVIDIA, "product": ["Tesla-T4", "NVIDIA-A100-SXM4-80GB"]}],
}


@asynccontextmanager
async def running_launcher(folder: Path, nodes: str = NODES, **changes: Any) -> AsyncIterator[tuple[Engine, Launcher]]:
    """An engine with these nodes, and a launcher whose one profile offers every class."""
    engine = Engine(nodes=nodes, images=IMAGES, data_dir=folder / "engine", stop_grace=1.0)
    await engine.start()
    written = section(engine, folder)
    del written["start_timeout"]
    written["ledger_url"] = f"sqlite:///{folder}/ledger.sqlite"
    names = changes.pop("classes", CLASSES)
    written["gpu_classes"] = {name: {"accepts": offers} for name, offers in names.items()}
    written["profiles"] = {"gpu": {**written["profiles"]["pytorch"], "gpu_classes": list(names)}}
    written["workspaces"] = {"everyone": {"members": "*"}}
    launcher = Launcher(load_settings({**written, **changes}), owned=lambda user, server: True)
    launcher.begin()
    await launcher.view.started()
    try:
        yield engine, launcher
    finally:
        await launcher.close()
        await engine.stop()


def request(*classes: str, gpus: int = 1, user: str = "ada") -> LaunchRequest:
    return LaunchRequest(user, "", "everyone", "gpu", classes, gpus, 1.0, 10**9, 3600, "example.org/notebook:1")


async def environment(launcher: Launcher, user: str = "ada") -> dict[str, str]:
    """What the server of a user finds in its environment."""
    pod = launcher.view.pod("default", f"jupyter-{user}")
    assert pod is not None
    async with aiohttp.ClientSession() as session, session.get(f"{SERVER.url(pod.ip)}env") as response:
        return dict(json.loads(await response.text()))


def free(launcher: Launcher, name: str) -> tuple[int, int]:
    """GPUs of a class: free, and in all."""
    capacity, gpu_class = launcher.capacity(), launcher.settings.catalog.gpu_classes[name]
    return capacity.free(gpu_class), capacity.total(gpu_class)


@pytest.fixture(scope="module")
async def many(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Engine, Launcher]]:
    async with running_launcher(tmp_path_factory.mktemp("gpu-kinds")) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "node", "resource", "total"),
    [
        ("t4", "t4-0", NVIDIA, 1),
        ("sliced", "t4-shared4-0", NVIDIA, 4),
        ("renamed", "t4-shared2-renamed-0", "nvidia.com/gpu.shared", 2),
        ("mps", "l4-mps3-0", NVIDIA, 3),
        ("mig-mixed", "a100-mig-3g.40gb-0", "nvidia.com/mig-3g.40gb", 2),
        ("mig-single", "a100-40-mig-single-1g.5gb-0", NVIDIA, 7),
        ("amd", "mi300x-0", "amd.com/gpu", 2),
        ("intel", "max1550-0", "gpu.intel.com/i915", 2),
        ("arc", "b580-0", "gpu.intel.com/xe", 1),
    ],
)
async def test_a_launch_gets_its_kind_of_gpu_and_counts_there(
    many: tuple[Engine, Launcher], name: str, node: str, resource: str, total: int
) -> None:
    engine, launcher = many
    among = (name,) if name == "t4" else ("whole", name)
    assert free(launcher, name) == (total, total)
    try:
        pod = await launcher.launch(request(name), SERVER, Feed().tell, 60)
        assert pod.node == node
        assert pod.requests[resource] == 1
        assert launcher.view.class_of(pod, launcher.settings.catalog, among) == name
        assert [held.gpu_classes for held in launcher.usage()] == [(name,)]
        assert free(launcher, name) == (total - 1, total)
        seen = await environment(launcher)
        if resource.startswith("nvidia.com/mig-"):
            assert seen["CUDA_VISIBLE_DEVICES"].startswith("MIG-")
        elif resource.startswith("nvidia.com/"):
            assert seen["CUDA_VISIBLE_DEVICES"] == "0"
            assert seen["NVIDIA_VISIBLE_DEVICES"].startswith("GPU-")
        else:
            variable = "ROCR_VISIBLE_DEVICES" if resource.startswith("amd.com/") else "ZE_AFFINITY_MASK"
            assert seen[variable] == "0"
    finally:
        await launcher.stop("ada", "", grace_seconds=0)
    assert free(launcher, name) == (total, total)
    assert not engine.store.items("pods")


async def test_a_class_of_whole_cards_never_lands_on_slices_or_shares(many: tuple[Engine, Launcher]) -> None:
    _, launcher = many
    assert free(launcher, "whole") == (5, 5)
    users = [f"user{number}" for number in range(5)]
    try:
        launches = [launcher.launch(request("whole", user=user), SERVER, Feed().tell, 60) for user in users]
        pods = await asyncio.gather(*launches)
        assert sorted(pod.node for pod in pods) == ["a100-0"] * 4 + ["t4-0"]
        with pytest.raises(LaunchError, match="All 5 whole GPUs are taken"):
            await launcher.launch(request("whole"), SERVER, Feed().tell, 1)
    finally:
        await asyncio.gather(*(launcher.stop(user, "", grace_seconds=0) for user in users))


async def test_several_gpus_come_from_one_node(many: tuple[Engine, Launcher]) -> None:
    _, launcher = many
    try:
        pod = await launcher.launch(request("several", gpus=3), SERVER, Feed().tell, 60)
        assert pod.node == "a100-0"
        seen = await environment(launcher)
        assert seen["CUDA_VISIBLE_DEVICES"] == "0,1,2"
        assert len(set(seen["NVIDIA_VISIBLE_DEVICES"].split(","))) == 3
    finally:
        await launcher.stop("ada", "", grace_seconds=0)


async def test_five_gpus_that_no_single_node_has_are_refused_at_once(tmp_path: Path) -> None:
    async with running_launcher(tmp_path, "a100=2x4", classes={"several": CLASSES["several"]}) as (_, launcher):
        with pytest.raises(LaunchError) as raised:
            await launcher.launch(request("several", gpus=5), SERVER, Feed().tell, 60)
        assert raised.value.code == "too_many_gpus"
        assert "4" in raised.value.reason


async def test_two_shares_of_a_card_under_mps_end_in_words(many: tuple[Engine, Launcher]) -> None:
    _, launcher = many
    with pytest.raises(LaunchError) as raised:
        await launcher.launch(request("mps", gpus=2), SERVER, Feed().tell, 60)
    assert raised.value.code == "node_refused"
    assert "maximum request size for shared resources is 1" in raised.value.detail
    await launcher.stop("ada", "", grace_seconds=0)


async def test_a_class_may_name_a_runtime_class(tmp_path: Path) -> None:
    profile = {
        "image": "example.org/notebook:1",
        "gpu_classes": ["t4"],
        "pod": {"spec": {"runtimeClassName": "nvidia"}},
    }
    changes = {"classes": {"t4": CLASSES["t4"]}, "profiles": {"gpu": profile}}
    async with running_launcher(tmp_path, "t4=1x1", **changes) as (engine, launcher):
        with pytest.raises(LaunchError, match="RuntimeClass") as raised:
            await launcher.launch(request("t4"), SERVER, Feed().tell, 60)
        assert 'RuntimeClass "nvidia" not found' in raised.value.detail
        engine.store.create("runtimeclasses.node.k8s.io", {"metadata": {"name": "nvidia"}, "handler": "nvidia"})
        await launcher.launch(request("t4"), SERVER, Feed().tell, 60)
        (pod,) = engine.store.list("pods")[0]
        assert pod["spec"]["runtimeClassName"] == "nvidia"
