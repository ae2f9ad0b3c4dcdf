"""A hub on which ada runs a server, with a time of day that the test moves."""

import asyncio
import html
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from launching import launch, named
from running_hub import Person, RunningHub

from gpuspawner.local.engine import Engine
from gpuspawner.sessions.lease import Lease
from gpuspawner.sessions.sessions import Sessions

PATIENCE = 40
HOUR = 3600
PROFILE = {"image": "example.org/notebook:1", "display_name": "Long", "runtime": {"default": "1h", "max": "1h"}}
PROFILES: dict[str, Any] = {
    "long": {**PROFILE, "extend_to": "4h"},
    "fixed": {**PROFILE, "display_name": "Fixed"},
}


class Clock:
    """The time of day of a hub, which a test moves."""

    def __init__(self, hub: RunningHub, at: datetime) -> None:
        self.at = at
        hub.app.tornado_settings["gpuspawner_launcher"]._clock = lambda: self.at


def sessions(hub: RunningHub) -> Sessions:
    found: Sessions = hub.app.tornado_settings["gpuspawner_sessions"]
    return found


def lease(hub: RunningHub, server: str = "") -> Lease:
    found = sessions(hub).lease("ada", server)
    assert found is not None
    return found


def sentences(hub: RunningHub) -> list[str]:
    return [notice.sentence for notice in sessions(hub).notices.of("ada")]


def annotations(engine: Engine, name: str = "jupyter-ada") -> dict[str, str]:
    found: dict[str, str] = named(engine, "pods")[name]["metadata"]["annotations"]
    return found


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds that the hub does in the background."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - in JupyterHub's objects
            await asyncio.sleep(0.01)


async def gone(hub: RunningHub, engine: Engine) -> None:
    await until(lambda: "jupyter-ada" not in named(engine, "pods") and not running(hub))


def running(hub: RunningHub) -> bool:
    return bool(hub.user("ada").spawners[""].active)


async def page(person: Person, path: str = "home") -> str:
    answer = await person.get(path)
    return " ".join(html.unescape(await answer.text()).split())


Started = Callable[..., Awaitable[tuple[RunningHub, Clock]]]


@pytest.fixture
def start(start_gpu_hub: Any) -> Started:
    """A hub on which ada runs a server, and its clock, which stands at the server's start."""

    async def started(profile: str = "long", **changes: Any) -> tuple[RunningHub, Clock]:
        hub = await start_gpu_hub(profiles=PROFILES, **changes)
        await hub.login("ada", "x")
        assert await launch(hub, "ada", {"profile": profile}) == ""
        return hub, Clock(hub, lease(hub).started)

    return started
