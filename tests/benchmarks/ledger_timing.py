"""How long the ledger takes to write and to answer, on both databases, when it has a long history."""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from recorded import HOUR, NOON, UNIT, denial, ending, session
from running_postgres import RunningPostgres
from sqlalchemy import text

from gpuspawner.ledger import rows
from gpuspawner.ledger.database import Database
from gpuspawner.ledger.records import AuditFilter, SessionFilter
from gpuspawner.ledger.store import Store

HISTORY = 200_000
TITLE = f"The ledger, with {HISTORY:,} sessions of history"
_WRITES, _PAGES, _BURST = 300, 30, 100
_KINDS_OF_WRITES = 4
_MINUTE = timedelta(minutes=1)


async def measure() -> dict[str, dict[str, float]]:
    """Milliseconds of each call, as the hub waits for it; commits are on the disk."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        figures |= await _measure("SQLite", f"sqlite:///{Path(folder) / 'gpuspawner.sqlite'}")
    with _postgres() as server:
        figures |= await _measure("PostgreSQL", server.database())
    return {"gpuspawner": figures}


@contextmanager
def _postgres() -> Iterator[RunningPostgres]:
    server = RunningPostgres(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def _measure(name: str, url: str) -> dict[str, float]:
    _fill(url)
    store = Store(url, "hub")
    await store.open()
    late = NOON + (HISTORY - 7 * 24 * 60) * _MINUTE
    calls: dict[str, Callable[[int], Awaitable[object]]] = {
        "hold": lambda n: store.hold(session(f"w{n}", opened=late)),
        "started": lambda n: store.started(f"w{n}", NOON, "small"),
        "settle": lambda n: store.settle(f"w{n}", **ending()),
        "denial": lambda n: store.write_audit([denial(f"w{n}")]),
        "page of a user's sessions": lambda n: store.sessions(SessionFilter(user=f"user{n}")),
        "page of a workspace's audit log": lambda n: store.audit(AuditFilter(workspace=f"space{n}")),
        "a workspace's use in a week": lambda n: store.usage(SessionFilter(workspace=f"space{n}", since=late)),
        "start of a hub: charges of a week": lambda n: store.settled_since(late),
    }
    figures = {}
    for number, (what, call) in enumerate(calls.items()):
        repeated = _WRITES if number < _KINDS_OF_WRITES else _PAGES
        took = [await _milliseconds(call(one)) for one in range(repeated)]
        figures[f"{name}: {what}, p50 ms"] = statistics.median(took)
        figures[f"{name}: {what}, p95 ms"] = statistics.quantiles(took, n=20)[-1]
    lateness = asyncio.create_task(_lateness())
    burst = [_milliseconds(store.hold(session(f"b{number}"))) for number in range(_BURST)]
    figures[f"{name}: {_BURST} holds at once, the last, ms"] = max(await asyncio.gather(*burst))
    lateness.cancel()
    figures[f"{name}: loop late meanwhile, ms"] = await lateness
    await store.close()
    return figures


async def _milliseconds(call: Awaitable[object]) -> float:
    began = time.perf_counter()
    await call
    return (time.perf_counter() - began) * 1000


async def _lateness() -> float:
    """The longest that the loop kept anybody waiting, in milliseconds, until it is cancelled."""
    longest = 0.0
    try:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - began - 0.001)
    except asyncio.CancelledError:
        return longest * 1000


def _fill(url: str) -> None:
    ledger = Database(url)
    ledger.migrate()
    end = {"ended": NOON + HOUR, "charged": UNIT, "gpu_class": "small", "seconds": 3600}
    for first in range(0, HISTORY, 10_000):
        numbers = range(first, first + 10_000)
        at = [NOON + number * _MINUTE for number in numbers]
        who = [{"user": f"user{n % 2000}", "workspace": f"space{n % 100}"} for n in numbers]
        with ledger.write() as connection:
            connection.execute(
                rows.SESSIONS.insert(),
                [
                    {**rows._row(session(f"{n}", opened=t)), **w, **end}
                    for n, t, w in zip(numbers, at, who, strict=True)
                ],
            )
            connection.execute(
                rows.AUDIT.insert(),
                [
                    {**rows._row(denial(f"{n}", hub="hub")), **w, "at": t}
                    for n, t, w in zip(numbers, at, who, strict=True)
                ],
            )
    with ledger.write() as connection:
        connection.execute(text("ANALYZE"))
    ledger.dispose()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=1))
