"""Extending a running server from the page, the API and the notebook; a manager's stop; notices as a stream."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from event_streams import event, listening
from launching import from_inside, launch, named
from running_hub import RunningHub
from sitting import HOUR, PATIENCE, Started, gone, lease, page, running, sentences, sessions, start

from gpuspawner.ledger.records import AuditFilter
from gpuspawner.local.engine import Engine
from gpuspawner.sessions.lease import EndError, PlannedEnd
from gpuspawner.sessions.notices import Notice

__all__ = ["start"]


async def token_of(hub: RunningHub, user: str, *scopes: str) -> dict[str, str]:
    answer = await hub.api("POST", f"users/{user}/tokens", json={"scopes": list(scopes)} if scopes else {})
    return {"Authorization": f"token {(await answer.json())['token']}"}


async def ask(hub: RunningHub, headers: dict[str, str], method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
    """A request to the API with a token."""
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, hub.url / "api/gpuspawner" / path, **kwargs) as answer,
    ):
        return answer.status, json.loads(await answer.text() or "null")


async def test_the_home_page_shows_when_a_server_ends_and_extends_it_without_javascript(start: Started) -> None:
    hub, clock = await start()
    ada = await hub.login("ada", "x")
    ends = lease(hub).ends
    shown = await page(ada)
    assert "Long in everyone" in shown
    assert f">{ends:%H:%M}</time>: it may run for 1 h" in shown
    assert 'value="1800"' in shown
    assert "Extend by 3 h (the longest)" in shown
    answer = await ada.session.post(
        hub.url / "gpuspawner/sessions/ada/extend", data={"by": "1800", "_xsrf": ada.xsrf_header()["X-XSRFToken"]}
    )
    assert answer.url == hub.url / "home"
    assert lease(hub).ends == ends + timedelta(minutes=30)
    assert f"now runs until {lease(hub).ends:%H:%M}, 30 min longer." in await page(ada)
    clock.at += timedelta(minutes=11)
    assert "30 min longer." not in await page(ada)


async def test_the_page_says_why_a_server_was_not_extended(start: Started) -> None:
    hub, _ = await start("fixed")
    ada = await hub.login("ada", "x")
    assert "Extend by" not in await page(ada)
    data = {"by": "1h", "_xsrf": ada.xsrf_header()["X-XSRFToken"]}
    answer = await ada.session.post(hub.url / "gpuspawner/sessions/ada/extend", data=data)
    assert "Not extended: Fixed servers cannot be extended while they run." in await answer.text()


@pytest.mark.parametrize(("data", "status"), [({"by": "soon"}, 400), ({"by": "1h", "_xsrf": "stolen"}, 403)])
async def test_a_form_that_was_tampered_with_changes_nothing(start: Started, data: dict[str, str], status: int) -> None:
    hub, _ = await start()
    ada = await hub.login("ada", "x")
    form = {"_xsrf": ada.xsrf_header()["X-XSRFToken"], **data}
    answer = await ada.session.post(hub.url / "gpuspawner/sessions/ada/extend", data=form)
    assert answer.status == status
    assert lease(hub).runtime == HOUR


async def test_nobody_extends_the_server_of_another(start: Started) -> None:
    hub, _ = await start()
    bob = await hub.login("bob", "x")
    form = {"by": "1h", "_xsrf": bob.xsrf_header()["X-XSRFToken"]}
    assert (await bob.session.post(hub.url / "gpuspawner/sessions/ada/extend", data=form)).status == 404
    headers = await token_of(hub, "bob")
    for path in ("sessions/ada/extend", "sessions/ada//extend", "sessions/nobody/extend", "sessions/ada/none/extend"):
        status, told = await ask(hub, headers, "POST", path)
        assert (status, told["code"]) == (403, "forbidden")
    assert (await ask(hub, headers, "GET", "sessions/ada"))[0] == 403
    assert lease(hub).runtime == HOUR


async def test_a_notebook_extends_its_own_server_with_its_own_token(start: Started) -> None:
    hub, _ = await start()
    assert await launch(hub, "ada", {"profile": "long"}, server="thesis") == ""
    status, told = await from_inside(hub, "POST", "sessions/ada/thesis/extend", "thesis", json={"by": "30m"})
    assert (status, told["runtime"], told["extendable_by"]) == (200, HOUR + 1800, 3 * HOUR - 1800)
    status, told = await from_inside(hub, "POST", "sessions/ada/extend")
    assert (status, told["server"], told["runtime"]) == (200, "", 2 * HOUR)
    status, told = await from_inside(hub, "GET", "sessions/ada")
    assert [(one["server"], one["runtime"]) for one in told["sessions"]] == [("", 2 * HOUR), ("thesis", HOUR + 1800)]
    assert told["sessions"][0]["ends_by"][0]["cause"] == "runtime"
    status, told = await from_inside(hub, "POST", "sessions/ada//extend", json={"by": "max"})
    assert (status, told["runtime"], told["extendable_by"]) == (200, 4 * HOUR, 0)
    status, told = await from_inside(hub, "POST", "sessions/ada/extend")
    assert (status, told["code"]) == (403, "not_extended")
    assert told["reason"] == "The server runs for 4 h in all, the longest that Long allows."


@pytest.mark.parametrize("body", ['{"by": "soon"}', '{"by": -1}', '{"until": "1h"}', "[]", '{"by": [1]}'])
async def test_a_body_that_cannot_be_understood_is_refused_with_what_can(start: Started, body: str) -> None:
    hub, _ = await start()
    status, told = await from_inside(hub, "POST", "sessions/ada/extend", data=body)
    assert (status, told["code"]) == (400, "bad_request")
    assert told["remedy"]
    assert lease(hub).runtime == HOUR


async def test_a_server_that_does_not_run_is_not_found(start: Started) -> None:
    hub, _ = await start()
    headers = await token_of(hub, "ada")
    status, told = await ask(hub, headers, "POST", "sessions/ada/thesis/extend")
    assert (status, told["reason"]) == (404, "The server does not run.")


async def test_who_has_left_the_workspace_keeps_the_server_to_its_end_and_no_longer(
    start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, _ = await start()
    monkeypatch.setattr("gpuspawner.web.sessions.current_workspaces", lambda user: frozenset())
    status, told = await from_inside(hub, "POST", "sessions/ada/extend")
    assert status == 403
    assert told["reason"].startswith("You may not use its workspace any more")


MANAGER = [
    {"name": "manager-of-everyone", "scopes": ["custom:gpuspawner:manage!group=everyone"], "groups": ["staff"]},
]


async def a_manager(hub: RunningHub, name: str = "prof") -> dict[str, str]:
    """The token of somebody who manages the workspace everyone."""
    await hub.login(name, "x")
    await hub.api("POST", "groups/staff")
    await hub.api("POST", "groups/staff/users", json={"users": [name]})
    return await token_of(hub, name)


def with_managers() -> dict[str, Any]:
    scopes = {f"custom:gpuspawner:{action}": {"description": action} for action in ("read", "manage", "admin")}
    return {"custom_scopes": scopes, "load_groups": {"staff": {}, "everyone": {}}, "load_roles": [*_TESTS, *MANAGER]}


_TESTS = [
    {
        "name": "tests",
        "services": ["tests"],
        "scopes": ["admin:users", "admin:groups", "admin:servers", "tokens", "shutdown"],
    }
]


async def test_a_manager_stops_a_member_s_server_with_a_message_that_the_next_page_tells(
    start: Started, engine: Engine
) -> None:
    sent: list[Notice] = []
    hub, _ = await start(hub=with_managers(), workspaces={"everyone": {"members": "*"}}, notify_hook=sent.append)
    prof = await a_manager(hub)
    status, told = await ask(hub, prof, "POST", "sessions/ada/stop", json={"message": "The exam begins."})
    assert (status, told) == (204, None)
    await gone(hub, engine)
    shown = await page(await hub.login("ada", "x"))
    assert "prof stopped the server: “The exam begins.”</strong> Ask them before you start it again" in shown
    launcher = hub.app.tornado_settings["gpuspawner_launcher"]
    await launcher.books.quiet()
    (entry,) = (await launcher.store.audit(AuditFilter(action="stop"))).rows
    assert (entry.actor, entry.user, entry.workspace) == ("prof", "ada", "everyone")
    assert entry.details["message"] == "The exam begins."
    await asyncio.gather(*sessions(hub).notices._tasks)
    assert [(notice.user, notice.kind) for notice in sent] == [("ada", "ended")]
    assert (await ask(hub, prof, "POST", "sessions/ada/stop"))[0] == 403


async def test_a_server_that_takes_long_to_stop_is_stopped_in_the_background(
    start: Started, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, _ = await start(hub=with_managers(), workspaces={"everyone": {"members": "*"}})
    prof = await a_manager(hub)
    monkeypatch.setattr("gpuspawner.web.steering._PATIENCE", 0)
    assert (await ask(hub, prof, "POST", "sessions/ada/stop"))[0] == 202
    await gone(hub, engine)
    assert "prof stopped the server." in await page(await hub.login("ada", "x"))


async def test_a_manager_of_another_workspace_stops_nothing(start: Started) -> None:
    hub, _ = await start(
        hub=with_managers(), workspaces={"lab": {"members": ["ada"]}, "everyone": {"members": ["bob"]}}
    )
    prof = await a_manager(hub)
    assert (await ask(hub, prof, "POST", "sessions/ada/stop"))[0] == 403
    assert (await ask(hub, prof, "POST", "sessions/ada/extend"))[0] == 403
    assert running(hub)


async def test_a_manager_extends_a_member_s_server_and_the_member_is_told(start: Started) -> None:
    hub, _ = await start(hub=with_managers(), workspaces={"everyone": {"members": "*"}})
    prof = await a_manager(hub)
    assert (await ask(hub, prof, "POST", "sessions/ada/extend"))[0] == 200
    assert sentences(hub)[0].endswith("1 h longer. prof has extended it.")


async def test_one_s_own_server_is_stopped_as_ever(start: Started, engine: Engine) -> None:
    hub, _ = await start()
    status, told = await ask(hub, await token_of(hub, "ada"), "POST", "sessions/ada/stop")
    assert (status, told["code"]) == (400, "bad_request")
    assert "jupyter-ada" in named(engine, "pods")


async def test_notices_come_as_an_event_stream(start: Started) -> None:
    hub, clock = await start("fixed")
    ada = await hub.login("ada", "x")
    cause = EndError("idle", "Nothing has used it.")
    sessions(hub).plan_end("ada", "", PlannedEnd("idle", clock.at + timedelta(minutes=20), cause, "it is idle"))
    sessions(hub).look()
    async with listening(ada, "notices") as lines:
        first = await event(lines)
        assert json.loads(first["data"])["sentence"].startswith("Your server ends in 20 min")
        sessions(hub).cancel_end("ada", "", "idle")
        sessions(hub).look()
        second = await event(lines)
        assert (second["event"], json.loads(second["data"])) == ("withdrawn", {"id": first["id"]})
        clock.at = lease(hub).ends - timedelta(minutes=4)
        sessions(hub)._look_soon(("ada", ""))
        sessions(hub).look()
        third = await event(lines)
        assert json.loads(third["data"])["level"] == "danger"
    sessions(hub).notices.tell(Notice(kind="budget", user="ada", sentence="75 % are used.", at=clock.at))
    async with listening(ada, "notices", last=third["id"]) as lines:
        assert json.loads((await event(lines))["data"])["sentence"] == "75 % are used."
    await ada.session.close()
    async with asyncio.timeout(PATIENCE):
        while sessions(hub).notices._listeners:  # noqa: ASYNC110 - the hub sees the end of a connection
            await asyncio.sleep(0.01)


async def test_a_notebook_reads_its_notices_with_its_own_token(start: Started) -> None:
    hub, clock = await start()
    clock.at = lease(hub).ends - timedelta(minutes=4)
    sessions(hub)._look_soon(("ada", ""))
    sessions(hub).look()
    status, told = await from_inside(hub, "GET", "notices")
    assert status == 200
    [notice] = told["notices"]
    assert (notice["kind"], notice["level"], notice["data"]["extendable_by"]) == ("ends-soon", "danger", 3 * HOUR)


async def test_a_token_that_may_not_read_about_its_user_gets_no_notices(start: Started) -> None:
    hub, _ = await start()
    status, told = await ask(hub, await token_of(hub, "ada", "read:users:name!user"), "GET", "notices")
    assert (status, told["code"]) == (403, "forbidden")
    status, _ = await ask(hub, {"Authorization": "token none"}, "GET", "notices")
    assert status == 403


async def test_every_page_shows_notices_and_what_they_say_is_escaped(start: Started) -> None:
    hub, clock = await start()
    evil = "<script>alert(1)</script>"
    sessions(hub).notices.tell(Notice(kind="budget", user="ada", sentence=evil, at=clock.at))
    ada = await hub.login("ada", "x")
    for path in ("home", "token"):
        told = await (await ada.get(path)).text()
        assert evil not in told
        assert "&lt;script&gt;alert(1)" in told
    assert "alert(1)" not in await page(await hub.login("bob", "x"))
