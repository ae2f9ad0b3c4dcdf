"""Roles on a real hub: managers, auditors and administrators before JupyterHub's own REST API, and their scopes."""

from types import MappingProxyType
from typing import Any

import aiohttp
import pytest
from jupyterhub import orm, scopes
from jupyterhub.auth import Authenticator
from traitlets.config import Config
from ways_in import PASSWORD

from gpuspawner import configure, with_workspaces
from gpuspawner.authenticator import managed_workspaces
from gpuspawner.membership.roles import Action, may

INSTRUCTOR = {"claim": "roles", "matches": "*#Instructor"}
SPACES: dict[str, Any] = {
    "course": {"members": ["ada", "bob"], "managers": ["prof", INSTRUCTOR], "auditors": ["dean"]},
    "lab": {"members": ["ada", "grace"], "managers": ["grace"]},
}


class LmsAuthenticator(Authenticator):
    """A login with claims; the test plays the platform."""

    claims: Any = MappingProxyType({})

    async def authenticate(self, handler, data):
        return {"name": data["username"], "auth_state": dict(self.claims)}

    async def refresh_user(self, user, handler=None):
        return {"auth_state": dict(self.claims)} if self.claims else True


class RoleKeepingAuthenticator(LmsAuthenticator):
    """One that manages roles itself, as GenericOAuthenticator can."""

    manage_roles = True

    async def authenticate(self, handler, data):
        model = await super().authenticate(handler, data)
        return {**model, "roles": [{"name": "user"}, {"name": "chess"}]}

    async def load_managed_roles(self):
        # Without "users" JupyterHub fails where somebody has the role, unless it resets managed roles.
        return [{"name": "chess", "description": "Chess", "scopes": ["read:services:name"], "users": []}]


@pytest.fixture
def start(start_hub):
    async def start(base=LmsAuthenticator, spaces=SPACES, hub=None, reset=False, **section):
        c = Config()
        c.Authenticator.reset_managed_roles_on_startup = reset
        c.Authenticator.allow_all = True
        c.Authenticator.admin_users = {"root"}
        c.GPUSpawner = Config(workspaces=spaces, **section)
        c.JupyterHub = Config({"authenticator_class": with_workspaces(base), "spawner_class": "simple", **(hub or {})})
        configure(c)
        return await start_hub(c, authenticator=with_workspaces(base))

    return start


async def enrolled(hub, *names):
    for name in names:
        await hub.login(name, PASSWORD)


def scopes_of(hub, name):
    return scopes.get_scopes_for(hub.user(name).orm_user)


def what(hub, name, workspace):
    return [action.name for action in Action if may(scopes_of(hub, name), action, workspace)]


async def asks(hub, name, path, method="GET"):
    """The answer of the REST API to a token of this person's own."""
    headers = {"Authorization": f"token {hub.user(name).new_api_token()}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        answer = await session.request(method, hub.url / "api" / path)
        return answer.status, await answer.json(content_type=None)


async def test_who_has_which_role_where(start):
    hub = await start(administrators=["boss"])
    await enrolled(hub, "ada", "prof", "dean", "grace", "boss", "root")
    assert {name: what(hub, name, "course") for name in ("ada", "prof", "dean", "grace", "boss", "root")} == {
        "ada": [],
        "prof": ["READ", "MANAGE"],
        "dean": ["READ"],
        "grace": [],
        "boss": ["READ", "MANAGE", "ADMINISTER"],
        "root": ["READ", "MANAGE", "ADMINISTER"],
    }
    assert what(hub, "grace", "lab") == ["READ", "MANAGE"]
    assert hub.groups("dean") == {"course:auditors"}
    assert hub.groups("boss") == {"gpuspawner:administrators"}
    assert hub.groups("root") == set()


async def test_the_rest_api_tells_managers_and_auditors_who_is_in_their_workspace_and_no_more(start):
    hub = await start()
    await enrolled(hub, "ada", "bob", "grace", "prof", "dean")
    for name in ("prof", "dean"):
        status, group = await asks(hub, name, "groups/course")
        assert (status, set(group["users"])) == (200, {"ada", "bob", "prof"})
        assert (await asks(hub, name, "groups/lab"))[0] == 404
        assert {user["name"] for user in (await asks(hub, name, "users"))[1]} >= {"ada", "bob"}
        assert "grace" not in {user["name"] for user in (await asks(hub, name, "users"))[1]}
    assert (await asks(hub, "ada", "groups/course"))[0] == 403
    assert (await asks(hub, "ada", "groups/lab"))[0] == 403


@pytest.mark.parametrize("name", ["prof", "dean"])
async def test_the_rest_api_lets_nobody_touch_servers_tokens_or_groups_by_a_role(start, name):
    hub = await start()
    await enrolled(hub, "ada", name)
    for method, path in [
        ("DELETE", "users/ada/server"),
        ("POST", "users/ada/server"),
        ("POST", "users/ada/tokens"),
        ("DELETE", "users/ada"),
        ("POST", "groups/course/users"),
        ("DELETE", "groups/course"),
    ]:
        assert (await asks(hub, name, path, method))[0] in (403, 404), (method, path)


async def test_an_instructors_claim_makes_a_manager_and_its_loss_unmakes_them_at_a_refresh(start):
    hub = await start()
    hub.app.authenticator.claims = {
        "sub": "1",
        "roles": ["http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor"],
    }
    person = await hub.login("ta", PASSWORD)
    assert hub.groups("ta") == {"course", "course:managers"}
    assert managed_workspaces(hub.user("ta")) == {"course"}
    assert what(hub, "ta", "course") == ["READ", "MANAGE"]

    hub.app.authenticator.claims = {"sub": "1", "roles": ["http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"]}
    hub.user("ta")._auth_refreshed = None
    await person.get("home")
    assert hub.groups("ta") == set()
    assert what(hub, "ta", "course") == []


async def test_a_manager_by_claim_stays_one_where_a_restart_or_a_refresh_brings_no_claims(start):
    hub = await start()
    hub.app.authenticator.claims = {"roles": "x#Instructor"}
    await enrolled(hub, "ta")
    hub = await start()
    assert hub.groups("ta") == {"course", "course:managers"}
    assert managed_workspaces(hub.user("ta")) == {"course"}
    assert what(hub, "ta", "course") == ["READ", "MANAGE"]


async def test_whoever_is_named_no_longer_loses_the_role_with_the_restart_before_any_login(start):
    hub = await start()
    await enrolled(hub, "prof", "ada")
    token = hub.user("prof").new_api_token()
    hub = await start(spaces={"course": {"members": ["prof"], "managers": ["ada"]}, "lab": {}})
    assert hub.groups("prof") == {"course"}
    assert hub.groups("ada") == {"course", "course:managers"}
    answer = await hub.person().get("api/groups/course", headers={"Authorization": f"token {token}"})
    assert answer.status in (403, 404)


async def test_a_user_whom_the_api_makes_has_their_roles_without_a_login(start):
    hub = await start()
    assert (await hub.api("POST", "users/prof")).status == 201
    assert hub.groups("prof") == {"course", "course:managers"}
    assert what(hub, "prof", "course") == ["READ", "MANAGE"]


async def test_reports_of_a_course_that_has_ended_remain_open_to_its_managers_and_auditors(start):
    spaces = {"course": {**SPACES["course"], "ends": "2020-01-31"}}
    hub = await start(spaces=spaces)
    await enrolled(hub, "ada", "prof", "dean")
    assert hub.groups("ada") == set()
    assert hub.groups("prof") == {"course:managers"}
    assert (what(hub, "prof", "course"), what(hub, "dean", "course")) == (["READ", "MANAGE"], ["READ"])
    assert managed_workspaces(hub.user("prof")) == set()


@pytest.mark.parametrize("reset", [False, True])
async def test_an_authenticator_that_manages_roles_keeps_its_own_and_carries_ours(start, reset):
    hub = await start(RoleKeepingAuthenticator, reset=reset)
    await enrolled(hub, "ada", "prof")
    assert {role.name for role in hub.user("prof").roles} == {"user", "chess"}
    assert what(hub, "prof", "course") == ["READ", "MANAGE"]
    assert what(hub, "ada", "course") == []
    assert (await asks(hub, "prof", "groups/course"))[0] == 200
    hub = await start(RoleKeepingAuthenticator, reset=reset)
    assert what(hub, "prof", "course") == ["READ", "MANAGE"]
    await enrolled(hub, "prof")
    assert what(hub, "prof", "course") == ["READ", "MANAGE"]
    assert orm.Role.find(hub.app.db, "gpuspawner-manager-course").managed_by_auth


async def test_roles_of_the_site_stay_and_one_of_the_same_name_wins(start):
    mine = {
        "name": "gpuspawner-auditor-course",
        "scopes": ["custom:gpuspawner:read!group=lab"],
        "groups": ["course:auditors"],
    }
    chess = {"name": "chess", "scopes": ["read:services:name"], "users": ["bob"]}
    tests = {"name": "tests", "scopes": ["admin:users"], "services": ["tests"]}
    hub = await start(hub={"load_roles": [mine, chess, tests]})
    await enrolled(hub, "dean", "bob")
    assert (what(hub, "dean", "course"), what(hub, "dean", "lab")) == ([], ["READ"])
    assert "read:services:name" in scopes_of(hub, "bob")


async def test_a_token_is_worth_no_more_than_was_asked_for_and_than_its_owner_is(start):
    hub = await start()
    await enrolled(hub, "ada", "prof")
    person = await hub.login("prof", PASSWORD)
    read = "custom:gpuspawner:read!group=course"
    answer = await person.session.post(
        hub.url / "api/users/prof/tokens", json={"scopes": [read]}, headers=person.xsrf_header()
    )
    assert answer.status == 201
    token = orm.APIToken.find(hub.app.db, (await answer.json())["token"])
    mine = scopes.get_scopes_for(token)
    assert (may(mine, Action.READ, "course"), may(mine, Action.MANAGE, "course")) == (True, False)
    answer = await person.session.post(
        hub.url / "api/users/prof/tokens", json={"scopes": ["custom:gpuspawner:read"]}, headers=person.xsrf_header()
    )
    assert answer.status == 400

    assert (await hub.api("DELETE", "groups/course:managers/users", json={"users": ["prof"]})).status == 200
    assert not may(scopes.get_scopes_for(token), Action.READ, "course")


@pytest.mark.parametrize(
    ("configured", "managers", "told"), [(True, ["prof"], 0), (False, ["prof"], 1), (False, [], 0)]
)
async def test_roles_that_nobody_has_made_are_missed_in_the_log(start, start_hub, caplog, configured, managers, told):
    spaces = {"course": {"members": ["ada"], "managers": managers}}
    if configured:
        await start(spaces=spaces)
    else:
        config = {"Authenticator": {"allow_all": True}, "GPUSpawner": {"workspaces": spaces}}
        await start_hub(config, authenticator=with_workspaces("dummy"))
    assert sum("configure(c) makes them" in record.getMessage() for record in caplog.records) == told
