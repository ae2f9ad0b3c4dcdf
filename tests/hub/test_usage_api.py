"""What was used, and every session, by the REST API: to oneself, and to those who may read the workspace."""

import csv
import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from busy_hub import BusyHub, busy_hub
from running_hub import ADMIN_TOKEN


@pytest.fixture(scope="module")
async def busy(tmp_path_factory: pytest.TempPathFactory, monkeypatch_module: pytest.MonkeyPatch) -> Any:
    """A hub with a month of sessions of ada in the course, and of some days of eve there and of ada in the lab."""
    folder: Path = tmp_path_factory.mktemp("busy")
    monkeypatch_module.chdir(folder)
    async with busy_hub(folder) as hub:
        for name in ("ada", "eve", "prof", "root"):
            await hub.hub.login(name, "x")
        await hub.remember("ada", 30)
        await hub.remember("ada", 12, "vision-lab")
        await hub.remember("eve", 8)
        yield hub


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


async def ask(busy: BusyHub, path: str, token: str, **query: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
        answer = await session.get(busy.hub.url / "api/gpuspawner" / path, params=query)
        return answer.status, await (answer.json() if "json" in answer.content_type else answer.text())


def token(busy: BusyHub, user: str, **how: Any) -> str:
    found: str = busy.hub.user(user).new_api_token(**how)
    return found


async def test_a_member_sees_what_they_used_and_what_is_left(busy: BusyHub) -> None:
    status, found = await ask(busy, "usage", token(busy, "ada"), days=14)
    assert status == 200
    assert [space["workspace"] for space in found["workspaces"]] == ["everyone", "cse151a", "vision-lab"]
    use = found["use"]
    assert len(use["by_day"]) == 14
    assert [one["gpu_class"] for one in use["by_class"]] == ["small", "medium", None]
    for amount in ("sessions", "seconds", "gpu_seconds", "units"):
        days = sum(one[amount] for day in use["by_day"] for one in day["by_class"])
        assert days == pytest.approx(use["total"][amount])
        assert sum(one[amount] for one in use["by_class"]) == pytest.approx(use["total"][amount])
    assert use["total"]["units"] > 0


async def test_the_use_of_a_day_is_that_of_its_sessions(busy: BusyHub) -> None:
    mine = token(busy, "ada")
    _, found = await ask(busy, "usage", mine, days=10)
    day = next(day for day in found["use"]["by_day"] if day["by_class"])
    _, sessions = await ask(busy, "usage/sessions", mine, since=day["day"], until=day["day"])
    assert sum(one["units"] for one in sessions["items"]) == pytest.approx(sum(one["units"] for one in day["by_class"]))
    assert len(sessions["items"]) == sum(one["sessions"] for one in day["by_class"])


async def test_sessions_come_in_pages_and_each_but_once(busy: BusyHub) -> None:
    mine = token(busy, "ada")
    _, whole = await ask(busy, "usage/sessions", mine, limit=1000)
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        status, page = await ask(busy, "usage/sessions", mine, limit=7, **after)
        assert status == 200
        found += page["items"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert found == whole["items"]
    assert [one["opened"] for one in found] == sorted((one["opened"] for one in found), reverse=True)
    assert {one["user"] for one in found} == {"ada"}


async def test_sessions_can_be_had_as_a_file_for_a_spreadsheet(busy: BusyHub) -> None:
    mine = token(busy, "ada")
    _, whole = await ask(busy, "usage/sessions", mine, limit=1000, gpu_class="medium")
    status, text = await ask(busy, "usage/sessions", mine, limit=1, gpu_class="medium", format="csv")
    assert status == 200
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["id"] for row in rows] == [one["id"] for one in whole["items"]]
    assert {row["gpu_class"] for row in rows} == {"medium"}


async def test_a_manager_sees_the_members_of_their_workspace_there_and_nowhere_else(busy: BusyHub) -> None:
    prof = token(busy, "prof")
    status, found = await ask(busy, "usage", prof, user="ada", workspace="cse151a")
    assert (status, [space["workspace"] for space in found["workspaces"]]) == (200, ["cse151a"])
    status, found = await ask(busy, "usage/sessions", prof, workspace="cse151a", limit=1000)
    assert (status, {one["user"] for one in found["items"]}) == (200, {"ada", "eve"})
    assert {one["workspace"] for one in found["items"]} == {"cse151a"}
    for path in ("usage", "usage/sessions"):
        status, told = await ask(busy, path, prof, user="ada")
        assert (status, told["remedy"][:33]) == (403, "Name a workspace that you may rea")
        assert (await ask(busy, path, prof, user="ada", workspace="vision-lab"))[0] == 403
    assert (await ask(busy, "usage/sessions", prof, workspace="vision-lab"))[0] == 403


async def test_a_member_does_not_see_what_others_used(busy: BusyHub) -> None:
    ada = token(busy, "ada")
    for query in ({"user": "eve"}, {"user": "eve", "workspace": "cse151a"}, {"user": "nobody", "workspace": "cse151a"}):
        assert (await ask(busy, "usage", ada, **query))[0] == 403
        assert (await ask(busy, "usage/sessions", ada, **query))[0] == 403
    assert (await ask(busy, "usage/sessions", ada, workspace="cse151a"))[0] == 403


async def test_a_token_without_the_scope_sees_nothing(busy: BusyHub) -> None:
    poor = token(busy, "ada", scopes=["read:users:name!user"])
    for path in ("usage", "usage/sessions"):
        assert (await ask(busy, path, poor))[0] == 403


async def test_an_administrator_sees_all(busy: BusyHub) -> None:
    status, found = await ask(busy, "usage/sessions", ADMIN_TOKEN, limit=1000)
    assert (status, {one["user"] for one in found["items"]}) == (200, {"ada", "eve"})
    status, found = await ask(busy, "usage", token(busy, "root"), user="eve")
    assert (status, found["user"]) == (200, "eve")
    assert (await ask(busy, "usage", ADMIN_TOKEN, user="nobody"))[0] == 404
    assert (await ask(busy, "usage", ADMIN_TOKEN))[1]["remedy"] == "Name a member: ?user=NAME."


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("usage", {"days": "0"}),
        ("usage", {"days": "many"}),
        ("usage", {"day": "3"}),
        ("usage/sessions", {"after": "nowhere"}),
        ("usage/sessions", {"since": "yesterday"}),
        ("usage/sessions", {"limit": "0"}),
        ("usage/sessions", {"format": "xlsx"}),
    ],
)
async def test_what_cannot_be_understood_is_refused_with_what_can(busy: BusyHub, path: str, query: Any) -> None:
    status, told = await ask(busy, path, token(busy, "ada"), **query)
    assert (status, told["code"]) == (400, "bad_request")


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_days_before_and_after_all_times_bound_nothing(busy: BusyHub, day: str) -> None:
    status, _ = await ask(busy, "usage/sessions", token(busy, "ada"), since=day, until=day)
    assert status == 200
