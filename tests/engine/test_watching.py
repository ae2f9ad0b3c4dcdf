"""Watches over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse
from running_api import Api, running_api

from gpuspawner.local.apiserver.binding import bind

PODS = "/api/v1/namespaces/demo/pods"
PATIENCE = 10


class Lines:
    """The events of one watch."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def next(self) -> Any:
        line = await asyncio.wait_for(self.response.content.readline(), PATIENCE)
        return json.loads(line) if line else None

    async def names(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


@asynccontextmanager
async def watching(api: Api, query: str = "", path: str = PODS, **headers: str) -> AsyncIterator[Lines]:
    async with api.request("GET", f"{path}?watch=1{query}", **headers) as response:
        assert response.status == 200
        yield Lines(response)


async def test_without_a_version_a_watch_begins_with_what_is_there() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("one")
        async with watching(api) as lines:
            await api.create_pod("two")
            assert await lines.names(2) == [("ADDED", "one"), ("ADDED", "two")]


@pytest.mark.parametrize("value", ["true", "True", "1", ""])
async def test_a_watch_is_asked_for_in_any_spelling(value: str) -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("one")
        async with api.request("GET", f"{PODS}?watch={value}") as response:
            assert await Lines(response).names(1) == [("ADDED", "one")]


@pytest.mark.parametrize("value", ["false", "False", "0"])
async def test_a_watch_that_is_switched_off_is_a_list(value: str) -> None:
    async with running_api() as api:
        await api.create_namespace()
        assert (await api.ok("GET", f"{PODS}?watch={value}"))["kind"] == "PodList"


async def test_a_list_and_a_watch_from_its_version_miss_nothing_and_repeat_nothing() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("one")
        version = (await api.ok("GET", PODS))["metadata"]["resourceVersion"]
        await api.create_pod("two")
        async with watching(api, f"&resourceVersion={version}") as lines:
            await api.create_pod("three")
            assert await lines.names(2) == [("ADDED", "two"), ("ADDED", "three")]


async def test_several_watches_see_the_same_at_once() -> None:
    async with running_api() as api:
        await api.create_namespace()
        async with watching(api) as one, watching(api) as two, watching(api, path="/api/v1/pods") as all_of_them:
            await api.create_pod("p")
            seen = [await lines.next() for lines in (one, two, all_of_them)]
            assert seen[0] == seen[1] == seen[2]


async def test_an_object_enters_and_leaves_a_selection() -> None:
    async with running_api() as api:
        await api.create_namespace()
        async with watching(api, "&labelSelector=tier%3Dgold") as lines:
            await api.create_pod("p", labels={"tier": "tin"})
            api.store.modify("pods", "demo", "p", lambda pod: pod["metadata"].update(labels={"tier": "gold"}))
            entered = await lines.next()
            api.store.modify("pods", "demo", "p", lambda pod: pod["metadata"].update(labels={"tier": "tin"}))
            left = await lines.next()
        assert (entered["type"], left["type"]) == ("ADDED", "DELETED")
        assert left["object"]["metadata"]["labels"] == {"tier": "gold"}, "as it was last seen"
        assert int(left["object"]["metadata"]["resourceVersion"]) == api.store.version


async def test_a_field_selector_follows_the_pods_of_a_node() -> None:
    async with running_api() as api:
        await api.create_namespace()
        async with watching(api, "&fieldSelector=spec.nodeName%3Dn1", path="/api/v1/pods") as lines:
            await api.create_pod("p")
            bind(api.store, "demo", "p", "n1")
            assert await lines.names(1) == [("ADDED", "p")]


async def test_one_object_is_watched_by_its_name() -> None:
    async with running_api() as api:
        await api.create_namespace()
        async with watching(api, path=f"{PODS}/two") as lines:
            await api.create_pod("one")
            await api.create_pod("two")
            assert await lines.names(1) == [("ADDED", "two")]


async def test_bookmarks_tell_how_far_a_silent_watch_has_come() -> None:
    async with running_api(bookmark_seconds=0.05) as api:
        await api.create_namespace()
        version = api.store.version
        async with watching(api, f"&allowWatchBookmarks=true&resourceVersion={version}") as lines:
            await api.create_namespace("elsewhere")
            while True:
                event = await lines.next()
                assert event["type"] == "BOOKMARK"
                assert event["object"]["kind"] == "Pod"
                if event["object"]["metadata"]["resourceVersion"] == str(api.store.version):
                    break
        async with watching(api, f"&resourceVersion={api.store.version}&timeoutSeconds=1") as lines:
            assert await lines.next() is None, "no bookmark for who did not ask"


async def test_initial_events_end_with_a_marked_bookmark() -> None:
    query = "&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p")
        async with watching(api, query) as lines:
            assert (await lines.next())["type"] == "ADDED"
            end = await lines.next()
        assert end["type"] == "BOOKMARK"
        assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        status, body = await api.call("GET", f"{PODS}?watch=1&sendInitialEvents=true")
        assert (status, body["reason"]) == (422, "Invalid")


async def test_a_watch_ends_after_its_timeout() -> None:
    async with running_api() as api:
        await api.create_namespace()
        async with watching(api, "&timeoutSeconds=1") as lines:
            assert await lines.next() is None


async def test_history_that_goes_while_watching_ends_the_watch_with_410() -> None:
    async with running_api() as api:
        await api.create_namespace()
        version = api.store.version
        await api.create_pod("p")
        api.store.forget_history()
        async with watching(api, f"&resourceVersion={version}") as lines:
            event = await lines.next()
            assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
            assert await lines.next() is None


@pytest.mark.parametrize("query", ["&resourceVersion=abc", "&labelSelector=%3D", "&fieldSelector=spec.image%3Dx"])
async def test_a_watch_that_makes_no_sense_is_refused_before_it_begins(query: str) -> None:
    async with running_api() as api:
        status, body = await api.call("GET", f"{PODS}?watch=1{query}")
        assert (status, body["reason"]) == (400, "BadRequest")


async def test_a_table_watch_sends_its_columns_once() -> None:
    async with running_api() as api:
        await api.create_namespace()
        async with watching(api, Accept="application/json;as=Table;v=v1;g=meta.k8s.io") as lines:
            await api.create_pod("one")
            await api.create_pod("two")
            first, second = await lines.next(), await lines.next()
        assert [column["name"] for column in first["object"]["columnDefinitions"]][:3] == ["Name", "Ready", "Status"]
        assert second["object"]["columnDefinitions"] is None
        assert second["object"]["rows"][0]["cells"][:3] == ["two", "0/1", "Pending"]


async def test_events_are_watched_in_both_shapes() -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "demo"},
             "reason": "Why", "message": "what", "type": "Normal"}  # fmt: skip
    async with running_api() as api:
        await api.create_namespace()
        newer_path = "/apis/events.k8s.io/v1/namespaces/demo/events"
        async with watching(api, path=newer_path) as newer:
            await api.ok("POST", "/api/v1/namespaces/demo/events", event)
            seen = (await newer.next())["object"]
        assert (seen["note"], seen["regarding"]["name"], seen["apiVersion"]) == ("what", "p", "events.k8s.io/v1")


async def test_the_server_stops_at_once_with_watches_open() -> None:
    async with running_api() as api:
        await api.create_namespace()
        response = await api.request("GET", f"{PODS}?watch=1")
        await asyncio.wait_for(api.runner.cleanup(), PATIENCE)
        assert await response.read() == b"", "the watch ended in order"


async def test_a_watch_whose_client_left_is_not_kept() -> None:
    async with running_api() as api:
        await api.create_namespace()
        response = await api.request("GET", f"{PODS}?watch=1")
        response.close()
        await api.create_pod("p")
        await api.create_pod("q")
        await asyncio.wait_for(api.runner.cleanup(), PATIENCE)
