"""A launch and the budgets that pay it: what it holds, when it is refused, and what is offered instead."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_hub import ask, section
from spending import Gift, Launch

from gpuspawner.admission import Granted, admit
from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.estimate import balance_as_json, estimate
from gpuspawner.budgets.pricing import MICRO, micro_of
from gpuspawner.config import Settings, load_settings
from gpuspawner.entitlement import entitlements
from gpuspawner.errors import DeniedError
from gpuspawner.limits.usage import Capacity, Held

MONDAY = datetime(2026, 11, 23, 20, tzinfo=UTC)
"""Noon in Los Angeles."""
RATES = {"small": 0.5, "medium": 1, "whole": 4, "instinct": 2}
PYTORCH = {"workspace": "lab", "profile": "pytorch"}


def hub(budget: dict[str, Any] | None = None, **changes: Any) -> Settings:
    """The small hub with rates; the lab has this budget, or 10 SU a week for each member."""
    found = section(**changes)
    for name, rate in RATES.items():
        found["gpu_classes"][name]["rate"] = rate
    found["workspaces"]["lab"]["budget"] = budget or {"per_member": 10}
    return load_settings(found)


def accounts_of(settings: Settings, *launches: Launch, grants: Iterable[Gift] = ()) -> Accounts:
    accounts = Accounts(settings.workspaces, settings.timezone)
    accounts.load([*launches], (), grants)
    return accounts


def spent(units: float, user: str = "ada") -> Launch:
    return Launch("spent", units, MONDAY, user, "lab")


def launch(
    options: dict[str, Any],
    *launches: Launch,
    settings: Settings | None = None,
    grants: Iterable[Gift] = (),
    usage: Iterable[Held] = (),
) -> Granted:
    settings = settings or hub()
    request = ask(settings, {**PYTORCH, **options}, now=MONDAY)
    return admit(request, settings, usage, Capacity(), MONDAY, accounts_of(settings, *launches, grants=grants))


def denial(options: dict[str, Any], *launches: Launch, **more: Any) -> DeniedError:
    with pytest.raises(DeniedError) as caught:
        launch(options, *launches, **more)
    return caught.value


def test_a_launch_holds_the_cost_of_its_runtime() -> None:
    granted = launch({"gpu_class": "medium", "gpus": 2, "runtime": "3h"})
    assert granted.cost == 6 * MICRO
    assert granted.request.runtime == 3 * 3600
    assert dict(granted.price.rates) == {"medium": MICRO}


def test_whoever_allows_several_classes_holds_the_cost_of_the_dearest() -> None:
    granted = launch({"gpu_class": ["small", "instinct"], "runtime": "3h"})
    assert granted.cost == 6 * MICRO
    assert set(granted.price.rates) == {"small", "instinct"}


def test_of_several_classes_those_remain_that_can_be_paid() -> None:
    granted = launch({"gpu_class": "any", "runtime": "6h"}, spent(4))
    assert granted.gpu_classes == ("small", "medium")
    assert granted.cost == 6 * MICRO
    assert granted.pays_for("medium")
    assert not granted.pays_for("whole")


def test_a_member_over_budget_is_told_what_fits() -> None:
    error = denial({"gpu_class": "medium", "runtime": "6h"}, spent(7.5))
    assert error.reason == ("1 Medium GPU for 6 h costs 6 SU; of your 10 SU in Vision lab this week, 2.5 SU are left.")
    assert error.remedy == (
        "Ask for at most 2 h 30 min, start without a GPU, or wait until 30 November, when it renews."
    )


def test_a_smaller_class_that_can_be_paid_is_offered() -> None:
    error = denial({"gpu_class": "medium", "runtime": "6h"}, spent(6.5))
    assert error.remedy == (
        "Ask for at most 3 h 30 min, choose Small, 16 GB, which costs 3 SU, start without a GPU, or wait until "
        "30 November, when it renews."
    )


def test_fewer_gpus_that_can_be_paid_are_offered() -> None:
    error = denial({"gpu_class": "medium", "gpus": 4, "runtime": "2h"}, spent(3))
    assert "Ask for at most 1 h 45 min, ask for 3 GPUs, choose Small" in error.remedy


def test_what_no_period_can_pay_is_not_to_be_waited_for() -> None:
    error = denial({"gpu_class": "whole", "gpus": 4, "runtime": "12h"})
    assert "wait" not in error.remedy
    assert error.checks[-1].allowed_from is None


def test_who_has_nothing_left_for_good_is_told_whom_to_ask() -> None:
    settings = hub({"per_member": 1, "renews": "never"})
    error = denial({"profile": "training"}, spent(1), settings=settings)
    assert error.remedy == "Ask the managers of the workspace, or the administrator, for more."


def test_the_pool_refuses_what_the_member_could_pay() -> None:
    settings = hub({"per_member": 10, "pool": 20, "renews": "monthly"})
    error = denial({"gpu_class": "medium", "runtime": "6h"}, spent(15, "grace"), settings=settings)
    assert error.reason == (
        "1 Medium GPU for 6 h costs 6 SU; of the 20 SU that all members of Vision lab share this month, 5 SU are left."
    )
    assert "Ask for at most 5 h" in error.remedy
    failed = [check for check in error.checks if not check.allowed]
    assert [check.limit for check in failed] == ["workspace.budget.pool"]


def test_each_decision_keeps_the_balances_it_looked_at() -> None:
    granted = launch({"gpu_class": "medium", "runtime": "2h"}, spent(7.5))
    (check,) = [check for check in granted.checks if check.limit == "workspace.budget.per_member"]
    assert check.rule == "c.GPUSpawner.workspaces['lab'].budget.per_member"
    written = check.as_json()
    assert (written["value"], written["used"], written["asked"]) == (10, 7.5, 2)
    assert written["said"] == {"value": "10 SU", "used": "7.5 SU", "asked": "2 SU"}
    error = denial({"gpu_class": "medium", "runtime": "6h"}, spent(7.5))
    assert error.checks[-1].allowed_from == datetime(2026, 11, 30, tzinfo=ZoneInfo("America/Los_Angeles"))


def test_a_server_without_gpu_starts_with_nothing_left() -> None:
    granted = launch({"gpus": 0}, spent(10))
    assert granted.cost == 0
    assert not [check for check in granted.checks if "budget" in check.limit]


def test_cores_are_paid_where_they_have_a_rate() -> None:
    settings = hub({"per_member": 1}, cpu_rate=0.1)
    assert launch({"gpus": 0, "cpu": 2, "runtime": "5h"}, settings=settings).cost == MICRO
    error = denial({"gpus": 0, "cpu": 4, "runtime": "5h"}, settings=settings)
    assert error.reason == "4 CPU cores for 5 h cost 2 SU; of your 1 SU in Vision lab this week, 1 SU is left."
    assert error.remedy == "Ask for at most 2 h 30 min."


def test_a_grant_pays_what_the_allowance_does_not() -> None:
    gift = Gift("g", 4 * MICRO, workspace="lab", at=MONDAY - timedelta(days=1))
    assert launch({"gpu_class": "medium", "runtime": "6h"}, spent(7.5), grants=[gift]).cost == 6 * MICRO


def test_off_peak_hours_are_cheaper_from_the_first_second_on() -> None:
    settings = hub(off_peak={"hours": "13:00-16:00", "rate": 0.5})
    assert launch({"gpu_class": "medium", "runtime": "2h"}, settings=settings).cost == micro_of(1 + 0.5)


def test_where_a_used_up_budget_ends_a_session_it_runs_for_as_long_as_is_paid() -> None:
    settings = hub({"per_member": 10, "when_used_up": "end"})
    granted = launch({"gpu_class": "medium", "runtime": "6h"}, spent(7.5), settings=settings)
    assert granted.request.runtime == 9000
    assert granted.cost == micro_of(2.5)
    with pytest.raises(DeniedError):
        launch({"gpu_class": "medium", "runtime": "6h"}, spent(9.9), settings=settings)


def test_a_class_that_is_covered_is_rather_taken_than_one_that_ends_early() -> None:
    settings = hub({"per_member": 10, "when_used_up": "end"})
    granted = launch({"gpu_class": "any", "runtime": "6h"}, spent(6.5), settings=settings)
    assert granted.gpu_classes == ("small",)
    assert (granted.request.runtime, granted.cost) == (6 * 3600, 3 * MICRO)


def test_the_quota_is_told_before_the_budget() -> None:
    settings = hub()
    everyone = settings.workspaces["everyone"].model_copy(update={"budget": settings.workspaces["lab"].budget})
    spaces = {**settings.workspaces, "everyone": everyone}
    object.__setattr__(settings, "workspaces", spaces)
    full = [Held("grace", "", "everyone", ("small",), 4, 1, 1)]
    error = denial({"workspace": "everyone", "runtime": "12h", "gpus": 3}, settings=settings, usage=full)
    assert "holds 4 of 4" in error.reason


def test_an_estimate_says_cost_and_balance() -> None:
    settings = hub()
    accounts = accounts_of(settings, spent(2.5))
    request = ask(settings, {**PYTORCH, "gpu_class": ["small", "medium"], "runtime": "6h"}, now=MONDAY)
    found = estimate(request, settings, accounts, MONDAY)
    assert found.sentence == (
        "This launch costs 6 SU at most, for 6 h; you pay for the time you use. "
        "7.5 of your 10 SU are left this week; it renews on 30 November."
    )
    written = found.as_json()
    assert (written["cost"], written["left"], written["covered"]) == (6, 7.5, True)
    assert written["by_class"] == {"small": 3, "medium": 6}


def test_an_estimate_of_what_cannot_be_paid_says_what_fits() -> None:
    settings = hub()
    request = ask(settings, {**PYTORCH, "gpu_class": "medium", "runtime": "6h"}, now=MONDAY)
    found = estimate(request, settings, accounts_of(settings, spent(7.5)), MONDAY)
    assert not found.as_json()["covered"]
    assert found.cost == 6 * MICRO
    assert found.sentence.startswith("1 Medium GPU for 6 h costs 6 SU")
    assert found.remedy.startswith("Ask for at most 2 h 30 min")


def test_an_estimate_says_how_long_the_budget_lasts() -> None:
    settings = hub({"per_member": 10, "when_used_up": "end"})
    request = ask(settings, {**PYTORCH, "gpu_class": "medium", "runtime": "6h"}, now=MONDAY)
    found = estimate(request, settings, accounts_of(settings, spent(7.5)), MONDAY)
    assert found.sentence.startswith("Your budget lasts for 2 h 30 min of the 6 h you ask for.")


BALANCES: list[tuple[dict[str, Any], str]] = [
    (
        {"per_member": 10, "pool": 100},
        "7.5 of your 10 SU and 97.5 of the 100 SU that all members share are left this week; it renews on 30 November.",
    ),
    ({"pool": 100, "renews": "never"}, "97.5 of the 100 SU that all members share are left."),
    (
        {"per_member": 10, "renews": "rolling", "days": 3},
        "7.5 of your 10 SU are left these 3 days; more comes back on 26 November.",
    ),
    (
        {"per_member": 10, "renews": "quarterly"},
        "7.5 of your 10 SU are left this quarter; it renews on 1 January 2027.",
    ),
    ({"renews": "weekly"}, ""),
]


@pytest.mark.parametrize(("budget", "sentence"), BALANCES)
def test_a_balance_reads_as_what_is_left_and_when_it_renews(budget: dict[str, Any], sentence: str) -> None:
    settings = hub(budget)
    (found,) = balance_as_json("ada", [settings.workspaces["lab"]], settings, accounts_of(settings, spent(2.5)), MONDAY)
    assert found["sentence"] == sentence


def test_a_balance_in_json_has_its_amounts_and_times() -> None:
    settings = hub()
    accounts = accounts_of(settings, spent(2.5))
    accounts.started("spent", MONDAY, None)
    (found,) = balance_as_json("ada", [settings.workspaces["lab"]], settings, accounts, MONDAY + timedelta(hours=1))
    member = found["member"]
    assert member is not None
    assert (member["total"], member["held"], member["used"], member["left"]) == (10, 2.5, 1, 7.5)
    assert member["renews"] == "2026-11-30T08:00:00+00:00"
    assert found["pool"] is None


options = st.fixed_dictionaries(
    {
        "gpu_class": st.sampled_from(["small", "medium", "any", ["instinct", "whole"]]),
        "gpus": st.integers(0, 4),
        "runtime": st.integers(600, 12 * 3600),
    }
)


@given(
    st.lists(st.tuples(options, st.sampled_from(["ada", "grace"]), st.integers(0, 20 * 24)), max_size=12),
    st.sampled_from(["refuse", "end"]),
)
def test_what_is_held_never_exceeds_what_is_left(
    wanted: list[tuple[dict[str, Any], str, int]], when_used_up: str
) -> None:
    settings = hub({"per_member": 20, "pool": 30, "when_used_up": when_used_up})
    accounts = accounts_of(settings)
    for index, (chosen, user, hour) in enumerate(sorted(wanted, key=lambda one: one[2])):
        now = MONDAY + timedelta(hours=hour)
        if chosen["gpus"] == 0:
            chosen = {**chosen, "gpu_class": ""}
        request = ask(settings, {**PYTORCH, **chosen}, user=user, server=str(index), now=now)
        left = accounts.left("lab", user, now)
        assert left is not None
        try:
            granted = admit(request, settings, (), Capacity(), now, accounts)
        except DeniedError:
            continue
        assert granted.cost <= left
        assert granted.request.runtime <= request.runtime
        classes = granted.gpu_classes
        assert granted.price.ceiling(classes, request.gpus, request.cpu, now, granted.request.runtime) <= granted.cost
        accounts.hold(Launch(str(index), granted.cost / MICRO, now, user, "lab"))


def offered(settings: Settings, accounts: Accounts) -> Any:
    (space,) = entitlements("ada", {"lab"}, settings, (), Capacity(), MONDAY, accounts=accounts)
    return {profile.name: profile for profile in space.profiles}


def test_the_form_offers_only_gpus_that_can_be_paid() -> None:
    settings = hub()
    pytorch = offered(settings, accounts_of(settings, spent(9.8)))["pytorch"]
    reasons = {one.name: one.reason for one in pytorch.gpu_classes}
    assert (reasons["small"], reasons["medium"]) == ("", "")
    assert reasons["whole"] == (
        "It costs 0.67 SU for 10 min. 0.2 of your 10 SU are left this week; it renews on 30 November."
    )
    assert {one.name: one.gpus.max for one in pytorch.gpu_classes}["small"] == 2
    assert pytorch.gpu_class == "small"
    assert pytorch.runtime.default == 24 * 60


def test_with_nothing_left_the_form_begins_without_gpu() -> None:
    settings = hub()
    found = offered(settings, accounts_of(settings, spent(10)))
    assert found["pytorch"].gpus.max == 0
    assert (found["pytorch"].gpu_class, found["pytorch"].reason) == ("", "")
    assert found["training"].reason.startswith("Medium: It costs 0.17 SU for 10 min.")
    assert found["pytorch"].runtime.default == 6 * 3600


@given(st.integers(0, 10 * MICRO), st.sampled_from(["refuse", "end"]), st.booleans())
def test_what_is_offered_can_be_paid_at_least_for_the_shortest_time(
    used: int, when_used_up: str, off_peak: bool
) -> None:
    hours = {"hours": "11:50-12:05", "rate": 0.3} if off_peak else None
    settings = hub({"per_member": 10, "when_used_up": when_used_up}, off_peak=hours)
    accounts = accounts_of(settings, spent(used / MICRO))
    for profile in offered(settings, accounts).values():
        for one in profile.gpu_classes:
            options = {"workspace": "lab", "profile": profile.name, "gpu_class": one.name, "runtime": "10m"}
            for gpus in (one.gpus.min, one.gpus.max):
                request = ask(settings, {**options, "gpus": gpus}, now=MONDAY)
                if one.reason:
                    with pytest.raises(DeniedError):
                        admit(request, settings, (), Capacity(), MONDAY, accounts)
                else:
                    admit(request, settings, (), Capacity(), MONDAY, accounts)
