"""A stand-in for configurable-http-proxy: its REST API with its token, and HTTP without WebSockets."""

from types import TracebackType
from typing import Any, Self

from aiohttp import ClientSession, DummyCookieJar, web

__all__ = ["StandInProxy"]

_HOP_BY_HOP = {"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding", "upgrade"}


class StandInProxy:
    """Runs while the ``async with`` block does: ``url`` is for people, ``api_url`` for the hub; ``routes`` by path.

    The API answers 403 to whoever does not show ``token``.
    """

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.routes: dict[str, dict[str, Any]] = {}
        self.url = self.api_url = ""
        self._runners: list[web.AppRunner] = []

    async def __aenter__(self) -> Self:
        # A client without a jar of its own: people's cookies are theirs.
        self._session = ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=True)
        api = web.Application()
        api.router.add_route("*", "/api/routes{path:.*}", self._api)
        public = web.Application(client_max_size=2**30)
        public.router.add_route("*", "/{path:.*}", self._forward)
        self.api_url, self.url = [await self._serve(app) for app in (api, public)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        for runner in self._runners:
            await runner.cleanup()

    async def _serve(self, app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _api(self, request: web.Request) -> web.Response:
        if not self.token or request.headers.get("Authorization") != f"token {self.token}":
            return web.Response(status=403)
        path = request.match_info["path"].rstrip("/") or "/"
        match request.method:
            case "GET":
                return web.json_response(self.routes)
            case "POST":
                self.routes[path] = await request.json()
                return web.Response(status=201)
            case _:
                return web.Response(status=204 if self.routes.pop(path, None) else 404)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        prefixes = [one for one in self.routes if path == one or path.startswith(one.rstrip("/") + "/")]
        if not prefixes:
            return web.Response(status=503)
        target = self.routes[max(prefixes, key=len)]["target"]
        async with self._session.request(
            request.method,
            _joined(target, request.raw_path),
            headers={**request.headers, "X-Forwarded-Proto": "http"},
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            stream = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    stream.headers.add(name, value)
            await stream.prepare(request)
            async for chunk in answer.content.iter_any():
                await stream.write(chunk)
            await stream.write_eof()
            return stream


def _joined(target: str, path: str) -> str:
    """configurable-http-proxy puts the whole path behind the address of the target."""
    scheme, _, rest = target.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}{path}"
