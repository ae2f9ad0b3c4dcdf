"""A hub moves from KubeSpawner to gpuspawner: the same homes, by the configuration that the command writes."""

import asyncio
from copy import deepcopy
from pathlib import Path
from typing import Any

from launching import launch, named, stop

from gpuspawner import with_workspaces
from gpuspawner.local.engine import Engine
from gpuspawner.migration.translation import translate

USER = "ada@example.org"
TRAITS: dict[str, Any] = {
    "image": "example.org/notebook:1",
    "storage_pvc_ensure": True,
    "storage_capacity": "1Gi",
    "pvc_name_template": "claim-{user_server}",
    "volumes": {"home": {"name": "home-{user_server}", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}},
    "volume_mounts": {"home": {"name": "home-{user_server}", "mountPath": "/home/jovyan"}},
    "mem_limit": "1G",
    "profile_list": [
        {
            "display_name": "A T4",
            "kubespawner_override": {
                "extra_resource_limits": {"nvidia.com/gpu": "1"},
                "node_selector": {"nvidia.com/gpu.product": "Tesla-T4"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            },
        }
    ],
}


async def test_after_the_move_everybody_finds_their_home(
    engine: Engine, start_hub: Any, kubespawner_on_engine: Path
) -> None:
    common = {"Authenticator": {"allow_all": True}, "JupyterHub": {"cleanup_servers": False}}
    hub = await start_hub(
        {
            **deepcopy(common),
            "JupyterHub": {"spawner_class": "kubespawner.KubeSpawner"},
            "KubeSpawner": {**deepcopy(TRAITS), "namespace": "default"},
        }
    )
    await hub.login(USER, "x")
    assert (await hub.api("POST", f"users/{USER}/server")).status in (201, 202)
    spawner = hub.user(USER).spawner
    if spawner._spawn_future:
        await asyncio.wait_for(asyncio.shield(spawner._spawn_future), 60)
    (before,) = engine.store.list("pods", "default")[0]
    claims = set(named(engine, "persistentvolumeclaims"))
    await stop(hub, USER)

    section = translate(TRAITS).section
    section["connect"] = {"kubeconfig": str(kubespawner_on_engine)}
    hub = await start_hub(
        {**deepcopy(common), "JupyterHub": {"spawner_class": "gpuspawner"}, "GPUSpawner": section},
        authenticator=with_workspaces("dummy"),
    )
    await hub.login(USER, "x")
    assert await launch(hub, USER, {}) == ""
    (after,) = engine.store.list("pods", "default")[0]
    assert set(named(engine, "persistentvolumeclaims")) == claims
    for pod in (before, after):
        assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] in claims
        assert pod["spec"]["nodeName"].startswith("t4")
    await stop(hub, USER)
