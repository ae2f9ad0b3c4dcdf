"""The API server answers as the recorded kube-apiserver 1.36 did, request by request."""

import asyncio
import json
from typing import Any

import pytest
from recordings import comparable, numbers, recording
from running_api import TOKEN, Api, running_api

from gpuspawner.local.apiserver.binding import bind

REPLAYED_HERE = {*range(1, 16), 17, 18, 29, *range(32, 39), *range(41, 55)}
NEEDS_THE_SCHEDULER = {16, *range(19, 29), 30, 31, 39, 40}
DYNAMIC_RESOURCE_ALLOCATION = set(range(61, 71))
"""In test_device_claims.py."""

GPU_POD = recording(15)["watch_events"][0]["object"]


def test_every_recording_has_its_place() -> None:
    places = [REPLAYED_HERE, NEEDS_THE_SCHEDULER, DYNAMIC_RESOURCE_ALLOCATION]
    assert sorted(number for place in places for number in place) == numbers()


async def replay(api: Api, number: int) -> None:
    """Send a recorded request and compare status, warnings and body."""
    recorded = recording(number)
    asked, expected = recorded["request"], recorded["response"]
    headers = {name.replace("-", "_"): value for name, value in asked.get("headers", {}).items()}
    if "content_type" in asked:
        headers["Content_Type"] = asked["content_type"]
    token = None if number == 10 else TOKEN
    async with api.request(asked["method"], asked["path"], asked.get("body"), token=token, **headers) as response:
        text = await response.text()
        body: Any = json.loads(text) if text else ""
        assert comparable(body) == comparable(expected["body"]), recorded["title"]
        assert response.status == expected["status"], recorded["title"]
        assert response.headers.getall("Warning", []) == expected.get("warning", [])


async def create_recorded(api: Api, number: int, node: str | None = None) -> None:
    asked = recording(number)["request"]
    body = asked["body"]
    await api.ok(asked["method"], asked["path"], body)
    if node:
        bind(api.store, "demo", body["metadata"]["name"], node)


def client_pod(stored: dict[str, Any]) -> dict[str, Any]:
    """Return what a client sent to get a recorded pod."""
    metadata = {"name": stored["metadata"]["name"], "labels": stored["metadata"]["labels"]}
    container = {key: stored["spec"]["containers"][0][key] for key in ("name", "image", "resources")}
    spec = {"containers": [container], "tolerations": stored["spec"]["tolerations"][:1]}
    spec |= {key: stored["spec"][key] for key in ("nodeSelector",) if key in stored["spec"]}
    return {"metadata": metadata, "spec": spec}


async def test_pods_are_created_refused_and_read() -> None:
    async with running_api() as api:
        for number in range(1, 11):
            await replay(api, number)
        bind(api.store, "demo", "alice", "a100-0")
        await api.ok("DELETE", "/api/v1/namespaces/demo/pods/typo")
        for number in (11, 12):
            await replay(api, number)


async def test_nodes_are_listed_in_pages() -> None:
    async with running_api() as api:
        known = recording(13)["response"]["body"]["items"]
        for node in known:
            api.store.create("nodes", node)
        for index in range(14):
            api.store.create("nodes", {"metadata": {"name": f"t4-{index}"}})
        await replay(api, 13)


async def test_a_pod_on_a_node_is_deleted_gracefully() -> None:
    async with running_api() as api:
        await create_recorded(api, 1)
        recorded = recording(14)["response"]["body"]
        await api.ok("POST", "/api/v1/namespaces/demo/pods", client_pod(recorded))
        bind(api.store, "demo", "bob", "t4-2")
        api.store.update_status("pods", "demo", "bob", recorded["status"])
        await replay(api, 14)
        pod = api.store.get("pods", "demo", "bob")["metadata"]
        assert pod["deletionTimestamp"] == "2026-11-21T05:26:53Z", "three seconds after the clock's time"


async def test_a_watch_tells_a_pods_life() -> None:
    recorded = recording(15)
    events = recorded["watch_events"]
    async with running_api() as api:
        await create_recorded(api, 1)
        path = recorded["request"]["path"].replace("8210", str(api.store.version))
        async with api.request("GET", path) as response:
            await api.ok("POST", "/api/v1/namespaces/demo/pods", client_pod(GPU_POD))
            await api.create_pod("someone-else", labels={"user": "carol"})
            bind(api.store, "demo", "bob", "t4-2")
            api.store.update_status("pods", "demo", "bob", events[2]["object"]["status"])
            await api.ok("DELETE", "/api/v1/namespaces/demo/pods/bob", {"gracePeriodSeconds": 3})
            api.store.remove("pods", "demo", "bob")
            seen = [json.loads(await response.content.readline()) for _ in events]
        assert comparable(seen) == comparable(events)
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
        assert versions == sorted(set(versions))


async def test_watches_from_the_past_and_the_future() -> None:
    async with running_api() as api:
        await create_recorded(api, 1)
        await api.create_pod("one")
        api.store.forget_history()
        await replay(api, 17)
        await asyncio.wait_for(replay(api, 18), 10)


async def test_a_priority_class() -> None:
    async with running_api() as api:
        await replay(api, 29)


async def test_a_quota_is_enforced_and_counted() -> None:
    async with running_api() as api:
        await create_recorded(api, 1)
        await replay(api, 32)
        first = recording(33)["request"]["body"]
        await api.ok("POST", "/api/v1/namespaces/demo/pods", first | {"metadata": {"name": "q1"}})
        for number in (33, 34, 35):
            await replay(api, number)


async def test_claims() -> None:
    async with running_api(storage_class=None) as api:
        await create_recorded(api, 1)
        for number in (36, 37, 38):
            await replay(api, number)


async def test_a_restricted_namespace_patches_dry_runs_and_eviction() -> None:
    async with running_api() as api:
        await api.create_namespace("demo", **{"pod-security.kubernetes.io/enforce": "restricted"})
        for number in (41, 42):
            await replay(api, number)
        bind(api.store, "demo", "hardened", "a100-1")
        for number in (43, 44, 45, 46, 47, 48, 49, 50):
            await replay(api, number)


async def test_metadata_only_lists_tables_and_the_version() -> None:
    async with running_api() as api:
        await create_recorded(api, 1)
        for name in ("pvcpod", "q1", "nopvc"):
            await api.create_pod(name, labels={"app": "demo", "user": name})
        await create_recorded(api, 42, node="a100-1")
        await api.ok("PATCH", "/api/v1/namespaces/demo/pods/hardened", recording(43)["request"]["body"],
                     Content_Type="application/merge-patch+json")  # fmt: skip
        await api.ok("DELETE", "/api/v1/namespaces/demo/pods/hardened")
        await replay(api, 51)
        api.store.remove("pods", "demo", "hardened")
        api.clock.advance(2)
        await replay(api, 52)


async def test_the_server_tells_its_version() -> None:
    expected = recording(53)["response"]["body"]
    async with running_api() as api:
        told = await api.ok("GET", "/version")
    assert told.keys() == expected.keys()
    assert {key: told[key] for key in told if "inor" in key or "ajor" in key} == {
        key: expected[key] for key in expected if "inor" in key or "ajor" in key
    }


async def test_a_terminating_namespace_takes_nothing_new() -> None:
    async with running_api() as api:
        await create_recorded(api, 1)
        await create_recorded(api, 2, node="a100-0")
        gone = await api.ok("DELETE", "/api/v1/namespaces/demo")
        assert gone["status"] == {"phase": "Terminating"}
        await replay(api, 54)
        api.store.remove("pods", "demo", "alice")
        assert (await api.call("GET", "/api/v1/namespaces/demo"))[0] == 404


@pytest.mark.parametrize("path", ["/api/v1/namespaces/demo/nothing", "/apis/none.example.org/v1", "/nonsense"])
async def test_an_unknown_path_is_not_found(path: str) -> None:
    async with running_api() as api:
        status, body = await api.call("GET", path)
    assert (status, body["reason"]) == (404, "NotFound")
