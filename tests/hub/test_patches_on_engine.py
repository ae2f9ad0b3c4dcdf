"""A workspace's patch with all that a site may want in a pod, in a server that runs."""

from pathlib import Path
from typing import Any

from launching import environment, launch, named

from gpuspawner.local.engine import Engine

SPEC: dict[str, Any] = {
    "serviceAccountName": "sa-{workspace}",
    "priorityClassName": "teaching",
    "schedulerName": "packer",
    "securityContext": {"fsGroup": 2000, "supplementalGroups": [3000]},
    "initContainers": [
        {
            "name": "course",
            "image": "example.org/git:1",
            "command": ["sh", "-c", "echo for {username} in {workspace} > $PLACE/welcome"],
            "env": [{"name": "PLACE", "value": "/home/jovyan"}],
            "volumeMounts": [{"name": "home", "mountPath": "/home/jovyan"}],
        }
    ],
    "containers": [
        {
            "name": "notebook",
            "imagePullPolicy": "Always",
            "env": [
                {"name": "WANDB", "valueFrom": {"secretKeyRef": {"name": "keys-{username}", "key": "wandb"}}},
                {"name": "GREETING", "value": "hello $(JUPYTERHUB_USER)"},
                {"name": "PLACE", "value": "/home/jovyan"},
            ],
            "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo begun > $PLACE/hook"]}}},
            "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
        },
        {"name": "sidecar", "image": "example.org/silent:1"},
    ],
}


def read(folder: str, name: str) -> str:
    return Path(folder, name).read_text().strip()


async def test_a_workspace_brings_its_own_account_priority_containers_hooks_and_secrets(
    start_gpu_hub: Any, engine: Engine
) -> None:
    store = engine.store
    store.create("serviceaccounts", {"metadata": {"name": "sa-everyone", "namespace": "default"}})
    store.create("priorityclasses.scheduling.k8s.io", {"metadata": {"name": "teaching"}, "value": 1000})
    keys = {"metadata": {"name": "keys-ada", "namespace": "default"}, "data": {"wandb": "aHVzaA=="}, "kind": "Secret"}
    store.create("secrets", keys)
    hub = await start_gpu_hub(workspaces={"everyone": {"members": "*", "pod": {"spec": SPEC}}})
    await hub.login("ada", "x")
    assert await launch(hub, "ada", {"profile": "cpu"}) == ""
    told = await environment(hub, "ada")
    assert told["WANDB"] == "hush"
    assert told["GREETING"] == "hello ada"
    assert read(told["PLACE"], "welcome") == "for ada in everyone"
    assert read(told["PLACE"], "hook") == "begun"
    pod = named(engine, "pods")["jupyter-ada"]
    spec = pod["spec"]
    assert (spec["serviceAccountName"], spec["priority"], spec["schedulerName"]) == ("sa-everyone", 1000, "packer")
    assert spec["securityContext"] | SPEC["securityContext"] == spec["securityContext"]
    assert {one["name"]: one["ready"] for one in pod["status"]["containerStatuses"]} == {
        "notebook": True,
        "sidecar": True,
    }
