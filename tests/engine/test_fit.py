"""Which nodes a pod fits on, which it prefers, and whom it may push out."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuspawner.local.apiserver.store import Store
from gpuspawner.local.scheduler.controller import Scheduler
from gpuspawner.local.scheduler.fit import NodeInfo, PodInfo, amounts, choose_node, filter_node, pod_requests
from gpuspawner.local.scheduler.preemption import NO_VICTIMS, NOT_HELPFUL, Preemption, find_preemption

Object = dict[str, Any]
T4 = {"gpu": "t4", "size": "16"}


def node(name: str = "n", labels: Object | None = None, taints: list[Object] | None = None, **have: str) -> Object:
    capacity = {"cpu": "8", "memory": "32Gi", "pods": "10"} | {
        key.replace("_", "/"): value for key, value in have.items()
    }
    spec = {"taints": taints} if taints else {}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": {"allocatable": capacity}}


def pod(name: str = "p", requests: Object | None = None, **spec: Any) -> Object:
    container = {"name": "c", "resources": {"requests": requests or {}}}
    metadata = {"name": name, "namespace": "demo", "uid": name, "creationTimestamp": "2026-11-21T00:00:00Z"}
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container]} | spec,
        "status": {"phase": "Pending"},
    }


def reasons(pod_: Object, node_: Object, *there: Object) -> tuple[str, ...]:
    info = NodeInfo.of(node_, (PodInfo.of(other) for other in there))
    verdict = filter_node(PodInfo.of(pod_), info)
    return verdict.reasons if verdict else ()


def requiring(*terms: Object) -> Object:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def expression(key: str, operator: str, *values: str) -> Object:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("term", "fits"),
    [
        (expression("gpu", "In", "t4", "v100"), True),
        (expression("gpu", "In", "v100"), False),
        (expression("missing", "In", ""), False),
        (expression("gpu", "NotIn", "v100"), True),
        (expression("gpu", "NotIn", "t4"), False),
        (expression("missing", "NotIn", "x"), True),
        (expression("gpu", "Exists"), True),
        (expression("missing", "Exists"), False),
        (expression("missing", "DoesNotExist"), True),
        (expression("gpu", "DoesNotExist"), False),
        (expression("size", "Gt", "15"), True),
        (expression("size", "Gt", "16"), False),
        (expression("size", "Lt", "17"), True),
        (expression("gpu", "Gt", "1"), False),
        (expression("missing", "Lt", "1"), False),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}, True),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["other"]}]}, False),
        ({}, False),
    ],
)
def test_required_node_affinity_knows_every_operator(term: Object, fits: bool) -> None:
    found = reasons(pod(affinity=requiring(term)), node(labels=T4))
    assert found == (() if fits else ("node(s) didn't match Pod's node affinity/selector",))


def test_one_of_several_terms_is_enough_and_all_of_a_term_is_needed() -> None:
    both = {
        "matchExpressions": expression("gpu", "In", "t4")["matchExpressions"]
        + expression("x", "Exists")["matchExpressions"]
    }
    assert reasons(pod(affinity=requiring(both)), node(labels=T4))
    assert not reasons(pod(affinity=requiring(both, expression("gpu", "Exists"))), node(labels=T4))
    assert reasons(pod(affinity=requiring(expression("gpu", "Exists")), nodeSelector={"gpu": "v100"}), node(labels=T4))


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Equal", "value": "other"}, False),
        ({"key": "k"}, False),
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_a_taint_keeps_pods_off_that_do_not_tolerate_it(toleration: Object, fits: bool) -> None:
    tainted = node(taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    found = reasons(pod(tolerations=[toleration]), tainted)
    assert found == (() if fits else ("node(s) had untolerated taint(s)",))


def test_every_resource_that_is_short_is_named() -> None:
    big = pod(requests={"cpu": "9", "memory": "1Gi", "nvidia.com/gpu": "1"})
    assert reasons(big, node()) == ("Insufficient cpu", "Insufficient nvidia.com/gpu")
    crowd = [pod(f"p{index}") for index in range(10)]
    assert reasons(pod("late"), node(), *crowd) == ("Too many pods",)


def test_requests_are_those_of_the_largest_step() -> None:
    spec = pod(requests={"cpu": "500m", "memory": "1Gi"})["spec"]
    spec["initContainers"] = [
        {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
        {"name": "first", "resources": {"requests": {"cpu": "2"}}},
    ]
    spec["overhead"] = {"cpu": "10m"}
    assert pod_requests(spec) == {"cpu": 2110, "memory": 2**30}
    assert amounts({"cpu": "0.1", "memory": "1.5"}) == {"cpu": 100, "memory": 2}


def test_the_preferred_node_wins_then_the_emptier_one() -> None:
    preference = [
        {"weight": 10, "preference": expression("gpu", "In", "t4")},
        {"weight": 3, "preference": expression("big", "Exists")},
    ]
    wish = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preference}}
    wanted = PodInfo.of(pod(requests={"cpu": "1"}, affinity=wish))
    full = PodInfo.of(pod("other", requests={"cpu": "7"}))
    t4, big = NodeInfo.of(node("t4", labels={"gpu": "t4"}), [full]), NodeInfo.of(node("big", labels={"big": "1"}))
    empty = NodeInfo.of(node("empty"))
    assert choose_node(wanted, [empty, big, t4]).name == "t4"
    assert choose_node(wanted, [empty, big]).name == "big"
    plain = PodInfo.of(pod(requests={"cpu": "1"}))
    assert choose_node(plain, [t4, empty]).name == "empty"


def test_the_least_important_pods_are_pushed_out() -> None:
    low = [PodInfo.of(pod(f"low{i}", requests={"cpu": "4"}, priority=priority)) for i, priority in enumerate((1, 3))]
    other = [PodInfo.of(pod("mid", requests={"cpu": "8"}, priority=2))]
    nodes = {"a": NodeInfo.of(node("a"), low), "b": NodeInfo.of(node("b"), other)}
    vip = PodInfo.of(pod("vip", requests={"cpu": "4"}, priority=9))
    verdicts = {name: filter_node(vip, info) for name, info in nodes.items()}
    found = find_preemption(vip, nodes, {name: verdict for name, verdict in verdicts.items() if verdict})
    assert isinstance(found, Preemption)
    assert (found.node, [victim.name for victim in found.victims]) == ("a", ["low0"])


def test_why_nobody_is_pushed_out_is_told_by_node() -> None:
    equal = PodInfo.of(pod("equal", requests={"cpu": "8"}))
    nodes = {
        "a": NodeInfo.of(node("a"), [equal]),
        "b": NodeInfo.of(node("b", taints=[{"key": "k", "effect": "NoExecute"}])),
    }
    late = PodInfo.of(pod("late", requests={"cpu": "8"}))
    verdicts = {name: verdict for name, info in nodes.items() if (verdict := filter_node(late, info))}
    assert find_preemption(late, nodes, verdicts) == f"0/2 nodes are available: 1 {NO_VICTIMS}, 1 {NOT_HELPFUL}."


STEP = st.one_of(
    st.tuples(st.just("create"), st.integers(0, 4), st.integers(1, 6), st.integers(0, 3)),
    st.tuples(st.sampled_from(["delete", "succeed"]), st.integers(0, 40), st.just(0), st.just(0)),
    st.tuples(st.just("grow"), st.integers(0, 2), st.just(0), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, max_size=40))
def test_no_node_is_ever_over_committed_and_no_room_is_left_to_a_waiting_pod(
    steps: list[tuple[str, int, int, int]],
) -> None:
    asyncio.run(_schedule(steps))


async def _schedule(steps: list[tuple[str, int, int, int]]) -> None:
    store = Store()
    scheduler = Scheduler(store)
    for name in ("n0", "n1"):
        store.create("nodes", node(name, nvidia_gpu="4"))
    scheduler.start()
    for number, (action, which, cpu, priority) in enumerate(steps):
        if action == "create":
            requests = {"cpu": str(cpu), "nvidia/gpu": str(which)}
            store.create("pods", pod(f"p{number}", requests, priority=priority))
        elif action == "grow":
            store.create("nodes", node(f"extra{number}", nvidia_gpu=str(which)))
        else:
            pods = store.items("pods")
            if pods:
                name = pods[which % len(pods)].name
                if action == "delete":
                    store.delete("pods", "demo", name, grace_seconds=0)
                else:
                    store.update_status("pods", "demo", name, {"phase": "Succeeded"})
        await _settle(store)
        _check(store)
    scheduler.stop()


async def _settle(store: Store) -> None:
    """Let the scheduler work, and the pods that it pushes out go, until nothing happens any more."""
    version = -1
    while version != store.version:
        version = store.version
        for _ in range(3):
            await asyncio.sleep(0)
        for stored in store.items("pods"):
            if "deletionTimestamp" in stored.obj["metadata"]:
                store.remove("pods", "demo", stored.name)


def _check(store: Store) -> None:
    living = [stored.obj for stored in store.items("pods") if stored.obj["status"]["phase"] != "Succeeded"]
    infos = []
    for stored in store.items("nodes"):
        there = [PodInfo.of(one) for one in living if one["spec"].get("nodeName") == stored.name]
        info = NodeInfo.of(stored.obj, there)
        assert len(there) <= info.allocatable["pods"]
        assert all(amount <= info.allocatable.get(name, 0) for name, amount in info.used.items())
        infos.append(info)
    for waiting in (one for one in living if not one["spec"].get("nodeName")):
        assert all(filter_node(PodInfo.of(waiting), info) for info in infos), waiting["metadata"]["name"]
