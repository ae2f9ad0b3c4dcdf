"""Limits by date, the queue, the audit log, capacity over time and the configuration, by the REST API."""

import asyncio
import csv
from datetime import timedelta
from io import StringIO
from typing import Any

import aiohttp
import pytest
from launching import launch
from running_hub import ADMIN_TOKEN, RunningHub
from test_costs_api import ask, launcher_of

READER_TOKEN, LAB_TOKEN = "token-of-an-auditor-of-all", "token-of-a-manager-of-the-lab"
WORKSPACES = {
    "everyone": {"members": "*", "quota": {"small": 2}},
    "lab": {
        "display_name": "The Lab",
        "members": ["ada", "eve"],
        "quota": {"medium": 6, "small": 1},
        "budget": {"per_member": 10, "renews": "never"},
        "exceptions": [{"from": "2030-01-01", "to": "2030-01-05", "quota": {"medium": 9}}],
    },
    "empty": {"members": []},
}
SCOPES = {
    "tests": (ADMIN_TOKEN, ["admin:users", "admin:servers", "tokens"]),
    "reader": (READER_TOKEN, ["custom:gpuspawner:read"]),
    "lab-manager": (LAB_TOKEN, ["custom:gpuspawner:manage!group=lab"]),
}
MEDIUM = {"workspace": "lab", "profile": "pytorch", "gpu_class": "medium"}


@pytest.fixture
async def hub(start_gpu_hub: Any) -> RunningHub:
    """A hub with two medium GPUs, and people who may read all, or steer the lab."""
    hub: RunningHub = await start_gpu_hub(
        workspaces=WORKSPACES,
        hub={
            "services": [{"name": name, "api_token": token} for name, (token, _) in SCOPES.items()],
            "load_roles": [
                {"name": f"of-{name}", "services": [name], "scopes": scopes} for name, (_, scopes) in SCOPES.items()
            ],
            "load_groups": {"lab": {"users": []}},
            "tornado_settings": {"slow_spawn_timeout": 0},
        },
    )
    for name in ("ada", "eve"):
        await hub.login(name, "x")
    return hub


async def waiting(hub: RunningHub, user: str, server: str) -> asyncio.Future[Any]:
    """A launch for which no GPU is free, and what becomes of it."""
    answer = await hub.api("POST", f"users/{user}/servers/{server}", json=MEDIUM)
    assert answer.status == 202
    launcher = launcher_of(hub, user)
    async with asyncio.timeout(30):
        while launcher.outlook(user, server) is None:  # noqa: ASYNC110 - it comes with the cluster's answer
            await asyncio.sleep(0.02)
    future: asyncio.Future[Any] = hub.user(user).spawners[server]._spawn_future
    return future


async def test_limits_are_those_of_the_day_with_the_rule_that_sets_them(hub: RunningHub) -> None:
    for day, most, rule in (
        ("2030-01-03", 9, "c.GPUSpawner.workspaces['lab'].exceptions[0].quota['medium']"),
        ("2030-01-06", 6, "c.GPUSpawner.workspaces['lab'].quota['medium']"),
    ):
        status, found = await ask(hub, "limits", LAB_TOKEN, params={"workspace": "lab", "date": day})
        medium = next(limit for limit in found["limits"] if limit["limit"] == "quota['medium']")
        assert (status, medium["value"], medium["rule"]) == (200, most, rule)
    assert (await ask(hub, "limits", LAB_TOKEN, params={"workspace": "everyone"}))[0] == 403
    status, told = await ask(hub, "limits", READER_TOKEN, params={"workspace": "lob"})
    assert (status, "did you mean 'lab'?" in told["reason"]) == (404, True)


async def test_the_queue_tells_who_waits_and_a_launch_is_called_off_with_a_message(hub: RunningHub) -> None:
    assert await launch(hub, "ada", {**MEDIUM, "gpus": 2}) == ""
    future = await waiting(hub, "eve", "two")
    status, found = await ask(hub, "queue", LAB_TOKEN)
    (line,) = found["launches"]
    assert status == 200
    assert (line["user"], line["server"], line["gpus"], line["waits"]) == ("eve", "two", 1, True)
    assert (line["position"], "All 2 Medium GPUs are taken" in line["why"]) == (1, True)
    assert line["by"] is not None, "ada's server ends"
    assert (await ask(hub, "queue", LAB_TOKEN, params={"workspace": "everyone"}))[0] == 403

    status, _ = await ask_empty(hub, "sessions/eve/two/stop", LAB_TOKEN, {"message": "Maintenance"})
    assert status == 202
    await asyncio.wait({future})
    assert "service:lab-manager called the launch off: “Maintenance”" in str(future.exception())
    assert (await ask(hub, "queue", LAB_TOKEN))[1]["launches"] == []
    (entry,) = (await ask(hub, "audit", LAB_TOKEN, params={"workspace": "lab", "action": "stop"}))[1]["items"]
    assert entry["sentence"] == "The launch of the server “two” was called off: “Maintenance”"


async def ask_empty(hub: RunningHub, path: str, token: str, body: Any) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session,
        session.post(hub.url / "api/gpuspawner" / path, json=body) as answer,
    ):
        return answer.status, await answer.text()


async def test_the_audit_log_is_searched_in_pages_and_as_csv(hub: RunningHub) -> None:
    for number in range(3):
        given = {"workspace": "lab", "user": "ada", "units": 1 + number, "reason": "=cmd()"}
        assert (await ask(hub, "grants", ADMIN_TOKEN, "POST", json=given))[0] == 201
    query = {"action": "grant", "user": "ada", "limit": "2"}
    _, first = await ask(hub, "audit", READER_TOKEN, params=query)
    _, rest = await ask(hub, "audit", READER_TOKEN, params={**query, "after": first["next"]})
    assert [entry["details"]["units"] for entry in (*first["items"], *rest["items"])] == [3, 2, 1]
    assert rest["next"] is None
    assert (await ask(hub, "audit", READER_TOKEN, params={"actor": "nobody"}))[1]["items"] == []
    tomorrow = (launcher_of(hub, "ada").now() + timedelta(days=1)).date().isoformat()
    assert (await ask(hub, "audit", READER_TOKEN, params={**query, "since": tomorrow}))[1]["items"] == []
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"token {READER_TOKEN}"}) as session,
        session.get(hub.url / "api/gpuspawner/audit", params={"format": "csv", "action": "grant"}) as answer,
    ):
        rows = list(csv.DictReader(StringIO(await answer.text())))
    assert [row["sentence"] for row in rows] == ["3 SU: =cmd()", "2 SU: =cmd()", "1 SU: =cmd()"]
    assert (await ask(hub, "audit", LAB_TOKEN))[0] == 403


async def test_capacity_is_noted_when_the_hub_starts(hub: RunningHub) -> None:
    launcher = launcher_of(hub, "ada")
    await launcher.books.quiet()
    status, found = await ask(hub, "capacity", READER_TOKEN, params={"days": "1"})
    assert (status, found["step"]) == (200, 1800)
    assert {one["gpu_class"]: one["slots"][-1]["total"] for one in found["classes"]} == {"small": 2, "medium": 2}
    assert (await ask(hub, "capacity", LAB_TOKEN))[0] == 403


async def test_the_configuration_is_told_as_check_tells_it(hub: RunningHub) -> None:
    status, found = await ask(hub, "configuration", ADMIN_TOKEN)
    assert status == 200
    places = {remark["place"]: remark["words"] for remark in found["remarks"]}
    assert places["c.GPUSpawner.workspaces['empty'].members"] == "Nobody belongs to this workspace"
    assert not any(remark["mistake"] for remark in found["remarks"])
    states = {(one["profile"].split(" (")[0], one["gpu_class"]): one["state"] for one in found["cluster"]["launches"]}
    assert states["pytorch", "medium"] == "free"
    assert found["cluster"]["scope"].startswith("3 nodes")
    assert [table["title"] for table in found["tables"]] == ["Workspaces", "Profiles", "GPU classes"]
    for token in (READER_TOKEN, LAB_TOKEN):
        assert (await ask(hub, "configuration", token))[0] == 403
