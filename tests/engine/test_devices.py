"""Which GPU a pod gets, and what tells it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.local.kubelet.devices import DeviceManager, DevicesUnavailable, device_env
from gpuspawner.local.nodes.description import parse_nodes

NODES = {node.name: node for node in parse_nodes("t4=1x2 a100=1x4 a100-mig-1g.10gb=1x3 t4-shared2=1x2")}
OFFERS = {name: next(iter(node.devices)) for name, node in NODES.items()}


def manager() -> DeviceManager:
    devices = DeviceManager()
    for name, node in NODES.items():
        devices.add_node(name, node.devices)
    return devices


def pod(uid: str, resource: str, *counts: int, init: int = 0) -> dict[str, object]:
    def container(name: str, count: int) -> dict[str, object]:
        return {"name": name, "resources": {"limits": {"cpu": "1", resource: str(count)}}}

    spec = {"containers": [container(f"c{index}", count) for index, count in enumerate(counts)]}
    if init:
        spec["initContainers"] = [container("init", init)]
    return {"metadata": {"uid": uid}, "spec": spec}


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 9), st.sampled_from(sorted(NODES)), st.integers(0, 5)), max_size=60
    )
)
def test_no_device_belongs_to_two_living_pods(steps: list[tuple[bool, int, str, int]]) -> None:
    devices, living = manager(), {}
    for begins, number, node, count in steps:
        uid = f"pod{number}"
        if not begins:
            devices.release(uid)
            living.pop(uid, None)
        elif uid not in living:
            held = sum(len(ids) for where, ids in living.values() if where == node)
            total = len(NODES[node].devices[OFFERS[node]])
            try:
                given_ = devices.allocate(NODES[node].manifest, pod(uid, OFFERS[node], count))
            except DevicesUnavailable:
                assert held + count > total
                continue
            ids = {device.id for by in given_.values() for found in by.values() for device in found}
            assert len(ids) == count
            living[uid] = (node, ids)
        everything = [(node_, id_) for node_, ids in living.values() for id_ in ids]
        assert len(everything) == len(set(everything))


def test_the_lowest_free_index_is_given_and_comes_back() -> None:
    devices, node = manager(), NODES["t4-0"].manifest
    first = devices.allocate(node, pod("a", "nvidia.com/gpu", 1))["c0"]["nvidia.com/gpu"]
    second = devices.allocate(node, pod("b", "nvidia.com/gpu", 1))["c0"]["nvidia.com/gpu"]
    assert [device.index for device in first + second] == [0, 1]
    with pytest.raises(DevicesUnavailable, match="Requested: 1, Available: 0, which is unexpected"):
        devices.allocate(node, pod("c", "nvidia.com/gpu", 1))
    devices.release("a")
    assert devices.allocate(node, pod("c", "nvidia.com/gpu", 1))["c0"]["nvidia.com/gpu"] == first


def test_a_pod_that_gets_only_part_of_its_devices_keeps_none() -> None:
    devices, node = manager(), NODES["t4-0"].manifest
    with pytest.raises(DevicesUnavailable):
        devices.allocate(node, pod("a", "nvidia.com/gpu", 1, 2))
    assert devices.holders() == {}


def test_init_containers_share_the_devices_of_the_containers() -> None:
    devices, node = manager(), NODES["a100-0"].manifest
    given_ = devices.allocate(node, pod("a", "nvidia.com/gpu", 1, 1, init=2))
    ids = [device.id for name in ("c0", "c1") for device in given_[name]["nvidia.com/gpu"]]
    assert [device.id for device in given_["init"]["nvidia.com/gpu"]] == ids
    assert len(devices.holders()) == 2


def test_a_node_from_the_api_has_devices_by_its_capacity() -> None:
    devices = DeviceManager()
    node = {"metadata": {"name": "new"}, "status": {"allocatable": {"nvidia.com/gpu": "2"}}}
    found = devices.allocate(node, pod("a", "nvidia.com/gpu", 2))["c0"]["nvidia.com/gpu"]
    again = DeviceManager().allocate(node, pod("b", "nvidia.com/gpu", 2))["c0"]["nvidia.com/gpu"]
    assert found == again
    assert all(device.uuid.startswith("GPU-") for device in found)


def test_the_environment_names_the_devices_and_hides_the_others() -> None:
    cards = NODES["a100-0"].devices["nvidia.com/gpu"]
    env = device_env({"nvidia.com/gpu": [cards[1], cards[3]]})
    assert env["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert env["NVIDIA_VISIBLE_DEVICES"] == f"{cards[1].uuid},{cards[3].uuid}"
    assert device_env({}) == {"CUDA_VISIBLE_DEVICES": ""}
    assert device_env({"amd.com/gpu": [cards[2]]}) == {"ROCR_VISIBLE_DEVICES": "2"}
    slices = NODES["a100-mig-1g.10gb-0"].devices["nvidia.com/mig-1g.10gb"]
    assert device_env({"nvidia.com/mig-1g.10gb": slices[:1]})["CUDA_VISIBLE_DEVICES"] == slices[0].uuid
    assert slices[0].uuid.startswith("MIG-")
    shares = NODES["t4-shared2-0"].devices["nvidia.com/gpu"]
    assert len(shares) == 4
    assert device_env({"nvidia.com/gpu": shares[:2]})["CUDA_VISIBLE_DEVICES"] == "0"
