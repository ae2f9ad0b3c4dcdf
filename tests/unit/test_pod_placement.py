"""Where the pod of a launch may land."""

from typing import Any

import pytest
from nodes import fits, node, preference
from small_hub import MONDAY, ask, small_hub

from gpuspawner.admission import Capacity, admit
from gpuspawner.config import Settings, load_settings
from gpuspawner.pod import Server, build_pod

HUB = small_hub()
LAB = {"workspace": "lab"}
PRODUCT = "nvidia.com/gpu.product"
TAINT = ("nvidia.com/gpu",)

CPU = node()
T4 = node({PRODUCT: "Tesla-T4"}, TAINT, nvidia_com__gpu=4)
A100_40 = node({PRODUCT: "NVIDIA-A100-SXM4-40GB"}, TAINT, nvidia_com__gpu=8)
A100_80 = node({PRODUCT: "NVIDIA-A100-SXM4-80GB"}, TAINT, nvidia_com__gpu=8)
V100 = node({PRODUCT: "Tesla-V100"}, TAINT, nvidia_com__gpu=8)
SLICED = node({PRODUCT: "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "nvidia.com/gpu.slices.gi": "1"}, TAINT, nvidia_com__gpu=56)
SHARED = node(
    {PRODUCT: "Tesla-T4-SHARED", "nvidia.com/gpu.sharing-strategy": "time-slicing"}, TAINT, nvidia_com__gpu=40
)
AMD = node({"amd.com/gpu.product-name": "Instinct_MI300X"}, ("amd.com/gpu",), amd_com__gpu=8)
NODES = {
    "CPU": CPU,
    "T4": T4,
    "A100_40": A100_40,
    "A100_80": A100_80,
    "V100": V100,
    "SLICED": SLICED,
    "SHARED": SHARED,
    "AMD": AMD,
}


def built(options: dict[str, Any], hub: Settings = HUB) -> dict[str, Any]:
    granted = admit(ask(hub, options), hub, [], Capacity(), MONDAY)
    return build_pod(granted, Server({}, None, []), hub)


def landings(pod: dict[str, Any]) -> set[str]:
    return {name for name, where in NODES.items() if fits(pod, where)}


@pytest.mark.parametrize(
    ("options", "nodes"),
    [
        ({}, {"T4"}),
        ({**LAB, "gpu_class": "medium"}, {"A100_40", "A100_80"}),
        ({**LAB, "gpu_class": ["medium", "small"]}, {"A100_40", "A100_80", "T4"}),
        ({**LAB, "gpu_class": "whole"}, {"T4", "A100_40", "A100_80", "V100"}),
        ({**LAB, "gpu_class": "instinct"}, {"AMD"}),
        ({"gpus": 0}, {"CPU"}),
        ({"profile": "minimal"}, {"CPU"}),
        ({"profile": "anywhere"}, set(NODES)),
    ],
)
def test_a_pod_lands_on_the_nodes_of_what_was_granted_and_on_no_others(
    options: dict[str, Any], nodes: set[str]
) -> None:
    assert landings(built(options)) == nodes


def test_a_pod_without_gpu_stays_off_gpu_nodes_even_without_taints() -> None:
    pod = built({"gpus": 0})
    for where in NODES.values():
        assert fits(pod, {**where, "taints": []}) is (where is CPU)


def test_a_pod_that_may_use_gpu_nodes_prefers_others() -> None:
    pod = built({"profile": "anywhere"})
    assert preference(pod, CPU) > preference(pod, T4)
    assert pod["spec"]["containers"][0]["env"][-1] == {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}


@pytest.mark.parametrize(
    ("order", "first", "second"), [(["medium", "small"], A100_80, T4), (["small", "medium"], T4, A100_40)]
)
def test_the_order_of_classes_is_a_preference(order: list[str], first: dict[str, Any], second: dict[str, Any]) -> None:
    pod = built({**LAB, "gpu_class": order})
    assert preference(pod, first) > preference(pod, second) > 0


def test_an_order_after_a_class_that_takes_every_node_is_none() -> None:
    hub = load_settings(
        {
            "gpu_classes": {
                "instinct": {"accepts": [{"resource": "amd.com/gpu"}]},
                "mi300": {"accepts": [{"resource": "amd.com/gpu", "product": "Instinct_MI300X"}]},
            },
            "workspaces": {"lab": {"members": "*"}},
            "profiles": {"pytorch": {"image": "x", "gpu_classes": ["instinct", "mi300"]}},
        }
    )
    every_first = built({**LAB, "gpu_class": ["instinct", "mi300"]}, hub)
    assert preference(every_first, AMD) == 0
    assert fits(every_first, AMD)
    mi300_first = built({**LAB, "gpu_class": ["mi300", "instinct"]}, hub)
    assert preference(mi300_first, AMD) == 100


@pytest.mark.parametrize(
    "taint",
    [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
        {"key": "sku", "value": "gpu", "effect": "NoSchedule"},
        {"key": "hub.jupyter.org/dedicated", "value": "user", "effect": "NoSchedule"},
        {"key": "hub.jupyter.org_dedicated", "value": "user", "effect": "NoSchedule"},
    ],
)
def test_a_gpu_pod_tolerates_the_usual_taints_of_gpu_nodes(taint: dict[str, str]) -> None:
    assert fits(built({}), {**T4, "taints": [taint]})


def test_a_pod_without_gpu_tolerates_dedicated_nodes_only() -> None:
    pod = built({"gpus": 0})
    dedicated = {"key": "hub.jupyter.org/dedicated", "value": "user", "effect": "NoSchedule"}
    assert fits(pod, {**CPU, "taints": [dedicated]})
    assert not fits(pod, {**CPU, "taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]})


def test_slices_tolerate_the_taint_of_their_vendor() -> None:
    hub = load_settings(
        {
            "gpu_classes": {"slice": {"accepts": [{"resource": "nvidia.com/mig-1g.10gb"}]}},
            "profiles": {"p": {"image": "x", "gpu_classes": "slice"}},
            "workspaces": {"everyone": {"members": "*"}},
        }
    )
    keys = {one["key"] for one in built({}, hub)["spec"]["tolerations"]}
    assert {"nvidia.com/gpu", "nvidia.com/mig-1g.10gb"} <= keys
