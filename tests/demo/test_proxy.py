"""The demo's proxy, traefik with JupyterHub's own proxy class: what must pass through it as it comes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web
from jupyterhub_traefik_proxy.fileprovider import TraefikFileProviderProxy
from traitlets.config import PyFileConfigLoader
from yarl import URL

from gpuspawner.cli.children import Child
from gpuspawner.cli.demo import CONFIG, hub_environment
from gpuspawner.cli.ports import free_ports
from gpuspawner.cli.probes import answers
from gpuspawner.cli.proxy import Proxy
from gpuspawner.cli.supervisor import Supervisor

MEGABYTE = 2**20
EVENTS = 4


class Backend:
    """A notebook server of our own: an event stream in lockstep with its reader, a websocket, an upload."""

    def __init__(self) -> None:
        self.seen = [asyncio.Event() for _ in range(EVENTS)]
        self.application = web.Application()
        self.application.add_routes(
            [
                web.get("/user/ada/events", self.events),
                web.post("/user/ada/seen/{number}", self.mark),
                web.get("/user/ada/websocket", self.websocket),
                web.post("/user/ada/upload", self.upload),
                web.get("/user/ada/files/{path:.*}", self.path),
            ]
        )

    async def events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, seen in enumerate(self.seen):
            await response.write(b"data: %d\n\n" % number)
            await seen.wait()
        return response

    async def mark(self, request: web.Request) -> web.Response:
        self.seen[int(request.match_info["number"])].set()
        return web.Response()

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        await socket.send_bytes(await socket.receive_bytes())
        await socket.close()
        return socket

    async def upload(self, request: web.Request) -> web.Response:
        digest = hashlib.sha256()
        async for chunk in request.content.iter_chunked(MEGABYTE):
            digest.update(chunk)
        return web.Response(text=digest.hexdigest())

    async def path(self, request: web.Request) -> web.Response:
        return web.Response(text=request.raw_path)


class Proxied:
    """A backend, the proxy in front of it, and a client of that proxy."""

    def __init__(self, proxy: Proxy, child: Child, routes: TraefikFileProviderProxy) -> None:
        self.proxy = proxy
        self.child = child
        self.routes = routes
        self.url = f"http://127.0.0.1:{proxy.public[1]}/user/ada"
        self.client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))


@contextmanager
def hub_side(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[TraefikFileProviderProxy]:
    """JupyterHub's view of the proxy, configured by the demo's own configuration file."""
    with monkeypatch.context() as patch:
        for name, value in hub_environment(proxy, 1).items():
            patch.setenv(name, value)
        config = PyFileConfigLoader(CONFIG.name, str(CONFIG.parent)).load_config()
    yield TraefikFileProviderProxy(config=config, public_url=config.JupyterHub.bind_url)


@pytest.fixture
async def proxied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxied]:
    public, api, target = free_ports(3)
    proxy = Proxy.create(("127.0.0.1", public), api, tmp_path / "proxy")
    child = Child("the proxy", proxy.command, tmp_path / "proxy.log", tmp_path)
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(Backend().application, shutdown_timeout=0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", target).start()
        supervisor = Supervisor(print)
        stack.push_async_callback(child.stop, asyncio.Event())
        routes = stack.enter_context(hub_side(proxy, monkeypatch))
        await supervisor.start(child, answers(api))
        await routes.add_route("/user/ada/", f"http://127.0.0.1:{target}", {})
        it = Proxied(proxy, child, routes)
        stack.push_async_callback(it.client.close)
        yield it


async def test_events_arrive_one_by_one(proxied: Proxied) -> None:
    """The backend sends an event only after the one before was seen: a proxy that buffers never gets past the first."""
    async with proxied.client.get(f"{proxied.url}/events") as stream:
        for number in range(EVENTS):
            async with asyncio.timeout(10):
                assert await stream.content.readuntil(b"\n\n") == b"data: %d\n\n" % number
            async with proxied.client.post(f"{proxied.url}/seen/{number}") as answer:
                assert answer.status == 200
        assert await stream.content.read() == b""


async def test_an_eight_megabyte_websocket_message_passes_both_ways(proxied: Proxied) -> None:
    message = bytes(range(256)) * (8 * MEGABYTE // 256)
    async with proxied.client.ws_connect(f"{proxied.url}/websocket", max_msg_size=0) as socket:
        await socket.send_bytes(message)
        assert await socket.receive_bytes(timeout=30) == message


async def test_a_120_megabyte_upload_passes(proxied: Proxied) -> None:
    megabyte = bytes(range(256)) * (MEGABYTE // 256)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(120):
            yield megabyte

    async with proxied.client.post(f"{proxied.url}/upload", data=body()) as answer:
        assert await answer.text() == hashlib.sha256(megabyte * 120).hexdigest()


async def test_a_file_name_with_reserved_characters_reaches_the_server_unchanged(proxied: Proxied) -> None:
    path = "/user/ada/files/100%25%20%231%3B%20why%3F%5Cb%2Fc.ipynb"
    url = f"http://127.0.0.1:{proxied.proxy.public[1]}{path}"
    async with proxied.client.get(URL(url, encoded=True)) as answer:
        assert await answer.text() == path


async def test_routes_of_a_killed_hub_stay_and_the_next_hub_knows_them(
    proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_side(proxied.proxy, monkeypatch) as next_hub:
        assert set(await next_hub.get_all_routes()) == {"/user/ada/"}
    async with proxied.client.get(f"{proxied.url}/files/a") as answer:
        assert answer.status == 200


async def test_it_listens_on_the_public_port_and_for_the_hub_on_loopback_only(proxied: Proxied) -> None:
    assert proxied.child.process is not None
    sockets = psutil.Process(proxied.child.process.pid).net_connections("inet")
    listening = {tuple(socket.laddr) for socket in sockets if socket.status == psutil.CONN_LISTEN}
    assert listening == {proxied.proxy.public, ("127.0.0.1", proxied.proxy.api_port)}


async def test_its_api_wants_the_password(proxied: Proxied) -> None:
    url = URL(f"{proxied.proxy.api_url}/api/http/routers")
    async with proxied.client.get(url) as answer:
        assert answer.status == 401
    async with proxied.client.get(url.with_user("jupyterhub").with_password(proxied.proxy.password)) as answer:
        assert answer.status == 200
