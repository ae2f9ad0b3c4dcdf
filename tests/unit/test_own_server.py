"""What a notebook server tells its own pages, and how seldom it asks the hub for that."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web

from gpuspawner.notebook.gpu import Gpu
from gpuspawner.notebook.hub import Events, Hub, HubError
from gpuspawner.notebook.own_server import OwnServer

INSIDE = {
    "JUPYTERHUB_API_URL": "http://hub:8081/hub/api",
    "JUPYTERHUB_API_TOKEN": "secret",
    "JUPYTERHUB_USER": "ada",
    "JUPYTERHUB_SERVER_NAME": "thesis",
    "JUPYTERHUB_BASE_URL": "/jupyter/",
}
SESSION = {"user": "ada", "server": "thesis", "workspace": "lab", "left": 3600, "extensions": []}
ACCOUNT = {"left": 7.5, "total": 10.0}
PATIENCE = 10


def notice(number: int, kind: str = "ends-soon", server: str = "thesis", about: str = "") -> dict[str, Any]:
    return {"id": str(number), "kind": kind, "server": server, "about": about, "sentence": f"No. {number}."}


class RealHub:
    """A hub on loopback that answers as it is told, counts the questions, and streams what a test puts into a queue."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sessions: list[dict[str, Any]] = [{**SESSION, "server": ""}, SESSION]
        self.balance: list[dict[str, Any]] = [
            {"workspace": "lab", "sentence": "7.5 are left.", "member": ACCOUNT, "pool": None}
        ]
        self.standing: list[dict[str, Any]] = []
        self.events: asyncio.Queue[str] = asyncio.Queue()
        self.refusal: tuple[int, dict[str, str]] | None = None
        self.listeners = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "token secret"
        path = request.path.removeprefix("/hub/api/gpuspawner/")
        streams = request.headers.get("Accept") == "text/event-stream"
        self.asked.append(f"{request.method} {path}")
        if self.refusal is not None:
            return web.json_response(self.refusal[1], status=self.refusal[0])
        if streams:
            return await self.stream(request)
        if request.method == "POST":
            return web.json_response({**SESSION, "left": 3600 + (await request.json())["by"]})
        known = {"sessions/ada": {"sessions": self.sessions}, "balance": {"workspaces": self.balance}}
        return web.json_response(known.get(path, {"notices": self.standing}))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": notices\nretry: 5000\n\n")
        self.listeners += 1
        while event := await self.events.get():
            await response.write(event.encode())
        return response

    def say(self, event: str) -> None:
        self.events.put_nowait(event)


class Page:
    """The pages of a server, whose clock the test moves."""

    def __init__(self, hub: RealHub, **changes: Any) -> None:
        self.now = 1000.0
        self.gpu: list[Gpu] = []
        found = Hub.from_environment({**INSIDE, "JUPYTERHUB_API_URL": f"{hub.url}/hub/api", **changes})
        assert found is not None
        self.own = OwnServer(found, lambda: self.gpu, lambda: 0.5, lambda: self.now)

    async def until(self, condition: Any) -> Mapping[str, Any]:
        """The first status of which something holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition(found := await self.own.status()):  # noqa: ASYNC110 - as pages do
                await asyncio.sleep(0.01)
        return found

    def close(self) -> None:
        if self.own._listening is not None:
            self.own._listening.cancel()


@pytest.fixture
async def hub() -> AsyncIterator[RealHub]:
    hub = RealHub()
    application = web.Application()
    application.router.add_route("*", "/hub/api/gpuspawner/{path:.*}", hub.answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield hub
    hub.say("")
    await runner.cleanup()


@pytest.fixture
async def page(hub: RealHub) -> AsyncIterator[Page]:
    page = Page(hub)
    yield page
    page.close()


async def test_a_page_is_told_time_budget_gpus_and_the_way_to_the_hub(hub: RealHub, page: Page) -> None:
    page.gpu = [Gpu("Tesla T4", 2**30, 2**34, 0.45)]
    told = await page.own.status()
    assert told["server"] == SESSION
    assert told["budget"] == {"left": 7.5, "total": 10.0, "sentence": "7.5 are left."}
    assert told["gpus"] == [{"name": "Tesla T4", "used": 2**30, "total": 2**34, "load": 0.45}]
    assert told["cpu"] == 0.5
    assert told["hub"] == {"home": "/jupyter/hub/home", "usage": "/jupyter/hub/gpuspawner/usage"}
    assert told["trouble"] is None


async def test_of_two_budgets_the_scarcer_one_counts(hub: RealHub, page: Page) -> None:
    hub.balance[0]["pool"] = {"left": 2, "total": 200}
    assert (await page.own.status())["budget"]["left"] == 2


async def test_the_hub_is_asked_once_in_five_minutes_and_between_that_the_time_left_runs_down(
    hub: RealHub, page: Page
) -> None:
    for _ in range(20):
        told = await page.own.status()
        page.now += 14.9
    assert told["server"]["left"] == 3600 - 283
    assert hub.asked.count("GET sessions/ada") == 1
    page.now += 5
    await page.own.status()
    assert hub.asked.count("GET sessions/ada") == 2


async def test_many_pages_at_once_ask_the_hub_once(hub: RealHub, page: Page) -> None:
    await asyncio.gather(*(page.own.status() for _ in range(10)))
    assert hub.asked.count("GET sessions/ada") == 1
    assert hub.asked.count("GET balance") == 1


async def test_what_the_hub_says_comes_by_its_stream_and_makes_the_server_ask_anew(hub: RealHub, page: Page) -> None:
    hub.standing = [notice(1), notice(2, server=""), notice(3, "budget", "", "lab")]
    await page.until(lambda told: [one["id"] for one in told["notices"]] == ["1", "3"])
    await page.until(lambda _: hub.listeners)
    asked = hub.asked.count("GET sessions/ada")
    hub.say(f"id: 4\ndata: {json.dumps(notice(4))}\n\n")  # in place of the first
    await page.until(lambda told: [one["id"] for one in told["notices"]] == ["4", "3"])
    assert hub.asked.count("GET sessions/ada") == asked + 1
    hub.say('event: withdrawn\ndata: {"id": "4"}\n\n:\n\n')
    await page.until(lambda told: [one["id"] for one in told["notices"]] == ["3"])


async def test_nobody_looking_nobody_listens(hub: RealHub, page: Page) -> None:
    await page.until(lambda _: hub.listeners)
    page.now += 61
    hub.say("")  # the stream ends
    page.own.sleep = _at_once
    async with asyncio.timeout(PATIENCE):
        assert page.own._listening is not None
        await page.own._listening
    assert hub.listeners == 1


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)


async def test_an_extension_is_known_at_once(hub: RealHub, page: Page) -> None:
    assert (await page.own.extend(1800))["server"]["left"] == 3600
    assert "POST sessions/ada/thesis/extend" in hub.asked


async def test_a_refusal_is_told_in_the_hub_s_own_words(hub: RealHub, page: Page) -> None:
    await page.own.status()
    hub.refusal = 403, {"reason": "The budget is used up.", "remedy": "Ask for more."}
    with pytest.raises(HubError) as refused:
        await page.own.extend(1800)
    assert (refused.value.status, str(refused.value)) == (403, "The budget is used up. Ask for more.")


async def test_a_hub_that_is_away_is_told_and_the_time_runs_on(hub: RealHub, page: Page) -> None:
    await page.own.status()
    hub.refusal = 503, {"reason": "The ledger has not answered yet.", "remedy": "Ask again in a minute."}
    page.now += 301
    told = await page.own.status()
    assert (told["trouble"]["reason"], told["server"]["left"]) == ("The ledger has not answered yet.", 3299)
    hub.refusal = None
    page.now += 61
    assert (await page.own.status())["trouble"] is None


async def test_a_hub_that_nobody_answers_for_is_told() -> None:
    nowhere = RealHub()
    nowhere.url = "http://127.0.0.1:1"
    told = await Page(nowhere).own.status()
    assert (told["server"], told["trouble"]["reason"]) == (None, "The hub does not answer.")


async def test_a_hub_without_gpuspawner_is_asked_once(hub: RealHub, page: Page) -> None:
    hub.refusal = 404, {"message": "Not Found"}
    for _ in range(3):
        assert (await page.own.status())["server"] is None
        page.now += 301
    assert hub.asked == ["GET sessions/ada"]


async def test_a_server_that_the_hub_does_not_know_yet_shows_nothing_for_now(hub: RealHub, page: Page) -> None:
    hub.sessions = []
    assert (await page.own.status())["server"] is None
    assert hub.listeners == 0
    hub.sessions = [SESSION]
    page.now += 61
    assert (await page.own.status())["server"] is not None


@pytest.mark.parametrize("missing", ["JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_USER"])
def test_without_a_hub_there_is_none(missing: str) -> None:
    assert Hub.from_environment({**INSIDE, missing: ""}) is None


def test_where_the_hub_s_pages_are() -> None:
    def pages(**changes: str) -> str:
        found = Hub.from_environment({**INSIDE, **changes})
        assert found is not None
        return found.pages

    assert pages() == "/jupyter/hub/"
    assert pages(JUPYTERHUB_HOST="https://hub.example.edu") == "https://hub.example.edu/jupyter/hub/"
    assert pages(JUPYTERHUB_PUBLIC_HUB_URL="https://a.example.edu/hub/") == "https://a.example.edu/hub/"


def test_a_user_name_and_a_server_name_cannot_lead_elsewhere() -> None:
    found = Hub.from_environment({**INSIDE, "JUPYTERHUB_USER": "a/../b", "JUPYTERHUB_SERVER_NAME": "c?d"})
    assert found is not None
    assert found.session == "sessions/a%2F..%2Fb/c%3Fd"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_read_whatever_pieces_they_come_in(size: int) -> None:
    heard: list[tuple[str, Any]] = []
    events = Events(lambda name, data: heard.append((name, data)))
    stream = (
        ': notices\n\nid: 1\ndata: {"a": "ü"}\n\n:\n\nevent: withdrawn\ndata: {"id": "1"}\n\ndata: {broken\n\n'.encode()
    )
    for start in range(0, len(stream), size):
        events.read(stream[start : start + size])
    assert heard == [("message", {"a": "ü"}), ("withdrawn", {"id": "1"})]
