"""How much of the hub's loop each page takes while 1,000 servers run and the ledger has 100,000 sessions."""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from recorded import HOUR, UNIT, session
from running import Run, Visitor
from scenarios import users
from sqlalchemy import text

from gpuspawner.ledger import rows
from gpuspawner.ledger.database import Database

SERVERS, HISTORY = 1000, 100_000
TITLE = f"Pages, with {SERVERS:,} running servers and {HISTORY:,} sessions in the ledger"
MANAGER, ADMINISTRATOR = "manager", "administrator"
_ROUNDS = 20
_AT_ONCE = 30


def pages(member: str) -> dict[str, tuple[str, str]]:
    """Each page's path below ``/hub/``, and who opens it. The first is JupyterHub's own, to compare."""
    space = "gpuspawner/workspaces/everyone"  # the only one: the list of workspaces leads on to it
    of_managers = {
        "Workspace": space,
        "Workspace: members": f"{space}/members",
        "Workspace: servers": f"{space}/servers",
        "Workspace: limits": f"{space}/limits",
    }
    of_administrators = {
        "Administration": "gpuspawner/admin",
        "Administration: workspaces": "gpuspawner/admin/workspaces",
        "Administration: limits": "gpuspawner/admin/limits",
        "Administration: grants": "gpuspawner/admin/grants",
        "Administration: audit": "gpuspawner/admin/audit",
        "Administration: capacity": "gpuspawner/admin/capacity",
        "Administration: queue": "gpuspawner/admin/queue",
        "Administration: configuration": "gpuspawner/admin/configuration",
    }
    return {
        "JupyterHub's own page of tokens": ("token", member),
        "Home": ("home", member),
        "Start": (f"spawn/{member}/another", member),
        "Usage": ("gpuspawner/usage", member),
        "GPUs": ("gpuspawner/status", member),
        **{name: (path, MANAGER) for name, path in of_managers.items()},
        **{name: (path, ADMINISTRATOR) for name, path in of_administrators.items()},
    }


async def measure(servers: int = SERVERS, history: int = HISTORY) -> dict[str, dict[str, float]]:
    """Milliseconds of CPU of the hub's main thread for each page, JupyterHub's own part of every request included.

    The median of 20, since the hub asks after its 1,000 servers now and then, and that falls to one page or another.
    """
    with tempfile.TemporaryDirectory() as folder:
        ledger = f"sqlite:///{Path(folder) / 'ledger.sqlite'}"
        names = users(servers, 0.1)
        fill(ledger, names, history)
        async with Run("gpuspawner", Path(folder), BENCH_LEDGER=ledger) as run:
            await run.hub.start()
            await run.add_users([*names, MANAGER, ADMINISTRATOR])
            await run.launch(names, _AT_ONCE)
            await run.quiet(30)
            return {"gpuspawner": await _measured(run, names[0])}


async def _measured(run: Run, member: str) -> dict[str, float]:
    figures: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        visitors = {
            name: await stack.enter_async_context(Visitor(run.hub.url, name))
            for name in (member, MANAGER, ADMINISTRATOR)
        }
        asking = median([await _used(run) for _ in range(_ROUNDS)])
        for title, (path, name) in pages(member).items():
            visitor = visitors[name]
            if (status := await visitor.open(path)) != 200:  # the first visit loads templates, and is not counted
                raise RuntimeError(f"{title}: {path} answers {status}")
            await run.quiet()
            used, waited = [], []
            for _ in range(_ROUNDS):
                began = time.monotonic()
                used.append(await _used(run, visitor.open(path)))
                waited.append(time.monotonic() - began)
            figures[f"hub CPU, ms: {title}"] = (median(used) - asking) * 1000
            figures[f"answer, ms: {title}"] = median(waited) * 1000
    return figures


async def _used(run: Run, what: Awaitable[object] | None = None) -> float:
    """CPU seconds of the hub's main thread, those for asking it twice included."""
    before: float = (await run.hub.inside())["cpu"]
    if what is not None:
        await what
    after: float = (await run.hub.inside())["cpu"]
    return after - before


def fill(url: str, names: list[str], count: int) -> None:
    """A ledger of so many sessions in the last 60 days."""
    ledger = Database(url)
    ledger.migrate()
    now = datetime.now(UTC)
    step = timedelta(days=60) / count
    end: dict[str, Any] = {"charged": UNIT // 100, "gpu_class": "small", "seconds": 3600, "cause": "stopped"}
    with ledger.write() as connection:
        for first in range(0, count, 10_000):
            connection.execute(
                rows.SESSIONS.insert(),
                [
                    {
                        **rows._row(session(f"{n}", hub="jupyterhub", opened=now - n * step - HOUR)),
                        **end,
                        "user": names[n % len(names)],
                        "workspace": "everyone",
                        "started": now - n * step - HOUR,
                        "ended": now - n * step,
                    }
                    for n in range(first, min(first + 10_000, count))
                ],
            )
        connection.execute(text("ANALYZE"))
    ledger.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=SERVERS)
    parser.add_argument("--history", type=int, default=HISTORY)
    print(json.dumps(asyncio.run(measure(**vars(parser.parse_args()))), indent=1))
