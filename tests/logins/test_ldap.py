"""Logins at a real OpenLDAP directory become workspaces, by memberOf and by search."""

from collections.abc import AsyncIterator

import pytest
from directory import GROUPS, PASSWORD, PEOPLE, Directory, directory

from gpuspawner.authenticator import current_workspaces, with_workspaces

LDAP = with_workspaces("ldap")
COURSE = f"cn=cse151a,{GROUPS}"


@pytest.fixture
async def ldap(tmp_path) -> AsyncIterator[Directory]:
    """A directory of this test's own."""
    async with directory(tmp_path / "ldap") as running:
        yield running


def workspaces(**rules):
    """The GPUSpawner section with these workspaces, each with one rule."""
    return {"GPUSpawner": {"workspaces": {name: {"members": [rule]} for name, rule in rules.items()}}}


async def test_groups_by_memberof_make_members(start_hub, ldap):
    await ldap.add("gpu-lab", "mallory")
    rules = workspaces(
        course={"claim": "memberOf", "equals": COURSE},
        lab={"claim": "memberOf", "matches": "cn=gpu-*"},
        students={"claim": "employeeType", "equals": "student"},
        staff={"claim": "employeeType", "equals": "staff"},
    )
    hub = await start_hub(
        {**ldap.traits(auth_state_attributes=["memberOf", "employeeType"]), **rules}, authenticator=LDAP
    )
    await hub.login("grace", PASSWORD)
    await hub.login("mallory", PASSWORD)
    assert hub.groups("grace") == {"course", "lab", "students"}
    assert hub.groups("mallory") == {"lab", "students"}
    assert current_workspaces(hub.user("mallory")) == {"lab", "students"}


async def test_groups_by_search_make_members(start_hub, ldap):
    """For directories without memberOf: the authenticator looks for the user in each group it is told of."""
    rules = workspaces(
        course={"claim": "ldap_groups", "equals": COURSE},
        lab={"claim": "ldap_groups", "equals": f"cn=gpu-lab,{GROUPS}"},
    )
    search = {
        "allowed_groups": [COURSE, f"cn=gpu-lab,{GROUPS}"],
        "group_search_filter": "(member={userdn})",
        "group_attributes": ["member"],
    }
    hub = await start_hub({**ldap.traits(allow_all=False, **search), **rules}, authenticator=LDAP)
    await hub.login("ada", PASSWORD)
    await hub.login("grace", PASSWORD)
    assert hub.groups("ada") == {"course"}
    assert hub.groups("grace") == {"course", "lab"}
    assert not await hub.person().log_in("mallory", PASSWORD)


async def test_a_change_in_the_directory_counts_at_the_next_login(start_hub, ldap):
    await ldap.add("gpu-lab", "ada")
    rules = workspaces(lab={"claim": "memberOf", "equals": f"cn=gpu-lab,{GROUPS}"}, everyone="*")
    hub = await start_hub({**ldap.traits(auth_state_attributes=["memberOf"]), **rules}, authenticator=LDAP)
    await hub.login("ada", PASSWORD)
    assert hub.groups("ada") == {"everyone", "lab"}
    await ldap.remove("gpu-lab", "ada")
    await hub.login("ada", PASSWORD)
    assert hub.groups("ada") == {"everyone"}


@pytest.mark.parametrize("password", ["wrong", "", "   "])
async def test_a_wrong_password_is_refused(start_hub, ldap, password):
    hub = await start_hub({**ldap.traits(), **workspaces(everyone="*")}, authenticator=LDAP)
    assert not await hub.person().log_in("ada", password)


async def test_a_name_that_is_a_search_of_its_own_finds_nobody(start_hub, ldap):
    traits = ldap.traits(
        lookup_dn=True,
        lookup_dn_search_user=f"uid=grace,{PEOPLE}",
        lookup_dn_search_password=PASSWORD,
        lookup_dn_user_dn_attribute="uid",
        bind_dn_template=[],
        valid_username_regex=".*",
    )
    hub = await start_hub({**traits, **workspaces(everyone="*")}, authenticator=LDAP)
    assert await hub.person().log_in("ada", PASSWORD)
    for name in ("a*", "ada)(uid=*", "*"):
        assert not await hub.person().log_in(name, PASSWORD)
