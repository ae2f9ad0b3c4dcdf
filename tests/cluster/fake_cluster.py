"""A client without a network: lists and watches of what a test puts into it, in the order it does."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

Raw = dict[str, Any]


class FakeCluster:
    """Stands in for ``Client``; ``await quiet()`` returns when everything told has been taken in."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[tuple[str, str], Raw]] = {}
        self.failing: dict[tuple[str, str | None], Exception] = {}
        self.logs: dict[str, str] = {}
        self.ahead: dict[str, int] = {}
        self.calls: list[tuple[str, str, str | None]] = []
        self.watched = asyncio.Event()
        self._frames: dict[str, asyncio.Queue[Raw | Exception]] = {}

    def set(self, resource: str, raw: Raw, *, tell: bool = True, version: int | None = None) -> Raw:
        """Create or change an object; returns it as the API would."""
        self.version = max(self.version + 1, version or 0)
        raw = copy.deepcopy(raw)
        raw["metadata"]["resourceVersion"] = str(version or self.version)
        key = (raw["metadata"].get("namespace") or "", raw["metadata"]["name"])
        known = self.objects.setdefault(resource, {})
        kind = "MODIFIED" if key in known else "ADDED"
        known[key] = raw
        if tell:
            self.frame(resource, {"type": kind, "object": raw})
        return raw

    def remove(self, resource: str, namespace: str, name: str, *, tell: bool = True) -> None:
        self.version += 1
        raw = copy.deepcopy(self.objects[resource].pop((namespace, name)))
        raw["metadata"]["resourceVersion"] = str(self.version)
        if tell:
            self.frame(resource, {"type": "DELETED", "object": raw})

    def frame(self, resource: str, frame: Raw | Exception) -> None:
        self._queue(resource).put_nowait(frame)

    async def quiet(self) -> None:
        async with asyncio.timeout(10):
            for queue in self._frames.values():
                await queue.join()

    async def list(self, resource: str, namespace: str | None = None, **_: Any) -> Raw:
        self.calls.append(("list", resource, namespace))
        if (resource, namespace) in self.failing:
            raise self.failing[resource, namespace]
        items = [raw for key, raw in self.objects.get(resource, {}).items() if namespace in (None, key[0])]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": copy.deepcopy(items)}

    async def pages(self, resource: str, namespace: str | None = None, **_: Any) -> AsyncIterator[Raw]:
        yield await self.list(resource, namespace)

    async def watch(
        self, resource: str, namespace: str | None = None, *, on_open: Callable[[], None] = lambda: None, **_: Any
    ) -> AsyncIterator[Raw]:
        self.calls.append(("watch", resource, namespace))
        on_open()
        self.watched.set()
        queue = self._queue(resource)
        while True:
            frame = await queue.get()
            try:
                if isinstance(frame, Exception):
                    raise frame
                yield frame
            finally:
                queue.task_done()

    async def pending_workloads(self, namespace: str, queue: str) -> Raw:
        """As Kueue tells it: who waits, by uid, and how many are ahead."""
        owners = {uid: {"ownerReferences": [{"kind": "Pod", "uid": uid}]} for uid in self.ahead}
        return {"items": [{"metadata": owners[u], "positionInClusterQueue": n} for u, n in self.ahead.items()]}

    async def pod_log(self, namespace: str, name: str, **_: Any) -> str:
        return self.logs.get(name, "")

    def _queue(self, resource: str) -> asyncio.Queue[Raw | Exception]:
        return self._frames.setdefault(resource, asyncio.Queue())


def pod(name: str, *, uid: str = "", node: str = "", gpus: int = 0, own: bool = True, **status: Any) -> Raw:
    requests = {"cpu": "1", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    namespace = "hub" if own else "elsewhere"
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "labels": {"gpuspawner/hub": "test", "x": "y"} if own else {"x": "y"},
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": "notebook", "image": "nb:1", "resources": {"requests": requests}}],
        },
        "status": {"phase": "Running" if node else "Pending", **status},
    }


def ready(name: str, **options: Any) -> Raw:
    conditions = [{"type": "Ready", "status": "True"}]
    return pod(name, node=options.pop("node", "t4-0"), conditions=conditions, podIP="127.1.2.3", **options)


def node(name: str, product: str = "Tesla-T4", gpus: int = 4) -> Raw:
    return {
        "metadata": {"name": name, "labels": {"nvidia.com/gpu.product": product}},
        "status": {
            "allocatable": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": str(gpus)},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
