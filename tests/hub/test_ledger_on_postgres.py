"""A real hub whose ledger is on a real PostgreSQL, which is stopped and started again under it."""

from collections.abc import Iterator
from typing import Any

import pytest
from accounting import settled
from launching import launch, stop
from running_hub import RunningHub
from running_postgres import RunningPostgres
from test_costs_api import WORKSPACES, launcher_of

from gpuspawner.cli import main
from gpuspawner.ledger.store import Store

PAID = {"workspace": "lab", "profile": "pytorch", "gpu_class": "small", "runtime": "1h"}
NO_BUDGET = {"workspace": "everyone", "profile": "pytorch", "gpu_class": "small", "runtime": "1h"}
HOUR = 1_000_000
"""What an hour of a small GPU costs by its rate, in millionths of a unit."""


@pytest.fixture
def own_postgres() -> Iterator[RunningPostgres]:
    """A server to be stopped."""
    server = RunningPostgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def hub_on(server: RunningPostgres, start_gpu_hub: Any) -> tuple[RunningHub, str]:
    """A hub that knows ada and eve, and the URL of its ledger."""
    url = server.database()
    hub: RunningHub = await start_gpu_hub(workspaces=WORKSPACES, ledger_url=url)
    for name in ("ada", "eve"):
        await hub.login(name, "")
    return hub, url


async def test_a_session_is_held_charged_and_audited(
    start_gpu_hub: Any, postgres: RunningPostgres, capsys: pytest.CaptureFixture[str]
) -> None:
    hub, url = await hub_on(postgres, start_gpu_hub)
    assert await launch(hub, "ada", PAID) == ""
    launcher = launcher_of(hub, "ada")
    assert [(one.user, one.held) for one in await launcher.store.unsettled()] == [("ada", HOUR)]
    await stop(hub, "ada")
    await settled(launcher)
    reader = Store(url, "jupyterhub")
    (session,) = (await reader.sessions()).rows
    assert session.started is not None
    assert session.ended is not None
    ran = (session.ended - session.started).total_seconds()
    assert session.charged == pytest.approx(ran * HOUR / 3600, abs=1)
    assert session.gpu_class == "small"
    assert "charge" in {entry.action for entry in (await reader.audit()).rows}
    await reader.close()
    assert main(["ledger", "check", "--url", url]) == 0
    assert "Hub jupyterhub: 1 sessions" in capsys.readouterr().out


async def test_while_the_database_is_away_what_a_budget_pays_is_refused_and_what_none_pays_starts(
    start_gpu_hub: Any, own_postgres: RunningPostgres
) -> None:
    hub, _ = await hub_on(own_postgres, start_gpu_hub)
    assert await launch(hub, "ada", PAID) == ""
    own_postgres.stop()
    refusal = await launch(hub, "eve", PAID)
    assert "ledger" in refusal
    assert hub.user("ada").spawners[""].ready
    assert await launch(hub, "eve", NO_BUDGET) == ""
    await stop(hub, "ada")
    own_postgres.start()
    launcher = launcher_of(hub, "ada")
    await settled(launcher)
    assert [one.user for one in await launcher.store.unsettled()] == ["eve"]
    charged = [one for one in (await launcher.store.sessions()).rows if one.user == "ada"]
    assert [one.settled for one in charged] == [True]
    assert launcher.accounts.member("lab", "ada", launcher.now()).spent == charged[0].charged
    assert await launch(hub, "eve", PAID, server="second") == ""


async def test_a_hub_that_starts_before_its_database_settles_once_that_is_there(
    start_gpu_hub: Any, own_postgres: RunningPostgres
) -> None:
    hub, url = await hub_on(own_postgres, start_gpu_hub)
    assert await launch(hub, "ada", PAID) == ""
    own_postgres.stop()
    hub = await start_gpu_hub(workspaces=WORKSPACES, ledger_url=url)
    await hub.login("ada", "")
    await stop(hub, "ada")
    own_postgres.start()
    launcher = launcher_of(hub, "ada")
    await settled(launcher)
    (session,) = (await launcher.store.sessions()).rows
    assert session.settled
    assert await launcher.store.unsettled() == []
