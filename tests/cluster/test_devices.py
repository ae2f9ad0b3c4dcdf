"""Devices and claims, kept up to date: what is there, what is free, what a claim landed on."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.admission import Availability, OfferCapacity, Part, State
from gpuspawner.catalog import Offer
from gpuspawner.cluster.devices import Devices
from gpuspawner.cluster.inventory import Inventory
from gpuspawner.cluster.prospects import Prospects
from gpuspawner.cluster.records import NodeRecord, PodRecord, Taint
from gpuspawner.config import load_settings

Raw = dict[str, Any]
A100 = Offer(device_class="gpu.nvidia.com", product=("A100",))
ANY = Offer(device_class="gpu.nvidia.com")
OTHER = Offer(device_class="tpu.example.org")
CLASS: Raw = {"spec": {"selectors": [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}]}}


def slice_(node: str, *products: str, generation: int = 1, taint: str = "") -> Raw:
    devices = [
        {
            "name": f"gpu-{index}",
            "attributes": {"productName": {"string": product}},
            "taints": [{"key": "sick", "effect": taint}] if taint else [],
        }
        for index, product in enumerate(products)
    ]
    pool = {"name": node, "generation": generation, "resourceSliceCount": 1}
    return {"spec": {"driver": "gpu.nvidia.com", "nodeName": node, "pool": pool, "devices": devices}}


def claim(*held: tuple[str, int], pod: str = "p", count: int = 1) -> Raw:
    results = [{"request": "gpu", "driver": "gpu.nvidia.com", "pool": n, "device": f"gpu-{i}"} for n, i in held]
    asked = {"deviceClassName": "gpu.nvidia.com", "allocationMode": "ExactCount", "count": count}
    return {
        "metadata": {"ownerReferences": [{"kind": "Pod", "name": pod}]},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": asked}]}},
        "status": {"allocation": {"devices": {"results": results}}} if held else {},
    }


def devices(**slices: Raw) -> Devices:
    found = Devices()
    found.class_changed("gpu.nvidia.com", CLASS)
    for name, raw in slices.items():
        found.slice_changed(name, raw)
    return found


def everywhere(node: str) -> bool:
    return True


def test_devices_are_counted_per_offer() -> None:
    found = devices(a=slice_("a", "A100", "A100", "T4"), b=slice_("b", "T4"))
    assert found.capacity(ANY, everywhere) == OfferCapacity(4, 4, 3, 3)
    assert found.capacity(A100, everywhere) == OfferCapacity(2, 2, 2, 2)
    assert found.capacity(OTHER, everywhere) == OfferCapacity()
    assert found.capacity(ANY, lambda node: node == "b") == OfferCapacity(1, 1, 1, 3)


def test_a_claim_takes_its_devices_until_it_is_gone() -> None:
    found = devices(a=slice_("a", "A100", "A100"))
    assert found.claim_changed(("ns", "c"), claim()) == ("p",)
    assert found.capacity(ANY, everywhere).free == 2
    assert found.waiting(["gpu.nvidia.com"]) == 1
    found.claim_changed(("ns", "c"), claim(("a", 0)))
    assert found.capacity(ANY, everywhere).free == 1
    assert found.waiting(["gpu.nvidia.com"]) == 0
    assert found.claim_changed(("ns", "c"), None) == ("p",)
    assert found.capacity(ANY, everywhere).free == 2


def test_what_a_claim_landed_on_is_told_by_all_its_devices() -> None:
    found = devices(a=slice_("a", "A100", "T4"))
    found.claim_changed(("ns", "one"), claim(("a", 0)))
    found.claim_changed(("ns", "both"), claim(("a", 0), ("a", 1)))
    found.claim_changed(("ns", "none"), claim())
    assert found.landed_on("ns", ["one"], A100)
    assert not found.landed_on("ns", ["both"], A100)
    assert found.landed_on("ns", ["both"], ANY)
    assert not found.landed_on("ns", ["none", "unknown", ""], ANY)
    assert not found.landed_on("ns", ["one"], Offer(resource="nvidia.com/gpu"))


def test_a_tainted_device_is_there_but_not_free() -> None:
    found = devices(a=slice_("a", "A100", taint="NoSchedule"))
    assert found.capacity(A100, everywhere) == OfferCapacity(0, 1, 0, 1)


def test_a_pool_that_is_published_anew_replaces_the_old() -> None:
    found = devices(old=slice_("a", "A100", "A100"), new=slice_("a", "A100", generation=2))
    assert found.capacity(A100, everywhere).total == 1
    found.slice_changed("new", None)
    assert found.capacity(A100, everywhere).total == 2


@given(
    st.lists(
        st.tuples(st.sampled_from("cdef"), st.none() | st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)))),
        max_size=20,
    )
)
def test_capacity_kept_by_changes_equals_capacity_counted_anew(changes: list[tuple[str, Any]]) -> None:
    kept = devices(a=slice_("a", "A100", "A100", "T4"), b=slice_("b", "T4", "A100", "A100"))
    last: dict[str, Any] = {}
    for name, held in changes:
        kept.claim_changed(("ns", name), None if held is None else claim(*held))
        last[name] = held
        kept.capacity(ANY, everywhere)
    fresh = devices(a=slice_("a", "A100", "A100", "T4"), b=slice_("b", "T4", "A100", "A100"))
    for name, held in last.items():
        if held is not None:
            fresh.claim_changed(("ns", name), claim(*held))
    for offer in (ANY, A100):
        assert kept.capacity(offer, everywhere) == fresh.capacity(offer, everywhere)


def test_the_inventory_answers_for_device_classes_and_forgets_no_change() -> None:
    inventory = Inventory()
    inventory.node_changed("a", NodeRecord("a", {}, {"cpu": 8000, "memory": 2**34}, False, True, ()))
    inventory.devices.class_changed("gpu.nvidia.com", CLASS)
    inventory.devices.slice_changed("a", slice_("a", "A100", "A100"))
    assert inventory.capacity([A100])[A100] == OfferCapacity(2, 2, 2, 2)
    inventory.devices.claim_changed(("ns", "c"), claim(("a", 0)))
    assert inventory.capacity([A100])[A100].free == 1
    inventory.node_changed("a", NodeRecord("a", {}, {"cpu": 8000, "memory": 2**34}, True, True, ()))
    assert inventory.capacity([A100])[A100] == OfferCapacity(0, 0, 0, 2)


def test_the_stock_for_a_claim_tells_taken_from_never() -> None:
    inventory = Inventory()
    inventory.node_changed("a", NodeRecord("a", {}, {"cpu": 8000, "memory": 2**34}, False, True, ()))
    inventory.devices.class_changed("gpu.nvidia.com", CLASS)
    inventory.devices.slice_changed("a", slice_("a", "A100", "A100"))
    inventory.devices.claim_changed(("ns", "theirs"), claim(("a", 0), pod="theirs"))
    inventory.devices.claim_changed(("ns", "mine"), claim(count=2))
    inventory.devices.claim_changed(("ns", "another"), claim(pod="another"))
    pod = PodRecord("ns", "p", "u", "1", True, "", "Pending", False, {"cpu": 1000}, claims=("mine",))
    stock = inventory.stock_for(pod, [A100], "A100")
    assert (stock.resource, stock.gpus, stock.free, stock.total) == ("gpu.nvidia.com", 2, 1, 2)
    assert (stock.most_on_a_node, stock.waiting, stock.fits) == (2, 1, True)
    huge = PodRecord("ns", "p", "u", "1", True, "", "Pending", False, {"cpu": 9000}, claims=("mine",))
    assert not inventory.stock_for(huge, [A100], "A100").fits


def test_where_only_a_closed_node_takes_the_pod_the_taints_of_others_are_not_blamed() -> None:
    inventory = cluster("A100", unschedulable=True)
    taint = Taint("dedicated", "others", "NoSchedule")
    inventory.node_changed("b", NodeRecord("b", {}, {"cpu": 8000, "memory": 2**34}, False, True, (taint,)))
    inventory.devices.slice_changed("b", slice_("b", "A100"))
    inventory.devices.claim_changed(("ns", "mine"), claim())
    pod = PodRecord("ns", "p", "u", "1", True, "", "Pending", False, {"cpu": 1000}, claims=("mine",))
    stock = inventory.stock_for(pod, [A100], "A100")
    assert (stock.nodes, stock.usable, stock.repelled_by) == (1, 0, ())
    inventory.node_changed("a", None)
    assert inventory.stock_for(pod, [A100], "A100").repelled_by == ("dedicated=others:NoSchedule",)


def available(inventory: Inventory, gpus: int = 1, **gpu_class: Any) -> Availability:
    accepts = [{"device_class": "gpu.nvidia.com", "product": "A100"}]
    profile = {"image": "image", "gpu_classes": "large", "gpus": gpus, "cpu": 1, "memory": "1G"}
    settings = load_settings(
        {
            "gpu_classes": {"large": {"accepts": accepts, **gpu_class}},
            "profiles": {"pytorch": profile},
            "workspaces": {"everyone": {"members": "*"}},
        }
    )
    return Prospects(settings).of(inventory)["everyone", "pytorch", "large"]


def cluster(*products: str, held: int = 0, **node: Any) -> Inventory:
    fields: dict[str, Any] = {"unschedulable": False, "ready": True, "taints": (), **node}
    inventory = Inventory()
    inventory.node_changed("a", NodeRecord("a", {}, {"cpu": 8000, "memory": 2**34}, **fields))
    inventory.node_changed("cpu", NodeRecord("cpu", {}, {"cpu": 8000, "memory": 2**34}, False, True, ()))
    inventory.devices.class_changed("gpu.nvidia.com", CLASS)
    inventory.devices.slice_changed("a", slice_("a", *products))
    inventory.devices.claim_changed(("ns", "theirs"), claim(*(("a", index) for index in range(held))))
    return inventory


@pytest.mark.parametrize(
    ("known", "gpus", "state", "part", "reason"),
    [
        (cluster("A100", "A100", "T4"), 1, State.FREE, None, "2 of 2 free."),
        (cluster("A100", "A100", held=2), 1, State.BUSY, None, "All 2 are taken."),
        (cluster("A100", "A100", held=1), 2, State.BUSY, None, "1 of 2 free, but no 2 on one node."),
        (cluster("A100", unschedulable=True), 1, State.BUSY, None, "closed for maintenance"),
        (cluster("T4"), 1, State.MISCONFIGURED, Part.RESOURCE, "No driver publishes a device of class gpu.nvidia.com"),
        (
            cluster("A100"),
            2,
            State.MISCONFIGURED,
            Part.SIZE,
            "no node has more than 1 such devices.",
        ),
        (
            cluster("A100", taints=(Taint("dedicated", "others", "NoSchedule"),)),
            1,
            State.MISCONFIGURED,
            Part.LABEL,
            "No node of those with such devices (a) may or can hold the pod.",
        ),
    ],
)
def test_whether_a_launch_of_a_device_class_could_start(
    known: Inventory, gpus: int, state: State, part: Part | None, reason: str
) -> None:
    found = available(known, gpus)
    assert (found.state, found.part) == (state, part)
    assert reason in found.reason


def test_an_autoscaler_mends_what_is_taken() -> None:
    found = available(cluster("A100", held=1), autoscaled=True)
    assert found.state is State.NEEDS_NODE
    assert found.reason.startswith("All 1 are taken.")
