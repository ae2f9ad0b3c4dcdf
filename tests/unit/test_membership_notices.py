"""Rules that can never match are told; rules that might are not."""

from datetime import date
from typing import Any

import pytest
from jupyterhub.auth import Authenticator, DummyAuthenticator, PAMAuthenticator
from nativeauthenticator import NativeAuthenticator
from pydantic import TypeAdapter
from small_hub import small_hub
from traitlets.config import Config

from gpuspawner import with_workspaces
from gpuspawner.membership.login_facts import configured, expected_of, notices_of
from gpuspawner.membership.notices import Expected, never_matching
from gpuspawner.membership.roles import Role
from gpuspawner.membership.roster import parse_roster
from gpuspawner.membership.rules import Rules

DAY = date(2026, 11, 21)
STAFF = {"claim": "groups", "equals": "staff"}
STUDENTS = parse_roster(b"user,role,to\nada,member,2026-12-18\nbob,member,2026-12-18\n")
READ = {"students.csv": STUDENTS, "last-term.csv": parse_roster(b"user,to\nada,2026-06-30\nbob,2026-06-30\n")}
ANY_CLAIM = Expected(None, str.lower, DAY, READ)
NAMES_ONLY = Expected(frozenset(), str.lower, DAY)
GROUPS_ONLY = Expected(frozenset({"groups"}), str, DAY)


def told(rules: Any, expected: Expected = ANY_CLAIM, role: Role = Role.MEMBER) -> list[str]:
    return [*never_matching("members", TypeAdapter(Rules).validate_python(rules), role, expected)]


@pytest.mark.parametrize(
    ("rules", "expected", "why"),
    [
        (["ada", "Bob"], ANY_CLAIM, "members[1]: never: a login as 'Bob' is called 'bob' here"),
        ([STAFF], NAMES_ONLY, "members[0]: never: of claims the authenticator tells none"),
        (["*", {"email_domain": "x.edu"}], NAMES_ONLY, "members[1]: never: of claims the authenticator tells"),
        (
            [{"claim": "roles.x", "equals": "y"}],
            GROUPS_ONLY,
            "members[0]: never: of claims the authenticator tells only groups",
        ),
        ([{"any": ["ada", STAFF]}], NAMES_ONLY, "members[0].any[1]: never: of claims"),
        ([{"all": ["*", {"not": {"any": [STAFF]}}]}], NAMES_ONLY, "members[0].all[1].not.any[0]: can never match"),
        ([{"all": ["ada", "bob"]}], ANY_CLAIM, "members[0]: never: nobody is both 'ada' and 'bob'"),
        ([{"all": [STAFF, {"not": STAFF}]}], ANY_CLAIM, "members[0]: never: it wants a rule and its opposite"),
        ([{"all": [{"not": "ada"}, "ada"]}], ANY_CLAIM, "members[0]: never: it wants a rule and its opposite"),
        ([{"all": [STAFF, {"not": "*"}]}], ANY_CLAIM, "members[0].all[1]: never: what it shuts out is everybody"),
        (
            [{"not": {"any": [STAFF, "*"]}}],
            ANY_CLAIM,
            "members[0]: never: what it shuts out is everybody",
        ),
        ([{"roster": "last-term.csv"}], ANY_CLAIM, "members[0]: never: the days of all its lines are over"),
    ],
)  # fmt: skip
def test_what_can_never_match_is_told_with_its_place_and_why(rules: Any, expected: Expected, why: str) -> None:
    lines = told(rules, expected)
    assert len(lines) == 1
    assert lines[0].startswith(why.replace("never:", "can never match:"))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["*", "ada", STAFF], ANY_CLAIM),
        ([STAFF, {"claim": "groups.x", "equals": "y"}], GROUPS_ONLY),
        ([{"all": [STAFF, {"claim": "groups", "equals": "other"}]}], ANY_CLAIM),
        ([{"all": ["*", {"not": "mallory"}]}], ANY_CLAIM),
        ([{"roster": "students.csv"}, {"roster": "not-read.csv"}], ANY_CLAIM),
        ([{"all": ["*", {"not": {"roster": "students.csv"}}]}], ANY_CLAIM),
        (["Ada"], GROUPS_ONLY),
    ],
)
def test_what_might_match_is_not_told(rules: Any, expected: Expected) -> None:
    assert told(rules, expected) == []


def test_a_roster_without_a_line_for_the_role_is_told() -> None:
    line = "members[0]: can never match: no line of the roster has the role for it"
    assert told([{"roster": "students.csv"}], role=Role.MANAGER) == [line]


class Provider(Authenticator):  # type: ignore[misc]
    async def authenticate(self, handler: Any, data: Any) -> Any:
        return {"name": data["username"], "auth_state": {"groups": ["staff"]}}


class Unchanged(Provider):
    manage_groups = True

    def normalize_username(self, username: str) -> str:
        return username


@pytest.mark.parametrize(
    ("base", "section", "claims", "ada"),
    [
        (PAMAuthenticator, {}, frozenset({"groups"}), "ada"),
        (PAMAuthenticator, {"pam_normalize_username": True}, frozenset({"groups"}), "Ada"),
        (DummyAuthenticator, {"manage_groups": True}, frozenset({"groups"}), "ada"),
        (PAMAuthenticator, {"post_auth_hook": lambda *_: None}, None, "ada"),
        (DummyAuthenticator, {"username_map": {"ada": "lovelace"}}, frozenset(), "lovelace"),
        (NativeAuthenticator, {}, frozenset(), "ada"),
        (Provider, {}, None, "ada"),
        (Unchanged, {}, None, "Ada"),
    ],
)
def test_what_is_known_of_an_authenticator_before_any_login(
    base: Any, section: dict[str, Any], claims: frozenset[str] | None, ada: str
) -> None:
    c = Config({base.__name__: section})
    for kind in (base, with_workspaces(base)):
        expected = expected_of(kind, c, DAY)
        assert (expected.claims, expected.normalize("Ada")) == (claims, ada)


def test_a_trait_is_read_from_the_most_special_section_or_from_the_class() -> None:
    c = Config({"Authenticator": {"manage_groups": True}, "PAMAuthenticator": {"manage_groups": False}})
    assert configured(PAMAuthenticator, c, "manage_groups") is False
    assert configured(DummyAuthenticator, c, "manage_groups") is True
    assert configured(Unchanged, Config(), "manage_groups") is True
    assert configured(PAMAuthenticator, Config(), "manage_groups") is False


def test_all_lists_of_a_hub_are_looked_at() -> None:
    hub = small_hub(
        administrators=["Root"],
        workspaces={"lab": {"members": ["Ada"], "managers": ["Prof"], "auditors": [STAFF]}, "open": {"members": "*"}},
    )
    lines = [*notices_of(hub, DummyAuthenticator, Config(), {})]
    assert [line.split(": ")[0] for line in lines] == [
        "c.GPUSpawner.workspaces['lab'].members[0]",
        "c.GPUSpawner.workspaces['lab'].managers[0]",
        "c.GPUSpawner.workspaces['lab'].auditors[0]",
        "c.GPUSpawner.administrators[0]",
    ]
