"""Deletion over HTTP and what follows from it: collections, namespaces, claims, owners, eviction."""

import asyncio
from typing import Any

import pytest
from running_api import Api, claim, pod, running_api

PODS = "/api/v1/namespaces/demo/pods"
CLAIMS = "/api/v1/namespaces/demo/persistentvolumeclaims"


async def test_a_pod_is_answered_with_itself_and_a_secret_with_a_status() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p")
        await api.ok("POST", "/api/v1/namespaces/demo/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
        assert (await api.ok("DELETE", f"{PODS}/p"))["kind"] == "Pod"
        answer = await api.ok("DELETE", "/api/v1/namespaces/demo/secrets/s")
        assert (answer["status"], answer["details"]["name"], answer["details"]["kind"]) == ("Success", "s", "secrets")


@pytest.mark.parametrize("in_query", [True, False])
async def test_a_grace_of_zero_ends_a_bound_pod_at_once(in_query: bool) -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p", node="n1")
        query, body = ("?gracePeriodSeconds=0", None) if in_query else ("", {"gracePeriodSeconds": 0})
        await api.ok("DELETE", f"{PODS}/p{query}", body)
        assert (await api.call("GET", f"{PODS}/p"))[0] == 404


async def test_a_deletion_can_insist_on_the_object_it_means() -> None:
    async with running_api() as api:
        await api.create_namespace()
        uid = (await api.create_pod("p"))["metadata"]["uid"]
        status, body = await api.call("DELETE", f"{PODS}/p", {"preconditions": {"uid": "another"}})
        assert (status, body["reason"]) == (409, "Conflict")
        assert f"UID in object meta: {uid}" in body["message"]
        await api.ok("DELETE", f"{PODS}/p", {"preconditions": {"uid": uid}})


async def test_a_collection_is_deleted_by_selector() -> None:
    async with running_api() as api:
        await api.create_namespace()
        for name, tier in (("a", "gold"), ("b", "tin"), ("c", "gold")):
            await api.create_pod(name, labels={"tier": tier})
        answer = await api.ok("DELETE", f"{PODS}?labelSelector=tier%3Dgold")
        assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "c"]
        assert [item["metadata"]["name"] for item in (await api.ok("GET", PODS))["items"]] == ["b"]


async def test_a_namespace_goes_with_all_that_is_in_it() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p")
        await api.ok("POST", CLAIMS, claim("home"))
        await api.ok("DELETE", "/api/v1/namespaces/demo")
        assert (await api.call("GET", "/api/v1/namespaces/demo"))[0] == 404
        for resource in ("pods", "persistentvolumeclaims", "configmaps", "serviceaccounts"):
            assert api.store.items(resource, "demo") == []
        assert api.store.items("persistentvolumes") == []


async def test_a_claim_is_provisioned_and_bound() -> None:
    async with running_api() as api:
        await api.create_namespace()
        created = await api.ok("POST", CLAIMS, claim("home"))
        assert created["status"] == {"phase": "Pending"}
        assert created["spec"]["storageClassName"] == "standard"
        bound = await api.ok("GET", f"{CLAIMS}/home")
        assert bound["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}}
        volume = await api.ok("GET", f"/api/v1/persistentvolumes/{bound['spec']['volumeName']}")
        assert volume["spec"]["claimRef"]["uid"] == bound["metadata"]["uid"]
        await api.ok("DELETE", f"{CLAIMS}/home")
        assert (await api.ok("GET", "/api/v1/persistentvolumes"))["items"] == []


async def test_a_claim_of_an_unknown_class_waits_until_the_class_is_there() -> None:
    async with running_api() as api:
        await api.create_namespace()
        wanted = claim("home")
        wanted["spec"]["storageClassName"] = "fast"
        await api.ok("POST", CLAIMS, wanted)
        assert (await api.ok("GET", f"{CLAIMS}/home"))["status"] == {"phase": "Pending"}
        kind = {"metadata": {"name": "fast"}, "provisioner": "local.gpuspawner", "reclaimPolicy": "Retain"}
        await api.ok("POST", "/apis/storage.k8s.io/v1/storageclasses", kind)
        assert (await api.ok("GET", f"{CLAIMS}/home"))["status"]["phase"] == "Bound"
        await api.ok("DELETE", f"{CLAIMS}/home")
        (volume,) = (await api.ok("GET", "/api/v1/persistentvolumes"))["items"]
        assert volume["status"]["phase"] == "Released"


async def test_a_claim_in_use_goes_when_its_last_pod_is_gone() -> None:
    volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}]
    async with running_api() as api:
        await api.create_namespace()
        await api.ok("POST", CLAIMS, claim("home"))
        await api.create_pod("p", node="n1", volumes=volumes)
        answer = await api.ok("DELETE", f"{CLAIMS}/home")
        assert answer["metadata"]["deletionTimestamp"]
        assert (await api.call("GET", f"{CLAIMS}/home"))[0] == 200
        api.store.remove("pods", "demo", "p")
        assert (await api.call("GET", f"{CLAIMS}/home"))[0] == 404


async def owned(api: Api, name: str, owner: dict[str, Any]) -> None:
    metadata = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    secret = {"metadata": {"name": name, "ownerReferences": [reference]}}
    await api.ok("POST", "/api/v1/namespaces/demo/secrets", secret)


async def test_what_a_pod_owns_goes_with_it_unless_orphaned() -> None:
    async with running_api() as api:
        await api.create_namespace()
        for name in ("one", "two"):
            await owned(api, f"of-{name}", await api.create_pod(name))
        await api.ok("DELETE", f"{PODS}/one")
        await api.ok("DELETE", f"{PODS}/two?propagationPolicy=Orphan")
        left = (await api.ok("GET", "/api/v1/namespaces/demo/secrets"))["items"]
        assert [secret["metadata"]["name"] for secret in left] == ["of-two"]
        assert left[0]["metadata"].get("ownerReferences", []) == []


async def test_an_evicted_pod_says_why_it_ends() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p", node="n1")
        body = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p"},
                "deleteOptions": {"gracePeriodSeconds": 5}}  # fmt: skip
        await api.ok("POST", f"{PODS}/p/eviction", body)
        evicted = api.store.get("pods", "demo", "p")
        assert evicted["metadata"]["deletionGracePeriodSeconds"] == 5
        reasons = {one["type"]: one.get("reason") for one in evicted["status"]["conditions"]}
        assert reasons["DisruptionTarget"] == "EvictionByEvictionAPI"


async def test_binding_happens_once() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p")
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n1"}}
        assert (await api.ok("POST", f"{PODS}/p/binding", binding))["status"] == "Success"
        bound = await api.ok("GET", f"{PODS}/p")
        assert (bound["spec"]["nodeName"], bound["metadata"]["generation"]) == ("n1", 1)
        status, body = await api.call("POST", f"{PODS}/p/binding", binding)
        assert (status, body["message"].partition(": ")[2]) == (409, 'pod p is already assigned to node "n1"')


async def test_fifty_creations_of_one_name_at_once_make_one_pod() -> None:
    async with running_api() as api:
        await api.create_namespace()
        answers = await asyncio.gather(*(api.call("POST", PODS, pod("p")) for _ in range(50)))
        assert sorted(status for status, _ in answers) == [201] + [409] * 49


async def test_events_are_forgotten_an_hour_after_they_were_last_seen() -> None:
    path = "/api/v1/namespaces/demo/events"

    def event(name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "demo"}}

    async with running_api() as api:
        await api.create_namespace()
        await api.ok("POST", path, event("old"))
        await api.ok("POST", path, event("again"))
        api.clock.advance(3000)
        repeat = {"count": 2}
        await api.ok("PATCH", f"{path}/again", repeat, Content_Type="application/merge-patch+json")
        api.clock.advance(1000)
        await api.ok("POST", path, event("new"))
        names = [item["metadata"]["name"] for item in (await api.ok("GET", path))["items"]]
        assert names == ["again", "new"]
