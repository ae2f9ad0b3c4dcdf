"""The pages without a hub: JupyterHub's own templates, styles and scripts around ours, on a loopback port."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import jupyterhub
from aiohttp import web
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader
from jupyterhub._data import DATA_FILES_PATH

from gpuspawner.web import static_dir, template_dir, template_vars
from gpuspawner.web.static_files import static_folder

HUB_TEMPLATES = f"{DATA_FILES_PATH}/templates"
BASE_URL = "/hub/"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """A server of pages: ``show(name, **variables)`` sets what ``/hub/page`` is rendered from, and with what."""

    def __init__(self) -> None:
        self.url = ""
        self.posted: list[dict[str, list[str]]] = []
        self.api_calls: list[tuple[str, str]] = []
        self.events: list[str] = []
        self.news: asyncio.Queue[Any] = asyncio.Queue()
        self._template = "spawn.html"
        self._variables: Mapping[str, Any] = {}
        base = FileSystemLoader(HUB_TEMPLATES)
        loader = ChoiceLoader([PrefixLoader({"templates": base}, "/"), FileSystemLoader(template_dir), base])
        self._environment = Environment(loader=loader, autoescape=True)

    def show(self, template: str, **variables: Any) -> str:
        """Set the page; returns its URL."""
        self._template, self._variables = template, variables
        return f"{self.url}/hub/page"

    def render(self, template: str, **variables: Any) -> str:
        """A page as JupyterHub renders it for a logged-in user."""
        name = variables.pop("user_name", "ada")
        user = SimpleNamespace(name=name, json_escaped_name=name, spawner=SimpleNamespace(options_form=True))
        known = {
            "base_url": BASE_URL,
            "prefix": "/",
            "user": user,
            "for_user": user,
            "static_url": lambda path, include_version=True: f"{BASE_URL}static/{path}",
            "logout_url": f"{BASE_URL}logout",
            "parsed_scopes": {},
            "version_hash": jupyterhub.__version__,
            "xsrf_token": "token",
            "url": f"{BASE_URL}page?_xsrf=token",
            **{key: value(user) if callable(value) else value for key, value in template_vars().items()},
        }
        return self._environment.get_template(template).render({**known, **variables})

    def application(self) -> web.Application:
        """Pages, static files, the event stream and the API calls of the pages."""
        application = web.Application()
        application.router.add_static(f"{BASE_URL}static/", f"{DATA_FILES_PATH}/static")
        application.router.add_static(f"{BASE_URL}{static_folder()}", static_dir)
        application.router.add_get(f"{BASE_URL}page", self._page)
        application.router.add_post(f"{BASE_URL}page", self._post)
        application.router.add_get(f"{BASE_URL}progress", self._progress)
        application.router.add_get(f"{BASE_URL}api/gpuspawner/availability", self._availability)
        application.router.add_get(f"{BASE_URL}logo", self._logo)
        application.router.add_delete(f"{BASE_URL}api/{{path:.*}}", self._api)
        application.router.add_get("/{path:.*}", self._anything)
        return application

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=self.render(self._template, **self._variables), content_type="text/html")

    async def _post(self, request: web.Request) -> web.Response:
        fields = await request.post()
        self.posted.append({key: [str(value) for value in fields.getall(key)] for key in fields})
        return web.Response(text="<!doctype html><title>posted</title>", content_type="text/html")

    async def _progress(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        for event in self.events:
            await stream.write(f"data: {event}\n\n".encode())
        await stream.write(b"retry: 3600000\n\n")
        return stream

    async def _availability(self, request: web.Request) -> web.StreamResponse:
        """Passes on whatever is put into ``news``, until None."""
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b": hello\n\n")
        while (news := await self.news.get()) is not None:
            await stream.write(f"data: {json.dumps(news)}\n\n".encode())
        return stream

    async def _api(self, request: web.Request) -> web.Response:
        self.api_calls.append((request.method, request.match_info["path"]))
        assert request.headers["X-XSRFToken"] == "token"
        return web.Response(status=202)

    async def _logo(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(f"{DATA_FILES_PATH}/static/images/jupyterhub-80.png")

    async def _anything(self, request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>elsewhere</title>", content_type="text/html")
