"""What a launch is charged, on the embedded engine: what its pod ran, once, whatever ends it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from accounting import SERVER, Runs, asked, held_by_ledger, launching, sessions, settled

from gpuspawner.bookkeeping.runs import FINALIZER, SESSION
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.cluster.client import Client, UnreachableError
from gpuspawner.errors import LaunchError
from gpuspawner.feed import Feed
from gpuspawner.launcher import Launcher
from gpuspawner.ledger.store import Store, StoreUnavailableError
from gpuspawner.local.engine import Engine

HOUR = 3600 * MICRO
"""What an hour of a small GPU costs."""


@pytest.fixture
def runs(engine: Engine) -> Runs:
    return Runs(engine)


async def launch(launcher: Launcher, user: str = "ada", **changes: Any) -> Any:
    return await launcher.launch(asked(user, **changes), SERVER, Feed().tell, 60)


def pod_of(engine: Engine, user: str = "ada") -> dict[str, Any]:
    return engine.store.get("pods", "default", f"jupyter-{user}")


async def until(engine: Engine, condition: Any, name: str = "jupyter-ada") -> None:
    """Wait until a pod is such."""
    async with asyncio.timeout(20):
        async for _, pod in engine.store.watch("pods", "default"):
            if pod["metadata"]["name"] == name and condition(pod):
                return


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
        runs.pass_(1800)
        await launcher.stop("ada", "")
        await settled(launcher)
        (charged,) = await sessions(launcher)
        assert (charged.charged, charged.cause) == (runs.cost, "stopped")
        assert runs.cost >= HOUR // 2
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
        runs.pass_(600)
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
        runs.pass_(600)
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
        runs.pass_(600)
        await launch(launcher)
        await settled(launcher)
        first, second = await sessions(launcher)
        assert first.charged == runs.cost
        assert second.charged is None
        assert launcher.accounts.member("everyone", "ada", launcher.now()).held == HOUR


@pytest.mark.parametrize("grace", [None, 0])
async def test_a_pod_that_is_deleted_while_the_hub_is_down_is_charged_what_it_ran(
    engine: Engine, tmp_path: Path, runs: Runs, grace: int | None
) -> None:
    async with launching(engine, tmp_path) as launcher:
        await launch(launcher)
    runs.pass_(1800)
    engine.store.delete("pods", "default", "jupyter-ada", grace_seconds=grace)
    await until(engine, lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"))
    assert held_by_ledger(engine) == ["jupyter-ada"], "it stays, and says when it ran"
    async with launching(engine, tmp_path) as launcher:
        await settled(launcher)
        (session,) = await sessions(launcher)
        assert session.charged == runs.cost >= HOUR // 2
        assert launcher.accounts.member("everyone", "ada", launcher.now()).spent == runs.cost
        assert engine.store.list("pods", None)[0] == []


async def test_a_server_that_ends_while_the_hub_is_down_is_charged_until_then(
    engine: Engine, tmp_path: Path, runs: Runs
) -> None:
    async with launching(engine, tmp_path) as launcher:
        pod = await launch(launcher)
    runs.pass_(1800)
    assert engine._kubelet is not None
    engine._kubelet._workers[pod.uid].kill()
    await until(engine, lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"))
    runs.jump += timedelta(days=2)
    async with launching(engine, tmp_path) as launcher:
        await settled(launcher)
        (session,) = await sessions(launcher)
        assert session.charged == runs.cost >= HOUR // 2
        assert engine.store.list("pods", None)[0] == []


async def test_a_server_that_runs_on_while_the_hub_is_down_is_one_session(
    engine: Engine, tmp_path: Path, runs: Runs
) -> None:
    async with launching(engine, tmp_path) as launcher:
        await launch(launcher)
    runs.pass_(1800)
    async with launching(engine, tmp_path) as launcher:
        await settled(launcher)
        assert launcher.accounts.member("everyone", "ada", launcher.now()).held == HOUR
        await launcher.stop("ada", "")
        await settled(launcher)
        (session,) = await sessions(launcher)
        assert session.charged == runs.cost >= HOUR // 2


class Flaky:
    """A store whose database can be taken away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(found) or name == "close":
            return found

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.away:
                raise StoreUnavailableError("the test has taken it away")
            return await found(*args, **kwargs)

        return guarded


async def test_a_stop_does_not_wait_for_a_database_that_is_away(engine: Engine, tmp_path: Path, runs: Runs) -> None:
    async with launching(engine, tmp_path, Flaky) as launcher:
        await launch(launcher)
        await settled(launcher)
        launcher.store.away = True
        runs.pass_(1800)
        await asyncio.wait_for(launcher.stop("ada", ""), 10)
        assert launcher.usage() == [], "its GPU is given back"
        assert held_by_ledger(engine) == ["jupyter-ada"]
        with pytest.raises(LaunchError, match="It costs up to 3,600 SU, and the ledger"):
            await launch(launcher, "bob")
        with pytest.raises(LaunchError, match="The last session of this server is not charged yet"):
            await launch(launcher, profile="cpu", gpu_classes=(), gpus=0)
        await launch(launcher, server="other", profile="cpu", gpu_classes=(), gpus=0)
        launcher.store.away = False
        await settled(launcher)
        assert held_by_ledger(engine) == []
        charged = {(one.user, one.server, one.gpus): one.charged for one in await sessions(launcher)}
        assert charged["ada", "", 1] == runs.cost >= HOUR // 2
        assert charged["ada", "", 0] == 0
        assert charged["ada", "other", 0] is None


async def test_a_creation_that_comes_through_after_its_launch_was_given_up_is_let_go(
    engine: Engine, tmp_path: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[dict[str, Any]] = []
    create = Client.create

    async def held_up(self: Client, resource: str, namespace: str | None, manifest: Any) -> Any:
        if resource != "pods":
            return await create(self, resource, namespace, manifest)
        late.append(dict(manifest))
        raise UnreachableError("no answer in time")

    monkeypatch.setattr(Client, "create", held_up)
    async with launching(engine, tmp_path) as launcher:
        with pytest.raises(LaunchError):
            await launch(launcher)
        await settled(launcher)
        assert [one.charged for one in await sessions(launcher)] == [0]
        gone = asyncio.Event()
        launcher.view.on_pod(lambda pod, is_gone: gone.set() if is_gone else None)
        await create(launcher.client, "pods", "default", late[0])
        await asyncio.wait_for(gone.wait(), 20)
        await settled(launcher)
        assert sum(one.charged or 0 for one in await sessions(launcher)) == runs.cost
        assert await launcher.store.unsettled() == []


async def test_a_clock_that_is_set_back_charges_nothing_and_one_set_forward_no_more_than_was_held(
    engine: Engine, tmp_path: Path, runs: Runs
) -> None:
    async with launching(engine, tmp_path) as launcher:
        await launch(launcher)
        runs.jump = timedelta(days=-3)
        await launcher.stop("ada", "")
        await launch(launcher)
        runs.jump = timedelta(days=300)
        await launcher.stop("ada", "")
        await settled(launcher)
        assert [one.charged for one in await sessions(launcher)] == [0, HOUR]
        assert await launcher.store.unsettled() == []
        assert held_by_ledger(engine) == []


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
