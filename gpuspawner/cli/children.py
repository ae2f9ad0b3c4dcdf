"""One child process of the demo: started tied to this process, logged to a file, stopped with patience."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Child", "describe_exit"]

TIED = Path(__file__).with_name("tied.py")


@dataclass
class Child:
    """A process to run, and the running one once :meth:`spawn` was called."""

    name: str
    """As it reads in a sentence: ``"the hub"``."""
    command: list[str]
    log: Path
    """Where stdout and stderr go, appended."""
    directory: Path
    """The working directory."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's own environment."""
    patience: float = 10
    """Seconds between SIGTERM and SIGKILL."""
    process: asyncio.subprocess.Process | None = None

    async def spawn(self) -> None:
        """Start the process in a session of its own, so that a Ctrl-C of the terminal reaches only the supervisor."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(TIED), str(os.getpid()), *self.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Started, and not known to have ended."""
        return self.process is not None and self.process.returncode is None

    async def wait(self) -> int:
        """The exit status, negative for a signal, once the process ends."""
        assert self.process is not None, f"{self.name} was never started"  # noqa: S101
        return await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send `number` to the process and to what shares its group; nothing happens when none is left."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    async def stop(self, hurry: asyncio.Event) -> None:
        """End the process: SIGTERM, then SIGKILL after `patience` seconds or as soon as `hurry` is set."""
        if not self.running:
            return
        assert self.process is not None  # noqa: S101
        with suppress(ProcessLookupError):
            self.process.terminate()
        ended, hurried = asyncio.ensure_future(self.wait()), asyncio.ensure_future(hurry.wait())
        await asyncio.wait((ended, hurried), timeout=self.patience, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not ended.done():
            self.signal(signal.SIGKILL)
        await ended

    def tail(self, lines: int = 15) -> str:
        """The last lines of the log, indented."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 16_384))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def describe_exit(status: int) -> str:
    """How a process ended, in words: ``"ended with exit status 1"``, ``"was killed by SIGKILL"``."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"
