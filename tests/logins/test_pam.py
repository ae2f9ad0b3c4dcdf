"""Logins by PAM: the Unix groups of an account make it a member."""

import asyncio
import os
from collections.abc import Iterator
from secrets import token_hex

import pytest
from ways_in import WayIn, change_accounts, pam_account

from gpuspawner.authenticator import with_workspaces
from gpuspawner.logins.unix_groups import unix_groups

PAM = with_workspaces("pam")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes Unix groups")


@pytest.fixture
def account() -> Iterator[WayIn]:
    """A Unix account, made for the test where root runs it."""
    with pam_account() as way:
        yield way


def workspaces(**rules):
    """The GPUSpawner section with these workspaces, each with one rule."""
    return {"workspaces": {name: {"members": [rule]} for name, rule in rules.items()}}


async def test_unix_groups_make_members(start_hub, account):
    [group, *_] = unix_groups(account.name)
    rules = workspaces(
        lab={"claim": "groups", "equals": group}, other={"claim": "groups", "equals": f"no-{token_hex(4)}"}
    )
    hub = await start_hub(account.config(GPUSpawner=rules), authenticator=PAM)
    await hub.login(account.name, account.password)
    assert hub.groups(account.name) == {"lab"}


@needs_root
async def test_who_joins_or_leaves_a_unix_group_follows_at_the_next_refresh(start_hub, account):
    group = f"lab-{token_hex(4)}"
    await asyncio.to_thread(change_accounts, "groupadd", group)
    try:
        hub = await start_hub(
            account.config(GPUSpawner=workspaces(lab={"claim": "groups", "equals": group})), authenticator=PAM
        )
        person = await hub.login(account.name, account.password)
        assert hub.groups(account.name) == set()
        for change, expected in (("-a", {"lab"}), ("-d", set())):
            await asyncio.to_thread(change_accounts, "gpasswd", change, account.name, group)
            hub.user(account.name)._auth_refreshed = None
            assert (await person.get("home")).status == 200
            assert hub.groups(account.name) == expected
    finally:
        await asyncio.to_thread(change_accounts, "groupdel", group)


@needs_root
async def test_an_account_that_cannot_be_looked_up_keeps_its_workspaces(start_hub, account, monkeypatch):
    """A name service that is away for a while is not somebody who has left."""
    rules = workspaces(lab={"claim": "groups", "equals": account.name})
    hub = await start_hub(account.config(GPUSpawner=rules), authenticator=PAM)
    person = await hub.login(account.name, account.password)
    assert hub.groups(account.name) == {"lab"}
    monkeypatch.setattr("gpuspawner.authenticator.unix_groups", lambda name: None)
    hub.user(account.name)._auth_refreshed = None
    assert (await person.get("home")).status == 200
    assert hub.groups(account.name) == {"lab"}


def test_an_unknown_account_has_no_groups():
    assert unix_groups(f"nobody-{token_hex(8)}") is None
