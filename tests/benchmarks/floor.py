"""The least that a spawner on Kubernetes can do: one POST, one watch, one DELETE, and no features at all."""

import asyncio
import json
import os
import ssl
from pathlib import Path
from typing import Any

import aiohttp
from jupyterhub.spawner import Spawner

LABELS = {"app": "jupyterhub", "component": "singleuser-server"}
NAMESPACE = "default"


class Cluster:
    """One connection and one watch for all servers of the hub; knows of each pod whether it is ready, and where."""

    def __init__(self) -> None:
        config = json.loads(Path(os.environ["KUBECONFIG"]).read_text())
        cluster = config["clusters"][0]["cluster"]
        self._pods = f"{cluster['server']}/api/v1/namespaces/{NAMESPACE}/pods"
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=100),
            headers={"Authorization": f"Bearer {config['users'][0]['user']['token']}"},
            timeout=aiohttp.ClientTimeout(total=None),
        )
        self.addresses: dict[str, str] = {}
        """By name of the pod; empty while it is not ready."""
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self.listed = asyncio.Event()
        self._task = asyncio.create_task(self._watch())

    async def create(self, manifest: dict[str, Any]) -> str:
        """Create a pod and wait until it is ready; its address."""
        await self.listed.wait()
        name = manifest["metadata"]["name"]
        self.addresses[name] = ""
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        async with self._session.post(self._pods, json=manifest) as answer:
            answer.raise_for_status()
            await answer.read()
        await future
        return self.addresses[name]

    async def delete(self, name: str) -> None:
        """Delete a pod and wait until it is gone."""
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        async with self._session.delete(f"{self._pods}/{name}") as answer:
            await answer.read()
        if answer.status == 404:
            self._waiting.pop(name, None)
            return
        await future

    async def _watch(self) -> None:
        selector = ",".join(f"{key}={value}" for key, value in LABELS.items())
        async with self._session.get(self._pods, params={"labelSelector": selector}) as answer:
            listed = await answer.json()
        for pod in listed["items"]:
            self._take("ADDED", pod)
        self.listed.set()
        query = {"watch": "1", "labelSelector": selector, "resourceVersion": listed["metadata"]["resourceVersion"]}
        rest = b""
        async with self._session.get(self._pods, params=query) as answer:
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    self._take(event["type"], event["object"])

    def _take(self, kind: str, pod: dict[str, Any]) -> None:
        name = pod["metadata"]["name"]
        if kind == "DELETED":
            self.addresses.pop(name, None)
            self._done(name)
            return
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
        if ready and "deletionTimestamp" not in pod["metadata"]:
            self.addresses[name] = pod["status"]["podIP"]
            self._done(name)

    def _done(self, name: str) -> None:
        future = self._waiting.pop(name, None)
        if future is not None and not future.done():
            future.set_result(None)


class FloorSpawner(Spawner):  # type: ignore[misc]
    """Starts a pod with one GPU."""

    @property
    def cluster(self) -> Cluster:
        """The hub's one connection."""
        shared: dict[str, Any] = self.user.settings
        if "floor" not in shared:
            shared["floor"] = Cluster()
        found: Cluster = shared["floor"]
        return found

    @property
    def pod(self) -> str:
        """The name of this server's pod."""
        return f"jupyter-{self.user.name}"

    async def start(self) -> str:
        """Create the pod; its URL once it is ready."""
        resources = {"cpu": "100m", "memory": "128M", "nvidia.com/gpu": "1"}
        container = {
            "name": "notebook",
            "image": "example.org/notebook:1",
            "env": [{"name": key, "value": str(value)} for key, value in self.get_env().items()],
            "resources": {"limits": resources, "requests": resources},
        }
        annotations = {"hub.jupyter.org/username": self.user.name}
        address = await self.cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": self.pod, "labels": LABELS, "annotations": annotations},
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [container],
                    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                },
            }
        )
        return f"http://{address}:{self.port}"

    async def stop(self, now: bool = False) -> None:
        """Delete the pod."""
        await self.cluster.delete(self.pod)

    async def poll(self) -> int | None:
        """None while it runs."""
        await self.cluster.listed.wait()
        return None if self.pod in self.cluster.addresses else 0
