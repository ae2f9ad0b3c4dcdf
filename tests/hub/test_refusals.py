"""Every refusal reaches every surface of JupyterHub as our sentence: the spawn page, the pending page, the event
stream and the API."""

import asyncio
import html
import json
from typing import Any

import aiohttp
import pytest
from running_hub import Person, RunningHub

from gpuspawner.cluster.failures import ImageMissingError
from gpuspawner.local.engine import Engine

OVER_QUOTA = {"profile": "pytorch", "gpu_class": "small", "gpus": "3"}
SENTENCE = "You asked for 3 GPUs; everyone may hold 2 Small GPUs at once."


async def start(person: Person, fields: dict[str, str]) -> aiohttp.ClientResponse:
    return await person.submit(f"spawn/{person.name}", fields, allow_redirects=False)


async def events(person: Person, server: str = "") -> list[dict[str, Any]]:
    """The event stream of a pending server, to its end."""
    where = f"servers/{server}" if server else "server"
    answer = await person.get(
        f"api/users/{person.name}/{where}/progress", headers={"Accept": "text/event-stream", **person.xsrf_header()}
    )
    assert answer.status == 200, await answer.text()
    lines = (await answer.text()).splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def shown(page: str) -> str:
    return " ".join(html.unescape(page).split())


async def test_the_spawn_page_says_what_why_and_what_next_and_shows_the_form_again(start_gpu_hub: Any) -> None:
    hub: RunningHub = await start_gpu_hub()
    bob = await hub.login("bob", "x")
    answer = await start(bob, OVER_QUOTA)
    page = shown(await answer.text())
    assert SENTENCE in page
    assert "Ask for at most 2" in page
    assert "SpawnRefused" not in page
    assert "SpawnException" not in page
    assert 'id="spawn_form"' in page


async def test_the_event_stream_and_the_pending_page_tell_why_a_slow_launch_failed(
    start_gpu_hub: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub: RunningHub = await start_gpu_hub(hub={"tornado_settings": {"slow_spawn_timeout": 0}})
    bob = await hub.login("bob", "x")
    answer = await start(bob, {"profile": "crash"})
    assert answer.status == 302
    assert "spawn-pending" in answer.headers["Location"]
    told = await events(bob)
    failed = told[-1]
    assert failed["failed"] is True
    assert "exit code 3" in failed["message"]
    assert "ImportError" in failed["message"]
    assert "exit code 3" in failed["html_message"]
    percents = [event["progress"] for event in told if "progress" in event and not event.get("failed")]
    assert percents == sorted(percents)
    assert len(percents) >= 3
    page = shown(await (await bob.get("spawn-pending/bob")).text())
    assert "exit code 3" in page
    assert "SpawnRefused" not in page


async def test_text_from_the_cluster_is_escaped_wherever_it_is_shown(start_gpu_hub: Any, engine: Engine) -> None:
    evil = "<img src=x onerror=alert(1)>"
    error = ImageMissingError(f"example.org/{evil}", detail=evil)
    from gpuspawner._compat import SpawnRefused

    assert "<img" not in SpawnRefused(error).jupyterhub_html_message
    hub: RunningHub = await start_gpu_hub()
    bob = await hub.login("bob", "x")
    page = await (await start(bob, {"profile": evil})).text()
    assert evil not in page


async def test_a_launch_that_is_cancelled_leaves_nothing(start_gpu_hub: Any, engine: Engine) -> None:
    hub: RunningHub = await start_gpu_hub(hub={"tornado_settings": {"slow_spawn_timeout": 0}})
    await hub.login("bob", "x")
    launcher_profile = {"profile": "silent"}
    await hub.api("POST", "users/bob/server", json=launcher_profile)
    spawner = hub.user("bob").spawner
    async with asyncio.timeout(20):
        async for step in spawner.progress():
            if step["progress"] >= 90:
                break
    assert (await hub.api("DELETE", "users/bob/server")).status in (202, 204)
    launcher = hub.app.tornado_settings["gpuspawner_launcher"]
    async with asyncio.timeout(20):
        while launcher._tasks:
            await asyncio.wait(set(launcher._tasks))
    assert not engine.store.list("pods", None)[0]
    assert not launcher.usage()


async def test_a_server_that_never_answers_is_withdrawn(start_gpu_hub: Any, engine: Engine) -> None:
    hub: RunningHub = await start_gpu_hub(http_timeout=1)
    await hub.login("bob", "x")
    answer = await hub.api("POST", "users/bob/server", json={"profile": "silent"})
    assert "did not answer within 1 s" in (await answer.json())["message"]


async def test_with_the_cluster_away_the_hub_says_so_and_calls_no_server_dead(
    start_gpu_hub: Any, engine: Engine
) -> None:
    hub: RunningHub = await start_gpu_hub()
    await hub.login("ada", "x")
    assert (await hub.api("POST", "users/ada/server", json={"profile": "cpu"})).status in (201, 202)
    await hub.login("bob", "x")
    runner, engine._runner = engine._runner, None
    await runner.cleanup()
    answer = await hub.api("POST", "users/bob/server", json={"profile": "cpu"})
    assert answer.status in (424, 503)
    message = (await answer.json())["message"]
    assert message.startswith("Not started: Kubernetes does not answer right now.")
    assert "go on running" in message
    assert await hub.user("ada").spawner.poll() is None
    assert not hub.user("bob").spawner.orm_spawner.user_options
