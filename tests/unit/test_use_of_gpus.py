"""Whether others use a pod's GPU, too, and whether its class is quiet: by what nodes and devices say."""

from typing import Any

import pytest

from gpuspawner.catalog import GPUClass
from gpuspawner.cluster.inventory import Inventory
from gpuspawner.cluster.records import NodeRecord, PodRecord
from gpuspawner.cluster.use import is_quiet, shares_gpu
from gpuspawner.local.nodes.description import parse_nodes

GPU = "nvidia.com/gpu"
CLASS = GPUClass.model_validate({"name": "small", "accepts": [{"resource": GPU, "product": "Tesla-T4"}]})
T4 = {f"{GPU}.product": "Tesla-T4"}
DEVICES = GPUClass.model_validate({"name": "dra", "accepts": [{"device_class": "gpu.nvidia.com"}]})


def node(name: str = "n", gpus: int = 4, labels: dict[str, str] | None = None, resource: str = GPU) -> NodeRecord:
    return NodeRecord(name, T4 if labels is None else labels, {resource: gpus}, False, True, ())


def pod(name: str = "p", on: str = "n", gpus: int = 1, resource: str = GPU, claims: tuple[str, ...] = ()) -> PodRecord:
    requests = {} if claims else {resource: gpus}
    return PodRecord("ns", name, name, "1", True, on, "Running", False, requests, claims=claims)


def cluster(*nodes: NodeRecord, pods: tuple[PodRecord, ...] = ()) -> Inventory:
    inventory = Inventory()
    for one in nodes:
        inventory.node_changed(one.name, one)
    for each in pods:
        inventory.pod_changed(None, each)
    return inventory


@pytest.mark.parametrize(
    ("labels", "resource", "shared"),
    [
        (T4, GPU, False),
        ({**T4, f"{GPU}.replicas": "1", f"{GPU}.sharing-strategy": "none"}, GPU, False),
        ({f"{GPU}.product": "Tesla-T4-SHARED"}, GPU, True),
        ({**T4, f"{GPU}.replicas": "4"}, GPU, True),
        ({**T4, f"{GPU}.sharing-strategy": "time-slicing"}, GPU, True),
        ({**T4, f"{GPU}.sharing-strategy": "mps"}, GPU, True),
        (T4, "nvidia.com/gpu.shared", True),
        ({"nvidia.com/mig-1g.5gb.product": "NVIDIA-A100-MIG-1g.5gb"}, "nvidia.com/mig-1g.5gb", False),
        ({"nvidia.com/mig-1g.5gb.replicas": "2"}, "nvidia.com/mig-1g.5gb", True),
        ({"cloud.google.com/gke-accelerator": "nvidia-l4"}, GPU, False),
        (
            {
                "cloud.google.com/gke-accelerator": "nvidia-l4",
                "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing",
            },
            GPU,
            True,
        ),
        ({}, GPU, None),
        ({"example.org/card": "t4"}, GPU, None),
        ({}, "amd.com/gpu", False),
    ],
)
def test_whether_a_gpu_is_shared_is_what_its_node_says(
    labels: dict[str, str], resource: str, shared: bool | None
) -> None:
    inventory = cluster(node(labels=labels, resource=resource))
    assert shares_gpu(pod(resource=resource), inventory) is shared


def test_on_a_node_that_is_not_seen_it_is_not_known() -> None:
    assert shares_gpu(pod(on="elsewhere"), cluster(node())) is None
    assert shares_gpu(pod(on=""), cluster(node())) is None


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("a100=1x2", False),
        ("t4-shared4=1x2", True),
        ("t4-shared4-renamed=1x2", True),
        ("l4-mps3=1x1", True),
    ],
)
def test_the_nodes_of_the_embedded_engine_are_understood(text: str, shared: bool) -> None:
    manifest = parse_nodes(text)[0].manifest
    (resource,) = [name for name in manifest["status"]["capacity"] if name.startswith(GPU)]
    there = node(labels=manifest["metadata"]["labels"], resource=resource)
    assert shares_gpu(pod(resource=resource), cluster(there)) is shared


@pytest.mark.parametrize(
    ("taken", "quiet"), [((1, 2), True), ((2, 2), True), ((3, 0), False), ((4, 4), False), ((0, 0), True)]
)
def test_a_class_is_quiet_while_every_node_has_less_than_its_share_allocated(
    taken: tuple[int, int], quiet: bool
) -> None:
    pods = tuple(pod(name, name, gpus) for name, gpus in zip("ab", taken, strict=True) if gpus)
    inventory = cluster(node("a"), node("b"), node("c", 8, {f"{GPU}.product": "NVIDIA-L40S"}), pods=pods)
    assert is_quiet(CLASS, inventory, 0.75) is quiet


def test_of_a_class_without_nodes_nothing_is_known() -> None:
    assert is_quiet(CLASS, cluster(), 0.75) is None
    assert is_quiet(DEVICES, cluster(node()), 0.75) is None


def device(name: str, several: bool) -> dict[str, Any]:
    return {"name": name, "allowMultipleAllocations": several}


def with_devices(*, several: bool, held: int) -> Inventory:
    inventory = cluster(node("n", 0))
    pool = {"name": "n", "generation": 1, "resourceSliceCount": 1}
    found = [device(f"gpu-{index}", several) for index in range(4)]
    inventory.devices.class_changed("gpu.nvidia.com", {"spec": {}})
    inventory.devices.slice_changed(
        "n", {"spec": {"driver": "gpu.nvidia.com", "nodeName": "n", "pool": pool, "devices": found}}
    )
    for index in range(held):
        got = [{"request": "gpu", "driver": "gpu.nvidia.com", "pool": "n", "device": f"gpu-{index}"}]
        claim = {"metadata": {"name": f"c{index}"}, "status": {"allocation": {"devices": {"results": got}}}}
        inventory.devices.claim_changed(("ns", f"c{index}"), claim)
    return inventory


@pytest.mark.parametrize("several", [False, True])
def test_a_device_is_shared_where_its_driver_lets_several_claims_have_it(several: bool) -> None:
    assert shares_gpu(pod(claims=("c0",)), with_devices(several=several, held=1)) is several


def test_a_claim_without_a_device_is_not_known_to_share_it() -> None:
    assert shares_gpu(pod(claims=("c0",)), with_devices(several=False, held=0)) is None


@pytest.mark.parametrize(("held", "quiet"), [(0, True), (2, True), (3, False)])
def test_a_class_of_devices_is_quiet_by_its_devices(held: int, quiet: bool) -> None:
    assert is_quiet(DEVICES, with_devices(several=False, held=held), 0.75) is quiet
