"""What descriptions of nodes become, and what is said of those that make no sense."""

import sys
import types
from typing import Any

import pytest
from recordings import recording

from gpuspawner.local.nodes import machine
from gpuspawner.local.nodes.description import NodesError, parse_nodes
from gpuspawner.local.nodes.machine import machine_node, parse_nvidia_smi
from gpuspawner.local.nodes.products import PRODUCTS

SMI = "0, GPU-aaaa, NVIDIA A100-SXM4-80GB, 81920\n1, GPU-bbbb, NVIDIA A100-SXM4-80GB, 81920\n"


def test_nodes_look_like_the_recorded_ones() -> None:
    recorded = recording(13)["response"]["body"]["items"][0]
    node = parse_nodes("a100=2x8 t4=1x4 cpu=1")[0].manifest
    for key, value in recorded["metadata"]["labels"].items():
        assert node["metadata"]["labels"][key] == value
    assert node["spec"] == recorded["spec"]
    assert node["status"]["capacity"] == recorded["status"]["capacity"]
    assert node["status"]["allocatable"] == recorded["status"]["allocatable"]
    assert node["status"]["nodeInfo"].keys() == recorded["status"]["nodeInfo"].keys()


def test_a_description_names_kinds_nodes_and_gpus() -> None:
    nodes = {node.name: node for node in parse_nodes("a100=1x8, T4=2x4 cpu=1 t4=1x1")}
    assert list(nodes) == ["a100-0", "t4-0", "t4-1", "cpu-0", "t4-2"]
    assert len(nodes["t4-1"].devices["nvidia.com/gpu"]) == 4
    assert len(nodes["t4-2"].devices["nvidia.com/gpu"]) == 1
    assert nodes["cpu-0"].devices == {}
    assert nodes["cpu-0"].manifest["spec"] == {}
    uuids = [device.uuid for node in nodes.values() for given in node.devices.values() for device in given]
    assert len(uuids) == len(set(uuids)) == 17
    assert parse_nodes("t4=1x1")[0].devices == parse_nodes("t4=2x4")[0].devices | {
        "nvidia.com/gpu": parse_nodes("t4=2x4")[0].devices["nvidia.com/gpu"][:1]
    }


def test_slices_and_shares_are_never_whole_cards() -> None:
    mixed, single, shared, amd = (
        parse_nodes(text)[0].manifest
        for text in ("a100-mig-3g.40gb=1x2", "a100-40-mig-single-1g.5gb=1x7", "t4-shared4=1x2", "mi300x=1x8")
    )
    assert mixed["status"]["capacity"]["nvidia.com/mig-3g.40gb"] == "2"
    assert "nvidia.com/gpu" not in mixed["status"]["capacity"]
    assert mixed["metadata"]["labels"]["nvidia.com/mig.strategy"] == "mixed"
    assert single["status"]["capacity"]["nvidia.com/gpu"] == "7"
    assert single["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"
    assert shared["status"]["capacity"]["nvidia.com/gpu"] == "8"
    assert shared["metadata"]["labels"]["nvidia.com/gpu.product"] == "Tesla-T4-SHARED"
    assert shared["metadata"]["labels"]["nvidia.com/gpu.replicas"] == "4"
    assert shared["metadata"]["labels"]["nvidia.com/gpu.sharing-strategy"] == "time-slicing"
    assert amd["status"]["capacity"]["amd.com/gpu"] == "8"
    assert amd["metadata"]["labels"]["amd.com/gpu.product-name"] == "AMD_Instinct_MI300X_OAM"
    assert mixed["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
def test_every_known_product_makes_a_node(kind: str) -> None:
    (node,) = parse_nodes(f"{kind}=1x2")
    assert sum(int(value) for key, value in node.manifest["status"]["capacity"].items() if "/" in key) == 2


@pytest.mark.parametrize(
    ("description", "found", "remedy"),
    [
        ("", "is empty", "a100=1x8"),
        ("a1000=1x8", "'a1000' is not a known kind of node. Did you mean a100?", "Known kinds: cpu, "),
        ("a100", "'a100' does not describe nodes", "KIND=NODES"),
        ("a100=x8", "'a100=x8' does not describe nodes", "KIND=NODES"),
        ("a100=0x8", "asks for 0 nodes", "1 to 500"),
        ("a100=1x999", "asks for 999 GPUs", "1 to 256"),
        ("cpu=1x4", "gives GPUs to nodes of kind cpu", "'cpu=1'"),
        ("t4-mig-3g.40gb=1x2", "has no MIG slice 3g.40gb", "fits the card"),
        ("mi300x-shared2=1x2", "cannot be shared", "t4-shared2=1x4"),
        ("x9-mig-3g.40gb=1x2", "'x9' is not a known kind", "Known kinds"),
    ],
)
def test_a_bad_description_is_told_what_is_allowed(description: str, found: str, remedy: str) -> None:
    with pytest.raises(NodesError) as caught:
        parse_nodes(description)
    assert found in caught.value.reason
    assert remedy in caught.value.remedy
    assert str(caught.value) == f"{caught.value.reason} {caught.value.remedy}"


def test_this_machine_without_gpus_is_a_cpu_node_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_from_nvml", lambda: ([], ""))
    monkeypatch.setattr(machine.shutil, "which", lambda program: None)
    node, sentence = machine_node()
    assert sentence == (
        "No NVIDIA GPU was found on this machine (there is no nvidia-smi), so it serves as a node without GPUs."
    )
    capacity = node.manifest["status"]["capacity"]
    assert int(capacity["cpu"]) >= 1
    assert int(capacity["memory"].removesuffix("Ki")) > 2**17
    assert not any("/" in name for name in capacity)


def test_this_machine_offers_the_gpus_that_nvidia_smi_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_from_nvml", lambda: ([], "NVML: Driver Not Loaded"))
    monkeypatch.setattr(machine, "_from_nvidia_smi", lambda: (parse_nvidia_smi(SMI), ""))
    node, sentence = machine_node()
    assert sentence == "Found 2 GPUs on this machine: NVIDIA A100-SXM4-80GB."
    assert node.manifest["status"]["capacity"]["nvidia.com/gpu"] == "2"
    assert node.manifest["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-80GB"
    assert node.manifest["metadata"]["labels"]["nvidia.com/gpu.memory"] == "81920"
    assert node.manifest["spec"] == {}
    assert [device.uuid for device in node.devices["nvidia.com/gpu"]] == ["GPU-aaaa", "GPU-bbbb"]


def test_this_machine_offers_the_gpus_that_nvml_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml: Any = types.ModuleType("pynvml")
    nvml.NVMLError = RuntimeError
    nvml.nvmlInit = nvml.nvmlShutdown = lambda: None
    nvml.nvmlDeviceGetCount = lambda: 1
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index
    nvml.nvmlDeviceGetUUID = lambda handle: b"GPU-cccc"
    nvml.nvmlDeviceGetName = lambda handle: "NVIDIA L40S"
    nvml.nvmlDeviceGetMemoryInfo = lambda handle: types.SimpleNamespace(total=46068 * 1024**2)
    nvml.nvmlDeviceGetCudaComputeCapability = lambda handle: (8, 9)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    node, _ = machine_node()
    labels = node.manifest["metadata"]["labels"]
    assert (labels["nvidia.com/gpu.product"], labels["nvidia.com/gpu.family"]) == ("NVIDIA-L40S", "ada-lovelace")
    assert node.devices["nvidia.com/gpu"][0].uuid == "GPU-cccc"


def test_shares_under_another_name_and_by_mps() -> None:
    renamed, mps, both = (
        parse_nodes(text)[0].manifest for text in ("t4-shared4-renamed=1x2", "l4-mps3=1x1", "l4-mps3-renamed=1x1")
    )
    assert renamed["status"]["capacity"]["nvidia.com/gpu.shared"] == "8"
    assert "nvidia.com/gpu" not in renamed["status"]["capacity"]
    assert renamed["metadata"]["labels"]["nvidia.com/gpu.product"] == "Tesla-T4"
    assert mps["status"]["capacity"]["nvidia.com/gpu"] == "3"
    assert mps["metadata"]["labels"]["nvidia.com/gpu.sharing-strategy"] == "mps"
    assert mps["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-L4-SHARED"
    assert both["status"]["capacity"]["nvidia.com/gpu.shared"] == "3"


def test_intel_s_gpus_are_resources_by_driver() -> None:
    flex, arc = parse_nodes("flex170=1x2 b580=1x1")
    assert flex.manifest["status"]["capacity"]["gpu.intel.com/i915"] == "2"
    assert flex.manifest["metadata"]["labels"]["gpu.intel.com/product"] == "Flex_170"
    assert arc.manifest["status"]["capacity"]["gpu.intel.com/xe"] == "1"
