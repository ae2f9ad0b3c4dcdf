"""Placeholder pods keep nodes for launches: to a hub their GPUs are free, and launches get them at once."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cluster import SECTION
from launching import launch, named
from rendered_servers import settings_of
from rendering import render
from running_hub import ADMIN_TOKEN, RunningHub

from gpuspawner.labels import PLACEHOLDER
from gpuspawner.local.engine import Engine

VALUES = {
    "gpuspawner": SECTION,
    "priorityClasses": {"create": True},
    "placeholders": {"small": {"replicas": 3}},
    "resourceQuota": {"hard": {"requests.nvidia.com/gpu": 2}},
    "pause": {"image": {"name": "example.org/silent", "tag": "1"}},
}


@pytest.fixture
async def hub(engine: Engine, start_gpu_hub: Any, tmp_path: Path) -> RunningHub:
    """What the chart makes: every T4 is held by a placeholder, one more waits for a node, and a quota is on servers."""
    manifests = render(VALUES, namespace="default")
    (placeholders,) = [item for item in manifests.all("Deployment") if "placeholder" in item["metadata"]["name"]]
    await kubectl_create(
        engine, tmp_path, [*manifests.all("PriorityClass"), *manifests.all("ResourceQuota"), placeholders]
    )
    await until(lambda: len(placed(engine)) == 2)
    found: RunningHub = await start_gpu_hub(
        pod_template=settings_of(manifests).pod_template,
        hub={
            "services": [{"name": "tests", "api_token": ADMIN_TOKEN}],
            "load_roles": [
                {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "read:metrics"]}
            ],
        },
    )
    for user in ("ada", "eve"):
        await found.login(user, "x")
    return found


async def kubectl_create(engine: Engine, folder: Path, items: list[dict[str, Any]]) -> None:
    kubeconfig, file = folder / "operator", folder / "objects.json"
    engine.write_kubeconfig(kubeconfig)
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    command = ["kubectl", "--kubeconfig", str(kubeconfig), "create", "-f", str(file)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


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


async def test_a_quota_counts_servers_and_not_what_gives_way_to_them(hub: RunningHub) -> None:
    """Three placeholders are there under a quota of two GPUs."""
    for user in ("ada", "eve"):
        assert await launch(hub, user, {"profile": "pytorch", "gpu_class": "small"}) == ""
    said = await launch(hub, "ada", {"workspace": "lab", "profile": "pytorch", "gpu_class": "medium"}, server="third")
    assert "2 of 2 GPUs in use, and this server needs 1 more (ResourceQuota gpuspawner-servers)" in said
