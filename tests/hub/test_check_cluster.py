"""`gpuspawner check --cluster` against the engine: what it says of each profile, and of what it may not read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cluster import IMAGES, section

from gpuspawner.cli import main
from gpuspawner.cluster.view import View
from gpuspawner.local.engine import Engine

GPU = {"nvidia.com/gpu": "1"}


@pytest.fixture
async def small(tmp_path: Path) -> Any:
    engine = Engine("t4=1x2 t4-shared4=1x1 cpu=1", images=IMAGES, data_dir=tmp_path / "engine", stop_grace=1.0)
    await engine.start()
    yield engine
    await engine.stop()


async def check(engine: Engine, folder: Path, **changes: Any) -> int:
    """Run the command on a configuration, in a thread as it brings its own event loop; returns its exit status."""
    file = folder / "jupyterhub_config.py"
    file.write_text(f"c.GPUSpawner.update({section(engine, folder, **changes)!r})\n")
    return await asyncio.to_thread(main, ["check", "--cluster", str(file)])


def classes(**accepts: dict[str, Any]) -> dict[str, Any]:
    return {name: {"accepts": [offer]} for name, offer in accepts.items()}


def profiles(**changes: dict[str, Any]) -> dict[str, Any]:
    gpu = {"image": "i", "gpu_classes": ["small"], "gpus": {"default": 1, "max": 2}}
    return {"pytorch": gpu, "cpu": {"image": "i"}, **{name: {**gpu, **more} for name, more in changes.items()}}


def rows(said: str) -> dict[tuple[str, str], str]:
    """The table's rows by profile and class."""
    table = said.partition("PROFILE   GPU CLASS   NOW")[2] or said.rpartition("\nPROFILE ")[2]
    cells = [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in table.splitlines()[1:]]
    return {(row[0], row[1]): " | ".join(row[2:]) for row in cells if len(row) == 4}


async def test_it_says_of_every_profile_whether_it_could_start_now(
    small: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    product = {"resource": "nvidia.com/gpu", "product": "Tesla-T4"}
    offered = classes(small=product, slow={"resource": "nvidia.com/gpu", "product": "Tesla-P4"})
    offered["later"] = {"accepts": [{"resource": "nvidia.com/gpu", "product": "H100"}], "autoscaled": True}
    offered["odd"] = {"accepts": [{"resource": "nvidia.com/gpus"}]}
    asked = profiles(
        slow={"gpu_classes": ["slow"]},
        later={"gpu_classes": ["later"]},
        odd={"gpu_classes": ["odd"]},
        huge={"memory": {"default": "900G", "min": "900G", "max": "900G"}},
    )
    status = await check(small, tmp_path, gpu_classes=offered, profiles=asked, workspaces={"everyone": {}})
    said = capsys.readouterr().out
    assert status == 1
    assert "Cluster: 3 nodes; the pods of all namespaces are counted." in said
    found = rows(said)
    assert found["pytorch", "small"] == "free | 2 of 2 free."
    assert found["cpu", "none"] == "free | There is room."
    assert found["slow", "slow"].startswith("misconfigured: label | No node with nvidia.com/gpu is labelled ")
    assert "nvidia.com/gpu.product=Tesla-P4" in found["slow", "slow"]
    assert found["odd", "odd"].startswith("misconfigured: resource name | No node has the resource nvidia.com/gpus")
    assert "did you mean nvidia.com/gpu?" in found["odd", "odd"]
    assert found["later", "later"].startswith("needs a node | ")
    assert found["huge", "small"].startswith("misconfigured: size | It asks for 900 GB of memory")
    assert "no node of the cluster can hold 4 of the launches above" in said


async def test_it_says_what_is_taken_whoever_took_it(
    small: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"nvidia.com/gpu": "2"}}}]}
    other = {
        "metadata": {"name": "training", "namespace": "default"},
        "spec": {**spec, "nodeName": "t4-0", "activeDeadlineSeconds": 710},
    }
    small.store.create("pods", {**other, "status": {"phase": "Running"}})
    offered = classes(small={"resource": "nvidia.com/gpu", "product": "Tesla-T4"})
    status = await check(small, tmp_path, gpu_classes=offered, profiles=profiles(), workspaces={"everyone": {}})
    said = capsys.readouterr().out
    assert status == 0
    assert rows(said)["pytorch", "small"] == "busy | All 2 are taken. The next is free in about 12 min at the latest."
    assert "no mistake" in said


async def test_it_warns_of_shared_cards_taken_for_whole_ones_and_of_defaults_too_large(
    small: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for node in small.store.list("nodes", None)[0]:  # as an older GPU feature discovery leaves them
        node["metadata"]["labels"].pop("nvidia.com/gpu.sharing-strategy", None)
        small.store.update("nodes", node)
    offered = classes(small={"resource": "nvidia.com/gpu"})
    offered["small"]["accepts"].append({"resource": "nvidia.com/mig-1g.5gb"})
    asked = profiles(large={"cpu": {"default": 100, "max": 200}})
    status = await check(small, tmp_path, gpu_classes=offered, profiles=asked, workspaces={"everyone": {}})
    said = capsys.readouterr().out
    assert status == 0
    assert "Warning: GPU class small accepts nvidia.com/gpu on node t4-shared4-0, where that is a share" in said
    assert "Warning: GPU class small also accepts nvidia.com/mig-1g.5gb, in vain: No node has the resource" in said
    assert "Warning: The default of profile large on small is too large for every node: It asks for 100 CPU" in said


async def test_it_says_when_only_its_own_namespace_is_counted(
    small: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(View, "cluster_wide", False)
    offered = classes(small={"resource": "nvidia.com/gpu", "product": "Tesla-T4"})
    await check(small, tmp_path, gpu_classes=offered, profiles=profiles(), workspaces={"everyone": {}})
    assert "only the pods of namespace default are counted" in capsys.readouterr().out


async def test_it_says_what_it_may_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def refuse(request: web.Request) -> web.Response:
        body = {"kind": "Status", "reason": "Forbidden", "message": 'nodes is forbidden: User "hub" cannot list'}
        allowed = {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []}
        if "nodes" in request.path:
            return web.json_response(body, status=403)
        return web.json_response(allowed)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    file = tmp_path / "jupyterhub_config.py"
    connect = {"host": "http://{}:{}".format(*runner.addresses[0])}
    file.write_text(f"c.GPUSpawner.connect = {connect!r}\nc.GPUSpawner.profiles = {{'cpu': {{'image': 'i'}}}}\n")
    assert await asyncio.to_thread(main, ["check", "--cluster", str(file)]) == 2
    assert "does not let this login read nodes" in capsys.readouterr().err
    await runner.cleanup()


async def test_a_cluster_that_does_not_answer_is_told_from_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpuspawner.cli.check_cluster._PATIENCE", 1.0)
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(
        "c.GPUSpawner.connect = {'host': 'http://127.0.0.1:1'}\nc.GPUSpawner.profiles = {'cpu': {'image': 'i'}}\n"
    )
    assert await asyncio.to_thread(main, ["check", "--cluster", str(file)]) == 2
    said = capsys.readouterr()
    assert "no connection to 127.0.0.1:1: Connection refused" in said.err
    assert "no mistake" not in said.out


async def test_it_reads_the_devices_of_device_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine("dra-t4=1x2 cpu=1", images=IMAGES, data_dir=tmp_path / "engine", stop_grace=1.0)
    await engine.start()
    try:
        offered = classes(
            small={"device_class": "gpu.nvidia.com", "product": "Tesla T4"},
            odd={"device_class": "gpu.nvidia.com", "product": "Tesla P4"},
        )
        asked = profiles(odd={"gpu_classes": ["odd"]})
        status = await check(engine, tmp_path, gpu_classes=offered, profiles=asked, workspaces={"everyone": {}})
    finally:
        await engine.stop()
    found = rows(capsys.readouterr().out)
    assert status == 1
    assert found["pytorch", "small"] == "free | 2 of 2 free."
    assert found["odd", "odd"].startswith("misconfigured: resource name | No driver publishes")


async def test_a_prometheus_that_cannot_tell_what_gpus_do_is_warned_of(
    small: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def nothing(request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": []}})

    app = web.Application()
    app.router.add_post("/api/v1/query", nothing)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    asked = {
        "gpu_classes": classes(small={"resource": "nvidia.com/gpu", "product": "Tesla-T4"}),
        "profiles": profiles(),
    }
    idle = {"cpu": None, "prometheus": {"url": f"http://{host}:{port}"}}
    try:
        assert await check(small, tmp_path, **asked, workspaces={"everyone": {}}, idle=idle) == 0
    finally:
        await runner.cleanup()
    said = capsys.readouterr().out
    assert "Warning: Prometheus has no DCGM_FI_DEV_FB_USED: is NVIDIA's DCGM exporter scraped?" in said
    assert "cAdvisor" not in said
    await check(small, tmp_path, **asked, workspaces={"everyone": {}}, idle=idle)
    assert f"Warning: Prometheus at http://{host}:{port} does not answer" in capsys.readouterr().out
