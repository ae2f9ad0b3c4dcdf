"""A whole engine for a test: API, scheduler and kubelet, with tiny processes as containers."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from gpuspawner.local.engine import Engine
from gpuspawner.local.kubelet.runtime import Backoff

Object = dict[str, Any]
PATIENCE = 30
"""Seconds after which a test gives up on something that should happen."""

SLEEP = ("sleep", "1000")
QUICK = Backoff(initial=0.05, maximum=0.1)


class Lab:
    """A running engine and a client of it."""

    def __init__(self, engine: Engine, session: ClientSession) -> None:
        self.engine = engine
        self.store = engine.store
        self._session = session
        self._context = ssl.create_default_context(cadata=engine.ca)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        token: str | None = None,
    ) -> Any:
        """Start a request, by default with the engine's own token; use as ``async with``."""
        headers = {"Authorization": f"Bearer {token or self.engine.token}", "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        return self._session.request(method, self.engine.url + path, data=data, headers=headers, ssl=self._context)

    async def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Send a request; status and body."""
        async with self.request(method, path, body, content_type) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else text

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed; its body."""
        status, answer = await self.call(method, path, body)
        assert status < 300, answer
        return answer

    async def create(self, plural: str, body: Object) -> Object:
        """Create an object of the core group in the namespace demo."""
        created: Object = await self.ok("POST", f"/api/v1/namespaces/demo/{plural}", body)
        return created

    async def run(self, name: str, script: str = "exec sleep 1000", **spec: Any) -> Object:
        """Create a pod of one container that runs a shell script; ``container`` adds to the container."""
        container = {"name": "main", "image": "example.org/tool:1", "command": ["/bin/sh", "-c", script]}
        container |= spec.pop("container", {})
        annotations = spec.pop("annotations", {})
        labels = spec.pop("labels", {})
        spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 10, "containers": [container]} | spec
        return await self.create("pods", pod_body(name, spec, labels, annotations))

    async def until(self, name: str, matches: Callable[[Object], Any], resource: str = "pods") -> Object:
        """The first state of an object from now on that matches."""
        async with asyncio.timeout(PATIENCE):
            async for type_, obj in self.store.watch(resource, "demo"):
                if obj["metadata"]["name"] == name and type_ != "DELETED" and matches(obj):
                    return dict(obj)
        raise AssertionError("the watch ended")

    async def ended(self, name: str) -> Object:
        """The pod when it has succeeded or failed."""
        return await self.until(name, lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"))

    async def ready(self, name: str) -> Object:
        """The pod when it is ready."""
        return await self.until(name, is_ready)

    async def gone(self, name: str, resource: str = "pods") -> None:
        """Wait until an object is gone."""
        async with asyncio.timeout(PATIENCE):
            watch = self.store.watch(resource, "demo")
            if self.store.find(resource, "demo", name) is None:
                return
            async for type_, obj in watch:
                if obj["metadata"]["name"] == name and type_ == "DELETED":
                    return

    async def event(self, pod: str, reason: str, within: str = "") -> Object:
        """The first event about a pod with this reason, and these words in its message."""

        def matches(event: Object) -> bool:
            about = event["involvedObject"]["name"] == pod and event["reason"] == reason
            return about and within in event["message"]

        async with asyncio.timeout(PATIENCE):
            async for type_, event in self.store.watch("events", "demo"):
                if type_ != "DELETED" and matches(event):
                    return dict(event)
        raise AssertionError("the watch ended")

    def events(self, pod: str) -> list[str]:
        """``reason: message`` of every event about a pod, in order."""
        found = [stored.obj for stored in self.store.items("events", "demo")]
        about = [event for event in found if event["involvedObject"]["name"] == pod]
        about.sort(key=lambda event: event["metadata"]["name"])
        return [f"{event['reason']}: {event['message']}" for event in about]

    async def log(self, name: str, query: str = "") -> str:
        """What a pod has printed."""
        return str(await self.ok("GET", f"/api/v1/namespaces/demo/pods/{name}/log{query}"))

    async def first_line(self, name: str, container: str = "main") -> str:
        """The first line that a pod prints, as soon as it has printed it."""
        path = f"/api/v1/namespaces/demo/pods/{name}/log?follow=true&container={container}"
        async with asyncio.timeout(PATIENCE), self.request("GET", path) as response:
            return (await response.content.readline()).decode().rstrip("\n")

    async def output(self, name: str, script: str, **spec: Any) -> str:
        """What a script prints that runs to its end as a pod."""
        await self.run(name, script, **spec)
        pod = await self.ended(name)
        text = await self.log(name)
        assert pod["status"]["phase"] == "Succeeded", text
        return text


def pod_body(name: str, spec: Object, labels: Object | None = None, annotations: Object | None = None) -> Object:
    """A Pod as a client writes it."""
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def gpus(count: int, resource: str = "nvidia.com/gpu", **more: str) -> Object:
    """Resources of a container with this many GPUs."""
    limits = {"cpu": "100m", "memory": "1Gi", resource: str(count)} | more
    return {"limits": limits, "requests": dict(limits)}


ANYWHERE = [{"operator": "Exists"}]
"""Tolerations of everything."""


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is true."""
    conditions = pod["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def state(pod: Object, index: int = 0) -> Object:
    """The state of one of the pod's containers."""
    found: Object = pod["status"]["containerStatuses"][index]["state"]
    return found


def waits_for(reason: str) -> Callable[[Object], bool]:
    """Whether the first container waits for this reason."""

    def matches(pod: Object) -> bool:
        statuses = pod["status"].get("containerStatuses") or [{}]
        return bool(statuses[0].get("state", {}).get("waiting", {}).get("reason") == reason)

    return matches


@asynccontextmanager
async def running_engine(
    data_dir: Path, nodes: str = "cpu=1", images: Mapping[str, Sequence[str]] | None = None, **options: Any
) -> AsyncIterator[Lab]:
    """Run an engine while the block runs."""
    options = {"namespaces": ["demo"], "backoff": QUICK, "stop_grace": 2.0} | options
    engine = Engine(nodes, {"*": SLEEP} if images is None else images, data_dir=data_dir, **options)
    await engine.start()
    try:
        async with ClientSession() as session:
            yield Lab(engine, session)
    finally:
        await engine.stop()
