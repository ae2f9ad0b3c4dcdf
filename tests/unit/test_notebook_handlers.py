"""The handlers of the notebook server's extension in a real Jupyter server, which decides who may ask."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jupyter_server.serverapp import ServerApp
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from gpuspawner.notebook.handlers import handlers
from gpuspawner.notebook.hub import HubError
from gpuspawner.notebook.own_server import OwnServer

TOKEN = {"Authorization": "token of-the-server"}


class Refusing(OwnServer):
    """A server whose hub says no."""

    async def status(self) -> dict[str, Any]:
        return {"hub": {}, "server": {}}

    async def extend(self, by: Any) -> dict[str, Any]:
        raise HubError(f"{by} more is too much.", "Ask for less.", 403)


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The URL of a Jupyter server with the handlers."""
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")
    monkeypatch.setattr(ServerApp, "init_signal", lambda _: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name))
    app = ServerApp(log_level="ERROR", allow_root=True, root_dir=str(tmp_path), open_browser=False)
    app.initialize([], find_extensions=False, new_httpserver=False)
    app.identity_provider.token = "of-the-server"
    app.web_app.add_handlers(".*$", handlers(Refusing.__new__(Refusing), "/"))
    [socket] = bind_sockets(0, "127.0.0.1")
    listening = HTTPServer(app.web_app)
    listening.add_socket(socket)
    yield f"http://127.0.0.1:{socket.getsockname()[1]}/gpuspawner"
    listening.stop()
    await listening.close_all_connections()
    await app._cleanup()


async def ask(method: str, url: str, headers: Mapping[str, str], **how: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession(headers=headers) as session, session.request(method, url, **how) as answer:
        return answer.status, await answer.json(content_type=None) if answer.status < 500 else None


async def test_only_who_may_use_the_server_is_told_and_a_refusal_has_its_words(server: str) -> None:
    assert (await ask("GET", f"{server}/status", {}))[0] == 403
    assert (await ask("POST", f"{server}/extend", {}, json={}))[0] == 403
    assert await ask("GET", f"{server}/status", TOKEN) == (200, {"hub": {}, "server": {}})
    status, told = await ask("POST", f"{server}/extend", TOKEN, json={"by": 3600})
    assert (status, told["message"]) == (403, "3600 more is too much. Ask for less.")
    assert (await ask("POST", f"{server}/extend", TOKEN, json=[1]))[0] == 400
