"""The hub's /metrics: what a running hub holds, waits for and hears, and how its launches went."""

import asyncio
import math
import shutil
import subprocess
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
import pytest
from launching import launch, stop
from prometheus_client.parser import text_string_to_metric_families
from running_hub import ADMIN_TOKEN, RunningHub

from gpuspawner.cluster.gpus import waiting_for
from gpuspawner.launcher import Launcher
from gpuspawner.local.engine import Engine
from gpuspawner.metrics.families import FAMILIES
from gpuspawner.quantity import MICRO

TOKEN = "token-of-a-prometheus"
WORKSPACES = {
    "everyone": {"members": "*", "quota": {"small": 2, "medium": 2}},
    "lab": {"members": ["ada", "eve"], "quota": {"medium": 2}, "budget": {"per_member": 10, "pool": 15}},
}
PAID = {"workspace": "lab", "profile": "pytorch", "gpu_class": "medium", "runtime": "1h"}


@pytest.fixture
async def hub(start_gpu_hub: Any) -> RunningHub:
    found: RunningHub = await start_gpu_hub(
        workspaces=WORKSPACES,
        hub={
            "services": [{"name": "tests", "api_token": ADMIN_TOKEN}, {"name": "prometheus", "api_token": TOKEN}],
            "load_roles": [
                {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers"]},
                {"name": "scrape", "services": ["prometheus"], "scopes": ["read:metrics"]},
            ],
        },
    )
    for user in ("ada", "eve"):
        await found.login(user, "x")
    assert await launcher_of(found).books.ready()
    return found


def launcher_of(hub: RunningHub) -> Launcher:
    found: Launcher = hub.user("ada").spawner.launcher
    return found


async def scrape(hub: RunningHub, token: str = TOKEN) -> str:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session,
        session.get(hub.url / "metrics") as answer,
    ):
        assert answer.status == 200
        return await answer.text()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(40):
        while not condition():  # noqa: ASYNC110 - in what the hub keeps in memory
            await asyncio.sleep(0.01)


Told = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Told:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        if family.name.startswith("gpuspawner")
        for sample in family.samples
    }


def of(told: Told, name: str, **labels: str) -> float | None:
    return told.get((f"gpuspawner_{name}", frozenset(labels.items())))


def names(text: Iterable[str]) -> set[str]:
    return {line.split()[2] for line in text if line.startswith("# HELP gpuspawner")}


async def test_only_who_may_read_metrics_reads_them(hub: RunningHub) -> None:
    async with aiohttp.ClientSession() as session, session.get(hub.url / "metrics") as answer:
        assert answer.status == 403


async def test_gpus_are_told_by_class_and_state_and_against_quotas(hub: RunningHub, engine: Engine) -> None:
    assert await launch(hub, "ada", PAID) == ""
    view = launcher_of(hub).view
    node = engine.store.get("nodes", None, "t4-0")
    node["spec"]["unschedulable"] = True
    engine.store.update("nodes", node)
    await until(lambda: view.nodes["t4-0"].unschedulable)
    told = samples(await scrape(hub))
    assert of(told, "gpus", gpu_class="medium", state="used") == 1
    assert of(told, "gpus", gpu_class="medium", state="free") == 1
    assert of(told, "gpus", gpu_class="small", state="free") == 0
    assert of(told, "gpus", gpu_class="small", state="cordoned") == 2
    assert of(told, "gpus_held", workspace="lab", gpu_class="medium") == 1
    assert of(told, "gpus_quota", workspace="lab", gpu_class="medium") == 2
    assert of(told, "gpus_quota", workspace="lab", gpu_class="small") is None
    assert of(told, "servers", workspace="lab") == 1
    assert of(told, "servers", workspace="everyone") == 0


async def test_launches_are_counted_by_outcome_and_their_time_by_phase(hub: RunningHub) -> None:
    assert await launch(hub, "ada", PAID) == ""
    assert await launch(hub, "eve", {**PAID, "gpus": 2}) != ""
    assert await launch(hub, "eve", {"profile": "crash"}) != ""
    assert await launch(hub, "eve", {"profile": "nonsense"}) != ""
    told = samples(await scrape(hub))
    assert of(told, "launches_total", outcome="started", reason="") == 1
    assert of(told, "launches_total", outcome="refused", reason="denied") == 1
    assert of(told, "launches_total", outcome="refused", reason="bad_request") == 1
    assert of(told, "launches_total", outcome="failed", reason="exited") == 1
    assert of(told, "launch_start_seconds_count", gpu_class="medium") == 1
    assert of(told, "launch_wait_seconds_count", gpu_class="medium") == 1
    spent = [value for (name, _), value in told.items() if name == "gpuspawner_launch_phase_seconds_sum"]
    assert spent
    assert all(0 <= seconds < math.inf for seconds in spent)


async def test_a_launch_that_waits_is_in_the_queue(hub: RunningHub) -> None:
    assert await launch(hub, "ada", {**PAID, "gpus": 2}) == ""
    asking = asyncio.create_task(launch(hub, "eve", {**PAID, "workspace": "everyone"}))
    launcher = launcher_of(hub)
    await until(lambda: waiting_for(launcher.view, launcher.settings))
    assert of(samples(await scrape(hub)), "launches_waiting", gpu_class="medium") == 1
    await stop(hub, "ada")
    assert await asking == ""
    assert of(samples(await scrape(hub)), "launches_waiting", gpu_class="medium") == 0


async def test_charges_holds_and_pools_are_told_in_service_units(hub: RunningHub) -> None:
    assert await launch(hub, "ada", PAID) == ""
    told = samples(await scrape(hub))
    assert of(told, "service_units_held", workspace="lab") == 1
    assert of(told, "budget_pool_left", workspace="lab") == 14
    assert of(told, "budget_pool_left", workspace="everyone") is None
    launcher = launcher_of(hub)
    await stop(hub, "ada")
    await until(lambda: not launcher.accounts.held_by_workspace()["lab"])
    await launcher.books.quiet()
    (kept,) = (await launcher.store.sessions()).rows
    told = samples(await scrape(hub))
    assert of(told, "service_units_held", workspace="lab") == 0
    charged = of(told, "service_units_charged_total", workspace="lab", gpu_class="medium")
    assert (charged or 0) * MICRO == pytest.approx(kept.charged)
    assert sum(value for (name, _), value in told.items() if name == "gpuspawner_sessions_ended_total") == 1


async def test_watches_and_ledger_tell_how_they_are(hub: RunningHub) -> None:
    assert await launcher_of(hub).synced(10)
    await launcher_of(hub).books.quiet()
    told = samples(await scrape(hub))
    for resource in ("pods", "nodes"):
        assert of(told, "watch_synced", resource=resource) == of(told, "watch_up", resource=resource) == 1
        assert of(told, "watch_lists_total", resource=resource) == 1
        assert of(told, "watch_interruptions_total", resource=resource) == 0
    assert (of(told, "ledger_up"), of(told, "ledger_synced"), of(told, "ledger_pending_writes")) == (1, 1, 0)


async def test_every_metric_that_is_told_is_documented_and_names_nobody(hub: RunningHub) -> None:
    assert await launch(hub, "ada", PAID) == ""
    text = await scrape(hub)
    assert names(text.splitlines()) == {one.name for one in FAMILIES}
    labels = {name: set(one.labels) for one in FAMILIES for name in one.series}
    for name, found in samples(text):
        if not name.endswith("_created"):
            assert {label for label, _ in found} - {"le"} == labels[name], name
    assert not [line for line in text.splitlines() if line.startswith("gpuspawner") and "ada" in line]
    promtool = shutil.which("promtool")
    assert promtool is not None, "the tests use promtool; on Debian: sudo apt-get install prometheus"
    ours = "\n".join(line for line in text.splitlines() if "gpuspawner_" in line) + "\n"
    linted = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=ours, capture_output=True, text=True, timeout=60
    )
    assert (linted.returncode, linted.stderr) == (0, "")
