"""The scheduler refuses, places and preempts as the recorded kube-scheduler 1.36 did."""

import re
from pathlib import Path
from typing import Any

import pytest
from recordings import comparable, recording
from running_engine import Lab, pod_body, running_engine

RECORDED_CLUSTER = "a100=2x8 t4=4x4 cpu=10"
Object = dict[str, Any]


def client_spec(stored: Object) -> Object:
    """What a client sent to get a recorded pod."""
    spec = {key: stored["spec"][key] for key in ("nodeSelector", "priorityClassName") if key in stored["spec"]}
    spec["containers"] = [{key: stored["spec"]["containers"][0][key] for key in ("name", "image", "resources")}]
    own = [one for one in stored["spec"]["tolerations"] if not one["key"].startswith("node.kubernetes.io/")]
    return spec | ({"tolerations": own} if own else {})


async def create_recorded(lab: Lab, number: int, name: str = "") -> Object:
    stored = recording(number)["response"]["body"]
    body = pod_body(name or stored["metadata"]["name"], client_spec(stored), stored["metadata"]["labels"])
    return await lab.create("pods", body)


def same_event(lab: Lab, number: int, pod: str) -> None:
    """The pod's first event is the recorded one, apart from what differs between two runs."""
    expected = recording(number)["response"]["body"]["items"][0]
    events = [stored.obj for stored in lab.store.items("events", "demo")]
    about = [event for event in events if event["involvedObject"]["name"] == pod]
    found = next(event for event in about if event["reason"] == expected["reason"])
    assert without_run(found) == without_run(expected)


def without_run(event: Object) -> Object:
    event = comparable({key: value for key, value in event.items() if key not in ("kind", "apiVersion")})
    event["metadata"]["name"] = event["metadata"]["name"].partition(".")[0]
    event["message"] = re.sub(r" t4-\d$", " <node>", event["message"])
    return event | {"eventTime": "<time>", "reportingInstance": "<scheduler>"}


@pytest.mark.parametrize("number", [19, 21, 23, 25])
async def test_a_pod_that_fits_nowhere_is_told_why(number: int, tmp_path: Path) -> None:
    expected = recording(number)["response"]["body"]
    name = expected["metadata"]["name"]
    async with running_engine(tmp_path, RECORDED_CLUSTER) as lab:
        await create_recorded(lab, number)
        await lab.until(name, lambda pod: pod["status"].get("conditions"))
        found = lab.store.get("pods", "demo", name)
        assert comparable(found["status"]) == comparable(expected["status"])
        same_event(lab, number + 1, name)


async def test_a_pod_waits_for_a_gpu_and_takes_it_when_another_ends(tmp_path: Path) -> None:
    expected = recording(27)["response"]["body"]["status"]
    async with running_engine(tmp_path, RECORDED_CLUSTER) as lab:
        for index in range(16):
            await create_recorded(lab, 27, f"fill{index}")
        await create_recorded(lab, 27)
        await lab.until("fill16", lambda pod: pod["status"].get("conditions"))
        assert comparable(lab.store.get("pods", "demo", "fill16")["status"]) == comparable(expected)
        same_event(lab, 28, "fill16")
        node = lab.store.get("pods", "demo", "fill3")["spec"]["nodeName"]
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/fill3", {"gracePeriodSeconds": 1})
        assert (await lab.ready("fill16"))["spec"]["nodeName"] == node


async def test_a_pod_of_higher_priority_preempts(tmp_path: Path) -> None:
    expected = recording(30)["response"]["body"]["items"][0]
    async with running_engine(tmp_path, RECORDED_CLUSTER) as lab:
        await lab.ok("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", recording(29)["request"]["body"])
        for index in range(16):
            await create_recorded(lab, 27, f"fill{index}")
            await lab.ready(f"fill{index}")
        vip = await create_recorded(lab, 31)
        placed = await lab.ready("vip")
        events = [stored.obj for stored in lab.store.items("events", "demo")]
        (preempted,) = [event for event in events if event["reason"] == "Preempted"]
        victim, node = preempted["involvedObject"]["name"], placed["spec"]["nodeName"]
        assert preempted["message"] == f"Preempted by pod {vip['metadata']['uid']} on node {node}"
        same = {"message": "", "involvedObject": {}, "metadata": {}}
        assert without_run(preempted) | same == without_run(expected) | same
        assert victim.startswith("fill")
        assert lab.store.find("pods", "demo", victim) is None
        recorded = recording(31)["response"]["body"]
        assert comparable(placed["spec"]) | {"nodeName": ""} == comparable(recorded["spec"]) | {"nodeName": ""}


async def test_a_claim_that_no_volume_can_meet_keeps_its_pod_waiting(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "cpu=16") as lab:
        claim = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
        }
        await lab.create("persistentvolumeclaims", {"metadata": {"name": "unbound"}, "spec": claim})
        for name, claimed, number in (("pvcpod", "unbound", 39), ("nopvc", "missing", 40)):
            await lab.run(name, volumes=[{"name": "home", "persistentVolumeClaim": {"claimName": claimed}}])
            await lab.event(name, "FailedScheduling")
            same_event(lab, number, name)


async def test_a_pod_starts_when_its_claim_appears(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("early", volumes=[{"name": "home", "persistentVolumeClaim": {"claimName": "late"}}])
        await lab.event("early", "FailedScheduling")
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await lab.create("persistentvolumeclaims", {"metadata": {"name": "late"}, "spec": claim})
        await lab.ready("early")


async def test_the_events_and_states_of_a_gpu_pod_are_the_recorded_ones(tmp_path: Path) -> None:
    recorded = recording(15)["watch_events"]
    async with running_engine(tmp_path, RECORDED_CLUSTER) as lab:
        watch = lab.store.watch("pods", "demo", lab.store.version)
        first = recorded[0]["object"]
        await lab.create("pods", pod_body("bob", client_spec(first), first["metadata"]["labels"]))
        await lab.ready("bob")
        same_event(lab, 16, "bob")
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/bob", {"gracePeriodSeconds": 3})
        await lab.gone("bob")
        seen = [(change.type, change.new.obj) for change in await watch.next_changes(limit=100)]
        for found, expected in zip(seen[:2], recorded[:2], strict=True):
            assert found[0] == expected["type"]
            assert comparable(found[1]["status"]) == comparable(expected["object"]["status"])
        running = next(obj for _, obj in seen if obj["status"]["phase"] == "Running")["status"]
        expected = recorded[2]["object"]["status"]
        recorded_conditions = {(one["type"], one["status"]) for one in expected["conditions"]}
        assert recorded_conditions <= {(one["type"], one["status"]) for one in running["conditions"]}
        assert running["containerStatuses"][0].keys() == expected["containerStatuses"][0].keys()
        assert running["podIPs"] == [{"ip": running["podIP"]}]
        assert expected.keys() <= running.keys()
        last = [obj["metadata"] for _, obj in seen[-3:]]
        assert [type_ for type_, _ in seen[-2:]] == ["MODIFIED", "DELETED"]
        assert last[-1]["deletionGracePeriodSeconds"] == 0
        assert last[-1]["generation"] == recorded[-1]["object"]["metadata"]["generation"]


async def test_a_cordoned_node_takes_nothing_until_it_is_uncordoned(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "cpu=1") as lab:
        lab.store.modify("nodes", None, "cpu-0", lambda node: node["spec"].update(unschedulable=True))
        await lab.run("patient")
        event = await lab.event("patient", "FailedScheduling")
        assert event["message"].startswith("0/1 nodes are available: 1 node(s) were unschedulable.")
        lab.store.modify("nodes", None, "cpu-0", lambda node: node["spec"].pop("unschedulable"))
        await lab.ready("patient")


async def test_a_pod_that_never_preempts_waits_behind_lower_priorities(tmp_path: Path) -> None:
    async with running_engine(tmp_path, "cpu=1") as lab:
        polite = {"metadata": {"name": "polite"}, "value": 5, "preemptionPolicy": "Never"}
        await lab.ok("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", polite)
        all_cores = {"resources": {"requests": {"cpu": "60"}, "limits": {"cpu": "60"}}}
        await lab.run("small", container=all_cores)
        await lab.ready("small")
        await lab.run("large", container=all_cores, priorityClassName="polite")
        event = await lab.event("large", "FailedScheduling")
        assert event["message"].endswith("preemption: not eligible due to preemptionPolicy=Never.")
        assert "deletionTimestamp" not in lab.store.get("pods", "demo", "small")["metadata"]
