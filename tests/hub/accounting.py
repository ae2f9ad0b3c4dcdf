"""Launching on the engine with a ledger, and what pods really ran by the engine's own record of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cluster import section

from gpuspawner.bookkeeping.runs import FINALIZER
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.config import load_settings
from gpuspawner.launcher import Launcher
from gpuspawner.ledger.records import Session
from gpuspawner.ledger.store import Store
from gpuspawner.local.engine import Engine
from gpuspawner.pod import Server
from gpuspawner.request import LaunchRequest

SERVER = Server({"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/", "JUPYTERHUB_API_TOKEN": "secret"}, None, [])
RATES = {"small": 3600.0, "medium": 7200.0}
"""One and two units a second."""
BUDGET = {"per_member": 1e9, "renews": "never"}


def charged_section(engine: Engine, folder: Path, **changes: Any) -> dict[str, Any]:
    """The ``GPUSpawner`` section of a hub where a second of a small GPU costs a unit, and budgets pay."""
    written = section(engine, folder, **changes)
    written["gpu_classes"] = deepcopy(written["gpu_classes"])
    for name, rate in RATES.items():
        written["gpu_classes"][name]["rate"] = rate
    written["workspaces"] = {"everyone": {"members": "*", "budget": BUDGET}, **changes.get("workspaces", {})}
    return written


def asked(user: str = "ada", **changes: Any) -> LaunchRequest:
    options: dict[str, Any] = {
        "user": user,
        "server": "",
        "workspace": "everyone",
        "profile": "pytorch",
        "gpu_classes": ("small",),
        "gpus": 1,
        "cpu": 1.0,
        "memory": 10**9,
        "runtime": 3600,
        "image": "example.org/notebook:1",
    }
    return LaunchRequest(**{**options, **changes})


SPEED = 100
"""The engine's clock runs so many times as fast, so that some seconds are a good part of an hour, and in another year,
so that nobody can take the hub's clock for it."""


class Runs:
    """When the server of each pod of the engine ran, by uid: ``(class, started, ended)``, as its kubelet told it."""

    def __init__(self, engine: Engine) -> None:
        began, noon = time.monotonic(), datetime(2031, 3, 4, 12, tzinfo=UTC)
        self.jump = timedelta()
        engine.store.clock = lambda: noon + self.jump + timedelta(seconds=(time.monotonic() - began) * SPEED)
        self.seen: dict[str, tuple[str, datetime, datetime | None]] = {}
        engine.store.subscribe(self._note)

    def pass_(self, seconds: float) -> None:
        """Let so much time pass on the kubelets' clocks."""
        self.jump += timedelta(seconds=seconds)

    def _note(self, resource: str, kind: str, obj: dict[str, Any]) -> None:
        if resource != "pods":
            return
        for status in obj.get("status", {}).get("containerStatuses", ()):
            state = status["state"].get("running") or status["state"].get("terminated") or {}
            if state.get("startedAt"):
                ended = state.get("finishedAt")
                node = obj["spec"].get("nodeName", "")
                self.seen[obj["metadata"]["uid"]] = (
                    "small" if node.startswith("t4") else "medium",
                    datetime.fromisoformat(state["startedAt"]),
                    datetime.fromisoformat(ended) if ended else None,
                )

    @property
    def cost(self) -> int:
        """Micro-units of all runs that are over."""
        return sum(
            round((ended - started).total_seconds() * RATES[name] * MICRO / 3600)
            for name, started, ended in self.seen.values()
            if ended is not None
        )


@contextlib.asynccontextmanager
async def launching(
    engine: Engine, folder: Path, store: Callable[[Store], Any] = lambda store: store, **changes: Any
) -> AsyncIterator[Launcher]:
    """A launcher as a hub has it, whose ledger is a file in ``folder``; ``store`` may wrap the store."""
    written = {k: v for k, v in charged_section(engine, folder, **changes).items() if k != "start_timeout"}
    settings = load_settings({**written, "ledger_url": f"sqlite:///{folder / 'ledger.sqlite'}"})
    owned = changes.get("owned", True)
    launcher = Launcher(
        settings,
        owned=lambda user, server: owned,
        store=store(Store(settings.ledger_url, settings.hub_name)),
        sleep=lambda seconds: asyncio.sleep(min(seconds, 0.01)),
    )
    launcher.begin()
    await launcher.view.started()
    try:
        yield launcher
    finally:
        await launcher.close()


async def settled(launcher: Launcher) -> None:
    """Wait until nothing goes on in the background."""
    async with asyncio.timeout(30):
        while launcher._tasks:
            await asyncio.wait(set(launcher._tasks))
        await launcher.books.quiet()


async def sessions(launcher: Launcher) -> list[Session]:
    """All sessions of the ledger, the first one first."""
    return list(reversed((await launcher.store.sessions(limit=1000)).rows))


def held_by_ledger(engine: Engine) -> list[str]:
    """The names of pods that still have the ledger's finalizer."""
    pods = engine.store.list("pods", None)[0]
    return [pod["metadata"]["name"] for pod in pods if FINALIZER in pod["metadata"].get("finalizers", ())]
