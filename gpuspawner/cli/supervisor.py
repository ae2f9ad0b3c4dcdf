"""Keeps the demo's child processes together: starts, watches, restarts and ends them, and leaves none behind."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import psutil

from gpuspawner.cli.children import Child, describe_exit
from gpuspawner.cli.errors import CommandError

__all__ = ["SPARED", "Stopped", "Supervisor", "restart_delay", "supervise"]

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphans among our descendants become our children, so that none can slip away. Linux only."""
HEALTHY_AFTER = 60.0
"""Seconds a restarted child must live before its earlier deaths are forgotten."""
LOOK_AGAIN = 0.05
"""Seconds between two looks whether a starting child answers."""
SPARED = "GPUSPAWNER_SPARED"
"""Environment variable of processes that were started for the user's sake, such as a browser: they stay at the end."""

Say = Callable[[str], None]
Ready = Callable[[], Awaitable[bool]]


class Stopped(Exception):  # noqa: N818 - the wish of whoever pressed Ctrl-C, not an error
    """The person at the terminal, or the system, asked for the end."""


def restart_delay(failures: int) -> float:
    """Seconds to wait before a restart after `failures` deaths in a row: 0.5, 1, 2, ... at most 30."""
    return float(min(30.0, 0.5 * 2 ** max(0, failures - 1)))


class Supervisor:
    """The running children, in the order in which they started.

    Parameters
    ----------
    say
        Writes one line for the person at the terminal.
    """

    def __init__(self, say: Say) -> None:
        self.say = say
        self._children: list[Child] = []
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._spawning = 0

    def request_stop(self) -> None:
        """Ask for the end; asked a second time, nothing is waited for any more."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def start(self, child: Child, ready: Ready, within: float = 60) -> None:
        """Start `child` and return once `ready` says yes.

        Raises
        ------
        CommandError
            It ended, or was not ready `within` seconds; the text shows the end of its log.
        Stopped
            The end was asked for meanwhile.
        """
        if child not in self._children:
            self._children.append(child)
        self._spawning += 1
        try:
            await child.spawn()
        finally:
            self._spawning -= 1
        async with _tasks(_until(ready), child.wait(), self._stop.wait()) as (answers, ended, stopped):
            await asyncio.wait((answers, ended, stopped), timeout=within, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                raise Stopped
            if ended.done():
                raise CommandError(_obituary(child, ended.result()))
            if not answers.done():
                raise CommandError(f"{child.name} was not ready within {within:.0f} s. {_end_of_log(child)}")
            answers.result()

    async def watch(self, restarted: Child, ready: Ready) -> None:
        """Restart the child `restarted` whenever it dies; return when the end is asked for.

        Raises
        ------
        CommandError
            Another child died.
        """
        vital = [self._vital(child) for child in self._children if child is not restarted]
        async with _tasks(self._stop.wait(), self._keep(restarted, ready), *vital) as tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not self._stop.is_set():
                    task.result()

    async def _vital(self, child: Child) -> None:
        raise CommandError(_obituary(child, await child.wait()))

    async def _keep(self, child: Child, ready: Ready) -> None:
        failures = 0
        while True:
            born = time.monotonic()
            status = await child.wait()
            child.signal(signal.SIGKILL)  # whoever is left of its process group would hold its port
            failures = 1 if time.monotonic() - born > HEALTHY_AFTER else failures + 1
            delay = restart_delay(failures)
            self.say(f"{child.name} {describe_exit(status)}; starting it again in {delay:g} s. Its log: {child.log}")
            await asyncio.sleep(delay)
            started = time.monotonic()
            try:
                await self.start(child, ready)
            except CommandError:
                await child.stop(self._hurry)  # it may be running and silent
            else:
                self.say(f"{child.name} is back after {time.monotonic() - started:.1f} s")

    async def stop(self, order: Sequence[Sequence[Child]]) -> None:
        """End the children, one group after the other, then every process that is still below this one."""
        below = _descendants()
        for group in order:
            await asyncio.gather(*(child.stop(self._hurry) for child in group))
        _kill(below | _descendants())

    def reap(self) -> None:
        """Forget ended orphans that the system gave to us, or they would stay as zombies."""
        ours = {child.process.pid for child in self._children if child.process is not None}
        if self._spawning:
            return
        for process in psutil.Process().children():
            with suppress(psutil.Error, ChildProcessError):
                if process.pid not in ours and process.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(process.pid, os.WNOHANG)


@asynccontextmanager
async def supervise(say: Say) -> AsyncIterator[Supervisor]:
    """A :class:`Supervisor` that SIGINT, SIGTERM and SIGHUP ask to stop, and that adopts orphans."""
    supervisor = Supervisor(say)
    loop = asyncio.get_running_loop()
    wishes = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        wishes.append(signal.SIGHUP)
    for wish in wishes:
        loop.add_signal_handler(wish, supervisor.request_stop)
    loop.add_signal_handler(signal.SIGCHLD, supervisor.reap)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield supervisor


async def _until(ready: Ready) -> None:
    while not await ready():  # noqa: ASYNC110 - what we wait for happens in another process
        await asyncio.sleep(LOOK_AGAIN)


@asynccontextmanager
async def _tasks(*work: Awaitable[Any]) -> AsyncIterator[list[asyncio.Future[Any]]]:
    """`work` as tasks that do not outlive the block."""
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(item) for item in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _obituary(child: Child, status: int) -> str:
    return f"{child.name} {describe_exit(status)}. {_end_of_log(child)}"


def _end_of_log(child: Child) -> str:
    return f"The end of its log, {child.log}:\n{child.tail()}"


def _descendants() -> set[psutil.Process]:
    return {process for process in psutil.Process().children(recursive=True) if not _spared(process)}


def _spared(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return SPARED in process.environ()
    return False


def _kill(processes: set[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=5)
