"""What is measured of each spawner, one function a scenario; each returns rows ``{"what": number}``."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from running import Run, difference, percentile

Rows = dict[str, float]

_AT_ONCE = 30


def users(count: int, seconds: float) -> list[str]:
    """Names of users whose pods take this long to start."""
    return [f"t{seconds:g}-{number:04d}" for number in range(count)]


def _overhead(took: dict[str, float], seconds: float) -> Rows:
    return {f"p{share:.0%}"[:-1]: percentile(took.values(), share) - seconds for share in (0.5, 0.95)}


async def fleet(spawner: str, folder: Path, count: int, idle_seconds: float) -> Rows:
    """Start ``count`` servers, 30 at once, each pod taking 0.5 s; leave them idle; restart the hub; stop them."""
    async with Run(spawner, folder) as run:
        hub, rows = run.hub, {}
        rows["cold start, s"] = await hub.start()
        names = users(count, 0.5)
        await run.add_users(names)
        first = users(2, 0.1)
        await run.add_users(first)
        await run.launch(first, 1)  # what is made for the first launch only belongs to the start
        await run.quiet()
        rows["memory at start, MB"] = hub.memory()
        before, cpu = await run.stats(), hub.cpu()
        await hub.inside("?loop=start")
        took = await run.launch(names, _AT_ONCE)
        stalls = await hub.inside("?loop=stop")
        rows |= {f"overhead {name}, s": value for name, value in _overhead(took, 0.5).items()}
        rows["CPU per launch, ms"] = (hub.cpu() - cpu) / count * 1000
        rows["launching: longest callback, ms CPU"] = stalls["callback_cpu_ms"]
        asked = difference((await run.stats())["requests"], before["requests"])
        rows["requests per launch"] = sum(asked.values()) / count
        await run.quiet()
        rows["memory growth, MB"] = hub.memory() - rows["memory at start, MB"]
        rows |= await _idle(run, idle_seconds)
        rows |= await _restart(run, count + len(first))
        before, cpu = await run.stats(), hub.cpu()
        await run.end(names, _AT_ONCE)
        asked = difference((await run.stats())["requests"], before["requests"])
        rows["requests per stop"] = sum(asked.values()) / count
        rows["CPU per stop, ms"] = (hub.cpu() - cpu) / count * 1000
        return rows


async def _idle(run: Run, seconds: float) -> Rows:
    before, cpu, began = await run.stats(), run.hub.cpu(), time.monotonic()
    await asyncio.sleep(seconds)
    after, took = await run.stats(), time.monotonic() - began
    asked = difference(after["requests"], before["requests"])
    rows = {
        "idle CPU, ms/s": (run.hub.cpu() - cpu) / took * 1000,
        "idle requests per minute": sum(asked.values()) / took * 60,
        "idle lists per minute": sum(n for what, n in asked.items() if what.startswith("GET")) / took * 60,
        "idle MB per minute": (after["sent"] - before["sent"]) / 1e6 / took * 60,
    }
    await run.hub.inside("?loop=start")
    await asyncio.sleep(min(seconds, 15))
    stalls = await run.hub.inside("?loop=stop")
    rows["idle: longest callback, ms CPU"] = stalls["callback_cpu_ms"]
    return rows | {"idle: loop late, ms": stalls["late_ms"]}


async def _restart(run: Run, count: int) -> Rows:
    await run.hub.stop()
    took = await run.hub.start()
    known, deadline = 0, time.monotonic() + 30
    while known < count and time.monotonic() < deadline:
        known = 0
        while page := await run.hub.api("GET", f"users?state=ready&offset={known}&limit=100"):
            known += len(page)
    return {"restart, s": took, "servers lost by restart": count - known}


async def burst(spawner: str, folder: Path, count: int, seconds: float) -> Rows:
    """Start ``count`` servers at once, each pod taking ``seconds``."""
    async with Run(spawner, folder) as run:
        await run.hub.start()
        names, first = users(count, seconds), users(2, 0.1)
        await run.add_users([*names, *first])
        await run.launch(first, 1)
        await run.hub.inside("?loop=start")
        took = await run.launch(names, count)
        stalls = await run.hub.inside("?loop=stop")
        rows = {f"overhead {name}, s": value for name, value in _overhead(took, seconds).items()}
        return rows | {"longest callback, ms CPU": stalls["callback_cpu_ms"], "loop late, ms": stalls["late_ms"]}


async def notice(spawner: str, folder: Path, count: int, starts: tuple[float, ...]) -> Rows:
    """From a pod's Ready to the return of ``start()``, at several start times of pods; launches come one by one."""
    async with Run(spawner, folder) as run:
        await run.hub.start()
        names = {seconds: users(count, seconds) for seconds in starts}
        first = users(2, 0.1)
        await run.add_users([*first, *(name for some in names.values() for name in some)])
        await run.launch(first, 1)

        async def one(name: str, after: float) -> None:
            await asyncio.sleep(after)
            await run.launch([name], 1)

        spaced = [one(some[number], number * 1.0) for some in names.values() for number in range(count)]
        await asyncio.gather(*spaced)
        ready, started = (await run.stats())["ready"], (await run.hub.inside())["started"]
        rows: Rows = {}
        for seconds, some in names.items():
            late = [started[name] - ready[name] for name in some]
            rows[f"pod takes {seconds:g} s: mean, s"] = sum(late) / len(late)
            rows[f"pod takes {seconds:g} s: p95, s"] = percentile(late, 0.95)
            rows[f"pod takes {seconds:g} s: longest, s"] = max(late)
        return rows


async def foreign(spawner: str, folder: Path, events: int, seconds: float) -> Rows:
    """The hub's memory and CPU beside many foreign events, from before its first launches until ``seconds`` later."""
    async with Run(spawner, folder) as run:
        await run.set(foreign_events=events)
        await run.hub.start()
        names = users(5, 0.5)
        await run.add_users(names)
        cpu, began, before = run.hub.cpu(), time.monotonic(), run.hub.memory()
        await run.launch(names, 5)
        highest = run.hub.memory()
        while time.monotonic() - began < seconds:
            await asyncio.sleep(0.2)
            highest = max(highest, run.hub.memory())
        rows = {"highest memory, MB": highest, "memory growth, MB": highest - before}
        return rows | {"CPU, ms/s": (run.hub.cpu() - cpu) / seconds * 1000}


async def storage(spawner: str, folder: Path, count: int) -> Rows:
    """Requests per launch with a home that does not exist yet, and with one that does."""
    async with Run(spawner, folder) as run:
        await run.hub.start(storage=True)
        names, first = users(count, 0.1), users(2, 0.1)
        first = [f"{name}-first" for name in first]
        await run.add_users([*names, *first])
        await run.launch(first, 1)
        rows: Rows = {}
        for which in ("new", "kept"):
            before = await run.stats()
            await run.launch(names, count)
            asked = difference((await run.stats())["requests"], before["requests"])
            rows[f"requests per launch, {which} home"] = sum(asked.values()) / count
            await run.end(names, count)
        return rows


Scenario = tuple[str, Callable[[str, Path], Awaitable[Any]]]


def chosen(quick: bool, sizes: tuple[int, ...]) -> list[Scenario]:
    """The scenarios of a quick or a full benchmark, in order, with their titles."""
    idle = 6.0 if quick else 35.0

    def of_size(count: int) -> Scenario:
        return f"{count} servers, 30 at once, pod takes 0.5 s", lambda s, f: fleet(s, f, count, idle)

    crowd, takes = (50, 3.0) if quick else (100, 12.0)
    starts, each = ((1.0, 3.0), 6) if quick else ((2.0, 10.0, 60.0), 15)
    events = 5000 if quick else 35000
    return [
        (f"{crowd} servers at once, pod takes {takes:g} s", lambda s, f: burst(s, f, crowd, takes)),
        *(of_size(count) for count in sizes),
        ("from Ready to start() returned", lambda s, f: notice(s, f, each, starts)),
        (f"{events} foreign events", lambda s, f: foreign(s, f, events, 5 if quick else 30)),
        ("a home for each user", lambda s, f: storage(s, f, 5)),
    ]
