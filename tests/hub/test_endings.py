"""A server that died, or a launch that failed while nobody looked, is told with its cause on the next page."""

import asyncio
import html
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from running_hub import Person, RunningHub
from test_spawner import launch, settled, stop

from gpuspawner import spawner as spawner_module
from gpuspawner.cluster.failures import PodError
from gpuspawner.ending import Ending
from gpuspawner.launcher import Launcher
from gpuspawner.local.engine import Engine
from gpuspawner.web.endings import announcements, endings_html

PATIENCE = 20


async def page(person: Person, path: str) -> str:
    answer = await person.get(path)
    assert answer.status in (200, 424, 503), await answer.text()
    return " ".join(html.unescape(await answer.text()).split())


async def died(hub: RunningHub, user: str, server: str, happens: Callable[[], Any]) -> None:
    """Have something end a server, and wait until JupyterHub knows."""
    spawner = hub.user(user).spawners[server]
    told = asyncio.Event()
    spawner.add_poll_callback(told.set)
    happens()
    await asyncio.wait_for(told.wait(), PATIENCE)
    await settled(hub)


def set_status(engine: Engine, name: str, **status: Any) -> None:
    pod = engine.store.get("pods", "default", name)
    engine.store.update_status("pods", "default", name, {**pod["status"], **status})


def killed(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    terminated = {"exitCode": code, "reason": reason, "message": message}
    return {"phase": "Failed", "containerStatuses": [{"name": "notebook", "state": {"terminated": terminated}}]}


CAUSES: list[tuple[dict[str, Any], str]] = [
    (killed(137, "OOMKilled"), "The server used more memory than its 2 GB and was ended."),
    (killed(1, message="Traceback\nRuntimeError: CUDA error: device-side assert"), "CUDA error: device-side assert"),
    ({"phase": "Failed", "reason": "DeadlineExceeded"}, "The server reached its runtime limit."),
    (
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage. "},
        "ran short of ephemeral-storage and ended the server (evicted).",
    ),
    (
        {"phase": "Failed", "reason": "Terminated", "message": "imminent node shutdown"},
        "was lost, and the server on it",
    ),
    ({"phase": "Failed", "reason": "Preempting", "message": "Preempted in order to admit critical pod"}, "preempted"),
]


@pytest.mark.parametrize(("status", "said"), CAUSES, ids=[said[:30] for _, said in CAUSES])
async def test_the_next_page_of_whatever_kind_says_why_a_server_ended(
    start_gpu_hub: Any, engine: Engine, status: dict[str, Any], said: str
) -> None:
    hub = await start_gpu_hub()
    ada, bob = await hub.login("ada", "x"), await hub.login("bob", "x")
    await launch(hub, "ada", {"profile": "cpu"})
    await died(hub, "ada", "", lambda: set_status(engine, "jupyter-ada", **status))
    for path in ("home", "spawn/ada", "token"):
        told = await page(ada, path)
        assert "Your server ended" in told
        assert said in told
    assert "Your server ended" not in await page(bob, "home")


async def test_it_is_told_until_the_server_is_started_again(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub()
    ada = await hub.login("ada", "x")
    await launch(hub, "ada", {"profile": "cpu"}, server="thesis")
    await died(hub, "ada", "thesis", lambda: engine.store.delete("pods", "default", "jupyter-ada--thesis"))
    assert "Your server thesis ended" in await page(ada, "home")
    assert "deleted from outside the hub" in await page(ada, "home")
    await settled(hub)
    hub = await start_gpu_hub()
    ada = await hub.login("ada", "x")
    assert "Your server thesis ended" in await page(ada, "home")
    await launch(hub, "ada", {"profile": "cpu"}, server="thesis")
    assert "ended" not in await page(ada, "home")
    await stop(hub, "ada", "thesis")
    assert "ended" not in await page(ada, "home")


async def test_a_server_that_was_stopped_did_not_end_by_itself(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub()
    ada = await hub.login("ada", "x")
    await launch(hub, "ada", {"profile": "cpu"})
    await stop(hub, "ada")
    assert "data-gs-ending" not in await page(ada, "home")
    assert not Ending.from_state(hub.user("ada").orm_user.orm_spawners[""].state)


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (lambda engine: set_status(engine, "jupyter-ada", **killed(137, "OOMKilled")), "used more memory"),
        (lambda engine: engine.store.delete("pods", "default", "jupyter-ada", grace_seconds=0), "hub was not running"),
    ],
)
async def test_a_server_that_died_while_the_hub_was_down_is_told_of_as_well(
    start_gpu_hub: Any, engine: Engine, happens: Callable[[Engine], Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    await launch(hub, "ada", {"profile": "cpu"})
    stop_hub = RunningHub.stop

    async def stopped(self: RunningHub) -> None:
        await stop_hub(self)
        happens(engine)

    with monkeypatch.context() as patch:
        patch.setattr(RunningHub, "stop", stopped)
        hub = await start_gpu_hub()
    await settled(hub)
    told = await page(await hub.login("ada", "x"), "home")
    assert "Your server ended" in told
    assert said in told


async def test_a_launch_that_failed_after_a_long_wait_is_told_when_its_member_comes_back(
    start_gpu_hub: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawner_module, "_WATCHED", 0.0)
    hub = await start_gpu_hub()
    ada = await hub.login("ada", "x")
    await launch(hub, "ada", {"profile": "crash"})
    told = await page(ada, "home")
    assert "Your server did not start" in told
    assert "exit code 3" in told


async def test_a_site_s_own_announcements_stay(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub(
        hub={"template_vars": {"announcement": "Exams!", "announcement_home": lambda user: "Hi."}}
    )
    ada = await hub.login("ada", "x")
    assert "Exams!" in await page(ada, "token")
    assert "Hi." in await page(ada, "home")
    await launch(hub, "ada", {"profile": "cpu"})
    await died(hub, "ada", "", lambda: set_status(engine, "jupyter-ada", **killed(137, "OOMKilled")))
    for path, theirs in (("token", "Exams!"), ("home", "Hi.")):
        told = await page(ada, path)
        assert theirs in told
        assert "used more memory" in told


class Stored:
    def __init__(self, state: Any) -> None:
        self.state = state


class Member:
    """A JupyterHub user with one server of a given state."""

    def __init__(self, state: Any) -> None:
        self.orm_user = type("ORM", (), {"orm_spawners": {"": Stored(state)}})()
        self.spawners: dict[str, Any] = {}


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_what_the_server_has_printed_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    ending = Ending.of(PodError(evil, evil, evil), NOW, ran=True)
    told = endings_html(Member(ending.state()), NOW)
    assert "<script" not in told
    assert told.count("&lt;script&gt;") == 3


def test_an_ending_is_told_for_a_week() -> None:
    state = Ending.of(PodError("It ended."), NOW, ran=True).state()
    assert "Saturday 21 November, 12:00" in endings_html(Member(state), NOW + timedelta(days=6))
    assert endings_html(Member(state), NOW + timedelta(days=8)) == ""


@pytest.mark.parametrize("state", [None, {}, [], "x", {"ended": None}, {"ended": {"at": "yesterday"}}, {"ended": []}])
def test_a_state_that_is_not_ours_is_passed_over(state: Any) -> None:
    assert endings_html(Member(state), NOW) == ""


def test_nobody_has_no_servers() -> None:
    assert endings_html(None) == ""
    assert announcements({"announcement": "Exams!"})["announcement"](None) == "Exams!"


def test_a_launcher_that_knows_no_cause_says_that(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = object.__new__(Launcher)
    launcher._causes = {}  # type: ignore[assignment]
    assert "nothing is left that says why" in launcher.cause_of_end("ada", "").reason
