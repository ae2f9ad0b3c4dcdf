"""The state of the GPUs by the REST API: hardware, what a login could start, who waits, and the next hours."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from busy_hub import BusyHub, busy_hub
from running_hub import ADMIN_TOKEN

from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.view import View


@pytest.fixture(scope="module")
async def busy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A hub where grace has all medium GPUs, ada two small ones, and the node of the large ones is closed."""
    folder: Path = tmp_path_factory.mktemp("status")
    async with busy_hub(folder) as hub:
        for name in ("ada", "eve", "grace"):
            await hub.hub.login(name, "x")
        await hub.launch("grace", workspace="vision-lab", profile="pytorch", gpu_class="medium", gpus=4, runtime="5h")
        await hub.launch("ada", workspace="cse151a", profile="pytorch", gpu_class="small", gpus=2, runtime="2h")
        await hub.cordon("h100-0")
        yield hub


async def status(busy: BusyHub, token: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
        answer = await session.get(busy.hub.url / "api/gpuspawner/status")
        found: dict[str, Any] = await answer.json()
        return answer.status, found


async def classes(busy: BusyHub, user: str) -> dict[str, dict[str, Any]]:
    code, found = await status(busy, busy.hub.user(user).new_api_token())
    assert code == 200
    return {one["name"]: one for one in found["classes"]}


async def test_gpus_are_told_by_class_and_by_node(busy: BusyHub) -> None:
    _, found = await status(busy, busy.hub.user("ada").new_api_token())
    numbers = {one["name"]: (one["free"], one["used"], one["total"], one["closed"]) for one in found["classes"]}
    assert numbers == {"small": (6, 2, 8, 0), "medium": (0, 4, 4, 0), "large": (0, 0, 2, 2)}
    nodes = {one["node"]: one for one in found["nodes"]}
    assert set(nodes) == {"t4-0", "t4-1", "a100-0", "h100-0"}
    assert (nodes["a100-0"]["used"], nodes["a100-0"]["free"], nodes["a100-0"]["state"]) == (4, 0, "open")
    assert (nodes["h100-0"]["total"], nodes["h100-0"]["free"], nodes["h100-0"]["state"]) == (2, 0, "cordoned")
    assert sum(one["used"] for one in nodes.values()) == 6


async def test_a_login_is_told_what_it_could_start_and_not_only_what_is_free(busy: BusyHub) -> None:
    ada, eve, grace = [await classes(busy, name) for name in ("ada", "eve", "grace")]
    assert ada["medium"]["for_you"]["can"] == "after a wait"
    assert grace["medium"]["for_you"]["can"] == "refused"
    assert grace["medium"]["for_you"]["sentence"] == "Vision Lab holds 4 of its 4 GPUs of this class."
    assert eve["small"]["for_you"]["can"] == "now"
    assert {one["large"]["for_you"]["can"] for one in (ada, eve, grace)} == {"not offered"}


async def test_the_next_hours_follow_from_the_ends_of_servers(busy: BusyHub) -> None:
    found = await classes(busy, "ada")
    for name, hours, free in (("medium", 5, [0, 4]), ("small", 2, [6, 8])):
        ahead = found[name]["ahead"]
        assert [one["free"] for one in ahead] == free
        times = [datetime.fromisoformat(one["at"]) for one in ahead]
        assert timedelta(hours=hours - 0.1) < times[1] - times[0] <= timedelta(hours=hours)


async def test_a_launch_that_waits_is_told_to_all(busy: BusyHub) -> None:
    waits = asyncio.Event()

    def note(pod: PodRecord, gone: bool) -> None:
        if "eve" in pod.name and not pod.node and not gone:
            waits.set()

    stop = busy.launcher.view.on_pod(note)
    options = {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "medium", "runtime": "1h"}
    assert (await busy.hub.api("POST", "users/eve/server", json=options)).status in (201, 202)
    await asyncio.wait_for(waits.wait(), 20)
    stop()
    _, found = await status(busy, busy.hub.user("ada").new_api_token())
    medium = next(one for one in found["classes"] if one["name"] == "medium")
    assert (found["waiting"], medium["waiting"]) == (1, 1)
    assert [one["free"] for one in medium["ahead"]] == [0, 3, 4]
    assert (await busy.hub.api("DELETE", "users/eve/server")).status in (202, 204)


async def test_a_service_sees_the_hardware_and_is_no_member(busy: BusyHub) -> None:
    code, found = await status(busy, ADMIN_TOKEN)
    assert code == 200
    assert {one["for_you"] for one in found["classes"]} == {None}


async def test_a_token_without_the_scope_sees_nothing(busy: BusyHub) -> None:
    code, told = await status(busy, busy.hub.user("ada").new_api_token(scopes=["read:users:name!user"]))
    assert (code, told["code"]) == (403, "forbidden")


async def test_the_page_says_so_where_the_nodes_cannot_be_read(busy: BusyHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "capacity_unknown", property(lambda self: "nodes is forbidden"))
    person = await busy.hub.login("ada", "x")
    page = await person.get("gpuspawner/status")
    text = await page.text()
    assert page.status == 200
    assert "The nodes of the cluster cannot be read" in text
    assert "forbidden" not in text
    _, found = await status(busy, busy.hub.user("ada").new_api_token())
    assert (found["known"], {one["free"] for one in found["classes"]}) == (False, {None})
