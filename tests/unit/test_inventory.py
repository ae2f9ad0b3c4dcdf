"""Free GPUs: what is kept pod by pod equals what a fresh count gives, whatever the order of the news."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.admission import OfferCapacity
from gpuspawner.catalog import Offer
from gpuspawner.cluster.inventory import Inventory
from gpuspawner.cluster.records import NodeRecord, PodRecord, Taint, Toleration

GPU = "nvidia.com/gpu"
SLICE = "nvidia.com/mig-3g.40gb"
A100 = Offer(resource=GPU, product=("A100-80", "A100-40"))
T4 = Offer(resource=GPU, product=("T4",))
ANY = Offer(resource=GPU)
MIG = Offer(resource=SLICE)
OFFERS = (A100, T4, ANY, MIG)


def node(name: str, product: str = "T4", gpus: int = 4, **changes: object) -> NodeRecord:
    known: dict[str, object] = {
        "name": name,
        "labels": {"nvidia.com/gpu.product": product},
        "allocatable": {"cpu": 8000, "memory": 32 * 2**30, GPU: gpus},
        "unschedulable": False,
        "ready": True,
        "taints": (),
    }
    return NodeRecord(**{**known, **changes})  # type: ignore[arg-type]


def pod(name: str, on: str = "", gpus: int = 1, phase: str = "Running", **changes: object) -> PodRecord:
    requests: Mapping[str, int] = {"cpu": 1000, GPU: gpus} if gpus else {"cpu": 1000}
    known: dict[str, object] = {
        "namespace": "hub",
        "name": name,
        "uid": name,
        "version": "1",
        "own": True,
        "node": on,
        "phase": phase if on else "Pending",
        "deleting": False,
        "requests": requests,
    }
    return PodRecord(**{**known, **changes})  # type: ignore[arg-type]


def inventory(nodes: list[NodeRecord], pods: list[PodRecord]) -> Inventory:
    fresh = Inventory()
    for one in nodes:
        fresh.node_changed(one.name, one)
    for other in pods:
        fresh.pod_changed(None, other)
    return fresh


names = st.sampled_from(["n1", "n2", "n3"])
nodes = st.builds(
    NodeRecord,
    name=names,
    labels=st.sampled_from(
        [{"nvidia.com/gpu.product": p} for p in ("A100-80", "T4", "A100-40-MIG-3g.40gb")] + [{}, {"x": "y"}]
    ),
    allocatable=st.dictionaries(st.sampled_from(["cpu", GPU, SLICE]), st.integers(0, 8)),
    unschedulable=st.booleans(),
    ready=st.booleans(),
    taints=st.sampled_from(
        [(), (Taint(GPU, "present", "NoSchedule"),), (Taint("node.kubernetes.io/x", "", "NoExecute"),)]
    ),
)
pods = st.builds(
    PodRecord,
    namespace=st.just("hub"),
    name=st.sampled_from(["p1", "p2", "p3", "p4"]),
    uid=st.just("u"),
    version=st.just("1"),
    own=st.booleans(),
    node=st.sampled_from(["", "n1", "n2", "not-known-yet"]),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    deleting=st.booleans(),
    requests=st.dictionaries(st.sampled_from(["cpu", GPU, SLICE]), st.integers(1, 4)),
)
news = st.lists(st.one_of(nodes, pods, st.tuples(st.sampled_from(["pod", "node"]), names | st.just("p1"))), max_size=40)


@given(news)
def test_capacity_kept_by_changes_equals_capacity_counted_anew(changes: list[object]) -> None:
    kept = Inventory()
    known_nodes: dict[str, NodeRecord] = {}
    known_pods: dict[str, PodRecord] = {}
    for change in changes:
        if isinstance(change, NodeRecord):
            known_nodes[change.name] = change
            kept.node_changed(change.name, change)
        elif isinstance(change, PodRecord):
            kept.pod_changed(known_pods.get(change.name), change)
            known_pods[change.name] = change
        elif isinstance(change, tuple) and change[0] == "pod":
            kept.pod_changed(known_pods.pop(change[1], None), None)
        elif isinstance(change, tuple):
            known_nodes.pop(change[1], None)
            kept.node_changed(change[1], None)
        kept.capacity(OFFERS)  # asking in between must not leave anything stale behind
    fresh = inventory(list(known_nodes.values()), list(known_pods.values()))
    assert kept.capacity(OFFERS) == fresh.capacity(OFFERS)
    for resource in (GPU, SLICE):
        assert kept.waiting(resource) == fresh.waiting(resource) >= 0
    for name in ("n1", "n2", "not-known-yet"):
        assert kept.used(name) == fresh.used(name)
        assert all(amount > 0 for amount in kept.used(name).values())


@given(st.lists(nodes, max_size=3, unique_by=lambda n: n.name), st.lists(pods, max_size=4, unique_by=lambda p: p.name))
def test_free_is_never_negative_nor_above_total(some_nodes: list[NodeRecord], some_pods: list[PodRecord]) -> None:
    for found in inventory(some_nodes, some_pods).capacity(OFFERS).values():
        assert 0 <= found.most_free_on_a_node <= found.free <= found.total
        assert found.most_on_a_node >= found.most_free_on_a_node


def test_gpus_are_counted_per_offer_by_the_product_of_the_node() -> None:
    found = inventory(
        [node("a", "A100-80", 8), node("b", "A100-40", 4), node("t", "T4", 4)],
        [pod("1", "a", 3), pod("2", "b", 4), pod("3", "t", 1)],
    ).capacity(OFFERS)
    assert found[A100] == OfferCapacity(free=5, total=12, most_free_on_a_node=5, most_on_a_node=8)
    assert found[T4] == OfferCapacity(free=3, total=4, most_free_on_a_node=3, most_on_a_node=4)
    assert found[ANY].free == 8
    assert found[MIG] == OfferCapacity()


def test_a_closed_node_has_no_free_gpu_but_its_size_is_known() -> None:
    for closed in (
        {"unschedulable": True},
        {"ready": False},
        {"taints": (Taint("node.kubernetes.io/unreachable", "", "NoExecute"),)},
        {"taints": (Taint("ToBeDeletedByClusterAutoscaler", "1", "NoSchedule"),)},
    ):
        found = inventory([node("t", **closed)], []).capacity([T4])[T4]
        assert found == OfferCapacity(free=0, total=0, most_free_on_a_node=0, most_on_a_node=4), closed


def test_the_taint_of_the_gpu_itself_closes_nothing() -> None:
    tainted = node("t", taints=(Taint(GPU, "present", "NoSchedule"), Taint("x", "", "PreferNoSchedule")))
    assert inventory([tainted], []).capacity([T4])[T4].free == 4


def test_a_pod_that_has_ended_holds_nothing_and_one_that_is_ending_still_does() -> None:
    found = inventory(
        [node("t")], [pod("1", "t", 1, "Succeeded"), pod("2", "t", 1, "Failed"), pod("3", "t", deleting=True)]
    )
    assert found.capacity([T4])[T4].free == 3


def test_pods_without_a_node_wait_and_hold_nothing() -> None:
    found = inventory([node("t")], [pod("1"), pod("2"), pod("3", gpus=0), pod("4", deleting=True)])
    assert found.capacity([T4])[T4].free == 4
    assert found.waiting(GPU) == 2


def test_pods_seen_before_their_node_count_once_it_appears() -> None:
    kept = Inventory()
    kept.pod_changed(None, pod("1", "t", 3))
    assert kept.capacity([T4])[T4].total == 0
    kept.node_changed("t", node("t"))
    assert kept.capacity([T4])[T4].free == 1


def test_the_stock_for_a_pod_names_the_taints_that_keep_it_off_every_node() -> None:
    taint = Taint("team", "physics", "NoSchedule")
    kept = inventory([node("a", taints=(taint,)), node("b", taints=(taint, Taint("y", "", "NoExecute")))], [])
    assert kept.stock_for(pod("1"), [T4], "Small").repelled_by == ("team=physics:NoSchedule", "y:NoExecute")
    tolerant = pod("1", tolerations=(Toleration("team", "Exists"),))
    assert kept.stock_for(tolerant, [T4], "Small").repelled_by == ()


def test_the_stock_knows_what_fits_an_empty_node() -> None:
    kept = inventory([node("a", gpus=8, allocatable={GPU: 8, "cpu": 4000}), node("b", gpus=1)], [])
    assert kept.stock_for(pod("1", requests={GPU: 8, "cpu": 4000}), [T4], "Small").fits
    both = kept.stock_for(pod("1", requests={GPU: 8, "cpu": 8000}), [T4], "Small")
    assert not both.fits
    assert (both.most_on_a_node, both.most_cpu) == (8, 8000)
