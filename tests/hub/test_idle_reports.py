"""From a real source to a server's end: a notebook server with the extension, and a real Prometheus."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cluster import IMAGES, NODES, SECTION
from launching import launch
from notebook_driver import DRIVER
from real_prometheus import RealPrometheus, Series
from running_hub import RunningHub

from gpuspawner import notebook
from gpuspawner.activity.watch import IdleWatch
from gpuspawner.local.engine import Engine
from gpuspawner.sessions.idle import IdleState

PATIENCE = 40
MIB = 2**20
SOURCES = Path(notebook.__file__).parents[2]
NOTEBOOK = (sys.executable, "-m", "jupyterhub.singleuser", "--allow-root")
PYTORCH = {**SECTION["profiles"]["pytorch"], "image": "example.org/jupyter:1", "runtime": "8h"}


@pytest.fixture
async def jupyter_engine(tmp_path: Path) -> Any:
    """The engine with a real Jupyter server as an image."""
    images = {**IMAGES, "example.org/jupyter:1": NOTEBOOK}
    engine = Engine(nodes=NODES, images=images, data_dir=tmp_path / "jupyter", stop_grace=1.0)
    await engine.start()
    yield engine
    await engine.stop()


def watch_of(hub: RunningHub) -> IdleWatch:
    found: IdleWatch = hub.app.tornado_settings["gpuspawner_idle"]
    return found


async def test_a_real_notebook_server_reports_its_gpu_and_cpu_to_the_hub(
    jupyter_engine: Engine, start_gpu_hub: Any, tmp_path: Path
) -> None:
    driver = tmp_path / "driver"
    driver.mkdir()
    (driver / "pynvml.py").write_text(DRIVER)
    (driver / "mib").write_text("9000")
    kubeconfig = tmp_path / "jupyter-kubeconfig"
    jupyter_engine.write_kubeconfig(kubeconfig)
    policy = {"every": 1, "silence": 5, "cpu": 100, "cpu_over": 1, "never_in_first": 1, "grace": {"min": 1, "max": 1}}
    hub = await start_gpu_hub(
        idle={**policy, "after": "1h"},
        profiles={"pytorch": PYTORCH},
        workspaces={"everyone": {"members": "*", "quota": {"small": 4}}},
        connect={"kubeconfig": str(kubeconfig)},
        environment={
            "PYTHONPATH": f"{driver}:{SOURCES}",
            "JUPYTER_CONFIG_PATH": str(Path(notebook.__file__).parent),  # as the wheel installs it
        },
    )
    await hub.login("ada", "x")
    try:
        assert await launch(hub, "ada", {"profile": "pytorch", "gpu_class": "small"}) == ""
        watch = watch_of(hub)

        async def until(state: IdleState) -> None:
            async with asyncio.timeout(PATIENCE):
                while (verdict := watch.verdict("ada", "")) is None or verdict.state is not state:
                    await asyncio.sleep(0.05)
                    await watch.look()

        await until(IdleState.ACTIVE)
        (track,) = watch._tracks.values()
        assert track.gpu
        assert track.gpu.work
        assert track.cpu
        (driver / "mib").write_text("3")
        await until(IdleState.IDLE)
    finally:
        await hub.api("DELETE", "users/ada/server")


def every_minute(began: datetime, values: list[tuple[int, float]]) -> Iterator[tuple[datetime, float]]:
    """So many minutes of each value."""
    at = began
    for minutes, value in values:
        for _ in range(minutes * 4):
            yield at, value
            at += timedelta(seconds=15)


async def test_what_a_real_prometheus_has_recorded_ends_a_server(
    engine: Engine, start_gpu_hub: Any, tmp_path: Path
) -> None:
    began = datetime.now(UTC)
    gpu = {"exported_namespace": "default", "exported_pod": "jupyter-ada", "pod": "dcgm-exporter-x", "gpu": "0"}
    cpu = {"namespace": "default", "pod": "jupyter-ada", "container": "notebook"}
    past = [
        Series("DCGM_FI_DEV_FB_USED", gpu, every_minute(began, [(20, 9000), (120, 3)])),
        Series(
            "container_cpu_usage_seconds_total",
            cpu,
            ((began + timedelta(seconds=15 * step), 0.3 * min(step, 160)) for step in range(140 * 4)),
        ),
    ]
    prometheus = await RealPrometheus.start(tmp_path / "prometheus", past)
    try:
        hub = await start_gpu_hub(
            idle={"after_when_quiet": None, "prometheus": {"url": prometheus.url}},
            profiles={"pytorch": {**SECTION["profiles"]["pytorch"], "runtime": "8h"}},
            workspaces={"everyone": {"members": "*", "quota": {"small": 4}}},
        )
        await hub.login("ada", "x")
        assert await launch(hub, "ada", {"profile": "pytorch", "gpu_class": "small"}) == ""
        watch, now = watch_of(hub), [began]
        hub.app.tornado_settings["gpuspawner_launcher"]._clock = lambda: now[0]
        spawner, minute, seen = hub.user("ada").spawners[""], 2, dict[IdleState, int]()
        async with asyncio.timeout(PATIENCE):
            while spawner.active:
                minute += 1
                now[0] = began + timedelta(minutes=minute)
                await watch.look()
                await asyncio.sleep(0.01)
                if (verdict := watch.verdict("ada", "")) is not None:
                    seen.setdefault(verdict.state, minute)
                    if verdict.since is not None:
                        assert timedelta(minutes=20) <= verdict.since - began <= timedelta(minutes=23)
        # What was planned with the warning may come before the look that finds it due.
        due = seen.pop(IdleState.DUE, None)
        assert list(seen) == [IdleState.ACTIVE, IdleState.WARNED]
        assert seen[IdleState.WARNED] in (61, 62, 63, 64)
        assert due in (None, seen[IdleState.WARNED] + 30)
        assert minute >= seen[IdleState.WARNED] + 30
    finally:
        await prometheus.stop()
