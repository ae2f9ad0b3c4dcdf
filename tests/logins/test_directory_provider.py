"""Logins at Canaille, an OpenID Connect provider as institutions run it, with its passwords and groups."""

import pytest
from directory_provider import directory
from identity_provider import words_of
from jupyterhub.utils import random_port

from gpuspawner.authenticator import current_workspaces, with_workspaces

PASSWORD = "correct-horse-battery"


@pytest.fixture
def institution():
    with directory() as running:
        running.has("ada", PASSWORD)
        running.has("grace", PASSWORD)
        running.group("cse151a", "ada")
        running.group("vision-lab", "grace")
        yield running


@pytest.fixture
async def hub(start_hub, institution, stored_logins):
    port = random_port()
    login = institution.knows(f"http://127.0.0.1:{port}")
    return await start_hub(
        {
            **login,
            "OAuthenticator": stored_logins,
            "JupyterHub": {"hub_bind_url": f"http://127.0.0.1:{port}/hub/"},
            "GPUSpawner": {
                "workspaces": {
                    "everyone": {"members": [{"email_domain": "ucsd.edu"}]},
                    "course": {"members": [{"claim": "groups", "equals": "cse151a"}]},
                    "vision": {"members": [{"claim": "groups", "equals": "vision-lab"}]},
                }
            },
        },
        authenticator=with_workspaces("generic-oauth"),
    )


async def test_groups_of_the_directory_become_workspaces(hub, institution):
    for name, own in (("ada", "course"), ("grace", "vision")):
        page = await institution.log_in(hub.person(), name, PASSWORD)
        assert page.status == 200, await words_of(page)
        assert page.url.path == "/hub/home"
        assert current_workspaces(hub.user(name)) == {"everyone", own}


async def test_who_joins_and_leaves_a_group_of_the_directory_joins_and_leaves_at_the_next_refresh(hub, institution):
    person = hub.person()
    await institution.log_in(person, "ada", PASSWORD)
    institution.group("cse151a")
    institution.group("vision-lab", "ada", "grace")
    hub.user("ada")._auth_refreshed = None
    assert (await person.get("home", allow_redirects=False)).status == 200
    assert hub.groups("ada") == {"everyone", "vision"}


async def test_a_wrong_password_lets_nobody_in(hub, institution):
    person = hub.person()
    page = await institution.log_in(person, "ada", "wrong")
    assert str(page.url.origin()) == institution.url
    assert (await person.get("home", allow_redirects=False)).status == 302
