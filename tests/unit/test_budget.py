"""Periods, what is carried over, grants, and balances: nothing is lost and nothing is spent twice."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from spending import WEDNESDAY, WEEK, Gift, Launch, course

from gpuspawner.budgets.accounts import Account, Accounts, period_of
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.workspace import Budget, Workspace

LA = ZoneInfo("America/Los_Angeles")
ZONES = ["America/Los_Angeles", "Europe/Berlin", "Africa/Cairo", "America/Santiago", "Australia/Lord_Howe", "UTC"]
RENEWALS: list[dict[str, Any]] = [
    {"renews": "weekly"},
    {"renews": "monthly"},
    {"renews": "quarterly"},
    {"renews": "terms", "terms": ["2026-09-24", "2027-01-04", "2027-03-29"]},
    {"renews": "never"},
]


def opened(*launches: Launch, grants: tuple[Gift, ...] = (), **budget: Any) -> Accounts:
    """Accounts of a course with this budget in which these launches are held."""
    accounts = Accounts(course(**budget), LA)
    accounts.load(launches, (), grants)
    return accounts


def member(accounts: Accounts, at: datetime = WEDNESDAY, user: str = "ada") -> Account:
    account = accounts.member("course", user, at)
    assert account is not None
    return account


def left(accounts: Accounts, at: datetime = WEDNESDAY, user: str = "ada") -> float:
    return member(accounts, at, user).left / MICRO


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LA)


@pytest.mark.parametrize(
    ("budget", "begins", "ends"),
    [
        ({"renews": "weekly"}, "2026-11-23", "2026-11-30"),
        ({"renews": "monthly"}, "2026-11-01", "2026-12-01"),
        ({"renews": "quarterly"}, "2026-10-01", "2027-01-01"),
        (RENEWALS[3], "2026-09-24", "2027-01-04"),
        ({"renews": "rolling", "days": 3}, "2026-11-23", "2026-11-26"),
        ({"renews": "rolling"}, "2026-11-19", "2026-11-26"),
    ],
)
def test_a_period_begins_and_ends_at_local_midnight(budget: dict[str, Any], begins: str, ends: str) -> None:
    (space,) = course(**budget).values()
    assert space.budget is not None
    period = period_of(space.budget, WEDNESDAY, LA, space)
    assert (period.begins, period.ends) == (local(begins), local(ends))


def test_a_budget_that_never_renews_lasts_as_long_as_its_workspace() -> None:
    (space,) = course(renews="never", starts="2026-09-21", ends="2026-12-18").values()
    assert space.budget is not None
    period = period_of(space.budget, WEDNESDAY, LA, space)
    assert (period.begins, period.ends) == (local("2026-09-21"), local("2026-12-19"))
    (always,) = course(renews="never").values()
    assert always.budget is not None
    assert period_of(always.budget, WEDNESDAY, LA, always).ends is None


@pytest.mark.parametrize(("monday", "hours"), [("2026-03-02", 167), ("2026-10-26", 169), ("2026-06-01", 168)])
def test_a_week_in_which_the_clocks_change_is_an_hour_shorter_or_longer(monday: str, hours: int) -> None:
    (space,) = course(renews="weekly").values()
    assert space.budget is not None
    period = period_of(space.budget, local(monday), LA, space)
    assert period.begins is not None
    assert period.ends is not None
    assert period.ends - period.begins == timedelta(hours=hours)


@given(
    st.sampled_from(RENEWALS),
    st.integers(0, 2 * 365 * 86400).map(lambda second: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)),
    st.sampled_from(ZONES),
)
def test_the_periods_follow_each_other_without_gap_or_overlap(budget: dict[str, Any], at: datetime, zone: str) -> None:
    (space,) = course(**budget).values()
    assert space.budget is not None
    timezone = ZoneInfo(zone)
    period = period_of(space.budget, at, timezone, space)
    assert period.begins is None or period.begins <= at
    if period.ends is None:
        return
    assert at < period.ends
    assert period_of(space.budget, period.ends - timedelta(microseconds=1), timezone, space) == period
    assert period_of(space.budget, period.ends, timezone, space).begins == period.ends


@pytest.mark.parametrize(
    ("budget", "mistake"),
    [
        ({"renews": "terms"}, "terms, the first days"),
        ({"renews": "weekly", "terms": ["2026-09-24"]}, "terms, the first days"),
        ({"renews": "terms", "terms": ["2027-01-04", "2026-09-24"]}, "ascending"),
        ({"renews": "monthly", "days": 30}, "days only"),
        ({"pool": 1, "renews": "never", "carry_over": {"pool": 1}}, "no carry_over"),
        ({"per_member": 1, "carry_over": {"pool": 1}}, "carry_over.pool only together with pool"),
        ({"renews": "yearly"}, "weekly"),
        ({"carry_over": 5}, "CarryOver"),
    ],
)
def test_a_budget_that_does_not_fit_together_is_a_mistake(budget: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValidationError, match=mistake):
        Budget.model_validate(budget)


def test_what_is_held_is_not_left() -> None:
    accounts = opened(Launch("a", 2.5), per_member=10)
    assert left(accounts) == 7.5
    assert member(accounts).held == 2_500_000
    assert left(accounts, user="grace") == 10


def test_on_settling_only_what_was_charged_is_spent() -> None:
    accounts = opened(Launch("a", 6), per_member=10)
    assert accounts.settle("a", MICRO)
    assert (member(accounts).spent, member(accounts).held, left(accounts)) == (MICRO, 0, 9)


def test_a_session_is_charged_once() -> None:
    accounts = opened(Launch("a", 6), per_member=10)
    assert accounts.settle("a", MICRO)
    assert not accounts.settle("a", MICRO)
    accounts.hold(Launch("a", 6))
    assert left(accounts) == 9


def test_a_session_held_twice_counts_once() -> None:
    accounts = opened(Launch("a", 6), Launch("a", 6), per_member=10)
    assert left(accounts) == 4


def test_the_budget_is_whole_again_on_monday_at_midnight() -> None:
    accounts = opened(Launch("a", 6), per_member=10)
    monday = local("2026-11-30T00:00")
    assert left(accounts, monday - timedelta(seconds=1)) == 4
    assert left(accounts, monday) == 10
    assert member(accounts).renews == monday


def test_a_session_is_paid_from_the_period_it_began_in() -> None:
    sunday = local("2026-11-29T23:00")
    accounts = opened(Launch("a", 6, opened=sunday), per_member=10)
    monday = sunday + timedelta(hours=3)
    accounts.started("a", sunday, "small")
    accounts.settle("a", 6 * MICRO)
    assert left(accounts, monday) == 10
    assert left(accounts, sunday) == 4


def test_the_pool_is_what_all_members_share() -> None:
    accounts = opened(Launch("a", 6), Launch("b", 3, user="grace"), pool=20)
    pool = accounts.pool("course", WEDNESDAY)
    assert pool is not None
    assert pool.left == 11 * MICRO
    assert accounts.member("course", "ada", WEDNESDAY) is None
    assert accounts.left("course", "ada", WEDNESDAY) == 11 * MICRO


def test_the_lesser_of_own_budget_and_pool_is_left() -> None:
    accounts = opened(Launch("b", 15, user="grace"), per_member=16, pool=20)
    assert accounts.left("course", "ada", WEDNESDAY) == 5 * MICRO
    assert accounts.left("course", "grace", WEDNESDAY) == MICRO


def test_a_workspace_without_budget_sets_no_bound() -> None:
    lab = Workspace.model_validate({"name": "lab"})
    accounts = Accounts({**course(per_member=1), "lab": lab}, LA)
    accounts.hold(Launch("a", 50, workspace="lab"))
    assert accounts.left("lab", "ada", WEDNESDAY) is None
    assert accounts.left("nowhere", "ada", WEDNESDAY) is None
    assert accounts.settle("a", MICRO)


def test_what_is_left_is_carried_over_up_to_the_cap() -> None:
    carry = {"per_member": 10, "carry_over": {"per_member": 5}, "starts": "2026-11-02"}
    accounts = opened(Launch("a", 8), **carry)
    assert member(accounts, local("2026-11-02T12:00")).carried == 0
    assert member(accounts, WEDNESDAY).carried == 5 * MICRO
    assert member(accounts, WEDNESDAY + WEEK).carried == 5 * MICRO
    assert left(accounts) == 7
    accounts.hold(Launch("b", 6))
    assert member(accounts, WEDNESDAY + WEEK).carried == MICRO
    assert left(accounts, WEDNESDAY + WEEK) == 11


def test_without_first_day_the_workspace_carries_over_since_its_first_launch() -> None:
    accounts = opened(per_member=10, carry_over={"per_member": 5})
    assert left(accounts) == 10
    accounts.hold(Launch("a", 1, opened=WEDNESDAY - WEEK, user="grace"))
    assert left(accounts) == 15


def test_a_rolling_budget_counts_the_last_days() -> None:
    day = timedelta(days=1)
    accounts = opened(
        Launch("a", 4, opened=WEDNESDAY - 6 * day), Launch("b", 3, opened=WEDNESDAY), per_member=10, renews="rolling"
    )
    assert left(accounts) == 3
    assert left(accounts, WEDNESDAY + day) == 7
    assert member(accounts).renews == local("2026-11-26")
    assert left(accounts, WEDNESDAY + 7 * day) == 10
    assert member(accounts, WEDNESDAY + 7 * day).renews is None


def test_a_grant_adds_to_the_allowance_until_its_end() -> None:
    accounts = opened(grants=(Gift("g", 5 * MICRO, until=WEDNESDAY + timedelta(days=1)),), per_member=10)
    assert left(accounts) == 15
    assert left(accounts, WEDNESDAY - timedelta(seconds=1)) == 10
    assert left(accounts, WEDNESDAY + timedelta(days=1)) == 10
    assert left(accounts, user="grace") == 10


def test_a_grant_is_spent_once_over_all_periods() -> None:
    accounts = opened(Launch("a", 13), grants=(Gift("g", 5 * MICRO),), per_member=10)
    assert left(accounts) == 2
    assert left(accounts, WEDNESDAY + WEEK) == 12
    accounts.hold(Launch("b", 12, opened=WEDNESDAY + WEEK))
    assert left(accounts, WEDNESDAY + WEEK) == 0
    assert left(accounts, WEDNESDAY + 2 * WEEK) == 10


def test_the_allowance_is_spent_before_the_grant_and_comes_back_first() -> None:
    accounts = opened(Launch("a", 13), grants=(Gift("g", 5 * MICRO),), per_member=10)
    accounts.settle("a", 4 * MICRO)
    assert left(accounts) == 11
    assert left(accounts, WEDNESDAY + WEEK) == 15


def test_of_two_grants_the_one_that_ends_first_is_spent_first() -> None:
    grants = (Gift("late", 5 * MICRO), Gift("soon", 5 * MICRO, until=WEDNESDAY + WEEK))
    accounts = opened(Launch("a", 14), grants=grants, per_member=10)
    assert left(accounts) == 6
    assert left(accounts, WEDNESDAY + WEEK) == 15


def test_a_grant_that_has_ended_pays_for_nothing_that_is_opened_later_in_its_period() -> None:
    day = timedelta(days=1)
    ending, lasting = Gift("ending", 3 * MICRO, until=WEDNESDAY + day), Gift("lasting", 5 * MICRO)
    accounts = opened(Launch("a", 11), grants=(ending, lasting), per_member=10)
    assert left(accounts) == 7
    assert left(accounts, WEDNESDAY + day) == 5
    accounts.hold(Launch("b", 5, WEDNESDAY + day))
    assert left(accounts, WEDNESDAY + day) == 0
    accounts.settle("a", 4 * MICRO)
    assert left(accounts, WEDNESDAY + day) == 6


def test_a_grant_that_is_revoked_ends_and_what_was_spent_of_it_stays_paid() -> None:
    gift = Gift("g", 5 * MICRO)
    accounts = opened(Launch("a", 12), grants=(gift,), per_member=10)
    accounts.grant(replace(gift, revoked=WEDNESDAY + timedelta(hours=1)))
    assert left(accounts, WEDNESDAY + timedelta(hours=2)) == 0
    assert member(accounts, WEDNESDAY + timedelta(hours=2)).granted == 2 * MICRO
    assert left(accounts, WEDNESDAY + WEEK) == 10


def test_a_grant_to_the_workspace_adds_to_its_pool() -> None:
    accounts = opened(Launch("a", 10), grants=(Gift("g", 50 * MICRO, user=None),), pool=10)
    assert accounts.left("course", "ada", WEDNESDAY) == 50 * MICRO


def test_grants_of_a_rolling_budget_are_spent_once() -> None:
    accounts = opened(Launch("a", 14), grants=(Gift("g", 5 * MICRO),), per_member=10, renews="rolling")
    assert left(accounts) == 1
    assert left(accounts, WEDNESDAY + WEEK) == 11


def test_a_running_session_accrues_what_it_has_used_of_its_hold() -> None:
    accounts = opened(Launch("a", 6), per_member=10)
    assert accounts.accrued("a", WEDNESDAY + timedelta(hours=2)) == 0
    accounts.started("a", WEDNESDAY + timedelta(hours=1), "small")
    assert accounts.accrued("a", WEDNESDAY + timedelta(hours=2)) == MICRO
    assert accounts.accrued("a", WEDNESDAY + timedelta(hours=20)) == 6 * MICRO
    accounts.hold(Launch("b", 3, user="grace", started=WEDNESDAY, gpu_class="small"))
    accounts.hold(Launch("c", 3))
    accounts.settle("c", 2 * MICRO)
    now = WEDNESDAY + timedelta(hours=2)
    assert accounts.so_far("course", "ada", now) == 3 * MICRO
    assert accounts.so_far("course", "grace", now) == 2 * MICRO


def test_a_session_may_grow_by_what_its_own_period_has_left() -> None:
    sunday = local("2026-11-29T23:00")
    accounts = opened(Launch("a", 6, opened=sunday), per_member=10)
    monday = sunday + timedelta(hours=3)
    accounts.hold(Launch("b", 9, opened=monday))
    assert accounts.left_for("a", monday) == 4 * MICRO
    accounts.extend("a", 8 * MICRO)
    assert accounts.left_for("a", monday) == 2 * MICRO
    assert left(accounts, monday) == 1


def test_a_session_may_not_grow_by_what_its_period_passed_on_and_is_spent() -> None:
    sunday = local("2026-11-29T23:00")
    accounts = opened(Launch("a", 6, opened=sunday), per_member=10, carry_over={"per_member": 5}, starts="2026-11-23")
    monday = sunday + timedelta(hours=3)
    accounts.hold(Launch("b", 13, opened=monday))
    assert accounts.left_for("a", monday) == MICRO


@pytest.mark.parametrize(
    ("budget", "cost", "expected"),
    [
        ({"per_member": 10}, 4, WEDNESDAY),
        ({"per_member": 10}, 5, local("2026-11-30")),
        ({"per_member": 10}, 11, None),
        ({"per_member": 10, "carry_over": {"per_member": 20}, "starts": "2026-11-23"}, 21, local("2026-12-07")),
        ({"per_member": 10, "renews": "rolling", "days": 3}, 5, local("2026-11-28")),
        ({"per_member": 10, "renews": "rolling", "days": 3}, 11, None),
        ({"per_member": 10, "renews": "never"}, 5, None),
        ({"per_member": 10, "carry_over": {"per_member": 20}, "starts": "2026-11-23"}, 31, None),
        ({"per_member": 10, "renews": "terms", "terms": ["2026-09-24", "2027-01-04"]}, 5, local("2027-01-04")),
        ({"per_member": 10, "renews": "terms", "terms": ["2026-09-24", "2027-01-04"]}, 11, None),
    ],
)
def test_when_a_launch_can_be_paid_is_known(budget: dict[str, Any], cost: int, expected: datetime | None) -> None:
    accounts = opened(Launch("a", 6), **budget)
    assert accounts.when("course", "ada", cost * MICRO, WEDNESDAY) == expected


def test_only_charges_that_still_matter_need_to_be_read() -> None:
    def since(*grants: Gift, **budget: Any) -> datetime | None:
        return Accounts(course(**budget), LA).since(grants, WEDNESDAY)

    assert since(per_member=1) == local("2026-11-23")
    assert since(Gift("g", 1, at=WEDNESDAY - 3 * WEEK), per_member=1) == local("2026-11-02")
    over = WEDNESDAY - WEEK
    assert since(Gift("g", 1, at=WEDNESDAY - 3 * WEEK, until=over), per_member=1) == local("2026-11-23")
    beside = Gift("b", 1, at=over - timedelta(days=1))
    assert since(Gift("g", 1, at=WEDNESDAY - 3 * WEEK, until=over), beside, per_member=1) == local("2026-11-02")
    assert since(renews="never") is None
    assert since(renews="never", starts="2026-09-21") == local("2026-09-21")
    assert since(pool=9, carry_over={"pool": 1}, starts="2026-09-21") == local("2026-09-21")
    assert since(pool=9, carry_over={"pool": 1}) is None


amounts = st.integers(0, 20 * MICRO)
moments = st.integers(0, 40 * 24 * 60).map(lambda minutes: WEDNESDAY - timedelta(days=30) + timedelta(minutes=minutes))
launches = st.builds(
    lambda units, at, user: (units / MICRO, at, user), amounts, moments, st.sampled_from(["ada", "grace"])
)
budgets = st.sampled_from(
    [*RENEWALS, {"renews": "rolling", "days": 3}, {"renews": "weekly", "carry_over": {"per_member": 3, "pool": 20}}]
)
gifts = st.lists(
    st.builds(
        lambda units, at, lasts, user: (units, at, lasts, user),
        amounts,
        moments,
        st.none() | st.integers(0, 20),
        st.sampled_from(["ada", None]),
    ),
    max_size=3,
)


@given(budgets, st.lists(launches, max_size=25), gifts, st.data())
def test_whoever_launches_only_what_is_left_never_spends_more_than_there_is(
    budget: dict[str, Any], wanted: list[tuple[float, datetime, str]], given_: list[Any], data: st.DataObject
) -> None:
    """In the order of time, each launch held if it is covered and some settled; nothing held is ever forgotten."""
    accounts = Accounts(course(per_member=10, pool=25, **budget), LA)
    grants = [
        Gift(f"g{index}", units, user, at=at, until=None if lasts is None else at + timedelta(days=lasts))
        for index, (units, at, lasts, user) in enumerate(given_)
    ]
    to_come = sorted(grants, key=lambda grant: grant.at)
    opened_: dict[str, Launch] = {}
    charged: dict[str, int] = {}
    for index, (units, at, user) in enumerate(sorted(wanted, key=lambda one: one[1])):
        while to_come and to_come[0].at <= at:
            accounts.grant(to_come.pop(0))
        launch = Launch(str(index), units, at, user)
        before = accounts.left("course", user, at)
        assert before is not None
        if launch.held <= before:
            accounts.hold(launch)
            opened_[launch.id] = launch
            after = accounts.left("course", user, at)
            assert after == before - launch.held
        if opened_ and data.draw(st.booleans()):
            settled = data.draw(st.sampled_from(sorted(opened_)))
            charge = data.draw(st.integers(0, opened_[settled].held))
            assert accounts.settle(settled, charge) is (settled not in charged)
            charged.setdefault(settled, charge)
        for account in (accounts.member("course", user, at), accounts.pool("course", at)):
            assert account is not None
            assert account.spent + account.held <= account.total
            carry = budget.get("carry_over", {"per_member": 0, "pool": 0})
            assert 0 <= account.carried <= max(carry.values()) * MICRO
    for grant in to_come:
        accounts.grant(grant)
    # Another hub that reads the ledger comes to the same balances.
    again = Accounts(course(per_member=10, pool=25, **budget), LA)
    again.load(
        [launch for launch in opened_.values() if launch.id not in charged],
        [replace(opened_[one], charged=amount) for one, amount in charged.items()],
        grants,
    )
    for day in range(50):
        at = WEDNESDAY - timedelta(days=30) + timedelta(days=day)
        assert again.member("course", "ada", at) == accounts.member("course", "ada", at)
        assert again.pool("course", at) == accounts.pool("course", at)
    # It need not read more than what still matters.
    now = max((launch.opened for launch in opened_.values()), default=WEDNESDAY)
    since = accounts.since(grants, now)
    again.load(
        [launch for launch in opened_.values() if launch.id not in charged],
        [
            replace(opened_[one], charged=amount)
            for one, amount in charged.items()
            if since is None or opened_[one].opened >= since
        ],
        grants,
    )
    for at in (now, now + WEEK, now + 5 * WEEK):
        assert again.member("course", "ada", at) == accounts.member("course", "ada", at)
        assert again.pool("course", at) == accounts.pool("course", at)
    # All periods together have spent and hold what there is.
    if budget["renews"] != "rolling":
        days = (WEDNESDAY - timedelta(days=31) + timedelta(days=day) for day in range(50))
        pools = [pool for day in days if (pool := accounts.pool("course", day)) is not None]
        periods = {pool.period: pool for pool in pools}.values()
        assert sum(pool.held for pool in periods) == sum(o.held for o in opened_.values() if o.id not in charged)
        assert sum(pool.spent for pool in periods) == sum(charged.values())


def test_a_first_day_of_a_term_is_a_day() -> None:
    assert Budget.model_validate(RENEWALS[3]).terms[0] == date(2026, 9, 24)
