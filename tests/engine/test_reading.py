"""Lists and their pages, forms of answers, discovery, credentials and logs."""

import json
from pathlib import Path
from typing import Any

import pytest
from running_api import running_api

from gpuspawner.local.apiserver.resources import RESOURCES
from gpuspawner.local.apiserver.table import age, columns, row
from gpuspawner.local.kubelet.logs import ContainerLog

PODS = "/api/v1/namespaces/demo/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def test_pages_together_are_the_list_as_it_was_at_the_first_page() -> None:
    async with running_api() as api:
        await api.create_namespace()
        for index in range(7):
            await api.create_pod(f"p{index}")
        first = await api.ok("GET", f"{PODS}?limit=3")
        assert first["metadata"]["remainingItemCount"] == 4
        await api.ok("DELETE", f"{PODS}/p5")
        await api.create_pod("p55")
        names = [item["metadata"]["name"] for item in first["items"]]
        page = first
        while token := page["metadata"].get("continue"):
            page = await api.ok("GET", f"{PODS}?limit=3&continue={token}")
            assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
            names += [item["metadata"]["name"] for item in page["items"]]
        assert names == [f"p{index}" for index in range(7)]


async def test_pages_of_all_namespaces_go_on_in_the_next() -> None:
    async with running_api() as api:
        for namespace in ("one", "two"):
            await api.create_namespace(namespace)
            for name in ("a", "b"):
                await api.create_pod(name, namespace)
        first = await api.ok("GET", "/api/v1/pods?limit=1")
        rest = await api.ok("GET", f"/api/v1/pods?continue={first['metadata']['continue']}")
        found = [(p["metadata"]["namespace"], p["metadata"]["name"]) for p in first["items"] + rest["items"]]
        assert found == [("one", "a"), ("one", "b"), ("two", "a"), ("two", "b")]


@pytest.mark.parametrize(
    ("query", "status"), [("continue=nonsense!", 400), ("limit=x", 400), ("resourceVersion=999", 504)]
)
async def test_a_list_that_makes_no_sense_is_refused(query: str, status: int) -> None:
    async with running_api() as api:
        await api.create_namespace()
        assert (await api.call("GET", f"{PODS}?{query}"))[0] == status


async def test_a_page_after_compaction_is_gone() -> None:
    async with running_api() as api:
        await api.create_namespace()
        for name in ("a", "b"):
            await api.create_pod(name)
        token = (await api.ok("GET", f"{PODS}?limit=1"))["metadata"]["continue"]
        await api.create_pod("c")
        api.store.forget_history()
        status, body = await api.call("GET", f"{PODS}?limit=1&continue={token}")
        assert (status, body["reason"]) == (410, "Expired")


async def test_a_list_at_an_exact_version_shows_the_past() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("a")
        version = api.store.version
        await api.create_pod("b")
        listed = await api.ok("GET", f"{PODS}?resourceVersion={version}&resourceVersionMatch=Exact")
        assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]


async def test_an_answer_in_protocol_buffers_only_is_not_acceptable() -> None:
    async with running_api() as api:
        await api.create_namespace()
        accept = "application/vnd.kubernetes.protobuf"
        assert (await api.call("GET", PODS, Accept=accept))[0] == 406
        assert (await api.call("GET", PODS, Accept=f"{accept},application/json"))[0] == 200


@pytest.mark.parametrize("include", ["None", "Metadata", "Object"])
async def test_the_rows_of_a_table_carry_what_was_asked_for(include: str) -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p")
        table = await api.ok("GET", f"{PODS}?includeObject={include}", Accept=TABLE)
        obj = table["rows"][0]["object"]
        assert (obj or {}).get("kind") == {"None": None, "Metadata": "PartialObjectMetadata", "Object": "Pod"}[include]


async def test_every_kind_has_as_many_cells_as_columns() -> None:
    async with running_api() as api:
        for resource in RESOURCES:
            obj: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {}, "status": {}}
            assert len(row(resource.stored_as, obj, api.clock())) == len(columns(resource.stored_as)), resource.key


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(5, "5s"), (119, "119s"), (200, "3m20s"), (3600, "60m"), (4 * 3600, "4h"), (26 * 3600, "26h"),
     (3 * 86400 + 3600, "3d1h"), (30 * 86400, "30d"), (1000 * 86400, "2y270d")],
)  # fmt: skip
async def test_ages_are_written_as_kubectl_writes_them(seconds: int, written: str) -> None:
    async with running_api() as api:
        born = api.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        api.clock.advance(seconds)
        assert age(born, api.clock()) == written


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"phase": "Running"}, "Running"),
        (
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "ImagePullBackOff",
        ),
        (
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]},
            "Error",
        ),
        ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}, "ExitCode:3"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
    ],
)
async def test_the_status_column_says_what_a_pod_does(status: dict[str, Any], shown: str) -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p")
        api.store.update_status("pods", "demo", "p", status)
        table = await api.ok("GET", PODS, Accept=TABLE)
        assert table["rows"][0]["cells"][2] == shown


async def test_old_and_aggregated_discovery_tell_the_same() -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    async with running_api() as api:
        told = set()
        for version in ("api/v1", *(f"apis/{g['name']}/v1" for g in (await api.ok("GET", "/apis"))["groups"])):
            for entry in (await api.ok("GET", f"/{version}"))["resources"]:
                told.add((version, entry["name"], entry["namespaced"], tuple(entry["verbs"])))
        aggregated = set()
        for path in ("api", "apis"):
            async with api.request("GET", f"/{path}", Accept=accept) as response:
                assert "as=APIGroupDiscoveryList" in response.headers["Content-Type"]
                groups = json.loads(await response.text())["items"]
            for group in groups:
                name = group["metadata"].get("name", "")
                for version in group["versions"]:
                    where = f"apis/{name}/{version['version']}" if name else f"api/{version['version']}"
                    for entry in version["resources"]:
                        scoped = entry["scope"] == "Namespaced"
                        aggregated.add((where, entry["resource"], scoped, tuple(entry["verbs"])))
                        for sub in entry.get("subresources", []):
                            name_of = f"{entry['resource']}/{sub['subresource']}"
                            aggregated.add((where, name_of, scoped, tuple(sub["verbs"])))
        assert told == aggregated


async def test_a_wrong_token_is_unauthorized_and_health_needs_none() -> None:
    async with running_api() as api:
        async with api.request("GET", PODS, token="wrong") as response:
            assert response.status == 401
            assert (await response.json())["reason"] == "Unauthorized"
        for path in ("/healthz", "/readyz", "/livez", "/version"):
            async with api.request("GET", path, token=None) as response:
                assert response.status == 200
        async with api.request("GET", "/api", token=None) as response:
            message = (await response.json())["message"]
            assert (response.status, message) == (403, 'forbidden: User "system:anonymous" cannot get path "/api"')


async def test_the_verbs_that_a_resource_lacks_are_not_allowed() -> None:
    async with running_api() as api:
        await api.create_namespace()
        reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        for method, path in (("GET", reviews), ("POST", f"{PODS}/p"), ("POST", "/api/v1/pods"), ("PUT", PODS)):
            status, body = await api.call(method, path, {})
            assert (status, body["reason"]) == (405, "MethodNotAllowed"), path


async def test_a_body_that_is_no_object_is_refused() -> None:
    async with running_api() as api:
        await api.create_namespace()
        for body in (b"{", b"[]", b"3", b""):
            status, answer = await api.call("POST", PODS, body, Content_Type="application/json")
            assert (status, answer["reason"]) == (400, "BadRequest"), body
        wrong = {"apiVersion": "v2", "kind": "Pod", "metadata": {"name": "p"}}
        assert "does not match the expected API version (v1)" in (await api.call("POST", PODS, wrong))[1]["message"]


class OneLog:
    """A provider that knows the log of one container."""

    def __init__(self, log: ContainerLog) -> None:
        self.log = log

    def __call__(self, pod: dict[str, Any], container: str, previous: bool) -> ContainerLog | None:
        return None if previous or container != "notebook" else self.log


async def test_a_log_is_read_in_part_and_followed(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log")
    log.write("stdout", b"one\ntwo\nthree\n")
    async with running_api(log_provider=OneLog(log)) as api:
        await api.create_namespace()
        await api.create_pod("p", node="n1")
        assert (await api.call("GET", f"{PODS}/p/log"))[1] == "one\ntwo\nthree\n"
        assert (await api.call("GET", f"{PODS}/p/log?tailLines=1"))[1] == "three\n"
        assert (await api.call("GET", f"{PODS}/p/log?limitBytes=5"))[1] == "one\nt"
        stamped = (await api.call("GET", f"{PODS}/p/log?timestamps=true&tailLines=1"))[1]
        assert stamped.endswith("Z three\n")
        async with api.request("GET", f"{PODS}/p/log?follow=true&tailLines=0") as response:
            log.write("stdout", b"four\n")
            assert await response.content.readline() == b"four\n"
            log.close()
            assert await response.content.readline() == b""


async def test_a_log_that_is_not_there_is_explained() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.create_pod("p")
        await api.create_pod("many", containers=[{"name": name, "image": "x"} for name in ("a", "b")])

        async def said(query: str) -> str:
            status, body = await api.call("GET", f"{PODS}/{query}")
            assert status == 400
            return str(body["message"])

        assert await said("p/log") == "pod p does not have a host assigned"
        assert await said("p/log?container=x") == "container x is not valid for pod p"
        assert await said("many/log") == "a container name must be specified for pod many, choose one of: [a b]"
        api.store.modify("pods", "demo", "p", lambda pod: pod["spec"].update(nodeName="n1"))
        assert await said("p/log") == 'container "notebook" in pod "p" is waiting to start: ContainerCreating'
        assert await said("p/log?previous=true") == 'previous terminated container "notebook" in pod "p" not found'
        assert (await api.call("GET", f"{PODS}/none/log"))[0] == 404
