"""An API server that does what a test tells it, request by request: answers, streams, faults."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Raw = dict[str, Any]
TOKEN = "s3cr3t-t0ken"
CLOSING = web.AppKey("closing", asyncio.Event)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None


@dataclass
class ScriptedServer:
    """Answers each kind of request ("list", "watch", or a method) with the next of its script; the last one stays."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    scripts: dict[tuple[str, str], deque[Answer]] = field(default_factory=dict)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def on(self, kind: str, resource: str, *answers: Answer) -> None:
        self.scripts[kind, resource] = deque(answers)

    def asked(self, kind: str, resource: str) -> list[Seen]:
        return [
            seen for seen in self.seen if _kind(seen.method, seen.query) == kind and _resource(seen.path) == resource
        ]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        seen = Seen(
            request.method, request.path, dict(request.query), dict(request.headers), json.loads(text or "null")
        )
        self.seen.append(seen)
        script = self.scripts.get((_kind(seen.method, seen.query), _resource(seen.path)))
        if not script:
            return web.json_response(status_of(404, "NotFound", "not scripted"), status=404)
        answer = script[0] if len(script) == 1 else script.popleft()
        return await answer(request)


def _kind(method: str, query: dict[str, str]) -> str:
    if method != "GET":
        return method
    return "watch" if query.get("watch") else "list"


def _resource(path: str) -> str:
    parts = path.split("/")
    return parts[parts.index("namespaces") + 2] if "namespaces" in parts[:-2] else parts[3]


def status_of(code: int, reason: str, message: str, **details: Any) -> Raw:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }


def answer(body: Raw, status: int = 200, **headers: str) -> Answer:
    async def send(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return send


def refuse(code: int, reason: str = "", message: str = "", **headers: str) -> Answer:
    return answer(status_of(code, reason, message), code, **headers)


def listing(*items: Raw, version: str = "10", continue_: str = "") -> Answer:
    return answer({"kind": "List", "metadata": {"resourceVersion": version, "continue": continue_}, "items": [*items]})


def stream(*frames: Raw | bytes, end: str = "hang") -> Answer:
    """Frames as lines (bytes as they are), then ``hang`` until the test is over, ``close``, or ``drop`` the line."""

    async def send(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        for frame in frames:
            data = frame if isinstance(frame, bytes) else json.dumps(frame).encode() + b"\n"
            await response.write(data)
        if end == "hang":
            await request.app[CLOSING].wait()
        elif end == "drop":
            assert request.transport is not None
            request.transport.abort()
        return response

    return send


def hang() -> Answer:
    """No answer at all, not even headers."""

    async def send(request: web.Request) -> web.StreamResponse:
        await request.app[CLOSING].wait()
        return web.Response()

    return send


def pod(name: str, version: str = "1", namespace: str = "hub", **extra: Any) -> Raw:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": version}
    return {
        "metadata": {**metadata, **extra.pop("metadata", {})},
        "spec": extra.pop("spec", {"containers": [{"name": "notebook", "image": "i"}]}),
        "status": extra.pop("status", {"phase": "Pending"}),
    }


def event(kind: str, obj: Raw) -> Raw:
    return {"type": kind, "object": obj}


def bookmark(version: str) -> Raw:
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": version}})
