"""One run of a container: its process with hooks and probes, from start to end."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp

from gpuspawner.local.apiserver.store import Object
from gpuspawner.local.kubelet.launch import Images, Launch
from gpuspawner.local.kubelet.logs import ContainerLog
from gpuspawner.local.kubelet.memory import MemoryWatch
from gpuspawner.local.kubelet.prober import Prober
from gpuspawner.local.kubelet.probes import Outcome, probe_once, request
from gpuspawner.local.kubelet.process import MARKER, ContainerProcess, StartError
from gpuspawner.local.kubelet.volumes import IssueToken
from gpuspawner.local.scheduler.fit import amounts

__all__ = ["Backoff", "Run", "Runtime"]

_KILLED, _NOT_FOUND = 137, 127
_LONGEST_MESSAGE = 4096
_LONGEST_HOOK = 3600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before trying again, in seconds: doubled each time, up to a maximum."""

    initial: float = 10.0
    maximum: float = 300.0
    forgiven_after: float = 600.0
    """A container that ran this long starts from nothing again."""

    def next(self, delay: float) -> float:
        """The delay after ``delay``."""
        return min(max(self.initial, 2 * delay), self.maximum)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What all containers of an engine share."""

    engine_id: str
    images: Images
    session: aiohttp.ClientSession
    memory: MemoryWatch
    backoff: Backoff
    environment: Mapping[str, str]
    """What every container finds in its environment unless its pod says otherwise."""
    now: Callable[[], str]
    """The time as the API writes it."""
    log_bytes: int
    api_url: Callable[[], str]
    """Where containers reach the API."""
    issue_token: IssueToken


class _Collected:
    """The output of a hook or probe."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, stream: str, data: bytes) -> None:
        self.data += data[: 64 * 1024 - len(self.data)]


class Run:
    """One run of a container.

    Parameters
    ----------
    spec
        The Container.
    launch
        How it starts here.
    marker
        What its processes carry, never the same for two runs.
    log
        Where its output goes.
    address
        The pod's.
    grace
        Seconds that it has to end when one of its probes or hooks fails.
    event
        Records an event about the container: (type, reason, message).
    changed
        Called when `ready`, `started` or `running_since` has changed.
    """

    def __init__(
        self,
        spec: Object,
        launch: Launch,
        marker: str,
        log: ContainerLog,
        runtime: Runtime,
        *,
        address: str,
        grace: float,
        event: Callable[[str, str, str], None],
        changed: Callable[[], None],
    ) -> None:
        self._spec, self._launch, self._marker, self._log = spec, launch, marker, log
        self._runtime, self._address, self._grace = runtime, address, grace
        self._event, self._changed = event, changed
        self._process: ContainerProcess | None = None
        self._kill_timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._prober = Prober(
            spec, self._probe, changed=changed, unhealthy=self._unhealthy, hopeless=self._restart_for_probe
        )
        self.running_since = ""
        """When the process has started and its postStart hook is over; the time as the API writes it."""

    @property
    def started(self) -> bool:
        """Whether the startup probe, if any, has succeeded."""
        return self._prober.started

    @property
    def ready(self) -> bool:
        """Whether the readiness probe, if any, succeeds."""
        return self._prober.ready

    async def start(self) -> str:
        """Start the process; the time at which it did. Raises StartError."""
        launch = self._launch
        self._process = await ContainerProcess.start(launch.argv, launch.env, launch.cwd, self._log, self._marker)
        limit = amounts(self._spec.get("resources", {}).get("limits")).get("memory")
        if limit:
            self._runtime.memory.add(self._marker, self._process.pid, limit, self._out_of_memory)
        return self._runtime.now()

    async def finish(self, started_at: str) -> Object:
        """Go through the run; the exit code, reason and message of its ContainerStateTerminated."""
        process = self._process
        assert process is not None, "start() comes first"  # noqa: S101
        try:
            await self._post_start(process)
            self.running_since = started_at
            self._prober.start()
            self._changed()
            code = await process.wait()
        finally:
            self._prober.stop()
            self._runtime.memory.discard(self._marker)
            if self._kill_timer:
                self._kill_timer.cancel()
            self._log.close()
        return self._outcome(process, code)

    async def terminate(self, grace: float, *, hook: bool = True) -> None:
        """Ask it to end: preStop hook, then SIGTERM; after ``grace`` seconds SIGKILL. Does not wait for the end.

        A second call can only hasten the end.
        """
        process = self._process
        if process is None:
            return
        again = self._kill_timer is not None
        loop = asyncio.get_running_loop()
        when = loop.time() + grace
        if self._kill_timer is None or self._kill_timer.when() > when:
            if self._kill_timer:
                self._kill_timer.cancel()
            self._kill_timer = loop.call_at(when, process.kill)
        if again:
            return
        self._prober.stop()
        action = (self._spec.get("lifecycle") or {}).get("preStop")
        if hook and action and grace > 0:
            outcome = await self._hook(action, grace)
            if not outcome.ok:
                self._event("Warning", "FailedPreStopHook", _with_cause("PreStopHook failed", outcome))
        process.terminate()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()

    async def _post_start(self, process: ContainerProcess) -> None:
        action = (self._spec.get("lifecycle") or {}).get("postStart")
        if not action:
            return
        hook = asyncio.ensure_future(self._hook(action, _LONGEST_HOOK))
        end = asyncio.ensure_future(process.wait())
        await asyncio.wait((hook, end), return_when=asyncio.FIRST_COMPLETED)
        if hook.done() and not hook.result().ok:
            self._event("Warning", "FailedPostStartHook", _with_cause("PostStartHook failed", hook.result()))
            self._event("Normal", "Killing", "FailedPostStartHook")
            await self.terminate(self._grace, hook=False)
        hook.cancel()
        end.cancel()

    async def _hook(self, action: Object, seconds: float) -> Outcome:
        if "exec" in action:
            code, output = await self._execute(list(action["exec"].get("command") or []), seconds)
            return Outcome(code == 0, output.strip())
        if "httpGet" in action:
            try:
                return await request(action["httpGet"], self._spec, self._address, self._runtime.session, seconds)
            except ValueError as error:
                return Outcome(ok=False, message=str(error))
        if "sleep" in action:
            await asyncio.sleep(min(float(action["sleep"]["seconds"]), seconds))
            return Outcome(ok=True)
        return Outcome(ok=False, message="this engine knows exec, httpGet and sleep hooks only")

    async def _probe(self, probe: Object) -> Outcome:
        return await probe_once(probe, self._spec, self._address, self._runtime.session, self._execute)

    async def _execute(self, command: list[str], seconds: float) -> tuple[int | None, str]:
        """Run a command as in the container; None for its exit code when it took too long."""
        launch, output = self._launch, _Collected()
        argv, env = launch.command(command), launch.env | {MARKER: self._marker}
        try:
            process = await ContainerProcess.start(argv, env, launch.cwd, output)
        except StartError as error:
            return _NOT_FOUND, str(error)
        try:
            code: int | None = await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            code = None
        finally:
            process.kill()
        return code, output.data.decode("utf-8", "replace")

    def _unhealthy(self, kind: str, message: str) -> None:
        self._event("Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {message}")

    def _restart_for_probe(self, kind: str) -> None:
        self._event("Normal", "Killing", f"Container {self._spec['name']} failed {kind} probe, will be restarted")
        seconds = self._spec[f"{kind}Probe"].get("terminationGracePeriodSeconds")
        self._ending = asyncio.ensure_future(self.terminate(self._grace if seconds is None else float(seconds)))

    def _out_of_memory(self) -> None:
        if self._process is not None:
            self._process.out_of_memory = True
            self._process.kill()

    def _outcome(self, process: ContainerProcess, code: int) -> Object:
        reason = "Completed" if code == 0 else "Error"
        if process.out_of_memory:
            code, reason = _KILLED, "OOMKilled"
        message = self._launch.termination_file.read_bytes()[:_LONGEST_MESSAGE].decode("utf-8", "replace")
        if not message and code and self._spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = self._log.last_words()
        return {"exitCode": code, "reason": reason} | ({"message": message} if message else {})


def _with_cause(words: str, outcome: Outcome) -> str:
    return f"{words}: {outcome.message}" if outcome.message else words
