"""The REST API tells what is free, at once and as an event stream, to each what concerns them."""

import json
from typing import Any

import aiohttp
import pytest
from event_streams import event, listening
from launching import launch, stop
from running_hub import ADMIN_TOKEN, RunningHub

READER_TOKEN = "token-of-a-display-in-the-lab"


@pytest.fixture
async def hub(start_gpu_hub: Any) -> RunningHub:
    """A hub with two T4 and two A100, of which the lab may hold the latter."""
    hub: RunningHub = await start_gpu_hub(
        hub={
            "services": [
                {"name": "tests", "api_token": ADMIN_TOKEN},
                {"name": "display", "api_token": READER_TOKEN},
            ],
            "load_roles": [
                {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "tokens"]},
                {"name": "display", "services": ["display"], "scopes": ["custom:gpuspawner:read!group=lab"]},
            ],
        }
    )
    for name in ("ada", "bob"):
        assert (await hub.api("POST", f"users/{name}")).status == 201
    await hub.user("ada").spawner.launcher.synced(20)
    return hub


async def told(hub: RunningHub, token: str) -> tuple[int, Any]:
    headers = {"Authorization": f"token {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(hub.url / "api/gpuspawner/availability") as answer,
    ):
        return answer.status, await answer.json()


async def token_of(hub: RunningHub, user: str, *scopes: str) -> str:
    answer = await hub.api("POST", f"users/{user}/tokens", json={"scopes": list(scopes)} if scopes else {})
    return str((await answer.json())["token"])


async def test_a_member_is_told_what_is_free_and_the_quotas_of_their_own_workspaces(hub: RunningHub) -> None:
    status, found = await told(hub, await token_of(hub, "bob"))
    assert status == 200
    assert {name: one["sentence"] for name, one in found["classes"].items()} == {
        "small": "2 of 2 free now",
        "medium": "2 of 2 free now",
    }
    assert set(found["workspaces"]) == {"everyone"}
    everyone = found["workspaces"]["everyone"]
    assert everyone["classes"]["small"] == {
        "held": 0,
        "quota": 2,
        "left": 2,
        "why": "everyone may hold 2 GPUs of this class at once.",
    }
    assert everyone["profiles"] == {}, "all is as with the classes in general"
    _, found = await told(hub, await token_of(hub, "ada"))
    assert set(found["workspaces"]) == {"everyone", "lab"}


async def test_who_may_read_a_workspace_is_told_its_quotas_and_who_may_read_none_is_refused(hub: RunningHub) -> None:
    _, found = await told(hub, READER_TOKEN)
    assert set(found["workspaces"]) == {"lab"}
    for token in (ADMIN_TOKEN.replace("token", "no", 1), await token_of(hub, "bob", "read:users:name!user")):
        status, refusal = await told(hub, token)
        assert status == 403
        assert refusal["reason"]


async def test_a_launch_and_a_stop_are_told_to_everybody_who_listens(hub: RunningHub) -> None:
    ada, bob = await hub.login("ada", "x"), await hub.login("bob", "x")
    async with listening(ada, "availability") as hers, listening(bob, "availability") as his:
        for lines in (hers, his):
            assert json.loads((await event(lines))["data"])["classes"]["small"]["free"] == 2
        assert await launch(hub, "bob", {"profile": "pytorch", "gpu_class": "small", "gpus": 2}) == ""
        for lines in (hers, his):
            news = await until(lines, free=0)
            assert news["classes"]["small"]["sentence"].startswith("all 2 taken, your turn in about 1 h")
            assert news["workspaces"]["everyone"]["classes"]["small"]["held"] == 2
            assert news["workspaces"]["everyone"]["classes"]["small"]["left"] == 0
        await stop(hub, "bob")
        for lines in (hers, his):
            assert (await until(lines, free=2))["workspaces"]["everyone"]["classes"]["small"]["held"] == 0


async def until(lines: Any, free: int) -> Any:
    """The first news in which so many small GPUs are free and the quota agrees."""
    while True:
        news = json.loads((await event(lines))["data"])
        held = news["workspaces"]["everyone"]["classes"]["small"]["held"]
        if news["classes"]["small"]["free"] == free and held == 2 - free:
            return news
