"""When a workspace is open, and what its limits are on a day."""

from datetime import date
from typing import Any

import pytest
from small_hub import small_hub

from gpuspawner.workspace import Workspace


def test_a_workspace_is_open_on_its_first_and_its_last_day() -> None:
    course = small_hub().workspaces["cse151a"]
    days = [date(2026, 9, 20), date(2026, 9, 21), date(2026, 12, 18), date(2026, 12, 19)]
    assert [course.is_open(day) for day in days] == [False, True, True, False]
    assert small_hub().workspaces["lab"].is_open(date.min)


@pytest.mark.parametrize(
    ("day", "medium", "whole"),
    [
        (date(2026, 11, 29), 12, 0),
        (date(2026, 11, 30), 24, 1),
        (date(2026, 12, 4), 24, 1),
        (date(2026, 12, 5), 12, 0),
    ],
)
def test_an_exception_holds_on_both_of_its_days_and_leaves_the_rest(day: date, medium: int, whole: int) -> None:
    limits = small_hub().workspaces["cse151a"].limits(day)
    assert (limits.quota_of("medium"), limits.quota_of("whole"), limits.quota_of("small")) == (medium, whole, 2)
    assert limits.quota_of("instinct") == 0


def test_without_a_quota_every_class_is_unlimited_but_for_those_of_an_exception() -> None:
    space = Workspace(
        name="w",
        exceptions=[{"from": "2026-11-30", "to": "2026-11-30", "quota": {"small": 1}}],  # type: ignore[arg-type]
    )
    assert space.limits(date(2026, 11, 29)).quota_of("small") is None
    limits = space.limits(date(2026, 11, 30))
    assert (limits.quota_of("small"), limits.quota_of("medium")) == (1, None)


def test_the_last_of_two_exceptions_wins_and_each_changes_only_what_it_names() -> None:
    exceptions: list[dict[str, Any]] = [
        {"from": "2026-11-01", "to": "2026-11-30", "quota": {"a": 5, "b": 5}, "per_member": {"gpus": 2}},
        {"from": "2026-11-10", "to": "2026-11-12", "quota": {"a": 9}, "per_member": {"cpu": 4}},
    ]
    space = Workspace.model_validate(
        {"name": "w", "quota": {"a": 1, "b": 1}, "per_member": {"gpus": 1, "servers": 3}, "exceptions": exceptions}
    )
    limits = space.limits(date(2026, 11, 11))
    assert (limits.quota_of("a"), limits.quota_of("b")) == (9, 5)
    assert limits.per_member.model_dump() == {"gpus": 2, "cpu": 4.0, "memory": None, "servers": 3}
