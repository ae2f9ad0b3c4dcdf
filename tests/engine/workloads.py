"""Workloads as clients write them, and waiting for what becomes of them."""

import asyncio
from collections.abc import Callable
from typing import Any

from running_engine import PATIENCE, Lab

Object = dict[str, Any]
APPS, BATCH = "/apis/apps/v1/namespaces/demo", "/apis/batch/v1/namespaces/demo"


def template(script: str = "exec sleep 1000", **spec: Any) -> Object:
    """A pod template of one container that runs a shell script."""
    container = {"name": "main", "image": "example.org/tool:1", "command": ["/bin/sh", "-c", script]}
    container |= spec.pop("container", {})
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]} | spec
    return {"metadata": {"labels": {"app": "it"}}, "spec": spec}


def workload(name: str, *script: str, pods: Object | None = None, **spec: Any) -> Object:
    """A Deployment, ReplicaSet, DaemonSet or StatefulSet."""
    selector = {"matchLabels": {"app": "it"}}
    return {"metadata": {"name": name}, "spec": {"selector": selector, "template": pods or template(*script)} | spec}


def job(name: str, script: str, **spec: Any) -> Object:
    """A Job whose pods are never restarted in place."""
    pods = template(script, restartPolicy=spec.pop("restart", "Never"))
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pods["spec"]}} | spec}


def conditions(obj: Object) -> dict[str, str]:
    """Reason of each condition that is true."""
    found = obj.get("status", {}).get("conditions", [])
    return {one["type"]: one["reason"] for one in found if one["status"] == "True"}


def pods(lab: Lab) -> list[Object]:
    """The pods of the namespace that run or will."""
    found = [stored.obj for stored in lab.store.items("pods", "demo")]
    return [
        pod
        for pod in found
        if pod["status"]["phase"] not in ("Succeeded", "Failed") and "deletionTimestamp" not in pod["metadata"]
    ]


async def settled(lab: Lab, condition: Callable[[], Any]) -> None:
    """Wait, change by change, until a condition holds."""
    changed = asyncio.Event()
    stop = lab.store.subscribe(lambda *change: changed.set())
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                changed.clear()
                await changed.wait()
    finally:
        stop()


async def rolled_out(lab: Lab, name: str, generation: int = 1) -> Object:
    """The Deployment when its newest template runs everywhere."""

    def done(obj: Object) -> bool:
        status, wanted = obj.get("status", {}), obj["spec"]["replicas"]
        current = status.get("observedGeneration") == generation
        counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
        return current and counts == {wanted}

    return await lab.until(name, done, "deployments.apps")
