"""Workspaces as managers steer them and auditors see them, by pages without JavaScript and by the REST API."""

import asyncio
import csv
import html
import io
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from busy_hub import SECTION, BusyHub, busy_hub
from running_hub import ADMIN_TOKEN, Person

from gpuspawner.ledger.records import AuditFilter, Grant
from gpuspawner.quantity import MICRO

COURSE = {
    **SECTION["workspaces"]["cse151a"],
    "members": ["ada", "eve", "newcomer"],
    "auditors": ["dean"],
    "per_member": {"gpus": 2},
    "exceptions": [{"from": "2020-01-01", "to": "2099-12-31", "quota": {"medium": 6}}],
}
SPACES = {**SECTION["workspaces"], "cse151a": COURSE}
PROFILES = {**SECTION["profiles"], "pytorch": {**SECTION["profiles"]["pytorch"], "extend_to": "12h"}}
GPU = {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "small", "gpus": 1}
PEOPLE = ("ada", "eve", "grace", "prof", "dean", "root")


@pytest.fixture(scope="module")
async def busy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BusyHub]:
    """A hub with a course of two members, whose manager is prof and whose auditor is the dean; ada runs a server."""
    folder: Path = tmp_path_factory.mktemp("workspaces")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        async with busy_hub(folder, workspaces=SPACES, profiles=PROFILES) as hub:
            for name in PEOPLE:
                await hub.hub.login(name, "x")
            await hub.remember("ada", 20)
            await hub.remember("eve", 9)
            await hub.remember("grace", 9, "vision-lab")
            await hub.launch("ada", **GPU)
            yield hub


def token(busy: BusyHub, user: str, **how: Any) -> str:
    found: str = busy.hub.user(user).new_api_token(**how)
    return found


async def ask(busy: BusyHub, who: str, path: str = "", **query: Any) -> tuple[int, Any]:
    """What the API answers somebody; ``path`` is below ``workspaces``."""
    own = ADMIN_TOKEN if who == "service" else token(busy, who)
    async with aiohttp.ClientSession(headers={"Authorization": f"token {own}"}) as session:
        answer = await session.get(f"{busy.hub.url}api/gpuspawner/workspaces{path}", params=query)
        return answer.status, await (answer.json() if "json" in answer.content_type else answer.text())


async def shown(person: Person, path: str = "", **how: Any) -> tuple[int, str]:
    """A page as text, and its status; ``path`` is below ``gpuspawner/workspaces``."""
    answer = await person.session.get(f"{person.hub.url}gpuspawner/workspaces{path}", **how)
    return answer.status, " ".join(html.unescape(await answer.text()).split())


async def submit(person: Person, path: str, **fields: str) -> tuple[int, str]:
    """A form, posted as a browser does; the page that follows."""
    await person.get("home")
    form = {"_xsrf": person.xsrf_header()["X-XSRFToken"], **fields}
    answer = await person.session.post(f"{person.hub.url}gpuspawner/workspaces{path}", data=form)
    return answer.status, " ".join(html.unescape(await answer.text()).split())


async def test_managers_and_auditors_see_their_workspaces_and_members_none(busy: BusyHub) -> None:
    for who in ("prof", "dean"):
        status, found = await ask(busy, who)
        assert (status, [one["name"] for one in found["items"]]) == (200, ["cse151a"])
    _, found = await ask(busy, "root")
    assert {one["name"] for one in found["items"]} == {"everyone", "cse151a", "vision-lab"}
    for path in ("", "/cse151a", "/cse151a/members", "/cse151a/servers"):
        assert (await ask(busy, "ada", path))[0] == 403
    for path in ("/vision-lab", "/vision-lab/members", "/vision-lab/servers", "/none"):
        assert (await ask(busy, "prof", path))[0] == 403
    assert (await ask(busy, "root", "/none"))[0] == 404


async def test_workspaces_come_in_pages(busy: BusyHub) -> None:
    names, after = [], {}
    while True:
        _, found = await ask(busy, "service", "", limit=2, **after)
        names += [one["name"] for one in found["items"]]
        if found["next"] is None:
            break
        after = {"after": found["next"]}
    assert names == ["everyone", "cse151a", "vision-lab"]


async def test_a_workspace_tells_what_it_holds_of_its_quotas_and_what_comes(busy: BusyHub) -> None:
    status, found = await ask(busy, "dean", "/cse151a")
    assert status == 200
    small, medium = found["gpu_classes"]
    assert (found["members"], found["running"], small["held"], small["quota"], medium["quota"]) == (3, 1, 1, 6, 6)
    (exception,) = found["limits"]["exceptions"]
    assert (exception["state"], exception["changes"][0]["value"]) == ("now", "6 GPUs at once")
    assert found["limits"]["quota"][1]["steps"][0]["rule"].endswith("exceptions[0].quota['medium']")
    assert found["budget"]["per_member"] == COURSE["budget"]["per_member"]


async def test_members_are_told_with_their_use_and_whoever_has_not_logged_in(busy: BusyHub) -> None:
    status, found = await ask(busy, "prof", "/cse151a/members")
    by_name = {one["user"]: one for one in found["items"]}
    assert (status, set(by_name)) == (200, {"ada", "eve", "prof", "dean", "newcomer"})
    assert by_name["newcomer"]["last_seen"] is None
    assert by_name["prof"]["roles"] == ["member", "manager"]
    assert by_name["dean"]["roles"] == ["auditor"]
    assert (by_name["ada"]["running"], by_name["dean"]["left"]) == (1, None)


async def test_members_are_sorted_searched_and_in_pages(busy: BusyHub) -> None:
    _, found = await ask(busy, "prof", "/cse151a/members", sort="units", descending="true", limit=1)
    assert [one["user"] for one in found["items"]] in (["ada"], ["eve"])
    assert found["next"] == "1"
    _, found = await ask(busy, "prof", "/cse151a/members", search="E", limit=2)
    assert [one["user"] for one in found["items"]] == ["dean", "eve"]
    for query in ({"sort": "charm"}, {"after": "-1"}, {"after": "ada"}, {"limit": "0"}):
        assert (await ask(busy, "prof", "/cse151a/members", **query))[0] == 400


async def test_members_can_be_had_as_a_file_for_a_spreadsheet(busy: BusyHub) -> None:
    status, text = await ask(busy, "dean", "/cse151a/members", format="csv", limit=1)
    rows = {row["user"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert (status, set(rows)) == (200, {"ada", "eve", "prof", "dean", "newcomer"})
    assert (rows["prof"]["roles"], rows["ada"]["running"]) == ("member manager", "1")


async def test_running_servers_are_told_with_their_ends(busy: BusyHub) -> None:
    status, found = await ask(busy, "dean", "/cse151a/servers")
    (server,) = found["items"]
    assert (status, server["user"], server["state"], server["gpu_class"]) == (200, "ada", "running", "small")
    assert server["extendable_by"] > 0
    assert (await ask(busy, "dean", "/cse151a/servers", state="starting"))[1] == {"items": [], "next": None}


async def test_whoever_reads_one_workspace_is_led_to_it_and_whoever_reads_none_is_told(busy: BusyHub) -> None:
    prof, ada = await busy.hub.login("prof", "x"), await busy.hub.login("ada", "x")
    status, page = await shown(prof)
    assert (status, "<h1" in page, "CSE 151A, Fall 2026" in page) == (200, True, True)
    assert "All workspaces" not in page
    status, page = await shown(ada)
    assert status == 403
    assert "ada manages no workspace." in page
    assert "gpuspawner/workspaces" not in await (await ada.get("home")).text()
    status, page = await shown(await busy.hub.login("root", "x"))
    assert {"Everyone", "CSE 151A, Fall 2026", "Vision Lab"} <= set(re.findall(r'workspaces/[^"]*">([^<]*)</a>', page))


async def test_the_pages_of_a_workspace_tell_members_servers_and_limits(busy: BusyHub) -> None:
    now = busy.launcher.now()
    grant = Grant(
        workspace="cse151a", user="ada", units=MICRO, reason="A demo", by="root", at=now, until=now + timedelta(days=3)
    )
    await busy.launcher.store.grant(grant)
    prof = await busy.hub.login("prof", "x")
    _, page = await shown(prof, "/cse151a")
    assert "1 of 6 in use" in page
    _, page = await shown(prof, "/cse151a/members", params={"sort": "left"})
    assert 'aria-sort="ascending"' in page
    assert "Has not logged in yet" in page
    assert 'href="/hub/gpuspawner/usage?user=ada&workspace=cse151a"' in page
    _, page = await shown(prof, "/cse151a/members", params={"search": "<b>"})
    assert "Nobody of that name" in page
    _, page = await shown(prof, "/cse151a/servers")
    assert "PyTorch on 1 GPU (Small, 16 GB)" in page
    _, page = await shown(prof, "/cse151a/limits")
    assert "<strong>6 GPUs at once</strong>" in page
    assert "<strong>1 SU</strong> to ada" in page


async def test_an_auditor_sees_the_same_and_has_no_buttons_and_posts_are_refused(busy: BusyHub) -> None:
    dean = await busy.hub.login("dean", "x")
    _, page = await shown(dean, "/cse151a/servers")
    assert "You see this workspace as an auditor" in page
    assert 'method="post"' not in page
    for path in ("/cse151a/stop", "/cse151a/extend"):
        status, page = await submit(dean, path, user="ada", server="", by="1h")
        assert (status, "It takes the scope custom:gpuspawner:manage!group=cse151a." in page) == (403, True)
    assert busy.hub.user("ada").running


async def test_a_manager_extends_a_server_and_is_told_why_it_cannot_be_extended_further(busy: BusyHub) -> None:
    prof = await busy.hub.login("prof", "x")
    _, page = await submit(prof, "/cse151a/extend", user="ada", server="", by="3600")
    assert "The server of ada now runs until" in page
    _, page = await submit(prof, "/cse151a/extend", user="ada", server="", by="100h")
    assert "Not extended: You asked for 100 h more" in page
    status, page = await submit(prof, "/cse151a/extend", user="ada", server="", by="soon")
    assert (status, "a duration such as 30m" in page) == (400, True)
    _, page = await submit(prof, "/cse151a/extend", user="nobody", server="")
    assert "does not run any more, so nothing was done" in page


async def test_a_manager_stops_nothing_in_another_workspace_and_not_their_own(busy: BusyHub) -> None:
    prof = await busy.hub.login("prof", "x")
    await busy.launch("grace", workspace="vision-lab", profile="notebook")
    await busy.launch("prof", workspace="cse151a", profile="notebook")
    assert (await submit(prof, "/vision-lab/stop", user="grace", server=""))[0] == 403
    _, page = await submit(prof, "/cse151a/stop", user="grace", server="")
    assert "does not run any more, so nothing was done" in page
    assert busy.hub.user("grace").running
    status, page = await submit(prof, "/cse151a/stop", user="prof", server="")
    assert (status, "It is your own server." in page) == (400, True)


async def test_a_form_without_its_token_does_nothing(busy: BusyHub) -> None:
    prof = await busy.hub.login("prof", "x")
    for path in ("stop", "extend"):
        url = f"{busy.hub.url}gpuspawner/workspaces/cse151a/{path}"
        assert (await prof.session.post(url, data={"user": "ada", "server": ""})).status == 403
    assert busy.hub.user("ada").running


async def test_a_launch_that_waits_is_told_and_called_off_with_a_message(busy: BusyHub) -> None:
    options = {**GPU, "gpu_class": "medium", "gpus": 2}
    for name in names_of(busy, "a100"):
        await busy.cordon(name)
    answer = await busy.hub.api("POST", "users/eve/servers/thesis", json=options)
    assert answer.status == 202
    async with asyncio.timeout(30):
        while not (await ask(busy, "dean", "/cse151a/servers", state="starting"))[1]["items"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    prof = await busy.hub.login("prof", "x")
    _, page = await shown(prof, "/cse151a/servers")
    assert "Call off" in page
    launching = busy.hub.user("eve").spawners["thesis"]._spawn_future
    _, page = await submit(prof, "/cse151a/stop", user="eve", server="thesis", message="Not during the exam.")
    assert "The launch of eve was called off. eve reads your message." in page
    await asyncio.wait({launching})
    assert "prof called the launch off: “Not during the exam.”" in str(launching.exception())
    await busy.launcher.books.quiet()
    entry = (await busy.launcher.store.audit(AuditFilter(action="stop"))).rows[0]
    assert (entry.actor, entry.user, entry.workspace, entry.details["server"]) == ("prof", "eve", "cse151a", "thesis")


async def test_a_manager_stops_a_server_and_its_member_reads_why(busy: BusyHub) -> None:
    prof = await busy.hub.login("prof", "x")
    message = "The exam  begins <b>now</b>."
    _, page = await submit(prof, "/cse151a/stop", user="ada", server="", message=message)
    assert "The server of ada was stopped. ada reads your message." in page
    ada = await busy.hub.login("ada", "x")
    page = await (await ada.get("home")).text()
    assert "prof stopped the server: “The exam begins &lt;b&gt;now&lt;/b&gt;.”" in page
    _, found = await ask(busy, "dean", "/cse151a/servers")
    assert "ada" not in {one["user"] for one in found["items"]}


def names_of(busy: BusyHub, product: str) -> list[str]:
    """The nodes of the engine whose names say so."""
    return [
        one["metadata"]["name"]
        for one in busy.engine.store.list("nodes", None)[0]
        if product in one["metadata"]["name"]
    ]
