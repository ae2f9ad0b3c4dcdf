"""The engine is Kubernetes enough for KubeSpawner, unmodified."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from gpuspawner.local.engine import Engine


async def test_kubespawner_unmodified_runs_on_the_engine(
    engine: Engine, start_hub: Any, tmp_path: Path, kubespawner_on_engine: Path
) -> None:
    hub = await start_hub(
        {
            "JupyterHub": {"spawner_class": "kubespawner.KubeSpawner"},
            "Authenticator": {"allow_all": True},
            "KubeSpawner": {
                "image": "example.org/notebook:1",
                "storage_pvc_ensure": True,
                "storage_capacity": "1Gi",
                "pvc_name_template": "claim-{user_server}",
                "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-{user_server}"}}],
                "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
                "extra_resource_limits": {"nvidia.com/gpu": "1"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "node_selector": {"nvidia.com/gpu.product": "Tesla-T4"},
            },
        }
    )
    await hub.login("ada", "x")
    answer = await hub.api("POST", "users/ada/server")
    assert answer.status in (201, 202), await answer.text()
    spawner = hub.user("ada").spawner
    if spawner._spawn_future:
        await asyncio.wait_for(asyncio.shield(spawner._spawn_future), 60)
    assert await spawner.poll() is None
    async with aiohttp.ClientSession() as session, session.get(spawner.server.url + "env") as page:
        environment = await page.json()
    assert environment["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    assert environment["HOME"].startswith(str(tmp_path))
    (pod,) = engine.store.list("pods", "default")[0]
    assert pod["spec"]["nodeName"].startswith("t4")
    assert (await hub.api("DELETE", "users/ada/server")).status in (202, 204)
    if spawner._stop_future:
        await asyncio.wait_for(asyncio.shield(spawner._stop_future), 60)
    assert not engine.store.list("pods", "default")[0]
