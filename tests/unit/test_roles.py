"""What a request may do by its scopes, and the roles that carry them."""

import pytest
from jupyterhub.roles import _validate_role_name

from gpuspawner.membership.roles import (
    ADMINISTRATORS,
    CUSTOM_SCOPES,
    Action,
    Role,
    allowed_workspaces,
    group_of,
    may,
    role_specs,
    standing_of,
)

READ, MANAGE, ADMINISTER = Action


@pytest.mark.parametrize(
    ("scopes", "action", "workspace", "allowed"),
    [
        (["custom:gpuspawner:read!group=lab"], READ, "lab", True),
        (["custom:gpuspawner:read!group=lab"], READ, "laboratory", False),
        (["custom:gpuspawner:read!group=lab"], READ, None, False),
        (["custom:gpuspawner:read!group=lab"], MANAGE, "lab", False),
        (["custom:gpuspawner:read!user=lab"], READ, "lab", False),
        (["custom:gpuspawner:read"], READ, "lab", True),
        (["custom:gpuspawner:read"], READ, None, True),
        (["custom:gpuspawner:manage"], READ, "lab", False),
        (["custom:gpuspawner:manage!group=lab"], MANAGE, "lab", True),
        (["custom:gpuspawner:admin"], ADMINISTER, None, True),
        (["admin:users"], ADMINISTER, None, True),
        (["admin:users"], READ, "lab", True),
        (["admin:users!group=lab"], READ, "lab", False),
        (["admin:servers", "self"], READ, "lab", False),
        ([], READ, "lab", False),
    ],
)
def test_what_scopes_allow(scopes: list[str], action: Action, workspace: str | None, allowed: bool) -> None:
    assert may(scopes, action, workspace) is allowed


def test_the_workspaces_a_request_may_see() -> None:
    scopes = ["custom:gpuspawner:read!group=lab", "custom:gpuspawner:read!group=gone"]
    assert allowed_workspaces(scopes, READ, ["lab", "course"]) == {"lab"}
    assert allowed_workspaces(["custom:gpuspawner:read"], READ, ["lab", "course"]) == {"lab", "course"}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("workspace", ["lab", "cse151a-fa26", "a.b_c"])
def test_a_group_says_whose_it_is(workspace: str, role: Role) -> None:
    expected = ("", role) if role is Role.ADMINISTRATOR else (workspace, role)
    assert standing_of(group_of(workspace, role)) == expected


def test_roles_have_names_that_jupyterhub_takes_and_scopes_of_their_workspace_only() -> None:
    specs = role_specs(["lab", "lab:managers", "0.a_b:auditors", ADMINISTRATORS])
    assert [spec["groups"] for spec in specs] == [["0.a_b:auditors"], [ADMINISTRATORS], ["lab:managers"]]
    for spec in specs:
        assert _validate_role_name(spec["name"])
        filters = {scope.partition("!")[2] for scope in spec["scopes"]}
        assert filters == ({""} if spec["groups"] == [ADMINISTRATORS] else {f"group={spec['groups'][0].split(':')[0]}"})


def test_no_role_of_a_workspace_stops_servers_by_jupyterhubs_own_means() -> None:
    """JupyterHub cannot tell servers of one workspace from others of the same member."""
    given = {scope for spec in role_specs(["lab:managers", "lab:auditors"]) for scope in spec["scopes"]}
    assert not {scope for scope in given if "servers" in scope or "admin" in scope or "tokens" in scope}


def test_who_may_administer_may_manage_and_who_may_manage_may_read() -> None:
    assert CUSTOM_SCOPES[MANAGE]["subscopes"] == [READ]
    assert CUSTOM_SCOPES[ADMINISTER]["subscopes"] == [MANAGE, READ]
