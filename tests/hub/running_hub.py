"""A real JupyterHub in the test's own event loop, and people who use it over HTTP."""

import asyncio
import contextlib
from collections.abc import Mapping
from http.cookies import Morsel
from pathlib import Path
from typing import Any

import aiohttp
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.proxy import Proxy
from jupyterhub.user import User
from jupyterhub.utils import random_port
from nativeauthenticator.handlers import LocalBase
from traitlets import Dict
from traitlets.config import Config
from yarl import URL

_CLEANUP_SECONDS = 10
ADMIN_TOKEN = "token-of-the-service-that-tests-the-hub"


class RememberingProxy(Proxy):
    """Routes in memory; people talk to the hub itself. Tests of traffic to servers configure a real proxy instead."""

    routes = Dict()
    should_start = False

    async def add_route(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        self.routes.pop(routespec, None)

    async def get_all_routes(self) -> dict[str, Any]:
        return dict(self.routes)


class Hub(JupyterHub):
    """JupyterHub without what belongs to a process of its own: configuration file, log handlers, signals."""

    def load_config_file(self, *args: Any, **kwargs: Any) -> None:
        pass

    def init_logging(self) -> None:
        super().init_logging()
        self.log.handlers.clear()
        self.log.propagate = True

    def init_signal(self) -> None:
        pass

    def _stop_event_loop(self) -> None:
        pass


class Person:
    """Somebody's browser: a cookie jar of their own at one hub."""

    def __init__(self, hub: "RunningHub") -> None:
        self.hub = hub
        self.name = ""
        self.session = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Sec-Fetch-Mode": "navigate"}
        )

    async def get(self, path: str, **kwargs: Any) -> aiohttp.ClientResponse:
        """A page of the hub, ``path`` below ``/hub/``."""
        return await self.session.get(self.hub.url / path, **kwargs)

    async def submit(self, path: str, fields: Mapping[str, str], **kwargs: Any) -> aiohttp.ClientResponse:
        """Open the page with the form, then post it with the XSRF token the page has set."""
        page = await self.get(path)
        assert page.status == 200, f"{path}: {page.status}"
        form = {**fields, "_xsrf": self._cookie("_xsrf").value}
        return await self.session.post(self.hub.url / path, data=form, **kwargs)

    async def log_in(self, name: str, password: str) -> bool:
        """Fill in the login form; whether the hub then knows who this is."""
        answer = await self.submit("login", {"username": name, "password": password}, allow_redirects=False)
        if answer.status != 302:
            return False
        home = await self.get("home", allow_redirects=False)
        assert home.status == 200, f"home: {home.status}"
        self.name = name
        return True

    def xsrf_header(self) -> dict[str, str]:
        """What a page's own scripts send along."""
        return {"X-XSRFToken": self._cookie("_xsrf").value}

    def _cookie(self, name: str) -> Morsel[str]:
        return self.session.cookie_jar.filter_cookies(self.hub.url / "login")[name]


class RunningHub:
    """A started hub: its ``app``, its ``url`` up to ``/hub``, and what tests ask of it."""

    def __init__(self, app: Hub) -> None:
        self.app = app
        self.url = URL(app.hub.url)
        self.people: list[Person] = []

    @classmethod
    async def start(cls, folder: Path, config: Mapping[str, Mapping[str, Any]]) -> "RunningHub":
        """Start a hub whose state lives in ``folder``; ``config`` maps section names to their traits."""
        merged = Config(_defaults(folder))
        merged.merge(Config({name: dict(section) for name, section in config.items()}))
        # NativeAuthenticator adds its templates to the first hub of a process only.
        LocalBase._template_dir_registered = False
        app = Hub.instance(config=merged)
        try:
            await app.initialize([])
            await app.start()
        except BaseException:
            Hub.clear_instance()
            raise
        return cls(app)

    async def stop(self) -> None:
        """Stop the hub; servers stay unless ``JupyterHub.cleanup_servers`` is on."""
        for person in self.people:
            await person.session.close()
        for callback in self.app._periodic_callbacks.values():
            callback.stop()
        close = getattr(self.app.authenticator, "workspace_close", None)
        if close is not None:
            await close()
        for part in ("gpuspawner_idle", "gpuspawner_sessions", "gpuspawner_launcher"):
            if part in self.app.tornado_settings:
                await self.app.tornado_settings[part].close()
        self.app.metrics_collector.stop()
        # Last of all it closes its connections to servers; of one that was just stopped, aiohttp waits for an answer.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.app.cleanup(), _CLEANUP_SECONDS)
        self.app.http_server.stop()
        await self.app.http_server.close_all_connections()
        self.app.db.close()
        Hub.clear_instance()

    def person(self) -> Person:
        """A fresh browser."""
        self.people.append(Person(self))
        return self.people[-1]

    async def login(self, name: str, password: str) -> Person:
        """Somebody who has logged in through the form."""
        person = self.person()
        assert await person.log_in(name, password), f"{name} could not log in"
        return person

    async def api(self, method: str, path: str, **kwargs: Any) -> aiohttp.ClientResponse:
        """A request to the REST API, ``path`` below ``/hub/api/``, by a service that may do anything."""
        headers = {"Authorization": f"token {ADMIN_TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            answer = await session.request(method, self.url / "api" / path, **kwargs)
            await answer.read()
            return answer

    def user(self, name: str) -> User:
        """JupyterHub's User of this name."""
        return self.app.users[name]

    def groups(self, name: str) -> set[str]:
        """The names of a user's groups as a new database session sees them."""
        with self.app.session_factory() as db:
            return {group.name for group in orm.User.find(db, name).groups}


def _defaults(folder: Path) -> dict[str, dict[str, Any]]:
    port = random_port()
    return {
        "JupyterHub": {
            "hub_bind_url": f"http://127.0.0.1:{port}/hub/",
            "db_url": f"sqlite:///{folder / 'jupyterhub.sqlite'}",
            "cookie_secret_file": str(folder / "cookie_secret"),
            "proxy_class": RememberingProxy,
            "spawner_class": "simple",
            "cleanup_servers": True,
            "last_activity_interval": 0,
            "log_level": "DEBUG",
            "services": [{"name": "tests", "api_token": ADMIN_TOKEN}],
            "load_roles": [
                {
                    "name": "tests",
                    "services": ["tests"],
                    "scopes": ["admin:users", "admin:groups", "admin:servers", "tokens", "shutdown"],
                }
            ],
        },
    }
