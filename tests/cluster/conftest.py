"""A scripted API server on a free port, and a client of it."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from scripted_apiserver import CLOSING, TOKEN, ScriptedServer

from gpuspawner.cluster.client import Client, Connection


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
