"""Who belongs to a workspace, when it is open, and what its limits are on a day."""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_hub import small_hub

from gpuspawner.workspace import ClaimRule, Workspace, memberships

CLAIMS: dict[str, Any] = {
    "sub": "u42",
    "email": "Ada@ucsd.edu",
    "email_verified": True,
    "level": 3,
    "groups": ["course:cse151a:fa26", "course:math20c:fa26"],
    "realm_access": {"roles": ["researcher", "user"]},
    "https://ucsd.edu/affiliation": "student",
    "https://purl.imsglobal.org/spec/lti/claim/context": {"id": "7", "label": "CSE 151A"},
    "teams": [{"name": "vision", "roles": [["lead", "member"]]}, {"name": "speech"}],
    "nothing": None,
}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"claim": "sub", "equals": "u42"}, True),
        ({"claim": "sub", "equals": "U42"}, False),
        ({"claim": "sub", "equals": "u4"}, False),
        ({"claim": "sub", "matches": "u4?"}, True),
        ({"claim": "email", "matches": "*@ucsd.edu"}, True),
        ({"claim": "email", "matches": "ada@*"}, False),
        ({"claim": "email", "matches": "@ucsd.edu"}, False),
        ({"claim": "groups", "matches": "course:cse151a:*"}, True),
        ({"claim": "groups", "equals": "course:math20c:fa26"}, True),
        ({"claim": "groups", "matches": "course:cse151b:*"}, False),
        ({"claim": "realm_access.roles", "equals": "researcher"}, True),
        ({"claim": "realm_access", "matches": "*"}, False),
        ({"claim": "https://ucsd.edu/affiliation", "equals": "student"}, True),
        ({"claim": "https://purl.imsglobal.org/spec/lti/claim/context.label", "equals": "CSE 151A"}, True),
        ({"claim": "teams.name", "equals": "speech"}, True),
        ({"claim": "teams.roles", "equals": "lead"}, True),
        ({"claim": "level", "equals": "3"}, True),
        ({"claim": "email_verified", "matches": "*"}, False),
        ({"claim": "nothing", "matches": "*"}, False),
        ({"claim": "absent", "matches": "*"}, False),
        ({"claim": "sub.deeper", "matches": "*"}, False),
    ],
)
def test_a_rule_over_claims(rule: dict[str, str], holds: bool) -> None:
    assert ClaimRule(**rule).holds(CLAIMS) is holds


claims = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "a.b"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "a.b", "a.b.a"]), claims))
def test_claims_of_any_shape_are_read_without_an_error(found: dict[str, Any]) -> None:
    assert ClaimRule(claim="a.b.a", matches="*").holds(found) in (True, False)
    assert not ClaimRule(claim="c", matches="*").holds(found)


def test_members_are_everyone_or_named_or_matched_and_managers_are_members() -> None:
    spaces = small_hub().workspaces
    assert spaces["everyone"].is_member("anybody", {})
    assert spaces["lab"].is_member("ada", {})
    assert not spaces["lab"].is_member("Ada", {})
    assert not spaces["lab"].is_member("*", {})
    assert spaces["cse151a"].is_member("ada", CLAIMS)
    assert not spaces["cse151a"].is_member("ada", {})
    assert spaces["cse151a"].is_member("prof", {})
    assert spaces["cse151a"].is_manager("prof")
    assert not spaces["cse151a"].is_manager("ada")


def test_one_member_may_be_written_without_a_list() -> None:
    assert Workspace(name="w", members="ada").is_member("ada", {})
    assert Workspace(name="w", members={"claim": "sub", "equals": "u42"}).is_member("x", CLAIMS)


def test_a_workspace_is_open_on_its_first_and_its_last_day() -> None:
    course = small_hub().workspaces["cse151a"]
    days = [date(2026, 9, 20), date(2026, 9, 21), date(2026, 12, 18), date(2026, 12, 19)]
    assert [course.is_open(day) for day in days] == [False, True, True, False]
    assert small_hub().workspaces["lab"].is_open(date.min)


def test_a_login_belongs_to_the_open_workspaces_only() -> None:
    hub = small_hub()
    pacific = ZoneInfo("America/Los_Angeles")

    def mine(at: datetime) -> frozenset[str]:
        return memberships(hub.workspaces, "prof", {}, at)

    assert mine(datetime(2026, 12, 18, 23, 59, tzinfo=pacific)) == {"everyone", "cse151a"}
    assert mine(datetime(2026, 12, 19, 0, 0, tzinfo=pacific)) == {"everyone"}


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
