"""Rules over a login by LTI, which says something of one course and nothing of all the others."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gpuspawner.membership.roles import Role
from gpuspawner.membership.rules import Login, Rules, Verdict, holds

DAY = date(2026, 10, 1)
LTI = "https://purl.imsglobal.org/spec/lti/claim"
RULES: TypeAdapter[Any] = TypeAdapter(Rules)

HERE = {"claim": f"{LTI}/context.id", "equals": "4711"}
THERE = {"claim": f"{LTI}/context.id", "equals": "4712"}
TEACHES = {"claim": f"{LTI}/roles", "matches": "*membership#Instructor"}
STAFF = {"claim": "affiliation", "equals": "staff"}


def claims(course: str, role: str, **more: Any) -> dict[str, Any]:
    return {
        f"{LTI}/context": {"id": course, "label": f"CSE {course}"},
        f"{LTI}/roles": [f"http://purl.imsglobal.org/vocab/lis/v2/membership#{role}"],
        **more,
    }


def verdict(rule: Any, login: Login) -> Verdict:
    return holds(RULES.validate_python([rule]), Role.MEMBER, login)


@pytest.mark.parametrize(
    ("rule", "course", "role", "told"),
    [
        (HERE, "4711", "Learner", True),
        (HERE, "4712", "Learner", None),
        ({"claim": f"{LTI}/context.label", "matches": "CSE 47*"}, "4712", "Learner", True),
        ({"claim": f"{LTI}/context.label", "matches": "MATH *"}, "4712", "Learner", None),
        (TEACHES, "4711", "Instructor", True),
        (TEACHES, "4711", "Learner", False),
        ({"all": [HERE, TEACHES]}, "4711", "Instructor", True),
        ({"all": [HERE, TEACHES]}, "4711", "Learner", False),
        ({"all": [HERE, TEACHES]}, "4712", "Instructor", None),
        ({"all": [HERE, TEACHES]}, "4712", "Learner", None),
        ({"all": [{"any": [HERE, THERE]}, TEACHES]}, "4712", "Instructor", True),
        ({"all": [{"any": [HERE, THERE]}, TEACHES]}, "4712", "Learner", False),
        ({"all": [{"any": [HERE, THERE]}, TEACHES]}, "4799", "Learner", None),
        ({"all": [{"all": [HERE, "*"]}, TEACHES]}, "4712", "Learner", None),
        ({"all": [HERE, {"not": TEACHES}]}, "4711", "Learner", True),
        ({"all": [HERE, {"not": TEACHES}]}, "4711", "Instructor", False),
        ({"all": [HERE, {"not": TEACHES}]}, "4712", "Instructor", None),
        ({"not": HERE}, "4712", "Learner", True),
        ({"not": HERE}, "4711", "Learner", False),
        ({"any": [{"all": [HERE, TEACHES]}, {"all": [THERE, TEACHES]}]}, "4712", "Learner", None),
        ({"all": [HERE, STAFF]}, "4712", "Instructor", False),
    ],
)
def test_of_a_course_only_a_login_from_there_tells_who_is_not_in(
    rule: Any, course: str, role: str, told: Verdict
) -> None:
    assert verdict(rule, Login("ada", DAY, claims(course, role), complete=True)) is told


def test_what_the_rest_of_the_login_says_decides_all_the_same() -> None:
    rule = {"all": [HERE, STAFF]}
    assert verdict(rule, Login("ada", DAY, claims("4712", "Learner", affiliation="staff"), complete=True)) is None
    assert verdict({"any": [HERE, STAFF]}, Login("ada", DAY, claims("4712", "Learner"), complete=True)) is None


def test_a_login_that_is_not_by_lti_says_nothing_of_courses() -> None:
    assert verdict({"all": [HERE, TEACHES]}, Login("ada", DAY, {"groups": ["staff"]}, complete=True)) is None


rules = st.recursive(
    st.sampled_from([HERE, THERE, TEACHES, STAFF, "ada"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"any": some}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"all": some}),
        inner.map(lambda one: {"not": one}),
    ),
    max_leaves=5,
)


@given(rules, st.sampled_from(["4711", "4712", "4799"]), st.sampled_from(["Learner", "Instructor"]))
def test_less_known_never_turns_into_the_opposite(rule: Any, course: str, role: str) -> None:
    known = verdict(rule, Login("ada", DAY, claims(course, role), complete=True))
    unknown = verdict(rule, Login("ada", DAY))
    assert unknown in (None, known) or known is None


@pytest.mark.parametrize(
    ("claim", "text", "pattern", "told"),
    [
        ("affiliation", "member@ucsd.edu;staff@ucsd.edu", "staff@*", True),
        ("email", '"a@ucsd.edu;b"@example.org', "*@ucsd.edu", False),
        ("email", '"a;b@ucsd.edu"@example.org', "*@ucsd.edu", False),
        ("name", "Ada;admins", "admins", False),
    ],
)
def test_a_semicolon_separates_nothing_in_what_people_choose_themselves(
    claim: str, text: str, pattern: str, told: bool
) -> None:
    rule = {"claim": claim, "matches": pattern}
    assert verdict(rule, Login("ada", DAY, {claim: text}, complete=True)) is told
