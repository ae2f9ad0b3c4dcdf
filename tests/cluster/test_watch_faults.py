"""Outages, expired histories and watches that go silent: what a watch must come back from by itself."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from scripted_apiserver import (
    Answer,
    ScriptedServer,
    bookmark,
    event,
    hang,
    listing,
    pod,
    refuse,
    status_of,
    stream,
)
from told import Told

from gpuspawner.cluster.client import Client, Connection
from gpuspawner.cluster.view import View
from gpuspawner.cluster.watch import Timing, Watch

EXPIRED = event("ERROR", status_of(410, "Expired", "too old resource version: 1 (3824)"))
LONGEST_PAUSE = Timing().longest_pause


async def hung_up(request: web.Request) -> web.StreamResponse:
    """The connection is broken instead of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


FAULTS = {
    "connections break": hung_up,
    "429": refuse(429, "TooManyRequests", "too many requests, please try again later"),
    "500": refuse(500, "InternalError", "etcdserver: leader changed"),
    "503 of a load balancer": refuse(503),
    "504": refuse(504, "Timeout", "the server was unable to return a response in the time allotted"),
    "a page of a proxy": stream(b"<html>502 Bad Gateway</html>", end="close"),
}


def away(told: Told, seconds: float, fault: Answer, then: Answer) -> Answer:
    """``fault`` for so many seconds of the watch's time, then ``then``."""
    end = told.now + seconds

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (fault if told.now < end else then)(request)

    return answer


@pytest.mark.parametrize("seconds", [10, 60, 300])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_an_outage_ends_by_itself_soon_after_the_api_is_back(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch], fault: Answer, seconds: int
) -> None:
    server.on("list", "pods", listing(pod("before")), away(told, seconds, fault, listing(pod("before"), pod("back"))))
    back = stream(event("ADDED", pod("back", "12")))
    server.on("watch", "pods", away(told, seconds, fault, back))
    watch = watching()
    assert await told.next(3) == [("upsert", "before"), ("sync", ""), ("upsert", "back")]
    assert watch.outage is None
    assert seconds <= told.now <= seconds + LONGEST_PAUSE
    assert len(told.pauses) <= 7 + seconds / LONGEST_PAUSE, "an API that comes back is not run over"


@pytest.mark.parametrize("seconds", [10, 60, 300])
async def test_an_outage_that_comes_before_the_first_list_ends_by_itself(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch], seconds: int
) -> None:
    server.on("list", "pods", away(told, seconds, hung_up, listing(pod("a"))))
    server.on("watch", "pods", stream())
    watch = watching()
    assert await told.next(2) == [("upsert", "a"), ("sync", "")]
    assert watch.synced
    assert watch.outage is None


async def test_a_server_that_accepts_watches_and_never_grants_one_is_an_outage(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing())
    server.on("watch", "pods", hang(), hang(), hang(), stream(event("ADDED", pod("a", "11"))))
    told_of_outage: list[str] = []
    impatient = Client(Connection(host=server.url), timeout=0.1)
    watch = watching(
        client=impatient, on_outage=lambda: told_of_outage.append(watch.outage.reason if watch.outage else "")
    )
    assert await told.next(2) == [("sync", ""), ("upsert", "a")]
    assert told_of_outage == ["no answer in time", ""]
    await impatient.close()


async def test_a_silent_watch_is_renewed_with_a_warning_and_counted(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch], caplog: pytest.LogCaptureFixture
) -> None:
    server.on("list", "pods", listing())
    server.on("watch", "pods", stream(bookmark("20")), stream(event("ADDED", pod("heard", "21"))))
    with caplog.at_level(logging.WARNING):
        watch = watching(timing=Timing(silence=0.05))
        assert await told.next(2) == [("sync", ""), ("upsert", "heard")]
    assert watch.renewals >= 1
    assert "The watch of pods is stale and renewed: nothing was heard for 0.05 s" in caplog.text
    assert watch.outage is None, "one silent connection is no outage"
    assert server.asked("watch", "pods")[1].query["resourceVersion"] == "20"


async def test_what_a_server_keeps_back_from_its_watches_is_listed(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    """A watch cache that is stuck grants every watch and feeds none: only a list shows what has happened since."""
    server.on("list", "pods", listing(), listing(pod("kept back", "30"), version="30"))
    server.on("watch", "pods", stream(), stream(), stream(event("ADDED", pod("later", "31"))))
    watch = watching(timing=Timing(silence=0.05))
    expected = [("sync", ""), ("upsert", "kept back"), ("sync", ""), ("upsert", "later")]
    assert await told.next(4) == expected
    assert watch.lists == 2


async def test_how_long_a_watch_has_been_silent_is_known(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing())
    server.on("watch", "pods", stream(event("ADDED", pod("a", "11"))))
    watch = watching()
    told.now = 50.0
    await told.next(2)
    told.now = 125.0
    assert watch.silent_for <= 125.0
    watch._apply(bookmark("12"))
    assert watch.silent_for == 0.0
    told.now = 200.0
    assert watch.silent_for == 75.0


async def test_bookmarks_say_how_far_it_is_whatever_they_lack(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    """Bookmarks carry a version and nothing else: whoever looks for a namespace in them stumbles."""
    odd = [
        {"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "40"}}},
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "41", "namespace": None, "name": None}}},
        {"type": "BOOKMARK", "object": {"metadata": None}},
        {"type": "BOOKMARK", "object": {}},
    ]
    server.on("list", "pods", listing())
    server.on("watch", "pods", stream(*odd, end="close"), stream(event("ADDED", pod("a", "42"))))
    watching(namespace="hub")
    assert await told.next(2) == [("sync", ""), ("upsert", "a")]
    assert server.asked("watch", "pods")[1].query["resourceVersion"] == "41"
    assert len(server.asked("list", "pods")) == 1


async def test_empty_frames_cost_neither_objects_nor_a_list(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing())
    empty = [b"\n", b"\r\n", b"   \n", event("ADDED", pod("a", "11")), b"\n\n\n", event("DELETED", pod("a", "12"))]
    server.on("watch", "pods", stream(*empty))
    watching()
    assert await told.next(3) == [("sync", ""), ("upsert", "a"), ("delete", "a")]
    assert len(server.asked("list", "pods")) == 1
    assert told.pauses == []


async def test_an_answer_that_ends_before_its_first_frame_is_no_reason_to_hurry(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing())
    server.on("watch", "pods", stream(end="close"), stream(end="close"), stream(event("ADDED", pod("a", "11"))))
    watching()
    assert await told.next(2) == [("sync", ""), ("upsert", "a")]
    assert told.pauses == [0.25, 0.5]


async def test_a_server_that_forgets_its_history_at_once_is_not_listed_in_a_hot_loop(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing(pod("a")))
    server.on("watch", "pods", *[stream(EXPIRED)] * 8, stream(event("ADDED", pod("b", "11"))))
    watch = watching()
    told_of = await told.next(11)
    assert told_of[-1] == ("upsert", "b")
    assert told.pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0]
    assert watch.outage is None


async def test_too_large_a_version_is_listed_past(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    """kube-apiserver's answer while its cache is behind the version a client has seen, as after a restore of etcd."""
    message = "Too large resource version: 9000, current: 5"
    details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
    refusal = event("ERROR", status_of(504, "Timeout", message, retryAfterSeconds=1, **details))
    server.on("list", "pods", listing(version="9000"), listing(pod("a", "4"), version="5"))
    server.on("watch", "pods", *[stream(refusal)] * 3, stream())
    watching()
    assert await told.next(3) == [("sync", ""), ("upsert", "a"), ("sync", "")]


async def test_who_cannot_wait_has_the_api_asked_at_once(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    pausing = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if watch.outage is not None:
            pausing.set()
            await asyncio.Event().wait()

    async def watch_pods(request: web.Request) -> web.StreamResponse:
        return await (stream(event("ADDED", pod("a", "11"))) if pausing.is_set() else hung_up)(request)

    server.on("list", "pods", listing())
    server.on("watch", "pods", watch_pods)
    watch = watching(sleep=sleep)
    await told.next(1)
    async with asyncio.timeout(10):
        await pausing.wait()
    assert watch.outage is not None
    watch.hurry()
    assert await told.next(1) == [("upsert", "a")]


async def test_a_server_that_asks_for_time_is_given_it_whoever_cannot_wait(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    pausing = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pausing.set()
        await asyncio.Event().wait()

    server.on("list", "pods", listing())
    server.on("watch", "pods", refuse(429, "TooManyRequests", "slow down", Retry_After="7"))
    watch = watching(sleep=sleep)
    async with asyncio.timeout(10):
        await pausing.wait()
    watch.hurry()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(server.asked("watch", "pods")) == 1


@pytest.fixture
async def view(client: Client, told: Told) -> AsyncIterator[View]:
    view = View(
        client, "hub", {"app": "ours"}, cluster_wide=False, clock=lambda: told.now, sleep=told.sleep, chance=lambda: 0.0
    )
    yield view
    await view.close()


def ours(name: str, version: str) -> dict[str, Any]:
    return pod(name, version, metadata={"labels": {"app": "ours"}})


@pytest.mark.parametrize("seconds", [10, 60, 300])
async def test_a_pod_that_went_during_an_outage_is_told_when_it_is_over(
    server: ScriptedServer, told: Told, view: View, seconds: int
) -> None:
    gone: asyncio.Queue[str] = asyncio.Queue()
    view.on_pod(lambda record, is_gone: gone.put_nowait(record.name) if is_gone else None)
    server.on("list", "nodes", listing())
    server.on("watch", "nodes", stream())
    server.on("list", "pods", listing(ours("stays", "1"), ours("dies", "2")), listing(ours("stays", "1"), version="90"))
    forgotten = [refuse(410, "Expired", "too old"), stream()]

    async def watch_pods(request: web.Request) -> web.StreamResponse:
        if told.now < seconds:
            assert set(view.pods) == {("hub", "stays"), ("hub", "dies")}, "unknown is never gone"
            return await hung_up(request)
        return await (forgotten.pop(0) if len(forgotten) > 1 else forgotten[0])(request)

    server.on("watch", "pods", watch_pods)
    view.start()
    async with asyncio.timeout(10):
        assert await gone.get() == "dies"
    assert set(view.pods) == {("hub", "stays")}
    assert view.unreachable is None


async def test_who_asks_in_an_outage_learns_when_it_is_over(server: ScriptedServer, told: Told, client: Client) -> None:
    begun, back = asyncio.Event(), False

    async def sleep(seconds: float) -> None:
        if view.outage is not None:
            begun.set()
            await asyncio.Event().wait()

    async def watch_pods(request: web.Request) -> web.StreamResponse:
        return await (stream() if back else hung_up)(request)

    view = View(client, "hub", {}, cluster_wide=False, clock=lambda: told.now, sleep=sleep, chance=lambda: 0.0)
    for resource in ("pods", "nodes"):
        server.on("list", resource, listing())
        server.on("watch", resource, stream() if resource == "nodes" else watch_pods)
    changes: list[bool] = []
    view.on_outage(lambda: changes.append(view.outage is None))
    view.start()
    async with asyncio.timeout(10):
        await begun.wait()
        assert not await view.answers(0.01)
        back = True
        assert await view.answers(10)
        assert await view.answers(0)
    assert changes == [False, True]
    await view.close()
