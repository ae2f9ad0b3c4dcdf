"""What ends a running server: its runtime where it can be extended, a cause of the hub's; warned before, told after."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from launching import launch, named
from passing_time import PassingTime
from running_hub import RunningHub
from sitting import (
    HOUR,
    PROFILES,
    Clock,
    Started,
    annotations,
    gone,
    lease,
    page,
    running,
    sentences,
    sessions,
    start,
    until,
)

from gpuspawner.cluster.client import UnreachableError
from gpuspawner.local.engine import Engine
from gpuspawner.sessions.lease import EndError, ExtensionError, Lease, PlannedEnd
from gpuspawner.sessions.notices import Notice
from gpuspawner.sessions.stopping import stop_server

__all__ = ["start"]


async def test_a_server_that_can_be_extended_is_ended_by_the_hub_and_one_that_cannot_by_kubernetes(
    start: Started, engine: Engine
) -> None:
    hub, clock = await start()
    await launch(hub, "ada", {"profile": "fixed"}, server="fixed")
    deadlines = {name: pod["spec"]["activeDeadlineSeconds"] for name, pod in named(engine, "pods").items()}
    assert deadlines == {"jupyter-ada": 4 * HOUR, "jupyter-ada--fixed": HOUR}
    clock.at = lease(hub).ends
    sessions(hub).look()
    await gone(hub, engine)
    assert "jupyter-ada--fixed" in named(engine, "pods")
    told = await page(await hub.login("ada", "x"))
    assert "Your server ended" in told
    assert "The server reached its runtime limit of 1 h." in told
    assert "Start it again; your files are kept." in told


async def test_a_member_is_warned_twice_before_the_end_and_the_hook_once_each_time(
    start: Started, engine: Engine
) -> None:
    sent: list[Notice] = []
    hub, clock = await start(notify_hook=sent.append)
    ends = lease(hub).ends
    for minutes, told in ((40, 0), (30, 1), (20, 1), (5, 2), (4, 2)):
        clock.at = ends - timedelta(minutes=minutes)
        sessions(hub).look()
        await until(lambda: len(sessions(hub)._tasks) == 1)
        await asyncio.gather(*sessions(hub).notices._tasks)
        assert len(sent) == told
    first, last = sent
    assert first.sentence.startswith(f"Your server ends in 30 min, at {ends:%H:%M}: it may run for 1 h. Extend it")
    assert last.sentence.startswith("Your server ends in 5 min")
    assert (first.level, last.level) == ("warning", "danger")
    assert last.data["cause"] == "runtime"
    assert sentences(hub) == [last.sentence]
    assert annotations(engine)["gpuspawner/warned-runtime"] == f"{ends.isoformat()} 300"


async def test_a_hub_that_restarts_neither_forgets_an_end_nor_repeats_a_warning(
    start: Started, engine: Engine, start_gpu_hub: Any
) -> None:
    sent: list[Notice] = []
    hub, clock = await start(notify_hook=sent.append)
    clock.at = lease(hub).ends - timedelta(minutes=30)
    sessions(hub).look()
    await until(lambda: "gpuspawner/warned-runtime" in annotations(engine) and len(sent) == 1)
    extended = await sessions(hub).extend("ada", "", HOUR)
    clock.at = extended.ends - timedelta(minutes=30)
    sessions(hub).look()
    await until(lambda: len(sent) == 2)
    await until(lambda: annotations(engine)["gpuspawner/warned-runtime"].startswith(extended.ends.isoformat()))

    hub = await start_gpu_hub(profiles=PROFILES, notify_hook=sent.append)
    await until(lambda: sessions(hub).lease("ada", "") is not None and hub.user("ada").spawners[""].ready)
    assert lease(hub).ends == extended.ends
    clock = Clock(hub, extended.ends - timedelta(minutes=29))
    sessions(hub)._look_soon(("ada", ""))
    sessions(hub).look()
    assert sentences(hub)[0].startswith("Your server ends in 29 min")
    assert len(sent) == 2
    clock.at = extended.ends
    sessions(hub).look()
    await gone(hub, engine)
    assert "runtime limit of 2 h" in await page(await hub.login("ada", "x"))


async def test_an_end_that_came_while_the_hub_was_down_is_made_up_for(
    start: Started, engine: Engine, start_gpu_hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, _ = await start()
    monkeypatch.setattr("gpuspawner.launcher.Launcher.now", lambda self: datetime.now(UTC) + timedelta(hours=2))
    hub = await start_gpu_hub(profiles=PROFILES)
    await gone(hub, engine)
    assert "runtime limit of 1 h" in await page(await hub.login("ada", "x"))


async def test_a_hub_that_is_not_up_yet_stops_nothing(start: Started, engine: Engine) -> None:
    """It would end itself, with a server being stopped when it looks at its proxy for the first time."""
    hub, _ = await start()
    up, hub.app._start_future = hub.app._start_future, asyncio.Future()
    cause = EndError("idle", "Nothing used the GPU.", "Start it again.")
    assert not await stop_server(hub.app.tornado_settings, "ada", "", cause)
    assert hub.user("ada").spawners[""].ready
    hub.app._start_future = up
    assert await stop_server(hub.app.tornado_settings, "ada", "", cause)
    await gone(hub, engine)


async def test_an_end_that_a_hub_had_begun_is_finished_by_the_next_one(
    start: Started, engine: Engine, start_gpu_hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, _ = await start()

    async def killed(*_: Any) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(sessions(hub), "_stop", killed)
        assert not await sessions(hub).end("ada", "", EndError("idle", "Nothing used the GPU.", "Start it again."))
    assert "Nothing used the GPU." in annotations(engine)["gpuspawner/ended-by"]
    hub = await start_gpu_hub(profiles=PROFILES)
    await gone(hub, engine)
    assert "Nothing used the GPU." in await page(await hub.login("ada", "x"))


async def test_a_cause_is_told_also_where_the_pod_goes_before_the_hub_has_stopped_it(
    start: Started, engine: Engine
) -> None:
    hub, _ = await start()
    cause = EndError("idle", "Nothing used the GPU.")

    async def deleted(*_: Any) -> bool:
        engine.store.delete("pods", "default", "jupyter-ada")
        return False

    sessions(hub)._stop = deleted
    await sessions(hub).end("ada", "", cause)
    await gone(hub, engine)
    assert "Nothing used the GPU." in await page(await hub.login("ada", "x"))


async def test_an_extension_moves_the_end_and_is_kept_with_the_pod(start: Started, engine: Engine) -> None:
    hub, clock = await start()
    began = lease(hub).started
    clock.at = lease(hub).ends - timedelta(minutes=4)
    sessions(hub).look()
    assert len(sentences(hub)) == 1
    extended = await sessions(hub).extend("ada", "", 2 * HOUR)
    assert extended.ends == lease(hub).ends == began + timedelta(hours=3)
    assert datetime.fromisoformat(annotations(engine)["gpuspawner/ends"]) == extended.ends
    sessions(hub).look()
    assert sentences(hub) == [f"Your server now runs until {extended.ends:%H:%M}, 2 h longer."]
    clock.at = began + timedelta(hours=1)
    sessions(hub).look()
    assert running(hub)
    with pytest.raises(ExtensionError, match="Ask for at most 1 h"):
        await sessions(hub).extend("ada", "", 2 * HOUR)


async def test_the_limit_of_the_workspace_holds_for_extensions_too(start: Started, engine: Engine) -> None:
    spaces = {"everyone": {"display_name": "Everyone", "members": "*", "per_launch": {"runtime": "90m"}}}
    hub, _ = await start(workspaces=spaces)
    with pytest.raises(ExtensionError, match=r"Everyone allows 1 h 30 min in all, of which 30 min are left"):
        await sessions(hub).extend("ada", "", HOUR)
    await sessions(hub).extend("ada", "", 1800)
    assert lease(hub).runtime == 90 * 60


async def test_two_extensions_at_once_do_not_give_more_than_is_left(start: Started) -> None:
    hub, _ = await start()
    asked = [sessions(hub).extend("ada", "", 2 * HOUR) for _ in range(3)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, Lease) for answer in answers) == 1
    assert lease(hub).runtime == 3 * HOUR


async def test_an_extension_that_kubernetes_does_not_take_changes_nothing(
    start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, _ = await start()

    async def away(*_: Any, **__: Any) -> Any:
        raise UnreachableError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(sessions(hub)._client, "patch", away)
        with pytest.raises(ExtensionError, match="Kubernetes did not take it"):
            await sessions(hub).extend("ada", "", HOUR)
    assert lease(hub).runtime == HOUR


async def test_what_does_not_run_cannot_be_extended(start: Started) -> None:
    hub, _ = await start("fixed")
    with pytest.raises(ExtensionError, match="Fixed servers cannot be extended"):
        await sessions(hub).extend("ada", "", HOUR)
    with pytest.raises(ExtensionError, match="does not run"):
        await sessions(hub).extend("bob", "", HOUR)


async def test_another_end_may_come_before_that_of_the_runtime(start: Started, engine: Engine) -> None:
    sent: list[Notice] = []
    hub, clock = await start("fixed", notify_hook=sent.append)
    soon = clock.at + timedelta(minutes=20)
    cause = EndError("idle", "Nothing has used it for 30 min.", "Start it again.")
    sessions(hub).plan_end("ada", "", PlannedEnd("idle", soon, cause, "nothing uses it", "Use it, and it stays."))
    clock.at += timedelta(minutes=1)
    sessions(hub).look()
    [told] = sentences(hub)
    assert told == f"Your server ends in 19 min, at {soon:%H:%M}: nothing uses it. Use it, and it stays."
    sessions(hub).cancel_end("ada", "", "idle")
    sessions(hub).look()
    assert sentences(hub) == []
    sessions(hub).plan_end("ada", "", PlannedEnd("idle", soon, cause, "nothing uses it"))
    clock.at = soon
    sessions(hub).look()
    await gone(hub, engine)
    await until(lambda: [notice.kind for notice in sent] == ["ends-soon", "ended"])
    assert "Nothing has used it for 30 min. Start it again." in sent[-1].sentence


async def test_a_server_that_starts_is_ended_once_it_can_be(start: Started, engine: Engine) -> None:
    hub, clock = await start()
    spawner = hub.user("ada").spawners[""]
    spawner._check_pending = True
    assert not await sessions(hub).end("ada", "", EndError("idle", "Nothing used it."))
    assert running(hub)
    spawner._check_pending = False
    clock.at += timedelta(seconds=11)
    sessions(hub).look()
    await gone(hub, engine)


async def test_a_clock_that_is_set_back_does_not_put_off_the_next_try(start: Started, engine: Engine) -> None:
    hub, clock = await start()
    spawner = hub.user("ada").spawners[""]
    spawner._check_pending = True
    assert not await sessions(hub).end("ada", "", EndError("idle", "Nothing used it."))
    spawner._check_pending = False
    clock.at -= timedelta(hours=1)
    sessions(hub)._look_soon(("ada", ""))
    sessions(hub).look()
    await gone(hub, engine)


async def test_a_proxy_that_does_not_answer_keeps_no_server_alive(
    start: Started, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, _ = await start()

    async def away(*_: Any) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(hub.app.proxy, "delete_user", away)
    assert await sessions(hub).end("ada", "", EndError("idle", "Nothing used it."))
    assert "jupyter-ada" not in named(engine, "pods")


async def test_warnings_and_ends_come_by_themselves_also_where_the_clock_is_set_forward(
    start: Started, engine: Engine
) -> None:
    sent: list[Notice] = []
    hub, clock = await start(notify_hook=sent.append)
    began = clock.at
    time = PassingTime(asyncio.get_running_loop())
    hub.app.tornado_settings["gpuspawner_launcher"]._clock = lambda: began + timedelta(seconds=time.passed)
    sessions(hub)._look_soon(("ada", ""))
    await time.pass_(29.5 * 60, step=20)
    assert sent == []
    await time.pass_until(lambda: len(sent) == 1, within=90)
    ahead = timedelta(minutes=27)
    hub.app.tornado_settings["gpuspawner_launcher"]._clock = lambda: began + timedelta(seconds=time.passed) + ahead
    await time.pass_until(lambda: len(sent) == 2, within=65)
    assert sent[-1].level == "danger"
    await time.pass_until(lambda: not running(hub), within=5 * 60)
    assert "jupyter-ada" not in named(engine, "pods")


async def test_the_runtime_counts_from_the_pod_s_start_in_the_hub_s_own_time_zone(start: Started) -> None:
    hub, clock = await start(timezone="America/Los_Angeles")
    clock.at = (lease(hub).ends - timedelta(minutes=5)).astimezone(hub.user("ada").spawners[""].settings.timezone)
    sessions(hub).look()
    local = lease(hub).ends.astimezone(clock.at.tzinfo)
    assert f"at {local:%H:%M}:" in sentences(hub)[0]
    assert local.utcoffset() != UTC.utcoffset(None)


STOPS = {"lab": {"display_name": "The Lab", "members": [{"claim": "groups", "equals": "lab"}], "leavers": "stop"}}


async def leave(hub: RunningHub) -> None:
    assert (await hub.api("DELETE", "groups/lab/users", json={"users": ["ada"]})).status == 200


async def join(hub: RunningHub) -> None:
    assert (await hub.api("POST", "groups/lab/users", json={"users": ["ada"]})).status == 200


@pytest.fixture
async def in_lab(start_gpu_hub: Any) -> Callable[..., Any]:
    """A hub on which ada, a member of the lab by her group, runs a server there."""

    async def started(**changes: Any) -> tuple[RunningHub, Clock]:
        hub = await start_gpu_hub(profiles=PROFILES, **changes)
        await hub.login("ada", "x")
        await hub.api("POST", "groups/lab")
        await join(hub)
        assert await launch(hub, "ada", {"profile": "long", "workspace": "lab"}) == ""
        return hub, Clock(hub, lease(hub).started)

    return started


async def test_who_leaves_a_workspace_that_stops_leavers_is_warned_and_has_five_minutes(
    in_lab: Any, engine: Engine
) -> None:
    hub, clock = await in_lab(workspaces=STOPS)
    await leave(hub)
    await until(lambda: sentences(hub))
    at = clock.at + timedelta(minutes=5)
    assert sentences(hub) == [
        f"Your server ends in 5 min, at {at:%H:%M}: you do not belong to The Lab any more. Save your work."
    ]
    clock.at = at
    sessions(hub).look()
    await gone(hub, engine)
    assert "You do not belong to The Lab any more, where the server ran." in await page(await hub.login("ada", "x"))


async def test_who_comes_back_in_time_keeps_the_server(in_lab: Any) -> None:
    hub, _ = await in_lab(workspaces=STOPS)
    await leave(hub)
    await until(lambda: sentences(hub))
    await join(hub)
    await until(lambda: not sentences(hub))
    assert [end.kind for end in sessions(hub).ends(lease(hub))] == ["runtime"]


async def test_who_left_while_the_hub_was_down_is_found_by_the_next_hub(in_lab: Any, start_gpu_hub: Any) -> None:
    hub, _ = await in_lab(workspaces=STOPS)
    hub = await start_gpu_hub(profiles=PROFILES, workspaces={"lab": {**STOPS["lab"], "members": ["bob"]}})
    await until(lambda: sessions(hub).lease("ada", "") is not None and sentences(hub))
    assert "you do not belong to The Lab any more" in sentences(hub)[0]


async def test_who_leaves_any_other_workspace_keeps_the_server_to_its_end(in_lab: Any) -> None:
    hub, _ = await in_lab(workspaces={"lab": {**STOPS["lab"], "leavers": "keep"}})
    await leave(hub)
    sessions(hub).look()
    assert sentences(hub) == []
    assert running(hub)
    answer = await hub.api("POST", "gpuspawner/sessions/ada/extend")
    assert (answer.status, (await answer.json())["code"]) == (403, "not_extended")
