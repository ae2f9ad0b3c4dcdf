"""The GPUs of a class node by node, who waits for one, and how many are free in the next hours."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_availability import A100, T4, settings_with
from test_inventory import inventory, node, pod

from gpuspawner.cluster.gpus import ClassGPUs, GPUsByClass, NodeState, gpus_by_node
from gpuspawner.cluster.inventory import Inventory
from gpuspawner.cluster.outlook import Ask, Session, forecast, free_ahead
from gpuspawner.cluster.records import NodeRecord, PodRecord, Taint
from gpuspawner.config import Settings
from gpuspawner.pod import HELD, SERVER, USER

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = 3600.0
T0 = NOW.timestamp()
SETTINGS = settings_with()


def gpus(nodes: list[NodeRecord], pods: list[PodRecord], settings: Settings = SETTINGS) -> GPUsByClass:
    own = {one.key: one for one in pods if one.own}
    view: Any = SimpleNamespace(inventory=inventory(nodes, pods), pods=own, all_pods=lambda: iter(pods))
    return GPUsByClass(view, settings, lambda: NOW)


def running(name: str, on: str, gpus: int, hours: float) -> PodRecord:
    """A pod that has run for an hour and ends in so many."""
    started = (NOW - timedelta(hours=1)).isoformat()
    return pod(name, on, gpus, started_at=started, runtime=int((hours + 1) * HOUR))


def waits(name: str, gpus: int, hours: float, classes: tuple[str, ...] = ("small",)) -> PodRecord:
    amounts = {"workspace": "everyone", "gpu_classes": classes, "gpus": gpus, "cpu": 1, "memory": 10**9}
    annotations = {USER: name, SERVER: "", HELD: json.dumps(amounts)}
    return pod(name, "", gpus, runtime=int(hours * HOUR), annotations=annotations, created_at=name)


def hours_of(found: ClassGPUs) -> list[tuple[float, int]]:
    return [((at - T0) / HOUR, free) for at, free in found.ahead]


@pytest.mark.parametrize(
    ("closed", "state"),
    [
        ({}, NodeState.OPEN),
        ({"unschedulable": True}, NodeState.CORDONED),
        ({"ready": False}, NodeState.NOT_READY),
        ({"taints": (Taint("karpenter.sh/disrupted", "", "NoSchedule"),)}, NodeState.CLOSING),
        ({"taints": (Taint("team", "vision", "NoSchedule"),)}, NodeState.RESERVED),
    ],
)
def test_a_node_says_whether_it_takes_servers(closed: dict[str, Any], state: NodeState) -> None:
    known = inventory([node("t", T4, 4, **closed)], [pod("1", "t", 1)])
    small = SETTINGS.catalog.gpu_classes["small"]
    known.tolerate(dict.fromkeys(small.accepts, ()))
    (found,) = gpus_by_node(known, small)
    assert (found.node, found.product, found.total, found.used, found.state) == ("t", T4, 4, 1, state)
    assert found.free == (3 if state is NodeState.OPEN else 0)
    assert found.taint == ("team=vision:NoSchedule" if state is NodeState.RESERVED else "")


def test_each_class_has_its_own_nodes() -> None:
    found = gpus([node("t", T4, 4), node("a", A100, 2), node("cpu", gpus=0)], []).now()
    assert {name: [one.node for one in known.nodes] for name, known in found.items()} == {
        "small": ["t"],
        "medium": ["a"],
        "whole": ["a", "t"],
    }


def test_gpus_come_back_when_their_servers_end() -> None:
    pods = [running("1", "t", 2, 1), running("2", "t", 1, 3), pod("endless", "t", 1), running("later", "u", 4, 13)]
    found = gpus([node("t", T4, 4), node("u", T4, 4)], pods).now()["small"]
    assert hours_of(found) == [(0, 0), (1, 2), (3, 3)]


def test_those_who_wait_take_theirs_first() -> None:
    pods = [running("1", "t", 2, 1), waits("a", 1, 2), waits("b", 1, 5), waits("other", 1, 1, ("medium",))]
    known = gpus([node("t", T4, 2)], pods)
    found = known.now()["small"]
    assert (found.waiting, known.now()["medium"].waiting, known.waiting) == (2, 1, 3)
    assert hours_of(found) == [(0, 0), (3, 1), (6, 2)]


def test_what_ends_on_a_closed_node_is_free_for_nobody() -> None:
    closed = node("u", T4, 4, unschedulable=True)
    found = gpus([node("t", T4, 1), closed], [running("1", "u", 4, 1)]).now()["small"]
    assert hours_of(found) == [(0, 1)]


def test_it_is_worked_out_anew_only_when_something_changes() -> None:
    known = gpus([node("t", T4, 4)], [])
    first = known.now()
    assert known.now() is first
    changed: Inventory = known._view.inventory
    changed.pod_changed(None, pod("1", "t", 3))
    assert hours_of(known.now()["small"]) == [(0, 1)]


sessions = st.lists(
    st.builds(Session, st.sampled_from("ab"), st.integers(1, 4), st.none() | st.floats(T0 + 1, T0 + 1e5)), max_size=8
)
asks = st.lists(st.builds(Ask, st.integers(1, 4), st.floats(60, 1e5), st.just(("a", "b"))), max_size=5)


@given(sessions, asks, st.integers(0, 3), st.integers(0, 3))
def test_a_forecast_begins_now_and_goes_up_to_its_end(
    taken: list[Session], queue: list[Ask], left: int, right: int
) -> None:
    found = free_ahead({"a": left, "b": right}, taken, queue, T0, T0 + 12 * HOUR)
    times = [at for at, _ in found]
    assert times[0] == T0
    assert times == sorted(set(times))
    assert times[-1] <= T0 + 12 * HOUR
    assert all(one[1] != other[1] for one, other in pairwise(found))
    assert max(free for _, free in found) <= left + right + sum(one.gpus for one in taken)


@given(sessions, asks.filter(bool), st.integers(0, 3))
def test_once_the_last_one_in_line_has_its_turn_nobody_waits_any_more(
    taken: list[Session], queue: list[Ask], left: int
) -> None:
    """Of launches that ask for the same; a small one may overtake a large one."""
    same = [Ask(1, ask.runtime, ask.nodes) for ask in queue]
    turn = forecast({"a": left, "b": 0}, taken, same, T0)
    found = free_ahead({"a": left, "b": 0}, taken, same, T0, T0 + 1e6)
    before = [free for at, free in found if turn is None or at < turn]
    assert before == [0] * len(before)


def test_devices_of_a_claim_are_told_by_node_and_come_back() -> None:
    settings = settings_with(small={"accepts": [{"device_class": "gpu.nvidia.com", "product": ["A100"]}]})
    plain = {"cpu": 8000, "memory": 2**34}
    known = gpus([node("a", allocatable=plain)], [], settings)
    devices = known._view.inventory.devices
    devices.class_changed("gpu.nvidia.com", {"spec": {}})
    named = [{"name": f"gpu-{index}", "attributes": {"productName": {"string": "A100"}}} for index in range(3)]
    pool = {"name": "a", "generation": 1, "resourceSliceCount": 1}
    devices.slice_changed("a", {"spec": {"driver": "gpu.nvidia.com", "nodeName": "a", "pool": pool, "devices": named}})
    got = [{"request": "gpu", "driver": "gpu.nvidia.com", "pool": "a", "device": "gpu-0"}]
    asked = {"deviceClassName": "gpu.nvidia.com", "allocationMode": "ExactCount", "count": 1}
    claim = {
        "metadata": {"name": "c"},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": asked}]}},
        "status": {"allocation": {"devices": {"results": got}}},
    }
    devices.claim_changed(("hub", "c"), claim)
    taken = replace(running("1", "a", 0, 2), claims=("c",))
    known._view.inventory.pod_changed(None, taken)
    known._view.all_pods = lambda: iter([taken])
    found = known.now()["small"]
    assert [(one.node, one.product, one.total, one.free) for one in found.nodes] == [("a", "A100", 3, 2)]
    assert hours_of(found) == [(0, 2), (2, 3)]
