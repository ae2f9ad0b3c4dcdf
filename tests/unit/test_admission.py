"""May it start? Each limit, its remedy, and that no order of launches ever exceeds one."""

from dataclasses import replace
from typing import Any

import pytest
from small_hub import MONDAY, ask, changed, small_hub

from gpuspawner.admission import Capacity, Granted, Held, OfferCapacity, admit
from gpuspawner.catalog import Offer
from gpuspawner.config import Settings, load_settings
from gpuspawner.errors import DeniedError

HUB = small_hub()
T4 = Offer(resource="nvidia.com/gpu", product=("Tesla-T4",))
A100 = Offer(resource="nvidia.com/gpu", product=("NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB"))
MIG = Offer(resource="nvidia.com/mig-3g.40gb")
COURSE = {"workspace": "cse151a"}
NOTHING = Capacity()


def capacity(**free: int) -> Capacity:
    """So many GPUs free on one node behind T4, A100 and MIG."""
    offers = {"t4": T4, "a100": A100, "mig": MIG}
    return Capacity({offers[name]: OfferCapacity(count, 8, count, 8) for name, count in free.items()}, True, True)


def held(
    gpus: int, *classes: str, user: str = "grace", server: str = "", workspace: str = "cse151a", cpu: float = 1
) -> Held:
    return Held(user, server, workspace, classes, gpus, cpu, 10**9)


def decide(
    options: dict[str, Any], usage: list[Held] | None = None, free: Capacity = NOTHING, hub: Settings = HUB, **who: Any
) -> Granted:
    now = who.get("now", MONDAY)
    return admit(ask(hub, options, **who), hub, usage or [], free, now)


def denial(options: dict[str, Any], usage: list[Held] | None = None, free: Capacity = NOTHING, **who: Any) -> str:
    with pytest.raises(DeniedError) as caught:
        decide(options, usage, free, **who)
    return caught.value.sentence.removeprefix("Not started: ")


def resources(granted: Granted) -> set[str]:
    return {placement.offer.resource for placement in granted.placements}


SMALL_TAKEN = [held(2, "small")]
DENIED: list[tuple[str, dict[str, Any], list[Held], Capacity, str]] = [
    (
        "the quota of the workspace",
        {**COURSE},
        SMALL_TAKEN,
        NOTHING,
        (
            "CSE 151A holds 2 of 2 “Small, 16 GB” GPUs; you asked for 1 more. Wait until a server of this "
            "workspace stops, or start without a GPU."
        ),
    ),
    (
        "the quota, while another class is free",
        {**COURSE},
        SMALL_TAKEN,
        capacity(a100=1),
        (
            "CSE 151A holds 2 of 2 “Small, 16 GB” GPUs; you asked for 1 more. 1 Medium GPU is free now: "
            "choose that, or wait until a server of this workspace stops."
        ),
    ),
    (
        "the quota, while too few of another class are free on one node",
        {**COURSE, "gpus": 2},
        SMALL_TAKEN,
        capacity(a100=1),
        (
            "CSE 151A holds 2 of 2 “Small, 16 GB” GPUs; you asked for 2 more. Wait until a server of this "
            "workspace stops, or start without a GPU."
        ),
    ),
    (
        "the quotas of all classes that were named",
        {**COURSE, "gpu_class": "any"},
        [*SMALL_TAKEN, held(12, "medium", user="hopper")],
        capacity(t4=8, a100=8),
        (
            "CSE 151A holds 2 of 2 “Small, 16 GB” GPUs and 12 of 12 Medium GPUs; you asked for 1 more. Wait "
            "until a server of this workspace stops, or start without a GPU. It is possible from 30 November on."
        ),
    ),
    (
        "a quota that can never be enough",
        {"gpus": 4, "workspace": "tiny"},
        [],
        NOTHING,
        "You asked for 4 GPUs; tiny may hold 1 “Small, 16 GB” GPU at once. Ask for at most 1.",
    ),
    (
        "GPUs of the member",
        {**COURSE, "gpus": 2},
        [held(1, "medium", user="ada", server="two")],
        NOTHING,
        (
            "You hold 1 GPU in CSE 151A (the server 'two'); 2 GPUs more would be over the 2 GPUs each member "
            "may hold. Stop one of them, or ask for less."
        ),
    ),
    (
        "GPUs of the member, by themselves",
        {**COURSE, "gpus": 3},
        [],
        NOTHING,
        "You asked for 3 GPUs; CSE 151A allows each member 2 GPUs. Ask for at most 2 GPUs.",
    ),
    (
        "CPU of the member",
        {**COURSE, "gpus": 0, "cpu": 4},
        [held(0, user="ada", server="two", cpu=4.5)],
        NOTHING,
        (
            "You hold 4.5 CPU cores in CSE 151A (the server 'two'); 4 CPU cores more would be over the 8 CPU "
            "cores each member may hold. Stop one of them, or ask for less."
        ),
    ),
    (
        "memory of the member",
        {**COURSE, "memory": "100G"},
        [],
        NOTHING,
        "You asked for 100 GB of memory; CSE 151A allows each member 64 GB of memory. Ask for at most 64 GB of memory.",
    ),
    (
        "servers of the member",
        {**COURSE, "gpus": 0},
        [held(0, user="ada", server="two"), held(0, user="ada", server="three")],
        NOTHING,
        (
            "You hold 2 servers in CSE 151A (the server 'two', the server 'three'); 1 server more would be "
            "over the 2 servers each member may hold. Stop one of them first."
        ),
    ),
]


@pytest.mark.parametrize(
    ("options", "usage", "free", "sentence"), [case[1:] for case in DENIED], ids=[c[0] for c in DENIED]
)
def test_a_denial_says_the_limit_what_is_used_of_it_and_what_next(
    options: dict[str, Any], usage: list[Held], free: Capacity, sentence: str
) -> None:
    hub = load_settings(changed("workspaces/tiny", {"members": "*", "quota": {"small": 1}}))
    with pytest.raises(DeniedError) as caught:
        decide(options, usage, free, hub)
    assert caught.value.sentence == f"Not started: {sentence}"


@pytest.mark.parametrize(
    ("limit", "options", "sentence"),
    [
        ({"gpus": 0}, {}, "You asked for 1 GPU; lab allows each member 0 GPUs. Choose another workspace."),
        (
            {"servers": 0},
            {"gpus": 0},
            "You asked for 1 server; lab allows each member 0 servers. Choose another workspace.",
        ),
    ],
)
def test_where_a_member_may_hold_nothing_another_workspace_is_the_remedy(
    limit: dict[str, int], options: dict[str, Any], sentence: str
) -> None:
    hub = load_settings(changed("workspaces/lab", {"members": "ada", "per_member": limit}))
    assert denial({"workspace": "lab", **options}, hub=hub) == sentence


def test_a_closed_workspace_says_when_it_opens_or_ended() -> None:
    request = ask(HUB, {**COURSE})
    for now, sentence in (
        (MONDAY.replace(month=9, day=20), "CSE 151A opens on 21 September 2026."),
        (MONDAY.replace(month=12, day=19), "CSE 151A ended on 18 December 2026."),
    ):
        with pytest.raises(DeniedError) as caught:
            admit(request, HUB, [], NOTHING, now)
        assert caught.value.reason == sentence


def test_what_is_held_counts_only_in_its_own_workspace_and_class() -> None:
    others = [held(4, "small", workspace="everyone"), held(12, "medium"), held(1, "small")]
    assert decide({**COURSE}, others).gpu_classes == ("small",)
    assert decide({**COURSE}, [held(9, workspace="everyone", user="ada", server="two", cpu=99)])


def test_a_server_does_not_count_against_itself() -> None:
    mine = held(2, "small", user="ada")
    assert decide({**COURSE, "gpus": 2}, [mine])
    assert "holds 2 of 2" in denial({**COURSE}, [replace(mine, user="grace")])


def test_limits_that_are_just_met_are_met() -> None:
    usage = [held(1, "small"), held(1, "small", user="ada", server="two", cpu=0.1)]
    hub = load_settings(changed("workspaces/cse151a/per_member", {"cpu": 1.1, "gpus": 2, "servers": 2}))
    assert decide({**COURSE, "gpu_class": "medium", "cpu": 1}, usage, hub=hub)
    hub = load_settings(changed("workspaces/cse151a/per_member", {"cpu": 1.3}))
    usage = [held(0, user="ada", server=name, cpu=0.1) for name in ("a", "b", "c")]
    assert decide({**COURSE, "gpus": 0, "cpu": 1}, usage, hub=hub), "0.1 + 0.1 + 0.1 + 1 is 1.3"


def test_a_server_that_may_land_on_several_classes_counts_in_each() -> None:
    undecided = [held(2, "small", "medium")]
    assert "2 of 2" in denial({**COURSE}, undecided)
    assert decide({**COURSE}, [held(2, "medium")])


def test_an_exception_raises_the_quota_on_its_days_only() -> None:
    usage = [held(12, "medium")]
    options = {**COURSE, "gpu_class": "medium"}
    assert "12 of 12 Medium GPUs" in denial(options, usage)
    assert decide(options, usage, now=MONDAY.replace(day=30))


def test_of_several_classes_those_without_room_are_left_out() -> None:
    granted = decide({**COURSE, "gpu_class": ["small", "medium"]}, SMALL_TAKEN)
    assert granted.gpu_classes == ("medium",)
    assert granted.held.gpu_classes == ("medium",)


def test_an_unlimited_workspace_admits_whatever_is_held() -> None:
    usage = [held(1000, "small", workspace="lab")]
    assert decide({"workspace": "lab"}, usage).gpu_classes == ("small",)


def test_a_launch_without_gpu_is_placed_anywhere_and_needs_no_quota() -> None:
    granted = decide({**COURSE, "gpus": 0}, SMALL_TAKEN)
    assert (granted.placements, granted.gpu_classes) == ((), ())


@pytest.mark.parametrize(
    ("free", "resource"),
    [
        (capacity(a100=1, mig=0), "nvidia.com/gpu"),
        (capacity(a100=0, mig=1), "nvidia.com/mig-3g.40gb"),
        (capacity(a100=2, mig=5), "nvidia.com/mig-3g.40gb"),
        (capacity(a100=5, mig=2), "nvidia.com/gpu"),
        (NOTHING, "nvidia.com/gpu"),
    ],
)
def test_of_offers_with_different_resources_the_one_with_most_free_gpus_is_taken(free: Capacity, resource: str) -> None:
    granted = decide({**COURSE, "gpu_class": "medium"}, free=free)
    assert resources(granted) == {resource}


def test_with_none_free_the_offer_with_most_gpus_in_all_is_taken() -> None:
    full = Capacity({A100: OfferCapacity(0, 4, 0, 4), MIG: OfferCapacity(0, 16, 0, 8)}, True, True)
    assert resources(decide({**COURSE, "gpu_class": "medium"}, free=full)) == {"nvidia.com/mig-3g.40gb"}


def test_free_gpus_that_are_not_on_one_node_do_not_fit() -> None:
    scattered = Capacity({A100: OfferCapacity(4, 8, 1, 4), MIG: OfferCapacity(2, 2, 2, 2)}, True, True)
    granted = decide({**COURSE, "gpu_class": "medium", "gpus": 2}, free=scattered)
    assert resources(granted) == {"nvidia.com/mig-3g.40gb"}


def test_the_order_of_preference_decides_where_both_fit_and_the_free_class_where_one_does() -> None:
    wish = {"workspace": "lab", "gpu_class": ["medium", "small"]}
    both = decide(wish, free=capacity(t4=8, a100=1))
    assert [placement.gpu_class for placement in both.placements] == ["medium", "small"]
    assert both.placements[0].offer == A100
    only_small = decide(wish, free=capacity(t4=1, a100=0, mig=0))
    assert resources(only_small) == {"nvidia.com/gpu"}
    assert decide({**wish, "gpu_class": ["instinct", "small"]}, free=capacity(t4=1)).gpu_classes == ("small",)


def test_classes_whose_pods_differ_are_not_mixed() -> None:
    hub = load_settings(changed("gpu_classes/small/pod", {"spec": {"runtimeClassName": "nvidia"}}))
    granted = decide({"workspace": "lab", "gpu_class": ["medium", "small"]}, hub=hub)
    assert granted.gpu_classes == ("medium",)


def test_capacity_sums_the_offers_of_a_class_and_fits_on_one_node_only() -> None:
    medium = HUB.catalog.gpu_classes["medium"]
    now = capacity(a100=2, mig=3)
    assert (now.free(medium), now.total(medium)) == (5, 16)
    assert now.fits(medium, 3)
    assert not now.fits(medium, 4)
    assert NOTHING.free(medium) == NOTHING.total(medium) == 0
