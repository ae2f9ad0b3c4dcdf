"""Who a rule lets in: names, claims, e-mail domains, rosters, and any, all and not of them."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from small_hub import small_hub

from gpuspawner.errors import ConfigurationError
from gpuspawner.membership.roles import Role
from gpuspawner.membership.roster import parse_roster
from gpuspawner.membership.rules import ClaimRule, Login, Rules, Verdict, addresses_in, holds
from gpuspawner.workspace import Workspace

DAY = date(2026, 10, 1)
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
    "affiliation": ["student@ucsd.edu; staff@ucsd.edu", "member@sdsc.edu", "a\\;b"],
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
        ({"claim": "sub", "regex": "u[0-9]+"}, True),
        ({"claim": "sub", "regex": "u4"}, False),
        ({"claim": "groups", "regex": "course:(?:cse|math).*:fa26"}, True),
        ({"claim": "affiliation", "equals": "staff@ucsd.edu"}, True),
        ({"claim": "affiliation", "equals": "a;b"}, True),
        ({"claim": "affiliation", "equals": "b"}, False),
        ({"claim": "affiliation", "regex": "member@.*"}, True),
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


def login(user: str = "ada", claims: dict[str, Any] | None = None, **more: Any) -> Login:
    """A login whose claims are all there are."""
    known = claims or {}
    return Login(user, DAY, known, **{"complete": True, "addresses": addresses_in(known), **more})


def unrefreshed(user: str = "ada", **more: Any) -> Login:
    """The same person an hour later: nothing but the name is known."""
    return Login(user, DAY, **more)


def admits(rules: Any, who: Login, role: Role = Role.MEMBER) -> Verdict:
    return holds(TypeAdapter(Rules).validate_python(rules), role, who)


def space(**keys: Any) -> Workspace:
    return Workspace.model_validate({"name": "course", **keys})


def test_members_are_everyone_or_named_or_matched_and_managers_are_members() -> None:
    spaces = small_hub().workspaces

    def stands(name: str, role: Role, who: Login) -> Verdict:
        return spaces[name].stands(role, who)

    assert stands("everyone", Role.MEMBER, login("anybody"))
    assert stands("lab", Role.MEMBER, login("ada"))
    assert not stands("lab", Role.MEMBER, login("Ada"))
    assert not stands("lab", Role.MEMBER, login("*"))
    assert stands("cse151a", Role.MEMBER, login("ada", CLAIMS))
    assert not stands("cse151a", Role.MEMBER, login("ada"))
    assert stands("cse151a", Role.MEMBER, login("prof"))
    assert stands("cse151a", Role.MANAGER, login("prof"))
    assert not stands("cse151a", Role.MANAGER, login("ada", CLAIMS))


def test_one_member_may_be_written_without_a_list() -> None:
    assert admits("ada", login("ada"))
    assert admits({"claim": "sub", "equals": "u42"}, login("x", CLAIMS))


@pytest.mark.parametrize(
    ("rule", "address", "verdict"),
    [
        ({"email_domain": "ucsd.edu"}, "ada@ucsd.edu", True),
        ({"email_domain": "UCSD.edu"}, "Ada@ucsd.EDU", True),
        ({"email_domain": ["sdsc.edu", "ucsd.edu"]}, "ada@ucsd.edu", True),
        ({"email_domain": "ucsd.edu"}, "ada@eng.ucsd.edu", False),
        ({"email_domain": "ucsd.edu", "subdomains": True}, "ada@eng.ucsd.edu", True),
        ({"email_domain": "ucsd.edu", "subdomains": True}, "ada@ucsd.edu", True),
        ({"email_domain": "ucsd.edu", "subdomains": True}, "ada@evilucsd.edu", False),
        ({"email_domain": "ucsd.edu"}, "ada@ucsd.edu.evil.com", False),
        ({"email_domain": "ucsd.edu"}, "ada@ucsd.edu@evil.com", False),
        ({"email_domain": "ucsd.edu"}, "ada@evil.com;bob@ucsd.edu", False),
        ({"email_domain": "ucsd.edu"}, "ada@evil.com,bob@ucsd.edu", False),
        ({"email_domain": "ucsd.edu"}, "@ucsd.edu", False),
        ({"email_domain": "ucsd.edu"}, "ucsd.edu", False),
    ],
)
def test_an_email_domain_is_the_whole_of_it_and_subdomains_only_where_said(
    rule: dict[str, Any], address: str, verdict: bool
) -> None:
    assert admits(rule, login(claims={"email": address})) is verdict


@pytest.mark.parametrize("said", [False, "false", "False", 0])
def test_an_address_that_is_not_verified_does_not_count(said: object) -> None:
    claims = {"email": "ada@ucsd.edu", "email_verified": said}
    assert admits({"email_domain": "ucsd.edu"}, login(claims=claims)) is False
    assert addresses_in(claims) == frozenset()


def test_addresses_of_a_directory_count_each_and_know_no_verification() -> None:
    claims = {"mail": ["Ada@ucsd.edu", "ada@sdsc.edu;a@x.edu"], "email_verified": False, "email": "ada@evil.com"}
    assert addresses_in(claims) == {"ada@ucsd.edu", "ada@sdsc.edu", "a@x.edu"}


STUDENT = {"claim": "affiliation", "equals": "student"}
ALUMNI = {"claim": "affiliation", "equals": "alum"}


@pytest.mark.parametrize(
    ("rule", "here", "later"),
    [
        (STUDENT, True, None),
        (ALUMNI, False, None),
        ({"any": [ALUMNI, "ada"]}, True, True),
        ({"any": [ALUMNI, "bob"]}, False, None),
        ({"all": [STUDENT, "ada"]}, True, None),
        ({"all": [STUDENT, "bob"]}, False, False),
        ({"not": ALUMNI}, True, None),
        ({"not": STUDENT}, False, None),
        ({"not": "bob"}, True, True),
        ({"all": ["*", {"not": "ada"}]}, False, False),
        ({"all": ["*", {"not": {"any": [ALUMNI, "bob"]}}]}, True, None),
        ({"not": {"not": STUDENT}}, True, None),
    ],
)
def test_any_all_and_not_say_unknown_only_where_the_missing_claims_could_decide(
    rule: dict[str, Any], here: bool, later: Verdict
) -> None:
    assert admits(rule, login("ada", {"affiliation": "student"})) is here
    assert admits(rule, unrefreshed("ada")) is later


def joined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    return (
        some.map(lambda rules: {"any": rules})
        | some.map(lambda rules: {"all": rules})
        | inner.map(lambda rule: {"not": rule})
    )


rules = st.recursive(
    st.sampled_from(["ada", "bob", "*", STUDENT, ALUMNI, {"email_domain": "ucsd.edu"}]), joined, max_leaves=8
)


@given(
    rules,
    st.sampled_from(["ada", "bob", "eve"]),
    st.sampled_from(["student", "alum", "staff"]),
    st.sampled_from(["a@ucsd.edu", "a@x.org"]),
)
def test_what_is_told_without_the_claims_is_what_is_told_with_them(
    rule: Any, user: str, affiliation: str, email: str
) -> None:
    known = admits(rule, login(user, {"affiliation": affiliation, "email": email}))
    assert known is not None
    assert admits(rule, unrefreshed(user)) in (None, known)
    some_claims = Login(user, DAY, {"affiliation": affiliation})
    assert admits(rule, some_claims) in (None, known)


ROSTER = parse_roster(
    b"user,email,role,from,to\n"
    b"ada,,,,\n"
    b"prof,,manager,,\n"
    b"dean,,auditor,,\n"
    b"root,,administrator,,\n"
    b"late,,member,2026-10-02,\n"
    b"gone,,,,2026-09-30\n"
    b"eve,,member,2026-10-01,2026-10-01\n"
    b",grace@UCSD.edu,,,\n"
)
ON_ROSTER = {"roster": "people.csv"}
READ = {"people.csv": ROSTER}


@pytest.mark.parametrize(
    ("user", "roles"),
    [
        ("ada", {Role.MEMBER}),
        ("prof", {Role.MEMBER, Role.MANAGER}),
        ("dean", {Role.AUDITOR}),
        ("root", set()),
        ("late", set()),
        ("gone", set()),
        ("eve", {Role.MEMBER}),
        ("nobody", set()),
    ],
)
def test_a_roster_among_the_members_gives_each_line_its_role_on_its_days(user: str, roles: set[Role]) -> None:
    course = space(members=[ON_ROSTER])
    who = login(user, rosters=READ)
    assert {role for role in Role if course.stands(role, who)} == roles


def test_a_roster_among_the_managers_counts_lines_without_a_role_and_those_of_managers() -> None:
    course = space(managers=[ON_ROSTER], auditors=["ada"])
    stand = {name: course.stands(Role.MANAGER, login(name, rosters=READ)) for name in ("ada", "prof", "dean", "eve")}
    assert stand == {"ada": True, "prof": True, "dean": False, "eve": False}
    assert course.stands(Role.MEMBER, login("dean", rosters=READ)) is False


def test_only_the_roster_within_a_joined_rule_makes_managers() -> None:
    either = space(members=[{"any": [ON_ROSTER, STUDENT, "bob"]}])
    assert either.stands(Role.MEMBER, login("bob", rosters=READ)) is True
    assert either.stands(Role.MANAGER, login("bob", {"affiliation": "student"}, rosters=READ)) is False
    assert either.stands(Role.MANAGER, login("prof", rosters=READ)) is True
    both = space(members=[{"all": [ON_ROSTER, {"email_domain": "ucsd.edu"}]}])
    assert both.stands(Role.MANAGER, login("prof", {"email": "p@ucsd.edu"}, rosters=READ)) is True
    assert both.stands(Role.MANAGER, login("prof", {"email": "p@x.org"}, rosters=READ)) is False
    assert both.stands(Role.MANAGER, login("ada", {"email": "a@ucsd.edu"}, rosters=READ)) is False
    shut_out = space(members=[{"all": ["*", {"not": ON_ROSTER}]}])
    assert shut_out.stands(Role.MEMBER, login("dean", rosters=READ)) is False
    assert shut_out.stands(Role.MANAGER, login("prof", rosters=READ)) is False


def test_a_roster_by_email_needs_the_address_and_says_unknown_without_it() -> None:
    by_mail = login("g", {"email": "Grace@ucsd.edu"}, rosters=READ)
    assert admits(ON_ROSTER, by_mail) is True
    assert admits(ON_ROSTER, login("g", {"email": "grace@ucsd.edu", "email_verified": False}, rosters=READ)) is False
    assert admits(ON_ROSTER, unrefreshed("g", rosters=READ)) is None
    assert admits(ON_ROSTER, unrefreshed("g", rosters=READ, addresses=frozenset({"grace@ucsd.edu"}))) is True
    names_only = {"people.csv": parse_roster(b"user\nada\n")}
    assert admits(ON_ROSTER, unrefreshed("g", rosters=names_only)) is False


def test_a_roster_that_was_never_read_decides_nothing() -> None:
    assert admits(ON_ROSTER, login("ada")) is None
    assert admits({"not": ON_ROSTER}, login("ada")) is None


def test_somebody_may_have_a_role_only_where_a_rule_or_a_roster_could_give_it() -> None:
    assert not space(members="*").has(Role.MANAGER)
    assert space(managers="prof").has(Role.MANAGER)
    assert space(members=[{"all": ["*", ON_ROSTER]}]).has(Role.AUDITOR)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"claim": "g", "equals": "a", "regex": "b"}, "exactly one of equals, matches and regex"),
        ({"claim": "g", "regex": "("}, "a regular expression as regex (missing ), unterminated subpattern"),
        ({"claim": "g", "regex": ""}, "text that is not empty"),
        ({"claim": "g", "equals": ""}, "text that is not empty"),
        ({"claim": "g", "roster": "x.csv"}, "one of claim and roster in a rule; join rules by any, all and not"),
        ({"email_domain": "*.ucsd.edu"}, 'a domain such as ucsd.edu; its subdomains by "subdomains": True'),
        ({"email_domain": "ada@ucsd.edu"}, "a domain such as example.edu, in ASCII"),
        ({"email_domain": "ucsd"}, "a domain such as example.edu, in ASCII"),
        ({"email_domain": []}, "a list that is not empty"),
        ({"any": []}, "a list that is not empty"),
        ({"all": "*"}, "a list"),
        ({"not": 5}, "a user name, or a rule such as"),
        ({"rooster": "people.csv"}, ".rooster: unknown key; did you mean 'roster'?"),
        ({"any": [{"all": [{"clam": "g", "equals": "x"}]}]}, ".any[0].all[0].clam: unknown key; did you mean 'claim'?"),
        ("", "a user name, or a rule such as"),
    ],
)
def test_a_mistaken_rule_is_told_with_its_place_and_what_is_allowed(rule: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        small_hub(workspaces={"lab": {"members": [rule]}})
    place = "c.GPUSpawner.workspaces['lab'].members[0]"
    assert [line for line in error.value.problems if line.startswith(place) and said in line], error.value.problems


def test_administrators_are_named_by_the_same_rules() -> None:
    hub = small_hub(administrators=["root", {"claim": "groups", "equals": "research-it"}])
    assert holds(hub.administrators, Role.ADMINISTRATOR, login("x", {"groups": ["research-it"]}))
    with pytest.raises(
        ConfigurationError, match=r"c\.GPUSpawner\.administrators\[0\]\.clam: unknown key; did you mean"
    ):
        small_hub(administrators=[{"clam": "groups"}])
