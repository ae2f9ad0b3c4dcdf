"""Finalizers, as Kubernetes treats them: what holds an object that is deleted, and what becomes of it meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from running_api import Api, pod, running_api
from running_engine import ANYWHERE, Lab, gpus, running_engine, state

from gpuspawner.local.apiserver.store import Store

Object = dict[str, Any]
LEDGER = "gpuspawner/ledger"
PODS = "/api/v1/namespaces/demo/pods"
MERGE, STRATEGIC, JSON = (f"application/{kind}+json" for kind in ("merge-patch", "strategic-merge-patch", "json-patch"))
RECORDED = Path(__file__).parent.parent / "data" / "kubernetes-api"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        await api.create_namespace()
        yield api


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running_engine(tmp_path, nodes="t4=1x1") as lab:
        yield lab


def held(name: str, *finalizers: str) -> Object:
    manifest = pod(name)
    manifest["metadata"]["finalizers"] = list(finalizers or (LEDGER,))
    return manifest


async def release(api: Api, name: str, **metadata: Any) -> tuple[int, Object]:
    """As the Job controller does it, so that nobody else's finalizer is touched."""
    patch = {"metadata": {**metadata, "$deleteFromPrimitiveList/finalizers": [LEDGER]}}
    return await api.call("PATCH", f"{PODS}/{name}", patch, Content_Type=STRATEGIC)


async def held_pod(lab: Lab, name: str, script: str = "exec sleep 1000", **spec: Any) -> Object:
    """A pod with a finalizer that runs a shell script."""
    container = {"name": "main", "image": "example.org/tool:1", "command": ["/bin/sh", "-c", script]}
    container |= spec.pop("container", {})
    manifest = held(name)
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "tolerations": ANYWHERE} | spec
    manifest["spec"] = {"containers": [container]} | spec
    return await lab.create("pods", manifest)


async def let_go(lab: Lab, name: str) -> None:
    path = f"/api/v1/namespaces/demo/pods/{name}"
    status, answer = await lab.call("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
    assert status == 200, answer


async def test_a_pod_without_node_stays_until_its_finalizer_is_gone(api: Api) -> None:
    await api.ok("POST", PODS, held("p"))
    answer = await api.ok("DELETE", f"{PODS}/p")
    assert (answer["kind"], answer["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 0)
    assert answer["metadata"]["deletionTimestamp"] == "2026-11-21T05:26:50Z"
    assert (await api.ok("DELETE", f"{PODS}/p"))["metadata"] == answer["metadata"], "a second deletion changes nothing"
    status, last = await release(api, "p")
    assert (status, last["metadata"].get("finalizers", [])) == (200, [])
    assert (await api.call("GET", f"{PODS}/p"))[0] == 404


@pytest.mark.parametrize("query", ["?gracePeriodSeconds=0", "?gracePeriodSeconds=0&propagationPolicy=Background"])
async def test_a_forced_deletion_does_not_overrule_a_finalizer(api: Api, query: str) -> None:
    await api.ok("POST", PODS, held("p"))
    await api.ok("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"name": "n1"}})
    await api.ok("DELETE", f"{PODS}/p{query}")
    standing = (await api.ok("GET", f"{PODS}/p"))["metadata"]
    assert (standing["deletionGracePeriodSeconds"], standing["finalizers"]) == (0, [LEDGER])
    assert (await release(api, "p"))[0] == 200
    assert (await api.call("GET", f"{PODS}/p"))[0] == 404


async def test_a_pod_whose_finalizer_goes_first_still_has_its_grace(api: Api) -> None:
    await api.ok("POST", PODS, held("p"))
    await api.ok("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"name": "n1"}})
    await api.ok("DELETE", f"{PODS}/p?gracePeriodSeconds=20")
    assert (await release(api, "p"))[0] == 200
    assert (await api.ok("GET", f"{PODS}/p"))["metadata"]["deletionGracePeriodSeconds"] == 20
    api.store.remove("pods", "demo", "p")
    assert (await api.call("GET", f"{PODS}/p"))[0] == 404


async def test_only_the_finalizer_that_is_named_goes(api: Api) -> None:
    await api.ok("POST", PODS, held("p", "example.org/first", LEDGER))
    await api.ok("DELETE", f"{PODS}/p")
    _, left = await release(api, "p")
    assert left["metadata"]["finalizers"] == ["example.org/first"]
    assert (await release(api, "p"))[0] == 200, "again is no error"
    patch = [{"op": "test", "path": "/metadata/finalizers/0", "value": "example.org/first"},
             {"op": "remove", "path": "/metadata/finalizers/0"}]  # fmt: skip
    assert (await api.call("PATCH", f"{PODS}/p", patch, Content_Type=JSON))[0] == 200
    assert (await api.call("GET", f"{PODS}/p"))[0] == 404


async def test_a_patch_that_means_another_pod_of_the_name_conflicts(api: Api) -> None:
    created = await api.ok("POST", PODS, held("p"))
    status, body = await release(api, "p", uid="that-of-an-earlier-pod")
    assert (status, body["reason"]) == (409, "Conflict")
    assert (await release(api, "p", uid=created["metadata"]["uid"]))[0] == 200


async def test_a_finalizer_cannot_be_added_to_what_is_being_deleted(api: Api) -> None:
    await api.ok("POST", PODS, held("p"))
    await api.ok("DELETE", f"{PODS}/p")
    more = {"metadata": {"finalizers": [LEDGER, "example.org/late"]}}
    status, body = await api.call("PATCH", f"{PODS}/p", more, Content_Type=MERGE)
    assert status == 422
    assert body["details"]["causes"] == [
        {
            "reason": "FieldValueForbidden",
            "message": "Forbidden: no new finalizers can be added if the object is being deleted, "
            'found new finalizers []string{"example.org/late"}',
            "field": "metadata.finalizers",
        }
    ]


@pytest.mark.parametrize(
    ("name", "field"), [("ledger", "metadata.finalizers[0]"), ("bad name/ledger", "metadata.finalizers")]
)
async def test_a_finalizer_has_a_qualified_name(api: Api, name: str, field: str) -> None:
    status, body = await api.call("POST", PODS, held("p", name))
    assert status == 422
    assert [cause["field"] for cause in body["details"]["causes"]] == [field]


async def test_a_watch_tells_a_deletion_in_three_steps(api: Api) -> None:
    """Marked, ended, gone; and the last that is told of it has no finalizer."""
    await api.ok("POST", PODS, held("p"))
    await api.ok("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"name": "n1"}})
    watch = api.store.watch("pods", "demo", since=api.store.version)
    await api.ok("DELETE", f"{PODS}/p?gracePeriodSeconds=3")
    api.store.remove("pods", "demo", "p")
    await release(api, "p")
    seen = [await asyncio.wait_for(anext(watch), 5) for _ in range(3)]
    told = [(kind, obj["metadata"]["deletionGracePeriodSeconds"], obj["metadata"]["finalizers"]) for kind, obj in seen]
    assert told == [("MODIFIED", 3, [LEDGER]), ("MODIFIED", 0, [LEDGER]), ("DELETED", 0, [])]


def test_a_shortened_grace_counts_from_the_beginning_of_the_deletion_as_recorded() -> None:
    (recording,) = RECORDED.glob("15-*.json")
    events = json.loads(recording.read_text())["watch_events"]
    recorded = [e["object"]["metadata"] for e in events if "deletionTimestamp" in e["object"]["metadata"]]
    assert _grace_and_shift(
        [(one["deletionGracePeriodSeconds"], one["deletionTimestamp"]) for one in recorded[:2]]
    ) == _grace_and_shift(_times_of_a_deletion(Store(), grace=3))


def _grace_and_shift(times: list[tuple[int, str]]) -> tuple[list[int], float]:
    first, second = (datetime.fromisoformat(when) for _, when in times)
    return [grace for grace, _ in times], (first - second).total_seconds()


def _times_of_a_deletion(store: Store, grace: int) -> list[tuple[int, str]]:
    manifest = held("p")
    manifest["metadata"]["namespace"] = "demo"
    manifest["spec"]["nodeName"] = "n1"
    store.create("pods", manifest | {"status": {"phase": "Running"}})
    seen: list[tuple[int, str]] = []

    def note(resource: str, kind: str, obj: Object) -> None:
        seen.append((obj["metadata"]["deletionGracePeriodSeconds"], obj["metadata"]["deletionTimestamp"]))

    store.subscribe(note)
    store.delete("pods", "demo", "p", grace_seconds=grace)
    store.remove("pods", "demo", "p")
    store.remove("pods", "demo", "p")
    return seen


async def test_a_namespace_waits_for_the_finalizers_in_it(api: Api) -> None:
    await api.ok("POST", PODS, held("p"))
    await api.ok("DELETE", "/api/v1/namespaces/demo")
    assert (await api.ok("GET", "/api/v1/namespaces/demo"))["status"]["phase"] == "Terminating"
    assert (await release(api, "p"))[0] == 200
    assert (await api.call("GET", "/api/v1/namespaces/demo"))[0] == 404


@pytest.mark.parametrize("grace", ["", "?gracePeriodSeconds=0"])
async def test_a_deleted_pod_ends_says_when_and_stays(lab: Lab, grace: str) -> None:
    await held_pod(lab, "p")
    await lab.ready("p")
    await lab.ok("DELETE", f"/api/v1/namespaces/demo/pods/p{grace}")
    left = await lab.ended("p")
    ended = state(left)["terminated"]
    assert ended["startedAt"] <= ended["finishedAt"]
    assert left["metadata"]["deletionTimestamp"]
    await lab.until("p", lambda pod: pod["metadata"]["deletionGracePeriodSeconds"] == 0)
    await let_go(lab, "p")
    await lab.gone("p")


async def test_a_pod_that_ended_by_itself_and_is_then_deleted_stays_as_it_was(lab: Lab) -> None:
    await held_pod(lab, "p", "exit 3")
    before = await lab.ended("p")
    await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/p")
    after = lab.store.get("pods", "demo", "p")
    assert after["status"] == before["status"]
    assert after["metadata"]["deletionGracePeriodSeconds"] == 0
    await let_go(lab, "p")
    await lab.gone("p")


async def test_the_gpu_of_a_pod_that_is_only_held_by_a_finalizer_is_free(lab: Lab) -> None:
    await held_pod(lab, "first", container={"resources": gpus(1)})
    await lab.ready("first")
    await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/first?gracePeriodSeconds=0")
    await held_pod(lab, "second", container={"resources": gpus(1)})
    await lab.ready("second")
    assert lab.store.find("pods", "demo", "first")


async def test_a_pod_that_is_deleted_before_it_has_a_node_never_gets_one(lab: Lab) -> None:
    await held_pod(lab, "first", container={"resources": gpus(1)})
    await lab.ready("first")
    await held_pod(lab, "second", container={"resources": gpus(1)})
    await lab.event("second", "FailedScheduling")
    await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/second")
    await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/first")
    await lab.ended("first")
    await held_pod(lab, "third", container={"resources": gpus(1)})
    await lab.ready("third")
    second = lab.store.get("pods", "demo", "second")
    assert ("nodeName" in second["spec"], second["status"]["phase"]) == (False, "Pending")


async def test_a_pod_of_a_lost_node_has_failed_and_stays(lab: Lab) -> None:
    await held_pod(lab, "p")
    await lab.ready("p")
    lab.store.delete("nodes", None, "t4-0")
    lost = await lab.ended("p")
    disruption = next(one for one in lost["status"]["conditions"] if one["type"] == "DisruptionTarget")
    assert disruption["reason"] == "DeletionByPodGC"
    await let_go(lab, "p")
    await lab.gone("p")


async def test_a_pod_that_is_bound_and_deleted_before_its_node_sees_it_fails(lab: Lab) -> None:
    node = lab.store.get("nodes", None, "t4-0")
    await held_pod(lab, "p", nodeName="elsewhere")
    await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/p")
    del node["metadata"]["resourceVersion"], node["metadata"]["uid"]
    node["metadata"]["name"] = "elsewhere"
    lab.store.create("nodes", node)
    await lab.until("p", lambda pod: pod["status"]["phase"] == "Failed")
