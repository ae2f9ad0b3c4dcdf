"""Slim records of pods and nodes, from recorded objects and by Kubernetes' rules."""

import json
from pathlib import Path
from typing import Any

import pytest

from gpuspawner.cluster.records import Taint, Toleration, node_record, pod_record, requests_of

RECORDED = Path(__file__).parent.parent / "data" / "kubernetes-api"


def recorded(number: str) -> dict[str, Any]:
    (path,) = RECORDED.glob(f"{number}-*.json")
    return json.loads(path.read_text())


def container(restart: str | None = None, **requests: str) -> dict[str, Any]:
    made: dict[str, Any] = {"name": "c", "resources": {"requests": requests}}
    return {**made, "restartPolicy": restart} if restart else made


def test_the_life_of_a_recorded_pod_is_read_from_its_watch() -> None:
    seen = [event for event in recorded("15")["watch_events"] if event["type"] != "BOOKMARK"]
    life = [pod_record(event["object"], own=True) for event in seen]
    assert [(p.phase, p.node, p.ready, p.deleting) for p in life[:4]] == [
        ("Pending", "", False, False),
        ("Pending", "t4-2", False, False),
        ("Running", "t4-2", True, False),
        ("Running", "t4-2", True, True),
    ]
    assert life[0].requests == {"cpu": 1000, "memory": 2**30, "nvidia.com/gpu": 1}
    assert life[0].extended == {"nvidia.com/gpu": 1}
    assert life[2].ip == "127.88.1.80"
    assert life[2].running
    assert life[0].labels == {"app": "demo"}, "labels that nobody reads are not kept"
    assert Toleration("nvidia.com/gpu", "Exists", "", "NoSchedule") in life[0].tolerations
    assert life[1].tolerations == (), "they matter only until the pod has a node"


def at(second: int) -> str:
    return f"2026-11-21T05:26:{second:02}Z"


def with_state(state: dict[str, Any], last: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    status = {"name": "notebook", "state": state, "lastState": last or {}}
    metadata = {"name": "p", "namespace": "hub", **more}
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "notebook"}]},
        "status": {"containerStatuses": [status]},
    }


@pytest.mark.parametrize(
    ("state", "last", "ran"),
    [
        ({"waiting": {"reason": "ContainerCreating"}}, {}, ("", "")),
        ({"running": {"startedAt": at(1)}}, {}, (at(1), "")),
        ({"terminated": {"exitCode": 0, "startedAt": at(1), "finishedAt": at(9)}}, {}, (at(1), at(9))),
        (
            {"running": {"startedAt": at(5)}},
            {"terminated": {"exitCode": 1, "startedAt": at(1), "finishedAt": at(2)}},
            (at(5), ""),
        ),
        (
            {"waiting": {"reason": "CrashLoopBackOff"}},
            {"terminated": {"exitCode": 1, "startedAt": at(1), "finishedAt": at(2)}},
            (at(1), at(2)),
        ),
        # containerd's words for a command that does not exist, and a kubelet's for a container it lost
        (
            {"terminated": {"exitCode": 128, "startedAt": "1970-01-01T00:00:00Z", "finishedAt": at(1)}},
            {},
            ("", ""),
        ),
        (
            {
                "terminated": {
                    "exitCode": 137,
                    "reason": "ContainerStatusUnknown",
                    "startedAt": None,
                    "finishedAt": None,
                }
            },
            {},
            ("", ""),
        ),
    ],
)
def test_a_record_says_when_the_process_ran(state: dict[str, Any], last: dict[str, Any], ran: tuple[str, str]) -> None:
    record = pod_record(with_state(state, last), own=True)
    assert (record.ran_from, record.ran_until) == ran


def test_times_are_those_of_the_notebook_not_of_what_runs_beside_it() -> None:
    raw = with_state({"running": {"startedAt": at(3)}})
    beside = {"name": "git", "state": {"terminated": {"exitCode": 1, "startedAt": at(1), "finishedAt": at(2)}}}
    raw["spec"]["containers"].append({"name": "git"})
    raw["status"]["containerStatuses"].insert(0, beside)
    record = pod_record(raw, own=True)
    assert (record.container, record.ran_from, record.ran_until) == ("git", at(3), "")


@pytest.mark.parametrize(
    ("phase", "node", "deleting", "over"),
    [
        ("Pending", "", False, False),
        ("Pending", "", True, True),
        ("Pending", "n1", True, False),
        ("Running", "n1", True, False),
        ("Failed", "n1", True, True),
        ("Succeeded", "n1", False, True),
    ],
)
def test_a_pod_is_over_when_no_container_of_it_runs_or_ever_will(
    phase: str, node: str, deleting: bool, over: bool
) -> None:
    deleted = {"deletionTimestamp": at(9), "finalizers": ["gpuspawner/ledger"]} if deleting else {}
    raw = with_state({}, **deleted)
    raw["spec"]["nodeName"], raw["status"]["phase"] = node, phase
    record = pod_record(raw, own=True)
    assert record.over is over
    assert not record.forced
    assert (record.deleted_at, record.finalizers) == ((at(9), ("gpuspawner/ledger",)) if deleting else ("", ()))


def test_a_recorded_unschedulable_pod_says_why() -> None:
    record = pod_record(recorded("19")["response"]["body"], own=True)
    assert record.scheduled_message.startswith("0/16 nodes are available: 14 node(s) didn't match")


def test_a_foreign_pod_keeps_only_what_counting_needs() -> None:
    record = pod_record(recorded("31")["response"]["body"], own=False)
    assert (record.node, record.phase, record.requests["nvidia.com/gpu"]) == ("t4-1", "Running", 1)
    assert (record.labels, record.image, record.ip) == ({}, "", "")


def test_recorded_nodes_have_their_gpus_labels_and_taints() -> None:
    nodes = [node_record(raw) for raw in recorded("13")["response"]["body"]["items"]]
    assert [n.name for n in nodes] == ["a100-0", "a100-1"]
    assert nodes[0].allocatable == {"cpu": 64000, "memory": 512 * 2**30, "nvidia.com/gpu": 8}
    assert nodes[0].taints == (Taint("nvidia.com/gpu", "present", "NoSchedule"),)
    assert nodes[0].usable


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [container(cpu="500m"), container(cpu="1", memory="1Ki")]}, {"cpu": 1500, "memory": 1024}),
        ({"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]}, {"nvidia.com/gpu": 2}),
        ({"containers": [container(cpu="1")], "initContainers": [container(cpu="3")]}, {"cpu": 3000}),
        (
            {"containers": [container(cpu="1")], "initContainers": [container("Always", cpu="2"), container(cpu="3")]},
            {"cpu": 5000},
        ),
        (
            {"containers": [container(cpu="4")], "initContainers": [container(cpu="3"), container("Always", cpu="2")]},
            {"cpu": 6000},
        ),
        ({"containers": [container(cpu="1")], "overhead": {"cpu": "250m"}}, {"cpu": 1250}),
        ({"containers": [container(cpu="1")], "resources": {"requests": {"cpu": "2"}}}, {"cpu": 2000}),
        ({"containers": [container(cpu="not a quantity", memory="1")]}, {"memory": 1}),
        ({}, {}),
    ],
    ids=["sum", "limits", "init", "sidecar", "late sidecar", "overhead", "pod level", "unreadable", "empty"],
)
def test_requests_are_counted_as_the_scheduler_counts_them(spec: dict[str, Any], expected: dict[str, int]) -> None:
    assert requests_of(spec) == expected


@pytest.mark.parametrize("status", [{}, {"containerStatuses": None}, {"conditions": [{}], "phase": None}])
def test_an_incomplete_status_is_read_without_complaint(status: dict[str, Any]) -> None:
    record = pod_record({"metadata": {"name": "p"}, "spec": {}, "status": status}, own=True)
    assert (record.phase, record.ready, record.exit_code) == ("", False, None)


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        (Toleration("k", "Equal", "v", "NoSchedule"), True),
        (Toleration("k", "Equal", "v"), True),
        (Toleration("k", "Equal", "w"), False),
        (Toleration("k", "Exists", "", "NoExecute"), False),
        (Toleration("", "Exists"), True),
        (Toleration("", "Equal", "v"), False),
    ],
)
def test_a_taint_is_tolerated_as_kubernetes_says(toleration: Toleration, tolerated: bool) -> None:
    assert Taint("k", "v", "NoSchedule").tolerated([toleration]) is tolerated


def test_the_failing_container_is_the_one_that_is_told_about() -> None:
    spec = {
        "initContainers": [{"name": "fetch", "image": "fetcher:1"}],
        "containers": [{"name": "istio", "image": "proxy:1"}, {"name": "notebook", "image": "nb:1"}],
    }
    waiting = {"name": "fetch", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}
    pending = {"name": "notebook", "state": {"waiting": {"reason": "PodInitializing"}}}
    raw = {"metadata": {"name": "p"}, "spec": spec}
    troubled = pod_record(
        {**raw, "status": {"initContainerStatuses": [waiting], "containerStatuses": [pending]}}, own=True
    )
    assert (troubled.container, troubled.image, troubled.waiting_reason) == ("fetch", "fetcher:1", "ErrImagePull")
    quiet = pod_record({**raw, "status": {"containerStatuses": [pending]}}, own=True)
    assert (quiet.container, quiet.image) == ("notebook", "nb:1")
