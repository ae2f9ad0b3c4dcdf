"""The watch against an API server that does everything an API server can do wrong."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from scripted_apiserver import (
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
from gpuspawner.cluster.watch import Timing, Watch

EXPIRED = event("ERROR", status_of(410, "Expired", "too old resource version: 1 (3824)"))


async def test_a_list_in_pages_is_followed_by_a_watch_from_its_version(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing(pod("a"), version="9", continue_="more"), listing(pod("b"), version="9"))
    server.on("watch", "pods", stream(event("ADDED", pod("c", "11"))))
    watch = watching(page_size=1)
    assert await told.next(4) == [("upsert", "a"), ("upsert", "b"), ("sync", ""), ("upsert", "c")]
    assert [seen.query.get("continue") for seen in server.asked("list", "pods")] == [None, "more"]
    (followed,) = server.asked("watch", "pods")
    assert followed.query["resourceVersion"] == "9"
    assert followed.query["allowWatchBookmarks"] == "true"
    assert watch.version == "11"
    assert watch.outage is None


async def test_a_watch_that_ends_is_resumed_from_the_last_bookmark_without_a_list(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing())
    server.on("watch", "pods", stream(bookmark("77"), end="close"), stream(event("ADDED", pod("late", "80"))))
    watching()
    assert await told.next(2) == [("sync", ""), ("upsert", "late")]
    assert [seen.query["resourceVersion"] for seen in server.asked("watch", "pods")] == ["10", "77"]
    assert len(server.asked("list", "pods")) == 1
    assert told.pauses == []


@pytest.mark.parametrize("gone", [stream(EXPIRED), refuse(410, "Gone", "too old")], ids=["in the stream", "over HTTP"])
async def test_a_forgotten_history_is_listed_again_and_only_differences_are_told(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch], gone: Any
) -> None:
    server.on(
        "list",
        "pods",
        listing(pod("same", "1"), pod("changes", "2"), pod("goes", "3")),
        listing(pod("same", "1"), pod("changes", "22"), pod("comes", "23"), version="30"),
    )
    server.on("watch", "pods", gone, stream())
    watch = watching()
    await told.next(4)
    assert await told.next(4) == [("upsert", "changes"), ("upsert", "comes"), ("delete", "goes"), ("sync", "")]
    assert watch.lists == 2
    assert watch.outage is None


async def test_a_list_that_breaks_off_is_begun_anew_and_leaves_nothing_behind(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on(
        "list",
        "pods",
        listing(pod("gone-before-the-second-try"), pod("a"), continue_="old"),
        refuse(410, "Expired", "The provided continue parameter is too old"),
        listing(pod("a"), pod("b")),
    )
    server.on("watch", "pods", stream())
    watching(page_size=2)
    told_of = await told.next(5)
    assert told_of[2:] == [("upsert", "b"), ("delete", "gone-before-the-second-try"), ("sync", "")]


async def test_429_waits_as_long_as_the_server_says(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing())
    server.on(
        "watch",
        "pods",
        refuse(429, "TooManyRequests", "slow down", Retry_After="7"),
        stream(event("ADDED", pod("a", "12"))),
    )
    watching()
    assert await told.next(2) == [("sync", ""), ("upsert", "a")]
    assert told.pauses == [7.0]


async def test_it_never_gives_up_and_pauses_grow_to_a_limit(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    outage = [refuse(504, "Timeout", "etcd is away")] * 60
    server.on("list", "pods", listing())
    server.on("watch", "pods", *outage, stream(event("ADDED", pod("back", "12"))))
    watch = watching()
    assert await told.next(2) == [("sync", ""), ("upsert", "back")]
    assert len(told.pauses) == 60
    assert told.pauses[:4] == [0.25, 0.5, 1.0, 2.0]
    assert max(told.pauses) == told.pauses[-1] == 10.0
    assert watch.outage is None
    assert watch.lists == 1, "an outage is no reason to list again"


async def test_after_an_outage_the_next_pause_is_short_again(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", *[refuse(503, "", "")] * 5, listing())
    server.on("watch", "pods", refuse(503, "", ""), stream(event("ADDED", pod("a", "11"))))
    watching()
    assert await told.next(2) == [("sync", ""), ("upsert", "a")]
    assert told.pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 0.25]


async def test_pauses_are_spread_by_chance(server: ScriptedServer, told: Told, watching: Callable[..., Watch]) -> None:
    server.on("list", "pods", *[refuse(503, "", "")] * 8, listing(pod("a")))
    watching(chance=lambda: 1.0)
    await told.next(1)
    assert told.pauses[:3] == [0.125, 0.25, 0.5]
    assert max(told.pauses) <= 5.0


async def test_an_outage_is_known_by_its_beginning_and_its_reason(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    held = asyncio.Event()
    outages = []

    async def sleep(seconds: float) -> None:
        told.now += seconds
        outages.append(watch.outage)
        if len(outages) == 5:
            held.set()
            await asyncio.Event().wait()

    told.now = 100.0
    server.on("list", "pods", refuse(503, "ServiceUnavailable", "no quorum"))
    watch = watching(sleep=sleep)
    async with asyncio.timeout(10):
        await held.wait()
    assert {(outage.since, outage.reason) for outage in outages} == {(100.0, "503 no quorum")}
    assert not watch.synced


async def test_a_connection_that_breaks_is_resumed_where_it_broke(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing())
    server.on(
        "watch", "pods", stream(event("ADDED", pod("a", "11")), end="drop"), stream(event("ADDED", pod("b", "12")))
    )
    watch = watching()
    assert await told.next(3) == [("sync", ""), ("upsert", "a"), ("upsert", "b")]
    assert [seen.query["resourceVersion"] for seen in server.asked("watch", "pods")] == ["10", "11"]
    assert watch.lists == 1


async def test_a_half_open_connection_is_renewed(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing())
    server.on("watch", "pods", stream(), stream(event("ADDED", pod("heard", "11"))))
    watching(timing=Timing(silence=0.05))
    assert await told.next(2) == [("sync", ""), ("upsert", "heard")]


async def test_a_server_that_accepts_and_never_answers_does_not_hold_the_list(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", hang(), listing(pod("a")))
    server.on("watch", "pods", stream())
    impatient = Client(Connection(host=server.url), timeout=0.1)
    watching(client=impatient)
    assert await told.next(2) == [("upsert", "a"), ("sync", "")]
    await impatient.close()


async def test_empty_lines_unknown_types_and_nameless_objects_are_passed_over(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing())
    odd = [
        b"\n \n",
        event("NOVELTY", pod("x", "99")),
        event("ADDED", {"metadata": {}}),
        bookmark("12"),
        event("ADDED", pod("a", "13")),
    ]
    server.on("watch", "pods", stream(*odd))
    watch = watching()
    assert await told.next(2) == [("sync", ""), ("upsert", "a")]
    assert watch.version == "13"


async def test_lines_are_put_together_however_they_are_cut(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    big = pod("big", "11", metadata={"annotations": {"long": "x" * 3_000_000}})
    parts = [b'{"type":"ADDED","obj', b'ect":{"metadata":{"name":"cut","namespace":"hub"}}}\n{"type":"BOOK']
    server.on("list", "pods", listing())
    server.on("watch", "pods", stream(*parts, b'MARK","object":{}}\n', event("ADDED", big)))
    watching()
    assert await told.next(3) == [("sync", ""), ("upsert", "cut"), ("upsert", "big")]


async def test_garbage_is_read_again_from_the_last_version_and_listed_past_if_it_stays(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", listing(), listing(pod("behind", "20"), version="20"))
    server.on("watch", "pods", *[stream(b"<html>busy</html>\n")] * 3, stream(event("ADDED", pod("a", "21"))))
    watch = watching()
    assert await told.next(4) == [("sync", ""), ("upsert", "behind"), ("sync", ""), ("upsert", "a")]
    assert [seen.query["resourceVersion"] for seen in server.asked("watch", "pods")] == ["10", "10", "10", "20"]
    assert watch.outage is None


async def test_a_server_whose_history_began_anew_is_listed_again(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    """Recorded: a watch from a version in the future is granted and ends without a word."""
    server.on("list", "pods", listing(version="9000"), listing(pod("a", "4"), version="5"))
    server.on("watch", "pods", *[stream(end="close")] * 3, stream())
    watching()
    assert await told.next(3) == [("sync", ""), ("upsert", "a"), ("sync", "")]


async def test_without_rights_in_the_cluster_it_falls_back_to_the_namespace(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", refuse(403, "Forbidden", "cannot list pods at the cluster scope"), listing(pod("a")))
    server.on("watch", "pods", stream())
    watch = watching(fallback_namespace="hub")
    assert await told.next(2) == [("upsert", "a"), ("sync", "")]
    assert watch.namespace == "hub"
    assert [seen.path for seen in server.asked("list", "pods")] == ["/api/v1/pods", "/api/v1/namespaces/hub/pods"]


async def test_a_refusal_of_rights_settles_and_is_looked_at_again_seldom(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch]
) -> None:
    server.on("list", "pods", refuse(403, "Forbidden", "cannot list"), listing(pod("a")))
    server.on("watch", "pods", stream())
    watch = watching()
    async with asyncio.timeout(10):
        await watch.settled()
    assert await told.next(2) == [("upsert", "a"), ("sync", "")]
    assert told.pauses == [120.0]


async def test_a_listener_that_fails_does_not_stop_the_watch(
    server: ScriptedServer, told: Told, watching: Callable[..., Watch], caplog: pytest.LogCaptureFixture
) -> None:
    def picky(raw: dict[str, Any]) -> None:
        if raw["metadata"]["name"] == "bad":
            raise RuntimeError("cannot take it")
        told.upsert(raw)

    server.on("list", "pods", listing(pod("bad"), pod("good")))
    server.on("watch", "pods", stream(event("ADDED", pod("bad", "11")), event("ADDED", pod("late", "12"))))
    with caplog.at_level(logging.ERROR):
        watching(on_upsert=picky)
        assert await told.next(3) == [("upsert", "good"), ("sync", ""), ("upsert", "late")]
    assert "cannot take it" in caplog.text
