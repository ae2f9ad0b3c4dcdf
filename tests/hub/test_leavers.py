"""Whoever leaves a workspace keeps what runs, and cannot start another; a login that is too old is asked for anew."""

from datetime import timedelta
from typing import Any

import pytest
from cluster import section
from jupyterhub.auth import Authenticator
from launching import launch, named, stop
from traitlets.config import Config
from ways_in import PASSWORD

from gpuspawner import configure, with_workspaces
from gpuspawner.authenticator import current_workspaces


class FickleAuthenticator(Authenticator):
    """A login whose groups the test says, and whether a refresh tells them anew."""

    groups: Any = ()
    refreshes = True

    async def authenticate(self, handler: Any, data: Any) -> Any:
        return {"name": data["username"], "auth_state": {"oauth_user": {"sub": "1", "groups": list(self.groups)}}}

    async def refresh_user(self, user: Any, handler: Any = None) -> Any:
        told = {"auth_state": {"oauth_user": {"sub": "1", "groups": list(self.groups)}}}
        return told if self.refreshes else True


COURSE = {"members": [{"claim": "groups", "equals": "course"}], "quota": {"medium": 2}}


async def refresh(hub, person, expected=200):
    hub.user(person.name)._auth_refreshed = None
    assert (await person.get("home", allow_redirects=False)).status == expected


async def test_a_leaver_keeps_the_running_server_and_cannot_start_another(start_gpu_hub, start_hub, engine, tmp_path):
    c = Config({"GPUSpawner": section(engine, tmp_path), "Authenticator": {"allow_all": True}})
    c.GPUSpawner.workspaces = {**c.GPUSpawner.workspaces, "course": COURSE}
    c.JupyterHub.allow_named_servers = True
    c.JupyterHub.cleanup_servers = False
    configure(c)
    hub = await start_hub(c, authenticator=with_workspaces(FickleAuthenticator))
    hub.app.authenticator.groups = ["course"]
    person = await hub.login("eve", PASSWORD)
    options = {"workspace": "course", "profile": "pytorch", "gpu_class": "medium"}
    assert await launch(hub, "eve", options) == ""

    hub.app.authenticator.groups = []
    await refresh(hub, person)
    assert current_workspaces(hub.user("eve")) == {"everyone"}
    assert hub.user("eve").spawner.active
    assert list(named(engine, "pods")) == ["jupyter-eve"]
    assert await hub.user("eve").spawner.poll() is None

    assert "course" in await launch(hub, "eve", options, server="second")
    assert list(named(engine, "pods")) == ["jupyter-eve"]

    await stop(hub, "eve")
    assert "course" in await launch(hub, "eve", options)
    assert not named(engine, "pods")


@pytest.fixture
async def hub(start_hub):
    spawner = {"workspaces": {"course": {"members": COURSE["members"]}}, "longest_login": "12h"}
    config = {"Authenticator": {"allow_all": True}, "GPUSpawner": spawner}
    hub = await start_hub(config, authenticator=with_workspaces(FickleAuthenticator))
    hub.app.authenticator.groups = ["course"]
    return hub


def later(hub, hours):
    then = hub.app.authenticator.workspace_clock() + timedelta(hours=hours)
    hub.app.authenticator.workspace_clock = lambda: then


async def test_a_login_that_is_too_old_is_asked_for_anew_and_then_tells_who_has_left(hub):
    hub.app.authenticator.refreshes = False
    person = await hub.login("eve", PASSWORD)
    hub.app.authenticator.groups = []
    later(hub, 11)
    await refresh(hub, person)
    assert hub.groups("eve") == {"course"}
    later(hub, 1)
    await refresh(hub, person, expected=302)
    assert hub.groups("eve") == {"course"}
    await hub.login("eve", PASSWORD)
    assert hub.groups("eve") == set()
    later(hub, 1)
    await refresh(hub, person)


async def test_a_login_that_the_provider_confirms_does_not_grow_old(hub):
    person = await hub.login("eve", PASSWORD)
    later(hub, 11)
    await refresh(hub, person)
    later(hub, 11)
    await refresh(hub, person)
    assert hub.groups("eve") == {"course"}
