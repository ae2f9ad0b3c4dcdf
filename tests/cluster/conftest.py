"""A scripted API server on a free port, a client of it, and watches whose time is the test's."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from scripted_apiserver import CLOSING, TOKEN, ScriptedServer
from told import Told

from gpuspawner.cluster.client import Client, Connection
from gpuspawner.cluster.watch import Watch


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer()
    app = web.Application()
    app[CLOSING] = scripted.closing
    app.router.add_route("*", "/{path:.*}", scripted.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.url = "http://{}:{}".format(*runner.addresses[0])
    yield scripted
    scripted.closing.set()
    await runner.cleanup()


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[Client]:
    async def no_pause(seconds: float) -> None:
        pauses.append(seconds)

    pauses: list[float] = []
    client = Client(Connection(host=server.url, token=TOKEN), timeout=5, sleep=no_pause)
    client.pauses = pauses  # type: ignore[attr-defined]
    yield client
    await client.close()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def watching(client: Client, told: Told) -> AsyncIterator[Callable[..., Watch]]:
    watches: list[Watch] = []

    def start(**options: Any) -> Watch:
        options = {
            "on_upsert": told.upsert,
            "on_delete": told.delete,
            "on_sync": told.sync,
            "clock": lambda: told.now,
            "sleep": told.sleep,
            "chance": lambda: 0.0,
            **options,
        }
        watch = Watch(options.pop("client", client), "pods", **options)
        watches.append(watch)
        watch.start()
        return watch

    yield start
    for watch in watches:
        await watch.close()
