"""Dynamic resource allocation as the recorded Kubernetes 1.36 does it: classes, slices, claims, allocation, release."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from recordings import comparable, recording
from running_engine import ANYWHERE, Lab, running_engine

Object = dict[str, Any]
CLUSTER = "a100=2x8 t4=4x4 cpu=10"
GROUP = "/apis/resource.k8s.io/v1"
IN_DRA = {"namespaces": ["dra", "demo"]}
CLAIMS = "resourceclaims.resource.k8s.io"
_SUFFIX = re.compile(r"(\bdra\d-gpu)-[a-z0-9]{5}\b")
_OFF_PODS = ("volumes", "volumeMounts")


def same(found: Any, expected: Any) -> None:
    """Compare, apart from what differs between two runs."""
    assert _plain(found) == _plain(expected)


def _plain(value: Any) -> Any:
    text = _SUFFIX.sub(r"\1-<suffix>", json.dumps(comparable(value)))
    text = re.sub(r'"allocationTimestamp": "[^"]*"', '"allocationTimestamp": "<time>"', text)
    return json.loads(text)


async def replay(lab: Lab, number: int) -> None:
    recorded = recording(number)
    asked, expected = recorded["request"], recorded["response"]
    status, body = await lab.call(asked["method"], asked["path"], asked.get("body"))
    assert status == expected["status"], body
    same(body, expected["body"])


async def create_pod(lab: Lab, name: str, template: str = "h100-or-a100") -> Object:
    body = json.loads(json.dumps(recording(64)["request"]["body"]))
    body["metadata"]["name"] = name
    body["spec"]["resourceClaims"][0]["resourceClaimTemplateName"] = template
    created: Object = await lab.ok("POST", "/api/v1/namespaces/dra/pods", body)
    return created


async def furnish(lab: Lab) -> None:
    """The cluster of the recordings: two A100 on one node, an H100 on another."""
    await replay(lab, 61)
    h100 = json.loads(json.dumps(recording(61)["request"]["body"]).replace("A100", "H100").replace("a100", "h100"))
    await lab.ok("POST", f"{GROUP}/deviceclasses", h100)
    await replay(lab, 62)
    published = json.loads(json.dumps(recording(62)["request"]["body"]).replace("a100-0", "a100-1"))
    published["spec"]["devices"] = published["spec"]["devices"][:1]
    published["spec"]["devices"][0]["attributes"]["model"]["string"] = "H100"
    await lab.ok("POST", f"{GROUP}/resourceslices", published)
    await replay(lab, 63)


def in_dra(lab: Lab, resource: str) -> list[Object]:
    return lab.store.list(resource, "dra")[0]


async def until(lab: Lab, resource: str, name: str, matches: Any) -> Object:
    async for type_, obj in lab.store.watch(resource, "dra"):
        if obj["metadata"]["name"].startswith(name) and type_ != "DELETED" and matches(obj):
            return dict(obj)
    raise AssertionError("the watch ended")


def scheduled(pod: Object) -> bool:
    return bool(pod["spec"].get("nodeName"))


async def test_claims_are_made_allocated_refused_and_released_as_recorded(tmp_path: Path) -> None:
    async with running_engine(tmp_path, CLUSTER, **IN_DRA) as lab:
        await furnish(lab)
        await replay(lab, 64)
        for number in range(4):
            if number:
                await create_pod(lab, f"dra{number}")
            if number < 3:
                await until(lab, "pods", f"dra{number}", scheduled)
        waiting = await until(lab, "pods", "dra3", lambda pod: pod["status"].get("conditions"))
        await replay(lab, 65)
        status = recording(67)["response"]["body"]["status"]
        same(waiting["status"], status)
        running = await until(lab, "pods", "dra0", lambda pod: pod["status"]["phase"] == "Running")
        recorded = recording(66)["response"]["body"]
        same(running["status"]["resourceClaimStatuses"], recorded["status"]["resourceClaimStatuses"])
        same(running["spec"]["resourceClaims"], recorded["spec"]["resourceClaims"])
        assert running["spec"]["nodeName"] == recorded["spec"]["nodeName"]
        (event,) = [e for e in in_dra(lab, "events") if e["involvedObject"]["name"] == "dra3"]
        (told,) = recording(68)["response"]["body"]["items"]
        assert (event["reason"], event["message"], event["type"]) == (told["reason"], told["message"], told["type"])
        for number in (3, 0, 1, 2):
            await lab.ok("DELETE", f"/api/v1/namespaces/dra/pods/dra{number}", {"gracePeriodSeconds": 0})
        while in_dra(lab, "pods"):
            await lab.store.watch("pods", "dra", lab.store.version).next_changes(0.2)
        await replay(lab, 70)


async def test_a_missing_template_is_told_and_its_pod_starts_when_it_comes(tmp_path: Path) -> None:
    async with running_engine(tmp_path, CLUSTER, **IN_DRA) as lab:
        await furnish(lab)
        await create_pod(lab, "lost", "missing-template")
        (told,) = recording(69)["response"]["body"]["items"]
        (event,) = in_dra(lab, "events")
        for key in ("reason", "message", "source", "type", "eventTime", "reportingComponent", "reportingInstance"):
            assert event[key] == told[key]
        pod = lab.store.get("pods", "dra", "lost")
        assert "conditions" not in pod["status"], "kube-scheduler does not look at it"
        template = recording(63)["request"]["body"] | {"metadata": {"name": "missing-template"}}
        await lab.ok("POST", f"{GROUP}/namespaces/dra/resourceclaimtemplates", template)
        await until(lab, "pods", "lost", scheduled)


async def test_a_device_that_is_given_back_goes_to_the_pod_that_waits(tmp_path: Path) -> None:
    async with running_engine(tmp_path, CLUSTER, **IN_DRA) as lab:
        await furnish(lab)
        for number in range(4):
            await create_pod(lab, f"dra{number}")
        await until(lab, "pods", "dra3", lambda pod: pod["status"].get("conditions"))
        await lab.ok("DELETE", "/api/v1/namespaces/dra/pods/dra1", {"gracePeriodSeconds": 0})
        pod = await until(lab, "pods", "dra3", scheduled)
        assert pod["spec"]["nodeName"] == "a100-1"
        assert all(claim["metadata"]["generateName"] != "dra1-gpu-" for claim in in_dra(lab, CLAIMS))


async def test_a_pod_that_ends_gives_its_devices_back_at_once(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "dra-t4=1x1") as lab:
        await lab.ok("POST", f"{GROUP}/namespaces/demo/resourceclaimtemplates", template("t4"))
        await lab.run("short", "true", tolerations=ANYWHERE, **claims("t4"))
        await lab.ended("short")
        assert not lab.store.items(CLAIMS)
        await lab.run("next", tolerations=ANYWHERE, **claims("t4"))
        await lab.ready("next")


def template(name: str, cls: str = "gpu.nvidia.com", count: int = 1, **more: Any) -> Object:
    request = {"name": "gpu", "exactly": {"deviceClassName": cls, "count": count, **more}}
    return {"metadata": {"name": name}, "spec": {"spec": {"devices": {"requests": [request]}}}}


def claims(name: str, **container: Any) -> Object:
    return {
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": name}],
        "container": {"resources": {"claims": [{"name": "gpu"}]}, **container},
    }


async def test_a_container_sees_the_devices_of_its_claim_and_no_others(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "dra-a100=1x4 dra-a100-mig-1g.10gb=1x2") as lab:
        path = f"{GROUP}/namespaces/demo/resourceclaimtemplates"
        await lab.ok("POST", path, template("two", count=2))
        await lab.ok("POST", path, template("slice", "mig.nvidia.com"))
        show = 'echo "$CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES"'
        for name in ("first", "second"):
            await lab.run(name, f"{show}; exec sleep 1000", tolerations=ANYWHERE, **claims("two"))
        seen = [await lab.first_line(name) for name in ("first", "second")]
        assert [line.split()[0] for line in seen] == ["0,1", "2,3"]
        uuids = [one for line in seen for one in line.split()[1].split(",")]
        assert len(set(uuids)) == 4
        sliced = await lab.output("slice", show, tolerations=ANYWHERE, **claims("slice"))
        assert sliced.startswith("MIG-")
        bystander = [{"name": "other", "image": "tool", "command": ["/bin/sh", "-c", f"{show}; exec sleep 1000"]}]
        spec = claims("slice") | {"tolerations": ANYWHERE}
        main = {"name": "main", "image": "tool", "command": ["sleep", "1000"], **spec.pop("container")}
        body = {"metadata": {"name": "pair"}, "spec": spec | {"containers": [main, *bystander]}}
        await lab.create("pods", body)
        assert await lab.first_line("pair", "other") == " "


async def test_a_pretended_driver_publishes_slices_and_brings_its_classes(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "dra-a100=1x4 dra-mi300x=1x2") as lab:
        slices = (await lab.ok("GET", f"{GROUP}/resourceslices"))["items"]
        assert [one["spec"]["nodeName"] for one in slices] == ["dra-a100-0", "dra-mi300x-0"]
        device = slices[0]["spec"]["devices"][0]
        assert device["attributes"]["productName"] == {"string": "NVIDIA A100-SXM4-80GB"}
        assert device["capacity"]["memory"]["value"] == "81920Mi"
        node = await lab.ok("GET", "/api/v1/nodes/dra-a100-0")
        assert "nvidia.com/gpu" not in node["status"]["allocatable"]
        assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-80GB"
        names = {one["metadata"]["name"] for one in (await lab.ok("GET", f"{GROUP}/deviceclasses"))["items"]}
        assert names == {"gpu.nvidia.com", "mig.nvidia.com", "gpu.amd.com"}


async def test_a_selector_narrows_the_devices_of_a_class(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "dra-t4=1x2 dra-a100=1x1") as lab:
        large = "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('40Gi')) >= 0"
        body = template("large", selectors=[{"cel": {"expression": large}}])
        await lab.ok("POST", f"{GROUP}/namespaces/demo/resourceclaimtemplates", body)
        await lab.run("one", tolerations=ANYWHERE, **claims("large"))
        assert (await lab.ready("one"))["spec"]["nodeName"] == "dra-a100-0"
        await lab.run("two", tolerations=ANYWHERE, **claims("large"))
        event = await lab.event("two", "FailedScheduling")
        assert event["message"].startswith("0/2 nodes are available: 2 cannot allocate all claims. still not")


async def test_a_device_class_that_does_not_exist_is_named(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "dra-t4=1x2") as lab:
        await lab.ok("POST", f"{GROUP}/namespaces/demo/resourceclaimtemplates", template("odd", "tpu.example.org"))
        await lab.run("one", tolerations=ANYWHERE, **claims("odd"))
        event = await lab.event("one", "FailedScheduling")
        assert "request gpu: device class tpu.example.org does not exist" in event["message"]


async def test_a_claim_of_its_own_is_shared_and_outlives_its_pods(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "dra-t4=2x1") as lab:
        spec = template("shared")["spec"]["spec"]
        path = f"{GROUP}/namespaces/demo/resourceclaims"
        await lab.ok("POST", path, {"metadata": {"name": "shared"}, "spec": spec})
        both = claims("") | {"resourceClaims": [{"name": "gpu", "resourceClaimName": "shared"}]}
        nodes = set()
        for name in ("one", "two"):
            await lab.run(name, tolerations=ANYWHERE, **both)
            nodes.add((await lab.ready(name))["spec"]["nodeName"])
        assert len(nodes) == 1
        claim = await lab.ok("GET", f"{path}/shared")
        assert [user["name"] for user in claim["status"]["reservedFor"]] == ["one", "two"]
        for name in ("one", "two"):
            await lab.ok("DELETE", f"/api/v1/namespaces/demo/pods/{name}", {"gracePeriodSeconds": 0})
            await lab.gone(name)
        claim = await lab.ok("GET", f"{path}/shared")
        assert claim["status"] == {}
        assert "finalizers" not in claim["metadata"]


async def test_claims_of_an_engine_that_was_killed_hold_nothing_in_the_next(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "dra-t4=1x1") as lab:
        await lab.ok("POST", f"{GROUP}/namespaces/demo/resourceclaimtemplates", template("t4"))
        await lab.run("one", tolerations=ANYWHERE, **claims("t4"))
        await lab.ready("one")
    async with running_engine(tmp_path, "dra-t4=1x1") as lab:
        assert not lab.store.items(CLAIMS)
        await lab.run("two", tolerations=ANYWHERE, **claims("t4"))
        await lab.ready("two")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"name": "gpu"}, "exactly one of `exactly` or `firstAvailable` is required"),
        ({"name": "gpu", "exactly": {}}, "deviceClassName: Required value"),
        ({"name": "gpu", "exactly": {"deviceClassName": "a", "count": 0}}, "must be greater than zero"),
        (
            {"name": "gpu", "firstAvailable": [{"name": f"a{n}", "deviceClassName": "a"} for n in range(9)]},
            "must have at most 8 items",
        ),
        (
            {"name": "gpu", "exactly": {"deviceClassName": "a", "selectors": [{"cel": {"expression": "device."}}]}},
            "compilation failed",
        ),
    ],
)
async def test_a_template_that_makes_no_sense_is_refused(request_: Object, said: str, tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        body = {"metadata": {"name": "odd"}, "spec": {"spec": {"devices": {"requests": [request_]}}}}
        status, answer = await lab.call("POST", f"{GROUP}/namespaces/demo/resourceclaimtemplates", body)
        assert status == 422
        assert said in answer["message"]


async def test_a_container_cannot_use_a_claim_that_its_pod_does_not_have(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        container = {"name": "main", "image": "tool", "resources": {"claims": [{"name": "gpu"}]}}
        body = {"metadata": {"name": "odd"}, "spec": {"containers": [container]}}
        status, answer = await lab.call("POST", "/api/v1/namespaces/demo/pods", body)
        assert status == 422
        assert 'spec.containers[0].resources.claims[0].name: Not found: "gpu"' in answer["message"]


async def test_a_claim_s_spec_never_changes(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "dra-t4=1x1") as lab:
        path = f"{GROUP}/namespaces/demo/resourceclaims"
        await lab.ok("POST", path, {"metadata": {"name": "mine"}, "spec": template("")["spec"]["spec"]})
        change = {"spec": {"devices": {"requests": []}}}
        status, answer = await lab.call("PATCH", f"{path}/mine", change, "application/merge-patch+json")
        assert status == 422
        assert "immutable" in answer["message"]
