"""An API server for a test, on a free port of the test's loop, with a clock that the test moves."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import ClientResponse, ClientSession, web

from gpuspawner.local.apiserver.application import make_app
from gpuspawner.local.apiserver.binding import bind
from gpuspawner.local.apiserver.store import Store

TOKEN = "the-tests-token"
Object = dict[str, Any]


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now: datetime = field(default_factory=lambda: datetime(2026, 11, 21, 5, 26, 50, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Api:
    """A running API server and a client of it."""

    store: Store
    clock: Clock
    url: str
    session: ClientSession
    runner: web.AppRunner

    def request(self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN, **headers: str) -> Any:
        """Start a request; use as ``async with``. Header names are given with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        return self.session.request(method, self.url + path, data=data, headers=sent)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request and return status and JSON body."""
        async with self.request(method, path, body, **headers) as response:
            return response.status, await _body(response)

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request that must succeed and return its JSON body."""
        status, answer = await self.call(method, path, body, **headers)
        assert status < 300, answer
        return answer

    async def create_namespace(self, name: str = "demo", **labels: str) -> None:
        await self.ok("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})

    async def create_pod(
        self, name: str, namespace: str = "demo", *, node: str | None = None, **changes: Any
    ) -> Object:
        """Create a small pod; ``labels`` and any field of the spec may be given."""
        await self.ok("POST", f"/api/v1/namespaces/{namespace}/pods", pod(name, **changes))
        if node:
            bind(self.store, namespace, name, node)
        return self.store.get("pods", namespace, name)


async def _body(response: ClientResponse) -> Any:
    text = await response.text()
    try:
        return json.loads(text)
    except ValueError:
        return text


def pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """Return a pod's manifest as a client writes it."""
    containers = [{"name": "notebook", "image": "example.org/notebook:1"}]
    metadata: Object = {"name": name} | ({"labels": labels} if labels is not None else {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers} | spec}


def claim(name: str, size: str = "10Gi") -> Object:
    """Return a PersistentVolumeClaim's manifest."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


@asynccontextmanager
async def running_api(store: Store | None = None, **options: Any) -> AsyncIterator[Api]:
    """Run an API server while the block runs."""
    clock = Clock()
    store = store or Store(clock=clock)
    runner = web.AppRunner(make_app(store, TOKEN, **options), shutdown_timeout=30)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with ClientSession() as session:
            yield Api(store, clock, f"http://{host}:{port}", session, runner)
    finally:
        await runner.cleanup()
