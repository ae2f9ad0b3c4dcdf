"""The limits of a workspace over the days to come: steps of its quotas, exceptions in words, renewals."""

from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from small_hub import MONDAY, PACIFIC, changed, small_hub

from gpuspawner.config import Settings, load_settings
from gpuspawner.ledger.records import Grant
from gpuspawner.quantity import MICRO
from gpuspawner.reports.ahead import LimitsAhead, limits_ahead

COURSE = "cse151a"


def ahead(settings: Settings | None = None, *, now: datetime = MONDAY, grants: Any = (), days: int = 60) -> LimitsAhead:
    settings = settings or small_hub()
    return limits_ahead(settings.workspaces[COURSE], settings, grants, now, days)


def steps(found: LimitsAhead, gpu_class: str) -> list[tuple[str, int | None]]:
    (quota,) = [one for one in found.quotas if one.gpu_class == gpu_class]
    return [(step.day.isoformat(), step.gpus) for step in quota.steps]


def test_a_quota_steps_up_for_a_deadline_week_and_down_again_and_ends_with_the_course() -> None:
    assert steps(ahead(), "medium") == [
        ("2026-11-23", 12),
        ("2026-11-30", 24),
        ("2026-12-05", 12),
        ("2026-12-19", 0),
    ]


def test_each_step_names_the_place_in_the_configuration_that_sets_it() -> None:
    (quota,) = [one for one in ahead().quotas if one.gpu_class == "medium"]
    assert [step.rule.removeprefix("c.GPUSpawner.workspaces['cse151a'].") for step in quota.steps] == [
        "quota['medium']",
        "exceptions[0].quota['medium']",
        "quota['medium']",
        "ends",
    ]


def test_a_class_that_is_granted_only_for_some_days_is_told_and_one_that_never_is_is_not() -> None:
    assert steps(ahead(), "whole") == [("2026-11-23", 0), ("2026-11-30", 1), ("2026-12-05", 0)]
    assert "instinct" not in {quota.gpu_class for quota in ahead().quotas}


def test_without_a_quota_there_is_no_limit() -> None:
    settings = small_hub()
    found = limits_ahead(settings.workspaces["lab"], settings, (), MONDAY)
    assert {quota.now for quota in found.quotas} == {None}
    assert not found.changes


def test_an_exception_says_what_it_changes_and_what_holds_otherwise() -> None:
    exception = {
        "from": "2026-11-20",
        "to": "2026-11-24",
        "quota": {"medium": 24},
        "per_member": {"memory": "128G", "gpus": 4},
        "per_launch": {"runtime": "24h"},
        "profiles": ["pytorch"],
    }
    (found,) = ahead(load_settings(changed(f"workspaces/{COURSE}/exceptions", [exception]))).exceptions
    assert (found.first, found.last, found.state) == (date(2026, 11, 20), date(2026, 11, 24), "now")
    assert [(change.limit, change.value, change.usually) for change in found.changes] == [
        ("Medium", "24 GPUs at once", "12 GPUs"),
        ("Each member", "4 GPUs", "2 GPUs"),
        ("Each member", "128 GB of memory", "64 GB of memory"),
        ("Each server", "24 h", "no limit"),
        ("Profiles on offer", "PyTorch", "PyTorch, Minimal"),
    ]


def test_exceptions_are_told_in_the_order_of_their_days_with_those_that_are_over() -> None:
    exceptions = [
        {"from": "2026-12-10", "to": "2026-12-11", "quota": {"small": 4}},
        {"from": "2026-10-01", "to": "2026-10-02", "quota": {"small": 3}},
    ]
    found = ahead(load_settings(changed(f"workspaces/{COURSE}/exceptions", exceptions))).exceptions
    assert [(one.state, one.rule[-13:]) for one in found] == [("past", "exceptions[1]"), ("to come", "exceptions[0]")]


def test_the_next_renewal_of_the_budget_is_told_and_the_last_day_of_the_workspace() -> None:
    budget = {"per_member": 10, "pool": 2000, "renews": "weekly"}
    found = ahead(load_settings(changed(f"workspaces/{COURSE}/budget", budget))).renewals
    assert [(one.day.isoformat(), one.sentence) for one in found] == [
        ("2026-11-30", "The budget renews: 10 SU for each member, 2,000 SU for all together; then every week."),
        ("2026-12-18", "Last day of the workspace."),
    ]


def test_a_grant_s_last_day_is_told_and_one_that_is_over_is_not() -> None:
    def grant(user: str | None, until: datetime | None, revoked: datetime | None = None) -> Grant:
        at = datetime(2026, 11, 1, tzinfo=UTC)
        return Grant(
            workspace=COURSE, user=user, units=5 * MICRO, until=until, reason="r", by="root", at=at, revoked=revoked
        )

    midnight = datetime(2026, 12, 1, tzinfo=PACIFIC)
    lasting = [grant("ada", midnight), grant(None, None)]
    over = [grant("eve", datetime(2026, 11, 2, tzinfo=UTC)), grant("bob", midnight, revoked=MONDAY)]
    found = ahead(grants=[*lasting, *over])
    assert {one.user for one in found.grants} == {"ada", None}
    told = [one for one in found.renewals if "grant" in one.sentence]
    assert [(one.day, one.sentence) for one in told] == [(date(2026, 11, 30), "Last day of the grant of 5 SU to ada.")]


@given(
    bounds=st.lists(
        st.tuples(st.dates(date(2026, 11, 1), date(2027, 1, 31)), st.integers(0, 40), st.integers(0, 30)), max_size=5
    ),
    days=st.integers(0, 90),
)
def test_the_steps_are_what_the_limits_of_each_day_are(bounds: list[tuple[date, int, int]], days: int) -> None:
    exceptions = [
        {"from": first, "to": date.fromordinal(first.toordinal() + length), "quota": {"medium": quota}}
        for first, length, quota in bounds
    ]
    settings = load_settings(changed(f"workspaces/{COURSE}/exceptions", exceptions))
    space, found = settings.workspaces[COURSE], ahead(settings, days=days)
    medium = next((quota for quota in found.quotas if quota.gpu_class == "medium"), None)
    for ordinal in range(found.first.toordinal(), found.last.toordinal() + 1):
        day = date.fromordinal(ordinal)
        expected = space.limits(day).quota_of("medium") if space.is_open(day) else 0
        assert (medium.on(day) if medium is not None else 0) == expected
    values = [step.gpus for step in medium.steps] if medium is not None else []
    assert all(one != two for one, two in pairwise(values))
