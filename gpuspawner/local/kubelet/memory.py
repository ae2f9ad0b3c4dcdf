"""The memory limits of containers, kept by looking at their processes once in a while."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

from gpuspawner.local.kubelet.process import marked_processes

__all__ = ["MemoryWatch"]


class MemoryWatch:
    """Tells when the processes of a container together hold more memory than its limit.

    Linux's cgroups do this exactly, but belong to root; here the resident memory is sampled while any container with
    a limit runs, so a container may exceed its limit for up to ``interval`` seconds. Pages that processes share are
    counted once, as a cgroup does, before anybody is told.
    """

    def __init__(self, interval: float = 1.0) -> None:
        self._interval = interval
        self._limits: dict[str, tuple[int, int, Callable[[], None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, marker: str, pid: int, limit: int, exceeded: Callable[[], None]) -> None:
        """Call ``exceeded`` once when the processes with this marker hold more than ``limit`` bytes."""
        self._limits[marker] = (pid, limit, exceeded)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def discard(self, marker: str) -> None:
        """Watch a container no more."""
        self._limits.pop(marker, None)

    async def stop(self) -> None:
        """Watch nothing more."""
        self._limits.clear()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while self._limits:
            await asyncio.sleep(self._interval)
            limits = {marker: (pid, limit) for marker, (pid, limit, _) in self._limits.items()}
            over = await asyncio.to_thread(_over_limit, limits)
            for marker in over:
                _, _, exceeded = self._limits.pop(marker, (0, 0, lambda: None))
                exceeded()
        self._task = None


def _over_limit(limits: dict[str, tuple[int, int]]) -> list[str]:
    members: dict[str, set[int]] = defaultdict(set)
    for pid, marker in marked_processes():
        members[marker].add(pid)
    over = []
    for marker, (main, limit) in limits.items():
        pids = {main} | members[marker]
        if _sum(pids, "rss") > limit and _sum(pids, "pss") > limit:
            over.append(marker)
    return over


def _sum(pids: Iterable[int], kind: str) -> int:
    total = 0
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            info = process.memory_full_info() if kind == "pss" else process.memory_info()
            total += getattr(info, kind, info.rss)
    return total
