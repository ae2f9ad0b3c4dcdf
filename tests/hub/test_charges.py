"""What a launch is charged, on the embedded engine: what its pod ran, once, whatever ends it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from accounting import SERVER, Runs, asked, held_by_ledger, launching, sessions, settled

from gpuspawner.bookkeeping.runs import FINALIZER, SESSION
from gpuspawner.errors import LaunchError
from gpuspawner.feed import Feed
from gpuspawner.launcher import Launcher
from gpuspawner.local.engine import Engine
from gpuspawner.pricing import MICRO

HOUR = 3600 * MICRO
"""What an hour of a small GPU costs."""


@pytest.fixture
def runs(engine: Engine) -> Runs:
    return Runs(engine)


async def launch(launcher: Launcher, user: str = "ada", **changes: Any) -> Any:
    return await launcher.launch(asked(user, **changes), SERVER, Feed().tell, 60)


def pod_of(engine: Engine, user: str = "ada") -> dict[str, Any]:
    return engine.store.get("pods", "default", f"jupyter-{user}")


async def test_a_session_is_held_while_it_runs_and_charged_what_it_ran(
    engine: Engine, tmp_path: Path, runs: Runs
) -> None:
    async with launching(engine, tmp_path) as launcher:
        await launch(launcher)
        await settled(launcher)
        assert launcher.accounts.member("everyone", "ada", launcher.now()).held == HOUR
        (held,) = await launcher.store.unsettled()
        assert (held.user, held.held, held.gpu_class, held.charged) == ("ada", HOUR, "small", None)
        assert held.started is not None
        pod = pod_of(engine)
        assert pod["metadata"]["finalizers"] == [FINALIZER]
        assert held.id in pod["metadata"]["annotations"][SESSION]
        await launcher.stop("ada", "")
        await settled(launcher)
        (charged,) = await sessions(launcher)
        assert (charged.charged, charged.cause) == (runs.cost, "stopped")
        account = launcher.accounts.member("everyone", "ada", launcher.now())
        assert (account.held, account.spent) == (0, runs.cost)
        assert engine.store.find("pods", "default", "jupyter-ada") is None


async def test_a_launch_that_never_got_its_gpu_costs_nothing(engine: Engine, tmp_path: Path, runs: Runs) -> None:
    node = engine.store.get("nodes", None, "t4-0")
    node["spec"]["unschedulable"] = True
    engine.store.update("nodes", node)
    async with launching(engine, tmp_path) as launcher:
        with pytest.raises(LaunchError, match="withdrawn"):
            await launcher.launch(asked(), SERVER, Feed().tell, 1)
        await settled(launcher)
        (charged,) = await sessions(launcher)
        assert (charged.charged, charged.started, charged.cause) == (0, None, "too_slow")
        assert launcher.accounts.member("everyone", "ada", launcher.now()).held == 0
        assert engine.store.list("pods", None)[0] == []
    assert runs.seen == {}


async def test_whoever_allowed_several_classes_approves_the_dearest_and_pays_for_what_they_got(
    engine: Engine, tmp_path: Path, runs: Runs
) -> None:
    async with launching(engine, tmp_path) as launcher:
        await launch(launcher, gpu_classes=("medium", "small"))
        await launch(launcher, "bob", gpu_classes=("small", "medium"))
        await settled(launcher)
        held = {session.user: (session.held, session.gpu_class) for session in await launcher.store.unsettled()}
        assert held == {"ada": (2 * HOUR, "medium"), "bob": (2 * HOUR, "small")}
        await launcher.stop("ada", "")
        await launcher.stop("bob", "")
        await settled(launcher)
        assert sum(session.charged or 0 for session in await sessions(launcher)) == runs.cost


async def test_a_server_without_gpu_costs_nothing_and_is_in_the_ledger(engine: Engine, tmp_path: Path) -> None:
    async with launching(engine, tmp_path) as launcher:
        await launch(launcher, profile="cpu", gpu_classes=(), gpus=0)
        assert "finalizers" not in pod_of(engine)["metadata"]
        await launcher.stop("ada", "")
        await settled(launcher)
        (session,) = await sessions(launcher)
        assert (session.charged, session.gpus, session.cause) == (0, 0, "stopped")
        assert session.started <= session.ended


async def test_a_pod_that_somebody_deletes_is_charged_and_goes(engine: Engine, tmp_path: Path, runs: Runs) -> None:
    async with launching(engine, tmp_path) as launcher:
        await launch(launcher)
        gone = asyncio.Event()
        launcher.view.on_pod(lambda pod, is_gone: gone.set() if is_gone else None)
        engine.store.delete("pods", "default", "jupyter-ada", grace_seconds=0)
        await asyncio.wait_for(gone.wait(), 20)
        await settled(launcher)
        (session,) = await sessions(launcher)
        assert (session.charged, session.cause) == (runs.cost, "deleted")


async def test_a_server_that_ends_by_itself_is_charged_until_then(engine: Engine, tmp_path: Path, runs: Runs) -> None:
    async with launching(engine, tmp_path) as launcher:
        with pytest.raises(LaunchError, match="ImportError"):
            await launch(launcher, profile="crash", image="example.org/crash:1")
        await settled(launcher)
        (session,) = await sessions(launcher)
        assert (session.charged, session.cause) == (runs.cost, "exited")
        assert not held_by_ledger(engine)


async def test_a_relaunch_is_another_session(engine: Engine, tmp_path: Path, runs: Runs) -> None:
    async with launching(engine, tmp_path) as launcher:
        await launch(launcher)
        await launch(launcher)
        await settled(launcher)
        first, second = await sessions(launcher)
        assert first.charged == runs.cost
        assert second.charged is None
        assert launcher.accounts.member("everyone", "ada", launcher.now()).held == HOUR


async def test_a_refusal_is_in_the_audit_log_with_its_rule(engine: Engine, tmp_path: Path) -> None:
    spaces = {"everyone": {"members": "*", "budget": {"per_member": 10, "renews": "weekly"}}}
    async with launching(engine, tmp_path, workspaces=spaces) as launcher:
        with pytest.raises(LaunchError, match="3,600 SU"):
            await launch(launcher)
        await settled(launcher)
        (entry,) = (await launcher.store.audit()).rows
        assert (entry.actor, entry.action, entry.workspace) == ("ada", "denial", "everyone")
        assert entry.details["rules"] == ["c.GPUSpawner.workspaces['everyone'].budget.per_member"]
        assert await sessions(launcher) == []
