"""The kubelet of all nodes: runs the pods that are bound to them as processes of this machine."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from gpuspawner.local.apiserver.store import Object, Store
from gpuspawner.local.kubelet.addresses import AddressPool
from gpuspawner.local.kubelet.devices import DeviceManager
from gpuspawner.local.kubelet.logs import ContainerLog
from gpuspawner.local.kubelet.pod import PodWorker
from gpuspawner.local.kubelet.process import kill_marked
from gpuspawner.local.kubelet.runtime import Runtime

__all__ = ["Kubelet"]

_CONFIG = ("configmaps", "secrets", "persistentvolumeclaims")
_ENDED = ("Succeeded", "Failed")


class Kubelet:
    """Runs every pod that has a node, whichever node.

    It stands for the container runtime too, without isolation: a container is a process of the engine's user with a
    folder as its home, so users, capabilities, read-only mounts and CPU limits of a pod have no effect. It serves one
    trusted workstation.
    """

    def __init__(self, store: Store, runtime: Runtime, devices: DeviceManager, data_dir: Path) -> None:
        self._store = store
        self._runtime = runtime
        self._devices = devices
        self._data_dir = data_dir
        self._addresses = AddressPool(runtime.engine_id)
        self._workers: dict[str, PodWorker] = {}
        self._config_waiters: dict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._cleaning: set[asyncio.Task[None]] = set()
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Run what the store holds and follow it; needs a running event loop."""
        for stored in self._store.items("pods"):
            self._on_pod("ADDED", stored.obj)
        self._unsubscribe = self._store.subscribe(self._on_change)

    async def stop(self, grace: float) -> None:
        """End all pods: SIGTERM, and SIGKILL after ``grace`` seconds. No process is left."""
        if self._unsubscribe:
            self._unsubscribe()
            self._unsubscribe = None
        living = [worker for worker in self._workers.values() if not worker.ended.is_set()]
        for worker in living:
            worker.stop(grace)
        await asyncio.gather(*(worker.ended.wait() for worker in living))
        await asyncio.gather(*self._cleaning)
        kill_marked(self._runtime.engine_id)
        for worker in self._workers.values():
            worker.forget()
        self._workers.clear()

    def log(self, pod: Object, container: str, previous: bool) -> ContainerLog | None:
        """The log of a container's last run, or of the one before; None when there was no such run."""
        worker = self._workers.get(pod["metadata"]["uid"])
        found = worker.container(container) if worker else None
        if found is None:
            return None
        return found.previous_log if previous else found.log

    def _on_change(self, resource: str, type_: str, obj: Object) -> None:
        if resource == "pods":
            self._on_pod(type_, obj)
        elif resource == "nodes":
            self._on_node(type_, obj)
        elif resource in _CONFIG:
            for waiter in self._config_waiters.pop(obj["metadata"]["namespace"], ()):
                if not waiter.done():
                    waiter.set_result(None)

    def _on_node(self, type_: str, node: Object) -> None:
        name = node["metadata"]["name"]
        for stored in self._store.items("pods"):
            if stored.obj["spec"].get("nodeName") == name:
                if type_ == "ADDED":
                    self._on_pod("MODIFIED", stored.obj)
                elif type_ == "DELETED":
                    self._store.delete("pods", stored.namespace, stored.name)

    def _on_pod(self, type_: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if type_ == "DELETED":
            if worker:
                worker.kill()
                self._forget(worker)
            return
        if worker:
            worker.update(pod)
            return
        node = self._store.find("nodes", None, pod["spec"].get("nodeName") or "")
        if node is None or pod.get("status", {}).get("phase") in _ENDED:
            return
        if "deletionTimestamp" in pod["metadata"]:
            key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
            self._store.update_status("pods", *key, pod.get("status", {}) | {"phase": "Failed"})
            self._store.remove("pods", *key)
            return
        self._begin(pod, node)

    def _begin(self, pod: Object, node: Object) -> None:
        metadata = pod["metadata"]
        address = self._addresses.take(f"{metadata['namespace']}/{metadata['name']}")
        worker = PodWorker(
            pod,
            node,
            address,
            store=self._store,
            runtime=self._runtime,
            devices=self._devices,
            data_dir=self._data_dir,
            config_changed=self._config_changed,
            released=lambda: self._addresses.give_back(address),
        )
        self._workers[metadata["uid"]] = worker
        worker.start()

    def _forget(self, worker: PodWorker) -> None:
        """Clean up after a removed pod, once its last process is gone."""

        async def clean() -> None:
            await worker.ended.wait()
            self._workers.pop(worker.uid, None)
            worker.forget()

        cleaning = asyncio.get_running_loop().create_task(clean())
        self._cleaning.add(cleaning)
        cleaning.add_done_callback(self._cleaning.discard)

    async def _config_changed(self, namespace: str) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._config_waiters[namespace].add(waiter)
        try:
            await waiter
        finally:
            self._config_waiters[namespace].discard(waiter)
