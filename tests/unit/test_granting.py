"""A grant that is asked for: what is allowed, and until when it lasts."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError
from small_hub import section

from gpuspawner.budgets.granting import GrantRequest, grant_as_json, grant_of, say_grant
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.config import Settings, load_settings
from gpuspawner.errors import BadRequestError

NOW = datetime(2026, 11, 25, 20, tzinfo=UTC)
ASKED = {"workspace": "lab", "user": "ada", "units": 2.5, "reason": "Project week"}


def hub() -> Settings:
    found = section()
    found["workspaces"]["lab"]["budget"] = {"per_member": 10}
    found["workspaces"]["cse151a"]["budget"] = {"pool": 100}
    return load_settings(found)


def granted(**changes: Any) -> Any:
    return grant_of(GrantRequest.model_validate({**ASKED, **changes}), hub(), "root", NOW)


def test_a_grant_lasts_to_the_end_of_its_last_day() -> None:
    grant = granted(until="2026-12-18")
    assert (grant.units, grant.by, grant.at) == (2_500_000, "root", NOW)
    assert grant.until == datetime(2026, 12, 19, tzinfo=ZoneInfo("America/Los_Angeles"))
    assert grant_as_json(grant)["until"] == "2026-12-19T08:00:00+00:00"
    assert say_grant(grant, hub(), NOW) == (
        "You have been given 2.5 SU more in Vision lab, to be used before 19 December: Project week"
    )


def test_a_grant_may_last_to_an_instant_or_until_it_is_used() -> None:
    assert granted(until="2026-12-18T18:00:00+01:00").until == datetime(2026, 12, 18, 17, tzinfo=UTC)
    assert granted().until is None


def test_a_grant_to_a_workspace_is_one_to_its_pool() -> None:
    grant = granted(workspace="cse151a", user=None, units=50)
    assert (grant.user, grant.units) == (None, 50 * MICRO)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"workspace": "labs"}, "There is no workspace 'labs'; did you mean 'lab'?"),
        ({"user": None}, "Vision lab has no pool"),
        ({"workspace": "cse151a"}, "CSE 151A has no budget per member"),
        ({"workspace": "everyone"}, "Everyone has no budget per member"),
        ({"until": "2026-11-24"}, "The grant would have been over on 2026-11-24."),
        ({"reason": "  "}, "A grant needs a reason"),
    ],
)
def test_a_grant_that_could_not_be_spent_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        granted(**changes)
    assert caught.value.reason.startswith(reason)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"units": 0},
        {"units": -1},
        {"units": float("inf")},
        {"until": "soon"},
        {"until": 5},
        {"until": "2026-12-18T18:00:00"},
        {"reason": ""},
        {"id": "../x"},
        {"untill": "2026-12-18"},
    ],
)
def test_nonsense_is_no_grant(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        granted(**changes)


def test_the_last_day_is_today_at_the_latest() -> None:
    assert granted(until="2026-11-25").until == datetime(2026, 11, 26, tzinfo=ZoneInfo("America/Los_Angeles"))
