"""The companion over JupyterHub's own authenticators: real logins, through the form, become groups."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from jupyterhub import orm
from ways_in import DUMMY, NATIVE, PASSWORD, SHARED, WayIn, pam_account, sign_up

from gpuspawner.authenticator import current_workspaces, managed_workspaces, with_workspaces

WAYS = {way.authenticator: lambda way=way: nullcontext(way) for way in (DUMMY, SHARED, NATIVE)} | {"pam": pam_account}


@pytest.fixture(params=WAYS)
def way_in(request) -> Iterator[WayIn]:
    with WAYS[request.param]() as way:
        yield way


def workspaces(**named):
    """The GPUSpawner section with these workspaces; a list is their members."""
    spaces = {name: {"members": space} if isinstance(space, list | str) else space for name, space in named.items()}
    return {"workspaces": spaces, "timezone": "America/Los_Angeles"}


def day(text):
    """Noon of a day, in the hub's time zone."""
    return datetime.fromisoformat(f"{text}T12:00").replace(tzinfo=ZoneInfo("America/Los_Angeles"))


def it_is(hub, text):
    hub.app.authenticator.workspace_clock = lambda: day(text)


async def refresh(hub, person, name):
    """Let the login's age run out; the next page refreshes it."""
    hub.user(name)._auth_refreshed = None
    page = await person.get("home", allow_redirects=False)
    assert page.status == 200
    assert hub.user(name)._auth_refreshed


async def test_a_login_joins_the_workspaces_it_belongs_to_and_no_other(start_hub, way_in):
    spawner = workspaces(everyone="*", lab=[way_in.name], other=["somebody-else"])
    hub = await start_hub(way_in.config(GPUSpawner=spawner), authenticator=with_workspaces(way_in.authenticator))
    await way_in.enrol(hub)

    assert not await hub.person().log_in(way_in.name, "wrong-" + way_in.password)
    assert orm.User.find(hub.app.db, way_in.name) is None
    person = await hub.login(way_in.name, way_in.password)

    assert hub.groups(way_in.name) == {"everyone", "lab"}
    assert current_workspaces(hub.user(way_in.name)) == {"everyone", "lab"}
    await refresh(hub, person, way_in.name)
    assert hub.groups(way_in.name) == {"everyone", "lab"}


async def test_who_is_no_longer_named_leaves_at_the_next_login(start_hub, way_in):
    authenticator = with_workspaces(way_in.authenticator)
    hub = await start_hub(
        way_in.config(GPUSpawner=workspaces(everyone="*", lab=[way_in.name])), authenticator=authenticator
    )
    await way_in.enrol(hub)
    await hub.login(way_in.name, way_in.password)

    hub = await start_hub(
        way_in.config(GPUSpawner=workspaces(everyone="*", lab=["somebody-else"])), authenticator=authenticator
    )
    assert current_workspaces(hub.user(way_in.name)) == {"everyone"}  # even before they log in
    await hub.login(way_in.name, way_in.password)

    assert hub.groups(way_in.name) == {"everyone"}


async def test_groups_that_are_no_workspace_survive_login_and_refresh(start_hub, way_in):
    config = way_in.config(GPUSpawner=workspaces(everyone="*"), JupyterHub={"load_groups": {"chess": [way_in.name]}})
    if way_in.authenticator == "native":  # it refuses a sign-up under the name of a user that load_groups has made
        config["JupyterHub"] = {}
    hub = await start_hub(config, authenticator=with_workspaces(way_in.authenticator))
    await way_in.enrol(hub)
    if not config["JupyterHub"]:
        await hub.api("POST", "groups/chess")
        await hub.api("POST", f"users/{way_in.name}")
        await hub.api("POST", "groups/chess/users", json={"users": [way_in.name]})

    person = await hub.login(way_in.name, way_in.password)
    assert hub.groups(way_in.name) == {"everyone", "chess"}
    assert (await hub.api("POST", "groups/debaters")).status == 201
    assert (await hub.api("POST", "groups/debaters/users", json={"users": [way_in.name]})).status == 200
    await refresh(hub, person, way_in.name)
    assert hub.groups(way_in.name) == {"everyone", "chess", "debaters"}
    await hub.login(way_in.name, way_in.password)
    assert hub.groups(way_in.name) == {"everyone", "chess", "debaters"}


async def test_a_workspace_that_ends_is_left_at_a_refresh_and_closed_at_once(start_hub, way_in):
    course = {"members": [way_in.name], "starts": "2026-09-21", "ends": "2026-12-18"}
    hub = await start_hub(
        way_in.config(GPUSpawner=workspaces(everyone="*", course=course)),
        authenticator=with_workspaces(way_in.authenticator),
    )
    await way_in.enrol(hub)
    it_is(hub, "2026-12-18")
    person = await hub.login(way_in.name, way_in.password)
    assert current_workspaces(hub.user(way_in.name)) == {"everyone", "course"}

    it_is(hub, "2026-12-19")
    assert current_workspaces(hub.user(way_in.name)) == {"everyone"}
    assert hub.groups(way_in.name) == {"everyone", "course"}
    await refresh(hub, person, way_in.name)
    assert hub.groups(way_in.name) == {"everyone"}


async def test_a_workspace_opens_on_its_first_day_without_another_login(start_hub):
    course = {"members": ["ada"], "starts": "2026-09-21", "ends": "2026-12-18"}
    hub = await start_hub(DUMMY.config(GPUSpawner=workspaces(course=course)), authenticator=with_workspaces("dummy"))
    it_is(hub, "2026-09-20")
    await hub.login("ada", PASSWORD)
    assert current_workspaces(hub.user("ada")) == set()
    assert current_workspaces(hub.user("ada"), at=day("2026-09-21")) == {"course"}


async def test_a_group_with_the_name_of_a_workspace_is_the_workspaces(start_hub):
    hub = await start_hub(
        DUMMY.config(
            GPUSpawner=workspaces(lab=["ada"]),
            JupyterHub={"load_groups": {"lab": {"users": ["mallory"], "properties": {"room": "2.14"}}}},
        ),
        authenticator=with_workspaces("dummy"),
    )
    await hub.login("ada", PASSWORD)
    await hub.login("mallory", PASSWORD)
    assert hub.groups("ada") == {"lab"}
    assert hub.groups("mallory") == set()
    assert orm.Group.find(hub.app.db, "lab").properties == {"room": "2.14"}


async def test_an_administrator_is_a_member_of_nothing_by_that_alone(start_hub):
    hub = await start_hub(
        {
            "SharedPasswordAuthenticator": {"user_password": PASSWORD, "admin_password": PASSWORD * 2},
            "Authenticator": {"allow_all": True, "admin_users": {"root"}},
            "GPUSpawner": workspaces(lab=["ada"]),
        },
        authenticator=with_workspaces("shared-password"),
    )
    await hub.login("root", PASSWORD * 2)
    assert hub.user("root").admin
    assert current_workspaces(hub.user("root")) == set()
    assert hub.groups("root") == set()


async def test_a_manager_belongs_to_the_workspace_and_manages_it(start_hub):
    hub = await start_hub(
        DUMMY.config(GPUSpawner=workspaces(everyone="*", course={"members": ["ada"], "managers": ["prof"]})),
        authenticator=with_workspaces("dummy"),
    )
    await hub.login("prof", PASSWORD)
    await hub.login("ada", PASSWORD)
    assert hub.groups("prof") == {"everyone", "course", "course:managers"}
    assert managed_workspaces(hub.user("prof")) == {"course"}
    assert managed_workspaces(hub.user("ada")) == set()


async def test_without_the_companion_names_dates_and_whatever_fills_the_groups_decide(start_hub):
    by_claim = {"members": [{"claim": "groups", "equals": "fellows"}]}
    hub = await start_hub(
        DUMMY.config(
            GPUSpawner=workspaces(everyone="*", lab=["somebody-else"], fellows=by_claim),
            JupyterHub={"load_groups": {"fellows": ["ada"], "lab": ["ada"]}},
        ),
        authenticator="dummy",
    )
    await hub.login("ada", PASSWORD)
    assert current_workspaces(hub.user("ada")) == {"everyone", "fellows"}


async def test_who_may_log_in_remains_the_authenticators_decision(start_hub):
    hub = await start_hub(
        {
            "DummyAuthenticator": {"password": PASSWORD, "allow_all": False, "allowed_users": {"ada"}},
            "GPUSpawner": workspaces(everyone="*", lab=["ada", "mallory"]),
        },
        authenticator=with_workspaces("dummy"),
    )
    assert await hub.person().log_in("ada", PASSWORD)
    assert not await hub.person().log_in("mallory", PASSWORD)
    assert orm.User.find(hub.app.db, "mallory") is None


async def test_the_groups_of_an_authenticator_that_manages_groups_survive_too(start_hub):
    hub = await start_hub(
        {
            "SharedPasswordAuthenticator": {
                "manage_groups": True,
                "password_groups": {PASSWORD: ["staff", "lab"], PASSWORD * 2: ["visitors"]},
            },
            "Authenticator": {"allow_all": True},
            # "groups" is a claim: what the authenticator says may make a member.
            "GPUSpawner": workspaces(
                everyone="*", lab=["somebody-else"], fellows=[{"claim": "groups", "equals": "staff"}]
            ),
        },
        authenticator=with_workspaces("shared-password"),
    )
    person = await hub.login("ada", PASSWORD)
    assert hub.groups("ada") == {"everyone", "staff", "fellows"}
    await refresh(hub, person, "ada")
    assert hub.groups("ada") == {"everyone", "staff", "fellows"}
    await hub.login("ada", PASSWORD * 2)
    assert hub.groups("ada") == {"everyone", "visitors"}


async def test_first_logins_at_the_same_instant_share_one_group(start_hub):
    hub = await start_hub(DUMMY.config(GPUSpawner=workspaces(everyone="*")), authenticator=with_workspaces("dummy"))
    names = [f"student{number % 10}" for number in range(20)]
    await asyncio.gather(*(hub.login(name, PASSWORD) for name in names))
    assert all(hub.groups(name) == {"everyone"} for name in names)
    assert [group.name for group in hub.app.db.query(orm.Group)] == ["everyone"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a Unix account with a group of its own")
async def test_pams_own_section_applies(start_hub):
    with pam_account() as way:
        config = way.config() | {"PAMAuthenticator": {"admin_groups": {way.name}}}
        hub = await start_hub(config, authenticator=with_workspaces("pam"))
        await hub.login(way.name, way.password)
        assert hub.user(way.name).admin


async def test_natives_own_section_applies(start_hub):
    hub = await start_hub(NATIVE.config(), authenticator=with_workspaces("native"))
    await sign_up(hub, "ada", "too-short")
    assert not await hub.person().log_in("ada", "too-short")
    await sign_up(hub, "ada", PASSWORD)
    assert await hub.person().log_in("ada", PASSWORD)
