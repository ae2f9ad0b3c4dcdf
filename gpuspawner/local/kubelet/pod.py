"""The life of one pod on its node, from admission to the removal of what it leaves."""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpuspawner.local.apiserver.events import record_event
from gpuspawner.local.apiserver.store import Object, StatusError, Store, clone
from gpuspawner.local.kubelet.container import Container
from gpuspawner.local.kubelet.devices import DeviceManager, DevicesUnavailable, claimed_devices
from gpuspawner.local.kubelet.launch import PodPlace
from gpuspawner.local.kubelet.pod_status import conditions, phase
from gpuspawner.local.kubelet.runtime import Runtime
from gpuspawner.local.kubelet.service_names import ServiceNames
from gpuspawner.local.kubelet.volumes import VolumeError, prepare_volumes, remove_volumes

__all__ = ["HOST_ADDRESS", "PodWorker"]

HOST_ADDRESS = "127.0.0.1"
_LOGGER = logging.getLogger(__name__)
_DEADLINE = "Pod was active on the node longer than the specified deadline"


class PodWorker:
    """Runs one pod.

    Parameters
    ----------
    pod
        The Pod, bound to ``node``.
    address
        Its own, from 127.0.0.0/8.
    config_changed
        Begins to wait for the next change of a config map, secret or claim of a namespace.
    released
        Called when the pod holds no device and no address any more.
    """

    def __init__(
        self,
        pod: Object,
        node: Object,
        address: str,
        *,
        store: Store,
        runtime: Runtime,
        devices: DeviceManager,
        data_dir: Path,
        config_changed: Callable[[str], Awaitable[None]],
        released: Callable[[], None],
    ) -> None:
        self.pod = clone(pod)
        self.namespace, self.name, self.uid = (pod["metadata"][key] for key in ("namespace", "name", "uid"))
        self.ended = asyncio.Event()
        """Set when no process of the pod lives any more."""
        self._node, self._store, self._runtime, self._devices = node, store, runtime, devices
        self._data_dir, self._released = data_dir, released
        self._config_changed = config_changed
        self._names = ServiceNames(store)
        self.place = PodPlace(
            data_dir / "pods" / self.uid,
            address,
            node,
            self._lookup,
            runtime.environment,
            self._event,
            runtime.api_url,
            self._names,
        )
        self._logs = data_dir / "logs" / f"{self.namespace}_{self.name}_{self.uid}"
        self.pod.setdefault("status", {}).update(hostIP=HOST_ADDRESS, podIP=address)
        spec = self.pod["spec"]
        self.init = [self._container(container, init=True) for container in spec.get("initContainers") or []]
        self.main = [self._container(container) for container in spec["containers"]]
        self._prepared = False
        self._initialized = False
        self._verdict: tuple[str, str] | None = None
        self._started_at = ""
        self._begun: float | None = None
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._deadline: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._spawn(self._live())

    def update(self, pod: Object) -> None:
        """Take in what changed of the Pod: labels, annotations, deadline, deletion."""
        self.pod = clone(pod)
        self.pod.setdefault("status", {}).update(hostIP=HOST_ADDRESS, podIP=self.place.address)
        self._arm_deadline()
        if "deletionTimestamp" in pod["metadata"]:
            self.stop(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))

    def stop(self, grace: float) -> None:
        """End the pod within ``grace`` seconds."""
        if self.ended.is_set():
            self._finish_deletion()
            return
        self._stopping.set()
        for container in (*self.main, *self.init):
            self._spawn(container.stop(grace))

    def kill(self) -> None:
        """End the pod at once."""
        self._stopping.set()
        for container in (*self.main, *self.init):
            container.kill()

    def container(self, name: str) -> Container | None:
        """One of its containers."""
        return next((container for container in (*self.main, *self.init) if container.name == name), None)

    def forget(self) -> None:
        """Remove the folders and logs of a pod that has ended."""
        for container in (*self.main, *self.init):
            for log in (container.log, container.previous_log):
                if log is not None:
                    log.remove()
        shutil.rmtree(self._logs, ignore_errors=True)
        remove_volumes(self.pod, self.place.root)

    # Life

    async def _live(self) -> None:
        try:
            if self._admit():
                self._arm_deadline()
                await self._run_containers()
        finally:
            self._end()

    def _admit(self) -> bool:
        self._started_at = self._runtime.now()
        try:
            self.place.devices = self._devices.allocate(self._node, self.pod)
            for container, given in claimed_devices(self._store, self.pod).items():
                self.place.devices.setdefault(container, {}).update(given)
        except DevicesUnavailable as error:
            self._event("Warning", "UnexpectedAdmissionError", str(error), "")
            self._verdict = ("UnexpectedAdmissionError", f"Pod was rejected: {error}")
            return False
        self._initialized = not self.init
        self.publish()
        return True

    async def _run_containers(self) -> None:
        if not await self._mount():
            return
        self._prepared = True
        sidecars: list[asyncio.Task[None]] = []
        for container in self.init:
            running = self._spawn(container.run())
            if container.sidecar:
                sidecars.append(running)
                await container.settled.wait()
            else:
                await running
                if not (container.terminated and container.terminated["exitCode"] == 0):
                    break
        else:
            self._initialized = True
            if not self._stopping.is_set():
                self.publish()
                await asyncio.gather(*(self._spawn(container.run()) for container in self.main))
        grace = float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
        for container in reversed(self.init):
            if container.sidecar:
                await container.stop(grace)
        if sidecars:
            await asyncio.gather(*sidecars)

    async def _mount(self) -> bool:
        """Prepare the volumes as soon as all they refer to is there; False when stopped while waiting."""
        while not self._stopping.is_set():
            changed = asyncio.ensure_future(self._changes())
            stopping = asyncio.ensure_future(self._stopping.wait())
            try:
                folder = self.place.root / "volumes"
                self.place.folders = prepare_volumes(
                    self.pod, folder, self._data_dir, self._node, self._lookup, self._runtime.issue_token
                )
                return True
            except VolumeError as error:
                self._event("Warning", "FailedMount", str(error), "")
                await asyncio.wait((changed, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                stopping.cancel()
        return False

    def _end(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._devices.release(self.uid)
        self._prepared = False
        self.ended.set()
        self.publish()
        self._released()
        self._finish_deletion()

    def _finish_deletion(self) -> None:
        found = self._stored()
        if found is not None and "deletionTimestamp" in found["metadata"]:
            with suppress(StatusError):
                self._store.remove("pods", self.namespace, self.name)

    def _arm_deadline(self) -> None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        if seconds is None or self.ended.is_set() or self._verdict:
            return
        loop = asyncio.get_running_loop()
        if self._begun is None:
            self._begun = loop.time()
        self._deadline = loop.call_at(self._begun + float(seconds), self._deadline_exceeded)

    def _deadline_exceeded(self) -> None:
        self._deadline = None
        self._verdict = ("DeadlineExceeded", _DEADLINE)
        self._event("Normal", "DeadlineExceeded", _DEADLINE, "")
        self.stop(float(self.pod["spec"].get("terminationGracePeriodSeconds", 30)))

    # Telling

    def publish(self) -> None:
        """Write the pod's status, if it has changed."""
        found = self._stored()
        if found is None:
            return
        status = self._status(found.get("status", {}))
        if status != found.get("status"):
            self._store.update_status("pods", self.namespace, self.name, status)

    def _status(self, before: Object) -> Object:
        init, main = [c.status() for c in self.init], [c.status() for c in self.main]
        now_phase = self._phase(init, main)
        status: Object = {"phase": now_phase}
        status["conditions"] = conditions(
            before.get("conditions") or [],
            now=self._runtime.now(),
            phase=now_phase,
            prepared=self._prepared,
            initialized=self._initialized,
            init=init,
            main=main,
        )
        if self._verdict and now_phase == "Failed":
            status["reason"], status["message"] = self._verdict
        status |= {"hostIP": HOST_ADDRESS, "hostIPs": [{"ip": HOST_ADDRESS}]}
        if self._prepared or "podIP" in before:
            status |= {"podIP": self.place.address, "podIPs": [{"ip": self.place.address}]}
        status["startTime"] = before.get("startTime") or self._started_at
        if init:
            status["initContainerStatuses"] = init
        status["containerStatuses"] = main
        return status | {key: before[key] for key in ("qosClass", "resourceClaimStatuses") if key in before}

    def _phase(self, init: list[Object], main: list[Object]) -> str:
        if self._verdict and self.ended.is_set():
            return "Failed"
        sidecars = frozenset(container.name for container in self.init if container.sidecar)
        policy = self.pod["spec"].get("restartPolicy", "Always")
        if not self.ended.is_set():
            found = phase(policy, init, main, sidecars)
            # A pod ends only when all its processes have: sidecars outlive the containers they serve.
            still = "Running" if self._initialized else "Pending"
            return still if found in ("Succeeded", "Failed") else found
        found = phase("Never", init, main, sidecars)
        return found if found in ("Succeeded", "Failed") else "Failed"

    def _stored(self) -> Object | None:
        found = self._store.find("pods", self.namespace, self.name)
        return found if found is not None and found["metadata"]["uid"] == self.uid else None

    def _event(self, type_: str, reason: str, message: str, field_path: str) -> None:
        node = self._node["metadata"]["name"]
        record_event(self._store, self.pod, type_, reason, message, "kubelet", host=node, field_path=field_path)

    def _lookup(self, resource: str, name: str) -> Object | None:
        found = self._store.find(resource, self.namespace, name)
        return self._names.in_config(found) if found is not None and resource in ("configmaps", "secrets") else found

    def _container(self, spec: Object, *, init: bool = False) -> Container:
        return Container(
            spec,
            lambda: self.pod,
            self.place,
            self._runtime,
            self._logs / spec["name"],
            init=init,
            changed=self.publish,
            config_changed=self._changes,
        )

    async def _changes(self) -> None:
        await self._config_changed(self.namespace)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            _LOGGER.error("Pod %s/%s: %r", self.namespace, self.name, task.exception(), exc_info=task.exception())
