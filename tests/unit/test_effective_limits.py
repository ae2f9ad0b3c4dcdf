"""Every limit of a workspace on a day, and the rule that sets it."""

from datetime import date
from typing import Any

from small_hub import section

from gpuspawner.config import load_settings
from gpuspawner.reports.effective_limits import EffectiveLimit, EffectiveLimits, Scope, effective_limits

BEFORE, WEEK, AFTER = date(2026, 11, 29), date(2026, 12, 1), date(2026, 12, 5)


def limits_on(day: date, workspace: str = "cse151a", **changes: Any) -> EffectiveLimits:
    settings = load_settings({**section(), **changes})
    return effective_limits(settings, settings.workspaces[workspace], day)


def named(found: EffectiveLimits, name: str) -> EffectiveLimit:
    (limit,) = [limit for limit in found.limits if limit.name == name]
    return limit


def test_a_dated_exception_is_named_with_its_days_and_what_holds_without_it() -> None:
    medium = named(limits_on(WEEK), "quota['medium']")
    assert (medium.value, medium.said, medium.ordinarily) == (24, "24 GPUs", "12 GPUs")
    assert medium.rule == "c.GPUSpawner.workspaces['cse151a'].exceptions[0].quota['medium']"
    assert (medium.first, medium.last) == (date(2026, 11, 30), date(2026, 12, 4))
    for day in (BEFORE, AFTER):
        medium = named(limits_on(day), "quota['medium']")
        assert (medium.value, medium.rule, medium.first) == (
            12,
            "c.GPUSpawner.workspaces['cse151a'].quota['medium']",
            None,
        )


def test_the_days_on_which_something_changes_lead_on() -> None:
    assert (limits_on(BEFORE).before, limits_on(BEFORE).after) == (date(2026, 9, 20), date(2026, 11, 30))
    assert (limits_on(WEEK).before, limits_on(WEEK).after) == (date(2026, 11, 29), date(2026, 12, 5))
    assert limits_on(date(2027, 1, 1)).after is None
    assert limits_on(BEFORE).open
    assert not limits_on(date(2027, 1, 1)).open


def test_what_is_not_granted_and_what_is_not_bounded_say_so() -> None:
    found = limits_on(BEFORE)
    whole = named(found, "quota['whole']")
    assert (whole.value, whole.said, whole.rule) == (
        0,
        "not granted",
        "c.GPUSpawner.workspaces['cse151a'].quota",
    )
    assert named(found, "per_launch.gpus").said == "unlimited"
    assert named(found, "per_member.cpu").said == "8 CPU cores"
    assert named(found, "profiles").value == ("pytorch", "minimal")


def test_limits_of_a_member_in_all_workspaces_have_their_own_exceptions() -> None:
    hub = {"gpus": 2, "exceptions": [{"from": "2026-12-01", "to": "2026-12-01", "gpus": 5}]}
    gpus = named(limits_on(WEEK, per_member=hub), "hub.per_member.gpus")
    assert (gpus.value, gpus.rule, gpus.ordinarily) == (5, "c.GPUSpawner.per_member.exceptions[0].gpus", "2 GPUs")
    gpus = named(limits_on(AFTER, per_member=hub), "hub.per_member.gpus")
    assert (gpus.value, gpus.rule) == (2, "c.GPUSpawner.per_member.gpus")


def test_a_cohort_tells_what_its_workspaces_hold_together_and_lend() -> None:
    exception = {"from": "2026-12-01", "to": "2026-12-02", "reserve": {"small": 3}}
    cohort = {
        "workspaces": ["everyone", "cse151a"],
        "borrowing": True,
        "reserve": {"small": 1},
        "exceptions": [exception],
    }
    found = limits_on(WEEK, cohorts={"campus": cohort})
    together, reserve = named(found, "cohort.quota['small']"), named(found, "cohort.reserve['small']")
    assert (together.value, together.rule) == (6, "c.GPUSpawner.cohorts['campus'].workspaces")
    assert (reserve.value, reserve.ordinarily) == (3, "1 GPU")
    assert reserve.rule == "c.GPUSpawner.cohorts['campus'].exceptions[0].reserve['small']"
    assert named(found, "cohort.borrowing").said == "yes"
    assert named(limits_on(AFTER, cohorts={"campus": cohort}), "cohort.reserve['small']").value == 1


def test_a_budget_is_told_with_its_period() -> None:
    hub = section()
    budget = {"per_member": 10, "pool": 2000, "renews": "monthly", "carry_over": {"pool": 100}}
    hub["workspaces"]["cse151a"]["budget"] = budget
    found = limits_on(WEEK, workspaces=hub["workspaces"])
    assert [limit.said for limit in found.of(Scope.BUDGET)] == ["10 SU a month", "2,000 SU a month", "100 SU at most"]
    assert found.of(Scope.BUDGET)[2].rule == "c.GPUSpawner.workspaces['cse151a'].budget.carry_over.pool"
    assert found.as_json()["limits"][-1]["scope"] == "budget"
