"""Free, busy, a node to be added, or never as configured: what is said of each profile and GPU class, and why."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from test_inventory import inventory, node, pod

from gpuspawner.admission import Availability, Granted, Part, Placement, State
from gpuspawner.catalog import Offer
from gpuspawner.cluster.availability import assess
from gpuspawner.cluster.inventory import Inventory
from gpuspawner.cluster.outlook import Outlook
from gpuspawner.cluster.partial_cards import partial_cards
from gpuspawner.cluster.placement import Needs
from gpuspawner.cluster.prospects import Prospects, tolerations_of
from gpuspawner.cluster.records import NodeRecord, Taint, node_record, pod_record
from gpuspawner.config import Settings, load_settings
from gpuspawner.local.scheduler.fit import NodeInfo, PodInfo, filter_node
from gpuspawner.pod import Server, build_pod
from gpuspawner.request import LaunchRequest

GPU = "nvidia.com/gpu"
T4, A100 = "Tesla-T4", "NVIDIA-A100-SXM4-80GB"
SECTION: dict[str, Any] = {
    "gpu_classes": {
        "small": {"accepts": [{"resource": GPU, "product": T4}]},
        "medium": {"accepts": [{"resource": GPU, "product": A100}, {"resource": "nvidia.com/mig-3g.40gb"}]},
        "whole": {"accepts": [{"resource": GPU}]},
    },
    "profiles": {
        "pytorch": {
            "image": "pytorch",
            "cpu": {"default": 2, "max": 16},
            "memory": {"default": "8G", "max": "128G"},
            "gpu_classes": ["small", "medium", "whole"],
            "gpus": {"default": 1, "max": 4},
        },
        "writing": {"image": "scipy"},
    },
    "workspaces": {"everyone": {"members": "*"}},
}


def settings_with(**changes: Any) -> Settings:
    """The section with some entries replaced: ``small={"autoscaled": True}``, ``pytorch={...}``, or whole keys."""
    section = {key: {name: dict(entry) for name, entry in entries.items()} for key, entries in SECTION.items()}
    for name, change in changes.items():
        for entries in section.values():
            if name in entries:
                entries[name] |= change
                break
        else:
            section[name] = change
    return load_settings(section)


def of(settings: Settings, known: Inventory, profile: str = "pytorch", gpu_class: str = "small") -> Availability:
    return Prospects(settings).of(known)["everyone", profile, gpu_class]


def test_free_says_how_many() -> None:
    answer = of(settings_with(), inventory([node("t", T4, 4), node("u", T4, 4)], [pod("1", "t", 3)]))
    assert answer == Availability(State.FREE, "5 of 8 free.")


@pytest.mark.parametrize(
    ("taken", "gpus", "why"),
    [
        ([4, 4], 1, "All 8 are taken."),
        ([3, 3], 2, "2 of 8 are free, but no node has 2 of them together."),
    ],
)
def test_busy_says_whether_all_are_taken_or_scattered(taken: list[int], gpus: int, why: str) -> None:
    settings = settings_with(pytorch={"gpus": {"default": gpus, "max": 4}})
    known = inventory([node("t", T4, 4), node("u", T4, 4)], [pod("1", "t", taken[0]), pod("2", "u", taken[1])])
    assert of(settings, known) == Availability(State.BUSY, why)


def test_free_gpus_on_nodes_without_memory_are_busy() -> None:
    full = pod("1", "t", requests={"memory": 30 * 2**30})
    answer = of(settings_with(), inventory([node("t", T4, 4)], [full]))
    assert answer == Availability(State.BUSY, "4 of 4 are free, on nodes whose CPU or memory is taken.")


@pytest.mark.parametrize(
    "closed",
    [
        {"unschedulable": True},
        {"ready": False},
        {"taints": (Taint("node.kubernetes.io/not-ready", "", "NoExecute"),)},
        {"taints": (Taint("karpenter.sh/disrupted", "", "NoSchedule"),)},
    ],
)
def test_nodes_closed_for_now_are_busy_and_not_misconfigured(closed: dict[str, Any]) -> None:
    answer = of(settings_with(), inventory([node("t", T4, 4, **closed)], []))
    assert answer == Availability(State.BUSY, "The 1 node that could hold it is closed for maintenance or not ready.")


def test_the_estimate_of_the_wait_is_asked_for_what_is_busy() -> None:
    known = inventory([node("t", T4, 1), node("a", A100, 1)], [pod("1", "t", 1)])
    asked: list[tuple[str, int]] = []

    def estimate(gpu_class: Any, gpus: int) -> Outlook | None:
        asked.append((gpu_class.name, gpus))
        return Outlook(ahead=2, seconds=720.0)

    answers = Prospects(settings_with()).of(known, estimate)
    taken = Availability(State.BUSY, "The only one is taken.", wait=720.0, ahead=2)
    assert answers["everyone", "pytorch", "small"] == taken
    assert answers["everyone", "pytorch", "medium"].wait is None
    assert asked == [("small", 1)]


def test_a_full_class_that_grows_needs_a_node() -> None:
    settings = settings_with(small={"autoscaled": True})
    answer = of(settings, inventory([node("t", T4, 1)], [pod("1", "t", 1)]))
    assert answer == Availability(
        State.NEEDS_NODE, "The only one is taken. The cluster can add a node, which takes minutes."
    )


def test_a_class_that_grows_from_nothing_needs_a_node() -> None:
    settings = settings_with(small={"autoscaled": True})
    assert of(settings, inventory([node("c", "", 0)], [])).state is State.NEEDS_NODE


@pytest.mark.parametrize(
    ("nodes", "changes", "part", "words"),
    [
        (
            [node("t", T4, 0, allocatable={"cpu": 8000, "nvidia.com/gpu.shared": 4})],
            {},
            Part.RESOURCE,
            "No node has the resource nvidia.com/gpu; did you mean nvidia.com/gpu.shared?",
        ),
        ([node("c", "", 0, allocatable={"cpu": 8000})], {}, Part.RESOURCE, "they have no GPU"),
        ([node("t", T4, 0)], {}, Part.RESOURCE, "the device plugin reports no healthy GPU"),
        ([], {}, Part.RESOURCE, "The cluster has no nodes"),
        (
            [node("l", "NVIDIA-L4", 4)],
            {},
            Part.LABEL,
            "is labelled nvidia.com/gpu.product=Tesla-T4; there is nvidia.com/gpu.product=NVIDIA-L4.",
        ),
        (
            [node("t", T4, 4)],
            {"pytorch": {"pod": {"spec": {"nodeSelector": {"pool": "teaching"}}}}},
            Part.LABEL,
            "No node with nvidia.com/gpu is labelled pool=teaching (nodeSelector).",
        ),
        (
            [node("t", T4, 4, taints=(Taint("team", "physics", "NoSchedule"),))],
            {},
            Part.TAINT,
            "The 1 node that could hold it has a taint that the pod does not tolerate: team=physics:NoSchedule.",
        ),
        (
            [node("t", T4, 2)],
            {"pytorch": {"gpus": {"default": 4, "min": 4, "max": 4}}},
            Part.SIZE,
            "It asks for 4 of nvidia.com/gpu; no node with nvidia.com/gpu that it may use has more than 2",
        ),
        (
            [node("t", T4, 2)],
            {"pytorch": {"memory": {"default": "64G", "min": "64G", "max": "64G"}}},
            Part.SIZE,
            "It asks for 64 GB of memory; no node with nvidia.com/gpu that it may use has more than 32 GiB of memory.",
        ),
        (
            [node("t", T4, 2), node("u", T4, 1, allocatable={"cpu": 64000, "memory": 2**40, GPU: 1})],
            {
                "pytorch": {
                    "cpu": {"default": 16, "min": 16, "max": 16},
                    "gpus": {"default": 2, "min": 2, "max": 2},
                }
            },
            Part.SIZE,
            "has all of that together",
        ),
    ],
)
def test_what_no_node_can_satisfy_is_misconfigured_and_the_part_is_named(
    nodes: list[NodeRecord], changes: dict[str, Any], part: Part, words: str
) -> None:
    answer = of(settings_with(**changes), inventory(nodes, []))
    assert (answer.state, answer.part) == (State.MISCONFIGURED, part)
    assert words in answer.reason


def test_an_autoscaler_adds_nodes_with_the_same_taint() -> None:
    settings = settings_with(small={"autoscaled": True})
    answer = of(settings, inventory([node("t", T4, 4, taints=(Taint("team", "x", "NoSchedule"),))], []))
    assert (answer.state, answer.part) == (State.MISCONFIGURED, Part.TAINT)


def test_a_toleration_of_the_pod_template_counts() -> None:
    known = inventory([node("t", T4, 4, taints=(Taint("team", "x", "NoSchedule"),))], [])
    tolerant = {"spec": {"tolerations": [{"key": "team", "operator": "Exists"}]}}
    assert of(settings_with(pod_template=tolerant), known).state is State.FREE


def test_a_patch_of_one_workspace_changes_its_own_answer_only() -> None:
    settings = settings_with(
        workspaces={"everyone": {"members": "*"}, "lab": {"pod": {"spec": {"nodeSelector": {"pool": "lab"}}}}}
    )
    answers = Prospects(settings).of(inventory([node("t", T4, 4)], []))
    assert answers["everyone", "pytorch", "small"].state is State.FREE
    assert answers["lab", "pytorch", "small"].part is Part.LABEL


def test_the_best_offer_of_a_class_counts_and_a_dead_one_is_known() -> None:
    prospects, known = Prospects(settings_with()), inventory([node("a", A100, 4)], [])
    assert prospects.of(known)["everyone", "pytorch", "medium"].state is State.FREE
    dead = prospects.dead_offers(known)
    assert list(dead) == [("medium", "nvidia.com/mig-3g.40gb")]
    assert "nvidia.com/mig-3g.40gb" in dead["medium", "nvidia.com/mig-3g.40gb"]


def test_where_the_default_fits_nowhere_the_smallest_launch_counts() -> None:
    prospects = Prospects(settings_with(pytorch={"memory": {"default": "64G", "max": "128G"}}))
    known = inventory([node("t", T4, 4)], [])
    assert prospects.of(known)["everyone", "pytorch", "small"].state is State.FREE
    assert "64 GB" in prospects.too_large(known)["everyone", "pytorch", "small"]


def test_a_profile_without_a_gpu_stays_off_gpu_nodes_and_says_so() -> None:
    settings = settings_with()
    assert (
        of(
            settings, inventory([node("c", allocatable={"cpu": 8000, "memory": 2**34}, labels={})], []), "writing", ""
        ).state
        is State.FREE
    )
    only_gpus = of(settings, inventory([node("t", T4, 4)], []), "writing", "")
    assert only_gpus.part is Part.LABEL
    assert "keep servers of this profile off it" in only_gpus.reason


def test_answers_follow_the_cluster() -> None:
    prospects, known = Prospects(settings_with()), inventory([node("t", T4, 1)], [])
    states = [prospects.of(known)["everyone", "pytorch", "small"].state]
    known.pod_changed(None, pod("1", "t", 1))
    states.append(prospects.of(known)["everyone", "pytorch", "small"].state)
    known.node_changed("t", None)
    states.append(prospects.of(known)["everyone", "pytorch", "small"].state)
    assert states == [State.FREE, State.BUSY, State.MISCONFIGURED]


def test_gpus_behind_a_taint_that_no_launch_tolerates_are_not_called_free() -> None:
    taints = (Taint("team", "physics", "NoSchedule"), Taint(GPU, "present", "NoSchedule"))
    known = inventory([node("t", T4, 4, taints=taints), node("u", T4, 2)], [])
    tolerant = {"spec": {"tolerations": [{"key": "team", "operator": "Exists", "effect": "NoSchedule"}]}}
    for changes, nodes, free in (
        ({}, ["u"], 2),
        ({"pod_template": tolerant}, ["t", "u"], 6),
        ({"small": {"pod": tolerant}}, ["t", "u"], 6),
        ({"pytorch": {"pod": tolerant}}, ["t", "u"], 6),
        ({"workspaces": {"everyone": {"members": "*"}, "lab": {"pod": tolerant}}}, ["t", "u"], 6),
    ):
        settings = settings_with(**changes)
        known.tolerate(tolerations_of(settings))
        offer = settings.catalog.gpu_classes["small"].accepts[0]
        assert known.capacity([offer])[offer].free == free, changes
        assert [one.name for one in known.nodes_with(offer)] == nodes


PRODUCTS = [T4, A100, f"{T4}-SHARED", f"{A100}-MIG-3g.40gb"]
node_manifests = st.builds(
    lambda name, product, extra, gpus, slices, cpu, closed, taints: {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **extra, **product}},
        "spec": {"unschedulable": closed, "taints": [{"key": key, "effect": "NoSchedule"} for key in taints]},
        "status": {
            "allocatable": {"cpu": cpu, "memory": "32Gi", "pods": "110", GPU: gpus, "nvidia.com/mig-3g.40gb": slices},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    },
    name=st.sampled_from(["n1", "n2", "n3"]),
    product=st.sampled_from([{"nvidia.com/gpu.product": product} for product in PRODUCTS] + [{}]),
    extra=st.sampled_from([{}, {"pool": "gpu"}, {"nvidia.com/gpu.sharing-strategy": "mps"}, {"cpus": "8"}]),
    gpus=st.sampled_from(["0", "1", "4"]),
    slices=st.sampled_from(["0", "2"]),
    cpu=st.sampled_from(["1", "8"]),
    closed=st.booleans(),
    taints=st.lists(st.sampled_from([GPU, "team", "sku"]), max_size=1),
)
patches = st.sampled_from(
    [
        {},
        {"spec": {"nodeSelector": {"pool": "gpu"}}},
        {"spec": {"tolerations": [{"key": "team", "operator": "Exists"}]}},
        {"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "cpus", "operator": "Gt", "values": ["4"]}]},
                                  {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]
        }}}}},
    ]
)  # fmt: skip


@effort(max_examples=300, deadline=None)
@given(
    st.lists(node_manifests, max_size=3, unique_by=lambda n: n["metadata"]["name"]),
    patches,
    st.sampled_from(["small", "medium", "whole", ""]),
    st.sampled_from([1, 2]),
    st.sampled_from(["n1", "n2", ""]),
)
def test_it_is_free_exactly_where_the_scheduler_would_place_it(
    nodes: list[dict[str, Any]], patch: dict[str, Any], gpu_class: str, gpus: int, occupied: str
) -> None:
    settings = settings_with(pod_template=patch)
    offers = settings.catalog.gpu_classes[gpu_class].accepts if gpu_class else ()
    placements = tuple(Placement(gpu_class, offer) for offer in offers[:1])
    request = LaunchRequest(
        "ada", "", "everyone", "pytorch", (gpu_class,) if offers else (), gpus if offers else 0, 2, 10**9, 60, "i"
    )
    manifest = build_pod(Granted(request, placements), Server({}, None, []), settings)
    other = {
        "metadata": {"namespace": "hub", "name": "other", "uid": "other", "creationTimestamp": "2026-11-23T08:00:00Z"},
        "spec": {
            "nodeName": occupied,
            "containers": [{"name": "c", "resources": {"requests": {GPU: "1", "cpu": "7"}}}],
        },
        "status": {"phase": "Running"},
    }
    known = Inventory()
    for raw in nodes:
        known.node_changed(raw["metadata"]["name"], node_record(raw))
    if occupied:
        known.pod_changed(None, pod_record(other, own=False))
    answer = assess(Needs.of(manifest["spec"]), known, offers[0].resource if offers else "")

    metadata = {**manifest["metadata"], "namespace": "hub", "uid": "u", "creationTimestamp": "2026-11-23T09:00:00Z"}
    mine_to_be = {**manifest, "metadata": metadata, "status": {}}

    def placed(on: dict[str, Any], pods: list[dict[str, Any]]) -> bool:
        mine = [PodInfo.of(one) for one in pods if one["spec"]["nodeName"] == on["metadata"]["name"]]
        return filter_node(PodInfo.of(mine_to_be), NodeInfo.of(on, mine)) is None

    open_nodes = [{**one, "spec": {**one["spec"], "unschedulable": False}} for one in nodes]
    assert (answer.state is State.FREE) == any(placed(one, [other]) for one in nodes)
    assert (answer.state is State.MISCONFIGURED) == (not any(placed(one, []) for one in open_nodes))
    assert (answer.part is None) == (answer.state is not State.MISCONFIGURED)


SHARED = {"nvidia.com/gpu.product": f"{T4}-SHARED"}


@pytest.mark.parametrize(
    ("accepts", "labels", "words"),
    [
        ({"resource": GPU}, {"nvidia.com/gpu.product": f"{T4}-SHARED"}, "a share of a card"),
        ({"resource": GPU}, {"nvidia.com/gpu.product": f"{A100}-MIG-3g.40gb"}, "a MIG slice"),
        ({"resource": GPU}, {"nvidia.com/gpu.product": T4, "nvidia.com/gpu.replicas": "4"}, "a share of a card"),
        (
            {"resource": GPU, "product": "nvidia-tesla-t4", "product_label": "cloud.google.com/gke-accelerator"},
            {
                "cloud.google.com/gke-accelerator": "nvidia-tesla-t4",
                "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing",
            },
            "a share of a card (time-sharing)",
        ),
        (
            {"resource": GPU, "product": "nvidia-a100-80gb", "product_label": "cloud.google.com/gke-accelerator"},
            {
                "cloud.google.com/gke-accelerator": "nvidia-a100-80gb",
                "cloud.google.com/gke-gpu-partition-size": "1g.10gb",
            },
            "a MIG slice",
        ),
    ],
)
def test_a_class_that_takes_parts_of_cards_by_accident_is_warned_of(
    accepts: dict[str, Any], labels: dict[str, str], words: str
) -> None:
    settings = settings_with(small={"accepts": [accepts]})
    (warning,) = partial_cards([settings.catalog.gpu_classes["small"]], inventory([node("t", labels=labels)], []))
    assert warning.startswith(f"GPU class small accepts nvidia.com/gpu on node t, where that is {words}")


@pytest.mark.parametrize(
    ("accepts", "labels"),
    [
        ({"resource": GPU}, {"nvidia.com/gpu.product": T4, "nvidia.com/gpu.replicas": "1"}),
        ({"resource": GPU}, {"nvidia.com/gpu.product": T4, "nvidia.com/gpu.sharing-strategy": "none"}),
        ({"resource": GPU}, {**SHARED, "nvidia.com/gpu.sharing-strategy": "time-slicing"}),  # never placed there
        ({"resource": GPU, "product": f"{T4}-SHARED"}, SHARED),  # meant
        ({"resource": GPU, "product": T4}, SHARED),  # never placed there
        ({"resource": "nvidia.com/gpu.shared"}, SHARED),
    ],
)
def test_a_class_that_means_parts_or_never_gets_them_is_not(accepts: dict[str, Any], labels: dict[str, str]) -> None:
    offer = Offer(**accepts)
    settings = settings_with(small={"accepts": [accepts]})
    there = node("t", labels=labels, allocatable={"cpu": 8000, offer.resource: 4})
    assert partial_cards([settings.catalog.gpu_classes["small"]], inventory([there], [])) == []
