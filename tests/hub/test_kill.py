"""kill -9 of a real hub process at every step of a launch and of a stop: afterwards everything is charged once.

The engine, which runs the pods, is in this process and outlives the hub. Its clock is its own.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from accounting import Runs, charged_section, held_by_ledger
from crash_points import BEGINNING, LAUNCH, STOP
from jupyterhub.utils import random_port
from running_hub import ADMIN_TOKEN

from gpuspawner.ledger.records import AuditFilter
from gpuspawner.ledger.store import Store
from gpuspawner.local.engine import Engine

HERE = Path(__file__).parent
GPU = {"profile": "pytorch", "gpu_class": ["small", "medium"], "gpus": 1, "runtime": "2h"}
PATIENCE = 60.0


class Machine:
    """A hub on the engine that can be started, asked, killed and started again, and its ledger."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.url = f"http://127.0.0.1:{random_port()}/hub/"
        self.ledger = f"sqlite:///{folder / 'ledger.sqlite'}"
        self.runs = Runs(engine)
        self._process: asyncio.subprocess.Process | None = None
        written = charged_section(engine, folder, ledger_url=self.ledger)
        (folder / "section.json").write_text(json.dumps(written))

    async def start(self, crash_after: str = "") -> None:
        """Start the hub's process and wait until it answers."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
            "HUB_FOLDER": str(self.folder),
            "HUB_URL": self.url,
            "CRASH_AFTER": crash_after,
            "CRASH_STEPS": str(self.folder / "steps"),
        }
        with (self.folder / "hub.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "jupyterhub", "-f", str(HERE / "dying_hub_config.py")),
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )
        await self.until(self._answers)

    async def dead(self) -> None:
        """Wait until the hub has been killed."""
        assert self._process is not None
        code = await asyncio.wait_for(self._process.wait(), PATIENCE)
        assert code == -signal.SIGKILL, self.log

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """A request to the REST API; status 0 where the hub is dead."""
        headers = {"Authorization": f"token {ADMIN_TOKEN}"}
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.request(method, f"{self.url}api/{path}", **options) as answer,
            ):
                text = await answer.text()
                return answer.status, json.loads(text) if text else None
        return 0, None

    async def launch(self) -> None:
        """Ask for a server, and wait until it runs or the hub is dead."""
        await self.ask("POST", "users/ada")
        await self.ask("POST", "users/ada/server", json=GPU)
        await self.until(self._runs_or_dead)

    async def stop(self) -> None:
        """Ask for the server's end, again where JupyterHub is busy with it, until it is gone or the hub is dead."""

        async def stopped() -> bool:
            status, user = await self.ask("GET", "users/ada")
            if status == 0 or (status == 200 and user["server"] is None and user["pending"] is None):
                return True
            await self.ask("DELETE", "users/ada/server")
            return False

        await self.until(stopped)

    async def reconciled(self) -> None:
        """Wait until no pod is there and no session is held."""

        async def done() -> bool:
            return not self.engine.store.items("pods") and not await self.read("unsettled")

        await self.until(done)

    async def read(self, what: str, *args: Any) -> Any:
        """Ask the ledger's database, past the hub."""
        store = Store(self.ledger, "jupyterhub")
        try:
            return await getattr(store, what)(*args)
        finally:
            await store.close()

    @property
    def steps(self) -> list[str]:
        return (self.folder / "steps").read_text().splitlines()

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text()[-8000:]

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition holds that is outside this process."""
        give_up = time.monotonic() + PATIENCE
        while not await condition():
            assert time.monotonic() < give_up, self.log
            await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.log
        return (await self.ask("GET", ""))[0] == 200

    async def _runs_or_dead(self) -> bool:
        status, user = await self.ask("GET", "users/ada")
        return status == 0 or (status == 200 and user["server"] is not None and user["pending"] is None)


@pytest.fixture
async def machine(engine: Engine, tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(engine, tmp_path)
    yield machine
    await machine.kill()


async def check(machine: Machine) -> None:
    """Everything that ran is charged, once; nothing is held; nothing is left."""
    await machine.reconciled()
    sessions = (await machine.read("sessions")).rows
    assert sum(session.charged for session in sessions) == machine.runs.cost
    assert len([session for session in sessions if session.started]) == len(machine.runs.seen)
    entries = (await machine.read("audit", AuditFilter(action="charge"))).rows
    assert sum(round(entry.details["units"] * 1_000_000) for entry in entries) == machine.runs.cost
    assert not held_by_ledger(machine.engine)
    assert all(ended is not None for _, _, ended in machine.runs.seen.values())


async def test_the_steps_are_these_and_the_charge_is_written_before_the_pod_is_let_go(machine: Machine) -> None:
    await machine.start()
    await machine.launch()
    assert sorted(machine.steps) == sorted(LAUNCH)
    assert machine.steps.index("hold") < machine.steps.index("create pods")
    await machine.stop()
    assert sorted(machine.steps) == sorted(LAUNCH + STOP)
    assert machine.steps.index("settle") < machine.steps.index("let go pods")
    assert machine.runs.cost > 0
    await check(machine)


@pytest.mark.parametrize("point", [BEGINNING, *LAUNCH])
async def test_a_hub_that_is_killed_in_a_launch_charges_what_ran(machine: Machine, point: str) -> None:
    await machine.start(crash_after=point)
    await machine.launch()
    await machine.dead()
    await machine.start()
    await machine.stop()
    await check(machine)


@pytest.mark.parametrize("point", STOP)
async def test_a_hub_that_is_killed_in_a_stop_charges_what_ran(machine: Machine, point: str) -> None:
    await machine.start(crash_after=point)
    await machine.launch()
    await machine.stop()
    await machine.dead()
    await machine.start()
    await machine.stop()
    await check(machine)
    assert machine.runs.cost > 0
