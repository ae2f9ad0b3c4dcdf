"""Watches over HTTP: a stream of JSON lines, with bookmarks, timeouts and errors inside the stream."""

import asyncio
import random
from collections.abc import Callable, Mapping

from aiohttp import web

from gpuspawner.local.apiserver.history import Change, Stored, Watch
from gpuspawner.local.apiserver.listing import parse_version, selection
from gpuspawner.local.apiserver.rendering import Renderer, dump
from gpuspawner.local.apiserver.requestinfo import RequestInfo, flag
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store

__all__ = ["BOOKMARK_SECONDS", "serve_watch"]

BOOKMARK_SECONDS = 60.0
_MIN_TIMEOUT = 1800.0
_LOOK_SECONDS = 30.0
"""How often a silent watch looks whether its client is still there."""

Matches = Callable[[Stored], bool] | None


class _Stream:
    """One watch being served."""

    def __init__(self, store: Store, info: RequestInfo, query: Mapping[str, str], renderer: Renderer) -> None:
        self.store = store
        self.resource = info.resource
        self.renderer = renderer
        self.bookmarks = flag(query, "allowWatchBookmarks")
        self.matches: Matches = selection(info.resource, query, info.name)
        self.since = parse_version(query)
        self.initial_end = flag(query, "sendInitialEvents")
        self.namespace = info.namespace
        if self.initial_end and not (self.bookmarks and query.get("resourceVersionMatch") == "NotOlderThan"):
            raise _bad_initial_events()
        seconds = float(query.get("timeoutSeconds") or 0) or _MIN_TIMEOUT * (1 + random.random())  # noqa: S311
        self.deadline = asyncio.get_running_loop().time() + seconds

    def open(self) -> Watch:
        """Begin to follow; StatusError 410 when the history is gone."""
        from_state = not self.since or self.initial_end
        return self.store.watch(self.resource.stored_as, self.namespace, None if from_state else self.since)

    def encode(self, changes: list[Change]) -> bytes:
        """Write what the watch may see of some changes."""
        seen = []
        for change in changes:
            shown = change.seen_through(self.matches) if self.matches else change
            if shown is not None and (change.version > (self.since or 0) or self.initial_end):
                seen.append(self.renderer.change(shown))
        return b"".join(seen)


def _bad_initial_events() -> StatusError:
    cause = {
        "reason": "FieldValueForbidden",
        "message": "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        "field": "resourceVersionMatch",
    }
    return StatusError.invalid("ListOptions.meta.k8s.io", "", [cause])


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def serve_watch(
    store: Store, request: web.Request, info: RequestInfo, renderer: Renderer, bookmark_seconds: float
) -> web.StreamResponse:
    """Answer a watch until its timeout, the client's leaving, or an error, which is told inside the stream."""
    stream = _Stream(store, info, request.query, renderer)
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        try:
            await _follow(stream, request, response, bookmark_seconds)
        except StatusError as error:
            await response.write(dump({"type": "ERROR", "object": error.body}) + b"\n")
        await response.write_eof()
    except ConnectionResetError:
        pass  # the client left; nobody is there to tell
    return response


async def _follow(stream: _Stream, request: web.Request, response: web.StreamResponse, bookmark_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    watch = stream.open()
    if not stream.since or stream.initial_end:
        data = stream.encode(watch.initial())
        if stream.initial_end:
            data += stream.renderer.bookmark(stream.store.version, initial=True)
        if data:
            await response.write(data)
    next_bookmark = loop.time() + bookmark_seconds
    while (now := loop.time()) < stream.deadline and not _has_left(request) and not stream.store.closed:
        until = min(stream.deadline, next_bookmark if stream.bookmarks else now + _LOOK_SECONDS)
        data = stream.encode(await watch.next_changes(max(0.0, until - now)))
        if stream.bookmarks and loop.time() >= next_bookmark:
            data += stream.renderer.bookmark(watch.seen_version())
            next_bookmark = loop.time() + bookmark_seconds
        if data:
            await response.write(data)
