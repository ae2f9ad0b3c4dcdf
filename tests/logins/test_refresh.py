"""What an OpenID Connect provider says later reaches a login that goes on: groups added and removed, tokens revoked."""

import pytest
from identity_provider import log_in_at_the_provider
from launching import launch

from gpuspawner.authenticator import current_workspaces, with_workspaces

BY_GROUP = {
    "everyone": {"members": "*"},
    "course": {"members": [{"claim": "groups", "equals": "course"}]},
    "vision": {"members": [{"claim": "groups", "equals": "vision-lab"}]},
}


@pytest.fixture
async def logged_in(start_hub, provider, stored_logins):
    """Ada, in the course, at a hub that keeps what it was told."""
    await provider.says("ada", groups=["course"])
    hub = await start_hub(
        {**provider.generic(**stored_logins), "GPUSpawner": {"workspaces": BY_GROUP}},
        authenticator=with_workspaces("generic-oauth"),
    )
    person = hub.person()
    await log_in_at_the_provider(person, "ada")
    assert hub.groups("ada") == {"everyone", "course"}
    return hub, person


def old(hub, name):
    """Let the age of what is known about a login run out."""
    hub.user(name)._auth_refreshed = None


async def test_groups_are_added_and_removed_during_a_session(logged_in, provider):
    hub, person = logged_in
    await provider.says("ada", groups=["vision-lab"])
    assert (await person.get("home", allow_redirects=False)).status == 200
    assert hub.groups("ada") == {"everyone", "course"}  # not before what is known is old

    old(hub, "ada")
    assert (await person.get("home", allow_redirects=False)).status == 200
    assert hub.groups("ada") == {"everyone", "vision"}
    assert current_workspaces(hub.user("ada")) == {"everyone", "vision"}


async def test_a_claim_that_is_gone_removes(logged_in, provider):
    hub, person = logged_in
    await provider.says("ada")
    old(hub, "ada")
    assert (await person.get("home", allow_redirects=False)).status == 200
    assert hub.groups("ada") == {"everyone"}


async def test_revoked_tokens_ask_for_a_new_login_and_remove_nothing(logged_in, provider):
    hub, person = logged_in
    await provider.revokes("ada")
    old(hub, "ada")
    answer = await person.get("home", allow_redirects=False)
    assert answer.status == 302
    assert "login" in answer.headers["Location"]
    assert hub.groups("ada") == {"everyone", "course"}

    await provider.says("ada", groups=["vision-lab"])
    await log_in_at_the_provider(person, "ada")
    assert hub.groups("ada") == {"everyone", "vision"}


async def test_a_provider_that_cannot_be_reached_changes_nothing(logged_in, provider):
    hub, person = logged_in
    provider.stop()
    old(hub, "ada")
    assert (await person.get("home", allow_redirects=False)).status == 200
    assert hub.groups("ada") == {"everyone", "course"}


async def test_groups_that_the_hub_takes_over_from_the_provider_stand_beside_the_workspaces(
    start_hub, provider, stored_logins
):
    await provider.says("ada", groups=["course", "chess"])
    login = provider.generic(manage_groups=True, auth_state_groups_key="oauth_user.groups", **stored_logins)
    hub = await start_hub(
        {**login, "GPUSpawner": {"workspaces": BY_GROUP}}, authenticator=with_workspaces("generic-oauth")
    )
    person = hub.person()
    await log_in_at_the_provider(person, "ada")
    assert hub.groups("ada") == {"everyone", "course", "chess"}

    await provider.says("ada", groups=["vision-lab", "chess"])
    old(hub, "ada")
    await person.get("home")
    assert hub.groups("ada") == {"everyone", "vision", "vision-lab", "chess"}


async def test_a_hub_that_keeps_no_logins_changes_nothing_until_the_next_one(start_hub, provider):
    await provider.says("ada", groups=["course"])
    hub = await start_hub(
        {**provider.generic(), "GPUSpawner": {"workspaces": BY_GROUP}}, authenticator=with_workspaces("generic-oauth")
    )
    person = hub.person()
    await log_in_at_the_provider(person, "ada")
    await provider.says("ada", groups=["vision-lab"])
    old(hub, "ada")
    await person.get("home", allow_redirects=False)
    assert hub.groups("ada") == {"everyone", "course"}

    await log_in_at_the_provider(hub.person(), "ada")
    assert hub.groups("ada") == {"everyone", "vision"}


async def test_who_loses_a_group_keeps_the_server_and_starts_no_other_there(start_gpu_hub, provider, stored_logins):
    await provider.says("ada", groups=["course"])
    hub = await start_gpu_hub(
        authenticator="generic-oauth", login=provider.generic(**stored_logins), workspaces=BY_GROUP
    )
    person = hub.person()
    await log_in_at_the_provider(person, "ada")
    assert not await launch(hub, "ada", {"profile": "cpu", "workspace": "course"})

    await provider.says("ada", groups=[])
    old(hub, "ada")
    await person.get("home", allow_redirects=False)

    assert hub.user("ada").spawners[""].active
    assert await hub.user("ada").spawners[""].poll() is None
    refused = await launch(hub, "ada", {"profile": "cpu", "workspace": "course"}, server="second")
    assert "course" in refused
    assert not await launch(hub, "ada", {"profile": "cpu", "workspace": "everyone"}, server="third")


async def test_a_launch_asks_the_provider_first(start_gpu_hub, provider, stored_logins):
    await provider.says("ada", groups=["course"])
    hub = await start_gpu_hub(
        authenticator="generic-oauth", login=provider.generic(**stored_logins), workspaces=BY_GROUP
    )
    person = hub.person()
    await log_in_at_the_provider(person, "ada")
    await provider.says("ada", groups=[])
    answer = await person.session.post(
        hub.url / "api/users/ada/server",
        json={"profile": "cpu", "workspace": "course"},
        headers={**person.xsrf_header(), "Sec-Fetch-Mode": "cors"},
    )
    assert answer.status == 400
    assert "course" in (await answer.json())["message"]
    assert hub.groups("ada") == {"everyone"}
    assert not hub.user("ada").spawners[""].active
