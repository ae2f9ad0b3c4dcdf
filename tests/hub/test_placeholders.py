"""Placeholder pods keep nodes for launches: to a hub their GPUs are free, and launches get them at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from launching import launch, named
from running_hub import ADMIN_TOKEN, RunningHub

from gpuspawner.cluster.client import Client, Connection
from gpuspawner.labels import PLACEHOLDER
from gpuspawner.local.engine import Engine

TERM = {"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": ["Tesla-T4"]}]}


def placeholder(name: str, gpus: int = 1) -> dict[str, Any]:
    """As the chart makes them."""
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [TERM]}}}
    resources = {"limits": {"nvidia.com/gpu": str(gpus), "cpu": "1", "memory": "1Gi"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"gpuspawner/placeholder": "small"}},
        "spec": {
            "priorityClassName": "placeholders",
            "terminationGracePeriodSeconds": 5,
            "affinity": affinity,
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [{"name": "pause", "image": "example.org/silent:1", "resources": resources}],
        },
    }


@pytest.fixture
async def hub(engine: Engine, start_gpu_hub: Any, tmp_path: Path) -> RunningHub:
    """Every T4 is held by a placeholder, and one more placeholder waits for a node."""
    engine.write_kubeconfig(tmp_path / "operator")
    client = Client(Connection(kubeconfig=str(tmp_path / "operator")))
    engine.store.create("priorityclasses.scheduling.k8s.io", {"metadata": {"name": "placeholders"}, "value": -10})
    for name in ("first", "second", "third"):
        await client.create("pods", "default", placeholder(name))
    await client.close()
    await until(lambda: len(placed(engine)) == 2)
    found: RunningHub = await start_gpu_hub(
        hub={
            "services": [{"name": "tests", "api_token": ADMIN_TOKEN}],
            "load_roles": [
                {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "read:metrics"]}
            ],
        }
    )
    for user in ("ada", "eve"):
        await found.login(user, "x")
    return found


def placed(engine: Engine) -> set[str]:
    """The placeholders that have a node."""
    pods = named(engine, "pods")
    return {
        name for name, pod in pods.items() if pod["spec"].get("nodeName") and PLACEHOLDER in pod["metadata"]["labels"]
    }


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - in what the engine keeps in memory
            await asyncio.sleep(0.01)


async def told(hub: RunningHub) -> tuple[dict[str, Any], dict[str, float]]:
    """What the status page and the metrics say of the class."""
    asks = {"Authorization": f"token {hub.user('ada').new_api_token()}"}
    async with aiohttp.ClientSession() as session:
        found = await (await session.get(hub.url / "api/gpuspawner/status", headers=asks)).json()
        scrapes = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        lines = (await (await session.get(hub.url / "metrics", headers=scrapes)).text()).splitlines()
    (status,) = [one for one in found["classes"] if one["name"] == "small"]
    mine = [line for line in lines if line.startswith("gpuspawner_gpus{") and 'gpu_class="small"' in line]
    return status, {line.split('state="')[1].partition('"')[0]: float(line.rpartition(" ")[2]) for line in mine}


async def test_their_gpus_are_free_on_the_page_in_the_forecast_and_in_the_metrics(hub: RunningHub) -> None:
    status, metrics = await told(hub)
    assert (status["free"], status["used"], status["total"], status["waiting"]) == (2, 0, 2, 0)
    assert [one["free"] for one in status["ahead"]] == [2]
    assert status["for_you"]["can"] == "now"
    assert metrics == {"free": 2, "used": 0}


async def test_a_launch_takes_the_place_of_one_at_once(hub: RunningHub, engine: Engine) -> None:
    options = {"profile": "pytorch", "gpu_class": "small", "runtime": "1h"}
    assert await launch(hub, "ada", options) == ""
    assert len(placed(engine)) == 1
    status, metrics = await told(hub)
    assert (status["free"], status["used"]) == (1, 1)
    assert [one["free"] for one in status["ahead"]] == [1, 2]
    assert metrics == {"free": 1, "used": 1}
    assert await launch(hub, "eve", options) == ""
    assert not placed(engine)
