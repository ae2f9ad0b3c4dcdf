"""The life of one container over all its restarts: image, configuration, runs, and the pauses between them."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from gpuspawner.local.apiserver.store import Object
from gpuspawner.local.kubelet.env import ConfigError
from gpuspawner.local.kubelet.launch import Launch, PodPlace, prepare_launch
from gpuspawner.local.kubelet.logs import ContainerLog
from gpuspawner.local.kubelet.process import StartError
from gpuspawner.local.kubelet.runtime import Run, Runtime

__all__ = ["Container"]

_NEVER_STARTED = "1970-01-01T00:00:00Z"
_START_FAILED = 128


class Container:
    """One container of a pod.

    Parameters
    ----------
    spec
        The Container.
    pod
        Returns the Pod as it is now.
    place, runtime
        Where it runs, and with what.
    logs
        Folder of its logs.
    init
        Whether it must end well before the others start.
    changed
        Called whenever `status` has changed.
    config_changed
        Begins to wait for the next change of a config map or secret of the namespace.
    """

    def __init__(
        self,
        spec: Object,
        pod: Callable[[], Object],
        place: PodPlace,
        runtime: Runtime,
        logs: Path,
        *,
        init: bool = False,
        changed: Callable[[], None],
        config_changed: Callable[[], Awaitable[None]],
    ) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.init = init
        self.sidecar = init and spec.get("restartPolicy") == "Always"
        self.settled = asyncio.Event()
        """Set once it has started (its startup probe included) or will not run any more."""
        self.log: ContainerLog | None = None
        self.previous_log: ContainerLog | None = None
        self._pod, self._place, self._runtime, self._logs = pod, place, runtime, logs
        self._changed, self._config_changed = changed, config_changed
        waits = bool(pod()["spec"].get("initContainers"))
        self._state: Object = {"waiting": {"reason": "PodInitializing" if waits else "ContainerCreating"}}
        self._last_state: Object = {}
        self._runs = 0
        self._delay = 0.0
        self._id = ""
        self._run: Run | None = None
        self._stopping = asyncio.Event()

    # What others see

    def status(self) -> Object:
        """The ContainerStatus."""
        run, ended = self._run, self.terminated
        well = self.init and not self.sidecar and ended is not None and ended["exitCode"] == 0
        status = {
            "name": self.name,
            "state": self._state,
            "lastState": self._last_state,
            "ready": well or (run is not None and run.ready),
            "restartCount": max(0, self._runs - 1),
            "image": self.spec["image"],
            "imageID": "",
        }
        if self._id:
            status["containerID"] = self._id
        return status | {"started": run is not None and run.started}

    @property
    def terminated(self) -> Object | None:
        """The ContainerStateTerminated of the last run, if it does not run now."""
        found: Object | None = self._state.get("terminated")
        return found

    # Life

    async def run(self) -> None:
        """Run until the container has ended for good."""
        try:
            while not self._stopping.is_set():
                command = await self._image()
                launch = await self._configure(command) if command is not None else None
                if launch is None:
                    return
                ran = await self._run_once(launch)
                if not self._shall_restart():
                    return
                await self._back_off(ran)
        finally:
            self.settled.set()

    async def stop(self, grace: float) -> None:
        """Ask it to end within ``grace`` seconds and not to start again; a second call can only hasten."""
        again = self._stopping.is_set()
        self._stopping.set()
        if self._run is not None:
            if not again:
                self._event("Normal", "Killing", f"Stopping container {self.name}")
            await self._run.terminate(grace)

    def kill(self) -> None:
        """End it at once, for good."""
        self._stopping.set()
        if self._run is not None:
            self._run.kill()

    # Steps

    async def _image(self) -> list[str] | None:
        """The image's default command as soon as the image is there; None when stopped while waiting."""
        image, policy = self.spec["image"], self.spec.get("imagePullPolicy") or "IfNotPresent"
        delay = 0.0
        while not self._stopping.is_set():
            command = self._runtime.images.find(image)
            if command is not None:
                if policy == "Always":
                    self._event("Normal", "Pulling", f'Pulling image "{image}"')
                    took = "0s (0s including waiting). Image size: 0 bytes."
                    self._event("Normal", "Pulled", f'Successfully pulled image "{image}" in {took}')
                else:
                    self._event("Normal", "Pulled", f'Container image "{image}" already present on machine')
                return command
            delay = self._runtime.backoff.next(delay)
            if policy == "Never":
                why = f'Container image "{image}" is not present with pull policy of Never'
                self._event("Warning", "ErrImageNeverPull", why)
                self._event("Warning", "Failed", "Error: ErrImageNeverPull")
                self._wait("ErrImageNeverPull", why)
            else:
                self._pull_failed(image)
            await self._pause(delay)
        return None

    def _pull_failed(self, image: str) -> None:
        full = _full_name(image)
        why = f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": {full}: not found'
        why = f"rpc error: code = NotFound desc = {why}"
        self._event("Normal", "Pulling", f'Pulling image "{image}"')
        self._event("Warning", "Failed", f'Failed to pull image "{image}": {why}')
        self._event("Warning", "Failed", "Error: ErrImagePull")
        self._wait("ErrImagePull", why)
        self._event("Normal", "BackOff", f'Back-off pulling image "{image}"')
        self._event("Warning", "Failed", "Error: ImagePullBackOff")
        self._wait("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {why}')

    async def _configure(self, command: list[str]) -> Launch | None:
        """How the container starts, as soon as all it refers to is there; None when stopped while waiting."""
        while not self._stopping.is_set():
            changed = asyncio.ensure_future(self._config_changed())
            stopping = asyncio.ensure_future(self._stopping.wait())
            try:
                return prepare_launch(self.spec, self._pod(), self._place, command)
            except (ConfigError, OSError) as error:
                self._event("Warning", "Failed", f"Error: {error}")
                self._wait("CreateContainerConfigError", str(error))
                await asyncio.wait((changed, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                stopping.cancel()
        return None

    async def _run_once(self, launch: Launch) -> float:
        """One run; how many seconds it lasted."""
        metadata, spec = self._pod()["metadata"], self._pod()["spec"]
        marker = f"{self._runtime.engine_id}/{metadata['uid']}/{self.name}/{self._runs}"
        log = self._new_log()
        grace = float(spec.get("terminationGracePeriodSeconds", 30))
        run = Run(
            self.spec,
            launch,
            marker,
            log,
            self._runtime,
            address=self._place.address,
            grace=grace,
            event=self._event,
            changed=self._run_changed,
        )
        if self.terminated:
            self._last_state = self._state
        self._runs += 1
        self._id = f"gpuspawner://{hashlib.sha256(marker.encode()).hexdigest()}"
        self._event("Normal", "Created", f"Created container: {self.name}")
        begun = asyncio.get_running_loop().time()
        try:
            started_at = await run.start()
        except StartError as error:
            log.close()
            self._event("Warning", "Failed", f"Error: {error}")
            self._end({"exitCode": _START_FAILED, "reason": "StartError", "message": str(error)}, _NEVER_STARTED)
            return 0.0
        self._run = run
        self._event("Normal", "Started", f"Started container {self.name}")
        if self._stopping.is_set():
            run.kill()
        outcome = await run.finish(started_at)
        self._run = None
        self._end(outcome, started_at)
        return asyncio.get_running_loop().time() - begun

    def _run_changed(self) -> None:
        if self._run is not None and self._run.running_since:
            self._state = {"running": {"startedAt": self._run.running_since}}
            if self._run.started:
                self.settled.set()
            self._changed()

    def _end(self, outcome: Object, started_at: str) -> None:
        finished = self._runtime.now()
        outcome |= {"startedAt": started_at, "finishedAt": finished, "containerID": self._id}
        self._state = {"terminated": outcome}
        self._changed()

    def _shall_restart(self) -> bool:
        if self._stopping.is_set() or self.terminated is None:
            return False
        policy = self._pod()["spec"].get("restartPolicy", "Always")
        failed = self.terminated["exitCode"] != 0
        return self.sidecar or (policy == "Always" and not self.init) or (policy != "Never" and failed)

    async def _back_off(self, ran: float) -> None:
        if ran >= self._runtime.backoff.forgiven_after:
            self._delay = 0.0
        delay, self._delay = self._delay, self._runtime.backoff.next(self._delay)
        if not delay:
            return
        metadata = self._pod()["metadata"]
        who = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        self._event("Warning", "BackOff", f"Back-off restarting failed container {self.name} in pod {who}")
        self._last_state = self._state
        words = f"back-off {_duration(delay)} restarting failed container={self.name} pod={who}"
        self._wait("CrashLoopBackOff", words)
        await self._pause(delay)

    # Small things

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _wait(self, reason: str, message: str) -> None:
        self._state = {"waiting": {"reason": reason, "message": message}}
        self._changed()

    def _new_log(self) -> ContainerLog:
        if self.previous_log is not None:
            self.previous_log.remove()
        self.previous_log = self.log
        self.log = ContainerLog(self._logs / f"{self._runs}.log", max_bytes=self._runtime.log_bytes)
        return self.log

    def _event(self, type_: str, reason: str, message: str) -> None:
        kind = "initContainers" if self.init else "containers"
        self._place.event(type_, reason, message, f"spec.{kind}{{{self.name}}}")


def _full_name(image: str) -> str:
    """An image's name as containerd writes it, with registry and tag."""
    first, _, rest = image.partition("/")
    if not rest:
        image = f"docker.io/library/{image}"
    elif "." not in first and ":" not in first and first != "localhost":
        image = f"docker.io/{image}"
    last = image.rsplit("/", 1)[-1]
    return image if ":" in last or "@" in last else f"{image}:latest"


def _duration(seconds: float) -> str:
    """A duration as Go prints it: ``10s``, ``2m40s``, ``5m0s``."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
