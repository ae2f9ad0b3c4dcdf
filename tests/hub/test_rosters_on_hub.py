"""A registrar's roster and a running hub: who is new on it joins, who is gone leaves, during a session."""

import asyncio
from pathlib import Path

import pytest
from jupyterhub.auth import Authenticator
from ways_in import PASSWORD

from gpuspawner import with_workspaces
from gpuspawner.authenticator import current_workspaces, managed_workspaces
from gpuspawner.membership.log import JUPYTERHUB


class MailAuthenticator(Authenticator):
    """Logs in with an address as the only claim, as many providers do."""

    async def authenticate(self, handler, data):
        name = data["username"]
        return {"name": name, "auth_state": {"oauth_user": {"email": f"{name}@Example.edu"}}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


@pytest.fixture
def start(start_hub, file):
    async def start(content: str | None = None, base: type = MailAuthenticator, **spaces):
        write(file, content)
        course = {"course": {"members": [{"roster": str(file)}]}}
        hub = await start_hub(
            {"Authenticator": {"allow_all": True}, "GPUSpawner": {"workspaces": course | spaces}},
            authenticator=with_workspaces(base),
        )
        hub.changes = []
        hub.app.authenticator.workspace_log.subscribe(hub.changes.append)
        return hub

    return start


def write(file: Path, content: str | None) -> None:
    if content is not None:
        file.write_text(content)


async def reread(hub):
    """What the hub does by itself every few seconds; the second look takes what the first has seen."""
    await hub.app.authenticator.workspace_memberships.reread()
    await hub.app.authenticator.workspace_memberships.reread()


def heard(hub):
    told = [(one.user, one.workspace, one.role.value, one.joined, one.cause) for one in hub.changes]
    hub.changes.clear()
    return sorted(told)


async def test_a_roster_by_user_name_adds_and_removes_during_a_session(start, file):
    hub = await start("user,role\nada,\nprof,manager\ndean,auditor\n")
    for name in ("ada", "bob", "prof", "dean"):
        await hub.login(name, PASSWORD)
    assert {name: hub.groups(name) for name in ("ada", "bob", "prof", "dean")} == {
        "ada": {"course"},
        "bob": set(),
        "prof": {"course", "course:managers"},
        "dean": {"course:auditors"},
    }
    assert managed_workspaces(hub.user("prof")) == {"course"}
    hub.changes.clear()

    write(file, "user,role\nbob,\nprof,member\ndean,auditor\n")
    await reread(hub)
    assert (hub.groups("ada"), hub.groups("bob"), hub.groups("prof")) == (set(), {"course"}, {"course"})
    assert current_workspaces(hub.user("ada")) == set()
    assert current_workspaces(hub.user("bob")) == {"course"}
    assert managed_workspaces(hub.user("prof")) == set()
    assert heard(hub) == [
        ("ada", "course", "member", False, "roster"),
        ("bob", "course", "member", True, "roster"),
        ("prof", "course", "manager", False, "roster"),
    ]


async def test_a_roster_by_address_does_so_too_for_those_who_have_logged_in_since_the_hub_started(start, file):
    hub = await start("email\nADA@example.edu\n")
    await hub.login("ada", PASSWORD)
    await hub.login("bob", PASSWORD)
    assert (hub.groups("ada"), hub.groups("bob")) == ({"course"}, set())
    write(file, "email\nbob@example.edu\n")
    await reread(hub)
    assert (hub.groups("ada"), hub.groups("bob")) == (set(), {"course"})
    assert current_workspaces(hub.user("bob")) == {"course"}


async def test_after_a_restart_an_address_is_unknown_and_the_next_login_tells(start, file):
    hub = await start("email\nada@example.edu\n")
    await hub.login("ada", PASSWORD)
    hub = await start("email\nbob@example.edu\n")
    assert hub.groups("ada") == {"course"}
    assert current_workspaces(hub.user("ada")) == {"course"}
    await hub.login("ada", PASSWORD)
    assert hub.groups("ada") == set()


async def test_a_broken_roster_changes_nothing_also_for_a_hub_that_starts_with_it(start, file):
    hub = await start("user\nada\n")
    await hub.login("ada", PASSWORD)
    write(file, "usr\nbob\n")
    await reread(hub)
    assert hub.groups("ada") == {"course"}

    hub = await start()
    assert hub.app.authenticator.workspace_memberships.rosters.problems
    assert current_workspaces(hub.user("ada")) == {"course"}
    await hub.login("ada", PASSWORD)
    await hub.login("bob", PASSWORD)
    assert (hub.groups("ada"), hub.groups("bob")) == ({"course"}, set())


async def test_a_line_counts_on_its_days_without_another_login(start):
    hub = await start("user,from,to\nada,2026-09-21,2026-12-18\n")
    clock = hub.app.authenticator.workspace_clock().replace(hour=12)

    def it_is(year, month, day):
        hub.app.authenticator.workspace_clock = lambda: clock.replace(year=year, month=month, day=day)

    it_is(2026, 9, 20)
    await hub.login("ada", PASSWORD)
    assert current_workspaces(hub.user("ada")) == set()
    it_is(2026, 9, 21)
    assert current_workspaces(hub.user("ada")) == {"course"}
    it_is(2026, 12, 19)
    assert current_workspaces(hub.user("ada")) == set()


async def test_the_hub_looks_by_itself_and_outlives_an_error(start, file, monkeypatch):
    monkeypatch.setattr("gpuspawner.membership.current.ROSTER_INTERVAL", 0.001)
    hub = await start("user\nada\n")
    await hub.login("bob", PASSWORD)
    joined = asyncio.Event()

    def listen(change):
        joined.set()
        raise RuntimeError("a listener of somebody's")

    authenticator = hub.app.authenticator
    look = authenticator.workspace_memberships.rosters.check
    failures = iter([OSError("the file system is away")])

    async def fails_once():
        for failure in failures:
            raise failure
        return await look()

    monkeypatch.setattr(authenticator.workspace_memberships.rosters, "check", fails_once)
    authenticator.workspace_log.subscribe(listen)
    write(file, "user\nbob\n")
    await asyncio.wait_for(joined.wait(), 10)
    assert hub.groups("bob") == {"course"}


async def test_names_on_a_roster_are_those_of_logins(start):
    hub = await start("user\nADA\n")
    await hub.login("Ada", PASSWORD)
    assert hub.groups("ada") == {"course"}


async def test_a_deleted_user_leaves_and_a_later_one_of_that_name_inherits_no_address(start):
    hub = await start("email\nada@example.edu\n")
    await hub.login("ada", PASSWORD)
    hub.changes.clear()
    assert (await hub.api("DELETE", "users/ada")).status == 204
    assert heard(hub) == [("ada", "course", "member", False, JUPYTERHUB)]
    assert (await hub.api("POST", "users/ada")).status == 201
    assert hub.groups("ada") == set()
    assert current_workspaces(hub.user("ada")) == set()
