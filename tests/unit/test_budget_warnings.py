"""Warnings at 75 and 90 % of a budget: once each in a period, to whom it concerns, also across a restart."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spending import WEDNESDAY, WEEK, Gift, Launch

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.budgets.warnings import BudgetWarnings, reached
from gpuspawner.config import load_settings
from gpuspawner.ledger.records import AuditEntry
from gpuspawner.ledger.store import Store
from gpuspawner.sessions.notices import Notice, Notices

LA = ZoneInfo("America/Los_Angeles")


class Desk:
    """Warnings over accounts of a course, with a clock that a test moves, a ledger, and a hook that collects."""

    def __init__(self, store: Store, **budget: Any) -> None:
        workspaces = {"course": {"display_name": "Course", "members": "*", "budget": budget}}
        self.settings = load_settings({"workspaces": workspaces, "timezone": "America/Los_Angeles"})
        self.accounts = Accounts(self.settings.workspaces, LA)
        self.store = store
        self.now = WEDNESDAY.astimezone(LA)
        self.entries: list[AuditEntry] = []
        self.sent: list[Notice] = []
        self.open()

    def open(self) -> None:
        async def collect(notice: Notice) -> None:
            self.sent.append(notice)

        self.notices = Notices(collect, lambda: self.now)
        self.warnings = BudgetWarnings(
            self.settings,
            self.accounts,
            self.store,
            self.notices,
            note=self.entries.append,
            clock=lambda: self.now,
            managers=lambda workspace: ["prof"],
        )

    def run(self, launch: Launch) -> None:
        self.accounts.hold(launch)
        self.accounts.started(launch.id, launch.opened, "small")

    async def after(self, **passed: float) -> list[str]:
        """What the hook was told by a look so long after noon."""
        self.now = WEDNESDAY.astimezone(LA) + timedelta(**passed)
        self.sent.clear()
        await self.warnings.look()
        await self.notices.close()
        return [f"{notice.user}: {notice.sentence}" for notice in self.sent]


@pytest.fixture
async def store() -> Any:
    store = Store("sqlite://", "hub")
    yield store
    await store.close()


LATER = "It renews on 30 November."


async def test_a_member_is_warned_once_at_75_and_once_at_90_percent(store: Store) -> None:
    desk = Desk(store, per_member=10)
    desk.run(Launch("1", units=10))
    assert await desk.after(hours=7, minutes=29) == []
    assert await desk.after(hours=7, minutes=30) == [
        f"ada: You have used 75 % of your budget in Course this week: 7.5 SU of 10 SU. {LATER}"
    ]
    assert desk.sent[0].level == "warning"
    assert await desk.after(hours=8) == []
    [warned] = await desk.after(hours=9)
    assert "90 %" in warned
    assert desk.sent[0].level == "danger"
    assert desk.sent[0].data["used"] == 9
    assert await desk.after(hours=9, minutes=50) == []
    assert [(entry.action, entry.user, entry.details["percent"]) for entry in desk.entries] == [
        ("warning", "ada", 75),
        ("warning", "ada", 90),
    ]
    assert len(desk.notices.of("ada")) == 1


async def test_what_is_only_held_warns_nobody(store: Store) -> None:
    desk = Desk(store, per_member=10)
    desk.accounts.hold(Launch("1", units=10))
    assert await desk.after(hours=9) == []


async def test_of_a_pool_its_managers_and_those_who_use_it_are_warned(store: Store) -> None:
    desk = Desk(store, pool=4)
    desk.run(Launch("1", units=2))
    desk.run(Launch("2", units=2, user="bob"))
    told = await desk.after(hours=1, minutes=30)
    sentence = "The members of Course have used 75 % of the budget that they share this week: 3 SU of 4 SU. " + LATER
    assert sorted(told) == [f"ada: {sentence}", f"bob: {sentence}", f"prof: {sentence}"]


async def test_with_both_budgets_each_is_told_by_itself(store: Store) -> None:
    desk = Desk(store, per_member=2, pool=2)
    desk.run(Launch("1", units=2))
    told = await desk.after(hours=1, minutes=30)
    assert len(told) == 3
    assert [notice.data["budget"] for notice in desk.notices.of("ada")] == ["per_member", "pool"]


async def test_in_the_next_period_the_warnings_come_anew(store: Store) -> None:
    desk = Desk(store, per_member=1)
    desk.run(Launch("1"))
    assert len(await desk.after(minutes=50)) == 1
    desk.accounts.settle("1", MICRO)
    assert await desk.after(days=6) == []
    assert desk.notices.of("ada") == []
    desk.run(Launch("2", opened=WEDNESDAY + WEEK))
    assert len(await desk.after(days=7, minutes=50)) == 1


async def test_a_grant_takes_a_warning_back_and_it_comes_again_when_that_is_used_too(store: Store) -> None:
    desk = Desk(store, per_member=1)
    desk.run(Launch("1"))
    assert len(await desk.after(minutes=50)) == 1
    desk.accounts.grant(Gift("gift", MICRO))
    assert await desk.after(minutes=51) == []
    assert desk.notices.of("ada") == []
    desk.run(Launch("2", opened=WEDNESDAY + timedelta(minutes=51)))
    [warned] = await desk.after(minutes=100)
    assert "of 2 SU" in warned


async def test_after_a_restart_the_page_tells_it_again_and_nobody_gets_a_second_mail(store: Store) -> None:
    desk = Desk(store, per_member=10)
    desk.run(Launch("1", units=10))
    assert len(await desk.after(hours=7.5)) == 1
    await store.write_audit(desk.entries)
    desk.open()
    assert await desk.warnings.remember()
    assert await desk.after(hours=8) == []
    assert len(desk.notices.of("ada")) == 1
    assert len(await desk.after(hours=9)) == 1


async def test_warnings_of_an_earlier_period_are_not_taken_for_those_of_this_one(store: Store) -> None:
    desk = Desk(store, per_member=1)
    desk.run(Launch("1"))
    await desk.after(minutes=50)
    last_week = replace(desk.entries[0], id="old", details={"period": "2026-11-16T08:00:00+00:00", "percent": 90})
    await store.write_audit([last_week])
    desk.open()
    assert await desk.warnings.remember()
    assert len(await desk.after(minutes=50)) == 1


async def test_a_rolling_budget_does_not_warn_anew_every_day(store: Store) -> None:
    desk = Desk(store, per_member=10, renews="rolling", days=30)
    desk.run(Launch("1", units=10))
    [warned] = await desk.after(hours=7.5)
    assert warned.endswith("of 10 SU. More comes back on 25 December.")
    assert await desk.after(days=1) == ["ada: " + desk.sent[0].sentence]  # 90 % by then
    assert await desk.after(days=2) == []


async def test_without_an_answer_of_the_ledger_nobody_is_warned_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpuspawner.ledger.store import StoreUnavailableError

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("connection refused")

    desk = Desk(store, per_member=1)
    monkeypatch.setattr(store, "audit", away)
    assert not await desk.warnings.remember()


async def test_a_budget_of_nothing_warns_nobody(store: Store) -> None:
    desk = Desk(store, per_member=0)
    desk.run(Launch("1", units=0))
    assert await desk.after(hours=1) == []


@given(used=st.integers(0, 10**12), total=st.integers(0, 10**12))
def test_a_percentage_is_reached_exactly_where_so_much_is_used(used: int, total: int) -> None:
    percent = reached(used, total)
    assert (percent == 90) is (total > 0 and used / total >= 0.9 - 1e-15 and used * 10 >= total * 9)
    assert (percent is None) is (total == 0 or used * 4 < total * 3)


def test_the_notice_is_about_a_time_in_the_hub_s_zone() -> None:
    assert WEDNESDAY.astimezone(LA) == datetime(2026, 11, 25, 12, tzinfo=LA)
