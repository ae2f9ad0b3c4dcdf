"""Patches over HTTP: JSON, merge, strategic merge, server-side apply, and what a write may not do."""

from typing import Any

import pytest
from running_api import Api, claim, pod, running_api

JSON, MERGE, STRATEGIC, APPLY = (
    f"application/{kind}"
    for kind in ("json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
)
CM = "/api/v1/namespaces/demo/configmaps/cm"
POD = "/api/v1/namespaces/demo/pods/p"


async def config_map(api: Api, **data: str) -> None:
    await api.create_namespace()
    await api.ok("POST", CM.rpartition("/")[0], {"metadata": {"name": "cm"}, "data": data})


async def test_a_json_patch_adds_tests_and_removes() -> None:
    async with running_api() as api:
        await config_map(api, a="1", b="2")
        patch = [
            {"op": "test", "path": "/data/a", "value": "1"},
            {"op": "remove", "path": "/data/a"},
            {"op": "add", "path": "/metadata/annotations", "value": {"x": "y"}},
        ]
        answer = await api.ok("PATCH", CM, patch, Content_Type=JSON)
        assert answer["data"] == {"b": "2"}
        assert answer["metadata"]["annotations"] == {"x": "y"}


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ([{"op": "test", "path": "/data/a", "value": "other"}], 422),
        ([{"op": "remove", "path": "/data/none"}], 422),
        ({"data": {}}, 400),
        ([{"op": "dance", "path": "/data"}], 400),
    ],
)
async def test_a_json_patch_that_does_not_apply_changes_nothing(patch: Any, status: int) -> None:
    async with running_api() as api:
        await config_map(api, a="1")
        assert (await api.call("PATCH", CM, patch, Content_Type=JSON))[0] == status
        assert (await api.ok("GET", CM))["data"] == {"a": "1"}


async def test_a_merge_patch_sets_and_deletes_keys() -> None:
    async with running_api() as api:
        await config_map(api, a="1", b="2")
        answer = await api.ok("PATCH", CM, {"data": {"a": None, "c": "3"}}, Content_Type=MERGE)
        assert answer["data"] == {"b": "2", "c": "3"}


async def test_a_strategic_merge_patch_finds_the_container_by_name() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p")
        patch = {"spec": {"containers": [{"name": "notebook", "image": "example.org/notebook:2"}]}}
        answer = await api.ok("PATCH", POD, patch, Content_Type=STRATEGIC)
        assert len(answer["spec"]["containers"]) == 1
        assert answer["spec"]["containers"][0]["image"] == "example.org/notebook:2"
        assert answer["metadata"]["generation"] == 2


async def test_an_unknown_kind_of_patch_is_refused() -> None:
    async with running_api() as api:
        await config_map(api)
        status, body = await api.call("PATCH", CM, {}, Content_Type="text/plain")
        assert (status, body["reason"]) == (415, "UnsupportedMediaType")


async def test_a_patch_with_a_typo_is_refused_when_strict_and_warned_of_otherwise() -> None:
    async with running_api() as api:
        await config_map(api)
        status, body = await api.call("PATCH", f"{CM}?fieldValidation=Strict", {"dat": {}}, Content_Type=MERGE)
        assert (status, body["reason"]) == (400, "BadRequest")
        assert 'unknown field "dat"' in body["message"]
        async with api.request("PATCH", CM, {"dat": {}}, Content_Type=MERGE) as response:
            assert response.headers["Warning"] == '299 - "unknown field \\"dat\\""'


async def test_a_status_patch_leaves_the_spec_and_a_spec_patch_the_status() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p")
        both = {"spec": {"activeDeadlineSeconds": 60}, "status": {"phase": "Running"}}
        answer = await api.ok("PATCH", f"{POD}/status", both, Content_Type=MERGE)
        assert answer["status"]["phase"] == "Running"
        assert "activeDeadlineSeconds" not in answer["spec"]
        both["status"]["phase"] = "Failed"
        answer = await api.ok("PATCH", POD, both, Content_Type=MERGE)
        assert answer["status"]["phase"] == "Running"
        assert answer["spec"]["activeDeadlineSeconds"] == 60


async def test_a_put_replaces_and_needs_the_version_that_was_read() -> None:
    async with running_api() as api:
        await config_map(api, a="1")
        read = await api.ok("GET", CM)
        written = await api.ok("PUT", CM, read | {"data": {"b": "2"}})
        assert written["data"] == {"b": "2"}
        status, body = await api.call("PUT", CM, read | {"data": {"c": "3"}})
        assert (status, body["reason"]) == (409, "Conflict")
        wrong_name = read | {"metadata": {"name": "other"}}
        assert (await api.call("PUT", CM, wrong_name))[0] == 400


async def test_an_immutable_config_map_stays() -> None:
    async with running_api() as api:
        await config_map(api, a="1")
        await api.ok("PATCH", CM, {"immutable": True}, Content_Type=MERGE)
        status, body = await api.call("PATCH", CM, {"data": {"a": "2"}}, Content_Type=MERGE)
        assert (status, body["details"]["causes"][0]["field"]) == (422, "data")


async def test_an_active_deadline_can_be_shortened_but_not_lengthened() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p", activeDeadlineSeconds=100)
        assert (await api.call("PATCH", POD, {"spec": {"activeDeadlineSeconds": 50}}, Content_Type=MERGE))[0] == 200
        assert (await api.call("PATCH", POD, {"spec": {"activeDeadlineSeconds": 70}}, Content_Type=MERGE))[0] == 422


async def test_a_bound_claim_grows_but_does_not_shrink() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.ok("POST", "/api/v1/namespaces/demo/persistentvolumeclaims", claim("home"))
        path = "/api/v1/namespaces/demo/persistentvolumeclaims/home"

        def size(text: str) -> dict[str, Any]:
            return {"spec": {"resources": {"requests": {"storage": text}}}}

        await api.ok("PATCH", path, size("20Gi"), Content_Type=MERGE)
        assert (await api.ok("GET", path))["status"]["capacity"] == {"storage": "20Gi"}
        status, body = await api.call("PATCH", path, size("5Gi"), Content_Type=MERGE)
        assert (status, body["details"]["causes"][0]["field"]) == (422, "spec.resources.requests.storage")


def applied(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": data}


async def test_apply_removes_what_its_manager_no_longer_wants() -> None:
    async with running_api() as api:
        await config_map(api, other="stays")
        await api.ok("PATCH", f"{CM}?fieldManager=me", applied(a="1", b="2"), Content_Type=APPLY)
        answer = await api.ok("PATCH", f"{CM}?fieldManager=me", applied(b="3"), Content_Type=APPLY)
        assert answer["data"] == {"other": "stays", "b": "3"}


async def test_a_forced_apply_takes_the_field_over() -> None:
    async with running_api() as api:
        await config_map(api)
        await api.ok("PATCH", f"{CM}?fieldManager=one", applied(a="1"), Content_Type=APPLY)
        assert (await api.call("PATCH", f"{CM}?fieldManager=two", applied(a="2"), Content_Type=APPLY))[0] == 409
        answer = await api.ok("PATCH", f"{CM}?fieldManager=two&force=true", applied(a="2"), Content_Type=APPLY)
        assert answer["data"] == {"a": "2"}
        assert [entry["manager"] for entry in answer["metadata"]["managedFields"]] == ["two"]
        answer = await api.ok("PATCH", f"{CM}?fieldManager=one", applied(b="1"), Content_Type=APPLY)
        assert answer["data"] == {"a": "2", "b": "1"}


async def test_apply_understands_yaml_and_merges_containers_by_name() -> None:
    text = b"""
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {tier: gold}}
spec:
  containers:
  - {name: notebook, image: "example.org/notebook:2"}
"""
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p")
        answer = await api.ok("PATCH", f"{POD}?fieldManager=me", text, Content_Type=APPLY)
        assert [container["image"] for container in answer["spec"]["containers"]] == ["example.org/notebook:2"]
        assert answer["metadata"]["labels"] == {"tier": "gold"}


async def test_an_update_by_others_takes_a_field_from_its_applier() -> None:
    async with running_api() as api:
        await config_map(api)
        await api.ok("PATCH", f"{CM}?fieldManager=me", applied(a="1", b="1"), Content_Type=APPLY)
        answer = await api.ok("PATCH", CM, {"data": {"a": "2"}}, Content_Type=MERGE)
        assert answer["metadata"]["managedFields"][0]["fieldsV1"] == {"f:data": {"f:b": {}}}
        answer = await api.ok("PATCH", f"{CM}?fieldManager=other", applied(a="3"), Content_Type=APPLY)
        assert answer["data"]["a"] == "3"


async def test_a_dry_run_of_every_verb_keeps_nothing() -> None:
    async with running_api() as api:
        await config_map(api, a="1")
        before = await api.ok("GET", CM)
        base = "/api/v1/namespaces/demo/pods"
        await api.ok("POST", f"{base}?dryRun=All", pod("dry"))
        changed = await api.ok("PATCH", f"{CM}?dryRun=All", {"data": {"a": "2"}}, Content_Type=MERGE)
        assert changed["data"] == {"a": "2"}
        await api.ok("PUT", f"{CM}?dryRun=All", before | {"data": {}})
        await api.ok("DELETE", f"{CM}?dryRun=All")
        assert await api.ok("GET", CM) == before
        assert (await api.call("GET", f"{base}/dry"))[0] == 404
        status, body = await api.call("DELETE", f"{base}/dry?dryRun=All")
        assert (status, body["reason"]) == (404, "NotFound")
