"""What was used when, of which class, and what sessions cost: from the ledger, as pages and API tell it."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from recorded import HOUR, NOON, UNIT, ending, session

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.config import Settings, load_settings
from gpuspawner.ledger.records import SessionFilter
from gpuspawner.ledger.store import Store
from gpuspawner.reports.causes import why_ended
from gpuspawner.reports.days import Days
from gpuspawner.reports.sessions import COLUMNS, every_session, sessions_page
from gpuspawner.reports.spreadsheet import csv_text
from gpuspawner.reports.use import NO_GPU, UseOverDays, use_over_days

PACIFIC = ZoneInfo("America/Los_Angeles")
ADA = SessionFilter(user="ada")
CLASS = {"accepts": [{"resource": "nvidia.com/gpu"}]}
SETTINGS = load_settings(
    {
        "gpu_classes": {"small": {"display_name": "Small, 16 GB", **CLASS}, "medium": CLASS},
        "profiles": {"pytorch": {"display_name": "PyTorch", "image": "x", "gpu_classes": ["small"]}},
        "workspaces": {"cse151a": {"display_name": "CSE 151A", "members": "*", "budget": {"per_member": 10}}},
        "timezone": "America/Los_Angeles",
    }
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "hub")
    yield store
    await store.close()


@pytest.fixture
def accounts() -> Accounts:
    return Accounts(SETTINGS.workspaces, SETTINGS.timezone)


async def ran(store: Store, session_id: str, opened: datetime, hours: int = 1, **how: Any) -> None:
    gpu_class, charged = how.pop("gpu_class", "small"), how.pop("charged", UNIT // 2)
    await store.hold(session(session_id, opened=opened, **how))
    end = ending(started=opened, ended=opened + hours * HOUR, gpu_class=gpu_class, charged=charged)
    await store.settle(session_id, **end)


async def use(store: Store, accounts: Accounts, now: datetime, days: int = 30) -> UseOverDays:
    settings: Settings = SETTINGS
    return await use_over_days(store, ADA, Days.up_to(now, days, PACIFIC), settings, accounts, now)


async def test_use_is_told_by_day_and_class(store: Store, accounts: Accounts) -> None:
    await ran(store, "a", NOON, gpus=2)
    await ran(store, "b", NOON + HOUR, 3, gpu_class="medium", charged=3 * UNIT)
    await ran(store, "c", NOON - timedelta(days=2))
    await ran(store, "other", NOON, user="eve")
    found = await use(store, accounts, NOON + 6 * HOUR, days=7)
    assert list(found.titles.values()) == ["Small, 16 GB", "medium"]
    today = found.on(NOON.date())
    assert (today["small"].gpu_hours, today["small"].units) == (2, 0.5)
    assert (today["medium"].gpu_hours, today["medium"].units) == (3, 3)
    assert found.of_class("small").sessions == 2
    assert (found.total.gpu_hours, found.total.units) == (6, 4)
    assert found.as_json()["by_day"][4] == {
        "day": "2026-10-31",
        "by_class": [{"gpu_class": "small", "sessions": 1, "seconds": 3600, "gpu_seconds": 3600, "units": 0.5}],
    }


async def test_a_running_session_counts_with_what_it_has_used_until_now(store: Store, accounts: Accounts) -> None:
    running = session("a", opened=NOON, gpus=2, price={"rates": {"small": UNIT}, "cpu_rate": 0, "off_peak": None})
    await store.hold(running)
    await store.started("a", NOON, "small")
    accounts.hold(running)
    accounts.started("a", NOON, "small")
    found = await use(store, accounts, NOON + HOUR)
    assert (found.total.gpu_hours, found.total.units, found.total.sessions) == (2, 2, 1)
    (line,) = (await sessions_page(store, ADA, SETTINGS, accounts, NOON + HOUR)).rows
    assert (line.why, line.seconds, line.as_json()["units"], line.as_json()["cause"]) == ("Running", 3600, 2, "runs")


async def test_days_are_those_of_the_hubs_time_zone_also_when_clocks_change(store: Store, accounts: Accounts) -> None:
    """On 1 November 2026 the day has 25 hours in Los Angeles."""
    last = datetime(2026, 11, 1, 23, 59, tzinfo=PACIFIC)
    await ran(store, "first", datetime(2026, 11, 1, 0, 0, tzinfo=PACIFIC))
    await ran(store, "last", last)
    await ran(store, "next", last + timedelta(minutes=1))
    found = await use(store, accounts, last + timedelta(days=1))
    assert [found.on(date(2026, 11, day)).get("small", None) is not None for day in (1, 2)] == [True, True]
    assert found.on(date(2026, 11, 1))["small"].sessions == 2
    assert len(found.days.midnights()) == 31


async def test_what_never_ran_is_no_use(store: Store, accounts: Accounts) -> None:
    await store.hold(session("a", opened=NOON))
    await store.settle("a", **ending(started=None, gpu_class=None, charged=0, cause="gpus_taken"))
    found = await use(store, accounts, NOON)
    assert (found.titles, found.total.seconds) == ({}, 0)
    (line,) = (await sessions_page(store, ADA, SETTINGS, accounts, NOON)).rows
    assert (line.why, line.seconds, line.micro) == ("No GPU came free in time", 0, 0)


async def test_a_session_without_gpu_has_no_class(store: Store, accounts: Accounts) -> None:
    await ran(store, "a", NOON, gpus=0, gpu_classes=(), gpu_class=None, charged=0)
    found = await use(store, accounts, NOON)
    assert dict(found.titles) == {NO_GPU: "Without GPU"}
    (line,) = (await sessions_page(store, ADA, SETTINGS, accounts, NOON)).rows
    assert (line.gpu_class, line.gpu_title, line.workspace_title) == (None, "", "CSE 151A")


async def test_a_download_has_every_session_and_cannot_run_in_a_spreadsheet(store: Store, accounts: Accounts) -> None:
    for number in range(3):
        await ran(store, f"{number}", NOON + number * HOUR, server="=1+1")
    rows = [line.as_json() async for page in every_session(store, ADA, SETTINGS, accounts, NOON) for line in page]
    text = csv_text(COLUMNS, rows)
    assert text.count("\r\n") == 4
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["id"] for row in read] == ["2", "1", "0"]
    assert {row["server"] for row in read} == {"'=1+1"}
    assert read[0]["units"] == "0.5"
    assert read[0]["opened"] == "2026-11-02T06:00:00-08:00"


def test_why_a_session_ended_is_told_in_words() -> None:
    assert why_ended("runtime_limit") == "Its time was over"
    assert why_ended("something_new") == "Something new"
    assert why_ended(None) == ""
