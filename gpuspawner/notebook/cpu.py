"""The CPU that this container uses: by its cgroup or, where it has none of its own, by the server's processes."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["CPUMeter", "cgroup_seconds", "process_seconds"]


class CPUMeter:
    """Cores in use between one reading and the next."""

    def __init__(
        self, seconds: Callable[[], float | None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds or (lambda: _first(cgroup_seconds(), process_seconds()))
        self._clock = clock
        self._before: tuple[float, float] | None = None

    def read(self) -> float | None:
        """Cores in use since the last reading, on average; None the first time and where they are not known."""
        used, now = self._seconds(), self._clock()
        before, self._before = self._before, None if used is None else (used, now)
        if used is None or before is None or now <= before[1]:
            return None
        return max(0.0, used - before[0]) / (now - before[1])


def _first(*found: float | None) -> float | None:
    return next((one for one in found if one is not None), None)


def cgroup_seconds(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """CPU seconds that this container has used, of cgroups version 2 or 1; None outside of a container.

    The root of all cgroups, which is the machine, has no quota (kernel.org, admin-guide/cgroup-v2: cpu.max exists "on
    non-root cgroups"; version 1 alike).
    """
    try:
        if (root / "cpu.max").exists():
            lines = (line.split() for line in (root / "cpu.stat").read_text().splitlines())
            return next(int(value) / 1e6 for name, value in lines if name == "usage_usec")
        for group in ("cpu,cpuacct", "cpuacct,cpu", "cpuacct"):
            if (root / group / "cpuacct.usage").exists():
                limited = any((root / place / "cpu.cfs_quota_us").exists() for place in (group, "cpu"))
                return int((root / group / "cpuacct.usage").read_text()) / 1e9 if limited else None
    except (OSError, ValueError, StopIteration):
        return None
    return None


def process_seconds(pid: int | None = None, root: Path = Path("/proc")) -> float | None:
    """CPU seconds of a process (this one) and all that descend from it, with those that have ended; None off Linux."""
    ticks = {found[0]: found[1:] for found in _processes(root)}
    mine, total, wanted = set[int](), 0, [os.getpid() if pid is None else pid]
    children: dict[int, list[int]] = {}
    for child, (parent, _) in ticks.items():
        children.setdefault(parent, []).append(child)
    while wanted:
        one = wanted.pop()
        if one in ticks and one not in mine:
            mine.add(one)
            total += ticks[one][1]
            wanted += children.get(one, [])
    return total / os.sysconf("SC_CLK_TCK") if mine else None


def _processes(root: Path) -> Iterator[tuple[int, int, int]]:
    """Of each process its id, its parent's, and its own ticks with those of its children that have ended (proc(5))."""
    for folder in root.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            yield int(folder.name), int(fields[1]), sum(int(fields[place]) for place in (11, 12, 13, 14))
        except (OSError, ValueError, IndexError):
            continue
