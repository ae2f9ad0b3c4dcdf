"""Processes of containers: started in a session of their own, killed with all their descendants."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import psutil

__all__ = ["MARKER", "ContainerProcess", "Sink", "StartError", "clean_environment", "kill_marked", "marked_processes"]

MARKER = "GPUSPAWNER_CONTAINER"
"""Variable by which every descendant of a container's process is found again: ENGINE/POD-UID/CONTAINER/RUN."""

_PASSED_ON = (
    *("LANG", "LC_ALL", "LC_CTYPE", "TZ"),
    *("LD_LIBRARY_PATH", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "NODE_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_EXIT_BY_SIGNAL = 128
_LAST_OUTPUT = 2.0
_KILL_ROUNDS = 10


class StartError(Exception):
    """A container's command could not be started; the text is the container runtime's."""


class Sink(Protocol):
    """Where output goes."""

    def write(self, stream: str, data: bytes) -> None:
        """Take output of ``stdout`` or ``stderr``."""


def clean_environment() -> dict[str, str]:
    """What a container's process gets from the engine's environment: search paths and locale, and no secrets."""
    programs = str(Path(sys.executable).parent)
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"PATH": f"{programs}:{_SYSTEM_PATH}", "LANG": "C.UTF-8", "SHELL": "/bin/sh"} | passed


def _die_with_engine(engine: int) -> Callable[[], None] | None:
    """Run in the child: have Linux kill it when the engine's process ends, however it ends."""
    if _LIBC is None:
        return None
    prctl = _LIBC.prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != engine:
            os._exit(1)

    return prepare


class _Output(asyncio.Protocol):
    def __init__(self, sink: Sink, stream: str) -> None:
        self._sink = sink
        self._stream = stream
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._sink.write(self._stream, data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class ContainerProcess:
    """A running process with its output going to a sink. Use `start`."""

    def __init__(self, popen: "subprocess.Popen[bytes]", marker: str) -> None:
        self._popen = popen
        self._marker = marker
        self._exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._outputs: list[tuple[asyncio.BaseTransport, _Output]] = []
        self.out_of_memory = False
        """Set by whoever kills the process for its memory."""

    @classmethod
    async def start(
        cls, argv: list[str], env: Mapping[str, str], cwd: Path, sink: Sink, marker: str = ""
    ) -> "ContainerProcess":
        """Start a command in a new session, its output going to ``sink``.

        With a ``marker``, its end is the end of every process that carries that marker. Raises `StartError`.
        """
        if marker:
            env = {**env, MARKER: marker}
        try:
            popen = subprocess.Popen(  # noqa: ASYNC220  (fork and exec take milliseconds)
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
                # Nothing but one system call of a library that is loaded already happens between fork and exec.
                preexec_fn=_die_with_engine(os.getpid()),
            )
        except (OSError, ValueError) as error:
            raise StartError(_runtime_words(argv, error)) from error
        process = cls(popen, marker)
        process._follow_exit()
        loop = asyncio.get_running_loop()
        for stream, pipe in (("stdout", popen.stdout), ("stderr", popen.stderr)):
            output = _Output(sink, stream)
            transport, _ = await loop.connect_read_pipe(lambda output=output: output, pipe)  # type: ignore[misc]
            process._outputs.append((transport, output))
        return process

    @property
    def pid(self) -> int:
        """The process id, which is also its session's and process group's."""
        return self._popen.pid

    async def wait(self) -> int:
        """Wait until the process and its output have ended; the exit code, 128 + N after signal N."""
        code = await asyncio.shield(self._exited)
        endings = [output.ended for _, output in self._outputs]
        if endings:
            await asyncio.wait(endings, timeout=_LAST_OUTPUT)
        for transport, _ in self._outputs:
            transport.close()
        return code

    def terminate(self) -> None:
        """Ask the process group to end (SIGTERM)."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and all its descendants."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if not self._exited.done():
            _kill_group(self.pid, number)

    def _follow_exit(self) -> None:
        loop = asyncio.get_running_loop()
        if hasattr(os, "pidfd_open"):
            descriptor = os.pidfd_open(self.pid)

            def exited() -> None:
                loop.remove_reader(descriptor)
                os.close(descriptor)
                self._ended()

            loop.add_reader(descriptor, exited)
            return

        def wait() -> None:
            # Only waits: reaping belongs to the loop's thread, so that no signal goes to a reused process id.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            loop.call_soon_threadsafe(self._ended)

        threading.Thread(target=wait, daemon=True).start()

    def _ended(self) -> None:
        # The group still belongs to the process that has not been reaped yet: nobody else can have its number.
        _kill_group(self.pid, signal.SIGKILL)
        code = self._popen.wait()
        if self._marker:
            kill_marked(self._marker)
        self._exited.set_result(code if code >= 0 else _EXIT_BY_SIGNAL - code)


def _kill_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _runtime_words(argv: list[str], error: OSError | ValueError) -> str:
    """What containerd and runc say of a command that cannot be executed."""
    head = "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
    head += "runc create failed: unable to start container process: error during container init: "
    program = argv[0] if argv else ""
    if isinstance(error, FileNotFoundError):
        if "/" in program:
            return f'{head}exec: "{program}": stat {program}: no such file or directory: unknown'
        return f'{head}exec: "{program}": executable file not found in $PATH: unknown'
    words = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
    return f'{head}exec: "{program}": {words}: unknown'


def marked_processes() -> Iterator[tuple[int, str]]:
    """The process id and marker of every living process that descends from a container."""
    for pid in psutil.pids():
        marker = _marker_of(pid)
        if marker:
            yield pid, marker


def _marker_of(pid: int) -> str:
    if sys.platform != "linux":
        try:
            return str(psutil.Process(pid).environ().get(MARKER, ""))
        except psutil.Error:
            return ""
    try:
        block = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    head = MARKER.encode() + b"="
    at = 0 if block.startswith(head) else block.find(b"\0" + head) + 1
    if at == 0 and not block.startswith(head):
        return ""
    return block[at + len(head) :].split(b"\0", 1)[0].decode("utf-8", "replace")


def kill_marked(marker: str) -> int:
    """Kill every process whose marker is ``marker`` or begins with ``marker`` and a slash; returns how many."""
    killed: set[int] = set()
    for _ in range(_KILL_ROUNDS):
        found = [pid for pid, theirs in marked_processes() if theirs == marker or theirs.startswith(marker + "/")]
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not set(found) - killed:
            break
        killed |= set(found)
    return len(killed)
