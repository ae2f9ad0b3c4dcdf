"""What would start instead: every remedy is a launch that the hub admits as things stand, and no other is offered."""

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hub import MONDAY, SECTION

from gpuspawner.admission import Capacity, Held, OfferCapacity, admit
from gpuspawner.budgets.accounts import Accounts
from gpuspawner.catalog import Offer
from gpuspawner.cluster.deadlines import Stage, TooSlowError
from gpuspawner.cluster.failures import ImageMissingError, NoSuchGPUError, OOMKilledError, TooManyGPUsError
from gpuspawner.cluster.inventory import Stock
from gpuspawner.config import load_settings
from gpuspawner.ending import Ending
from gpuspawner.errors import LaunchError, Remedy, Way
from gpuspawner.remedies import Situation, remedies_of

T4 = Offer(resource="nvidia.com/gpu", product=("Tesla-T4",))
A100 = Offer(resource="nvidia.com/gpu", product=("NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB"))
COURSE = {"workspace": "cse151a"}
PAID = deepcopy(SECTION)
PAID["workspaces"]["cse151a"]["budget"] = {"per_member": 3}
PAID["workspaces"]["cse151a"]["images"] = ["quay.io/lab/*"]


def capacity(t4: int, a100: int) -> Capacity:
    """So many GPUs free on one node of eight, behind T4 and A100."""
    return Capacity({T4: OfferCapacity(t4, 8, t4, 8), A100: OfferCapacity(a100, 8, a100, 8)}, True, True)


def held(gpus: int, gpu_class: str, user: str = "grace", **more: Any) -> Held:
    return Held(user, more.get("server", ""), "cse151a", (gpu_class,), gpus, 1, 10**9)


def situation(usage: Sequence[Held] = (), free: Capacity | None = None, hub: dict[str, Any] = SECTION) -> Situation:
    settings = load_settings(hub)
    accounts = Accounts(settings.workspaces, settings.timezone)
    free = capacity(8, 8) if free is None else free
    return Situation("ada", "", tuple(settings.workspaces), settings, MONDAY, usage, free, accounts)


def refused(options: dict[str, Any], where: Situation) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        where.admitted(options)
    return caught.value


def said(remedies: Sequence[Remedy]) -> list[str]:
    return [f"{one.label} ({one.note})" if one.note else one.label for one in remedies]


FULL = [held(2, "small")]
REFUSED: list[tuple[str, dict[str, Any], Situation, list[str]]] = [
    (
        "a class whose quota is used up",
        COURSE,
        situation(FULL),
        ["Start on a Medium GPU (free now)", "Start without a GPU"],
    ),
    (
        "a class whose quota is used up while the other is taken",
        COURSE,
        situation(FULL, capacity(8, 0)),
        ["Start on a Medium GPU (waits until one is free)", "Start without a GPU"],
    ),
    (
        "a class of which there is nothing in the cluster",
        {**COURSE, "gpu_class": "medium", "gpus": 2},
        situation([held(12, "medium")], Capacity({T4: OfferCapacity(8, 8, 8, 8)}, True, True)),
        ["Start on 2 “Small, 16 GB” GPUs (free now)", "Start without a GPU"],
    ),
    (
        "more GPUs than a member may hold",
        {**COURSE, "gpus": 4, "gpu_class": "medium"},
        situation(),
        ["Start on 2 Medium GPUs (free now)", "Start on 2 “Small, 16 GB” GPUs (free now)", "Start without a GPU"],
    ),
    (
        "more of several amounts than a member may hold",
        {**COURSE, "gpus": 0, "cpu": 16, "memory": "100G"},
        situation(),
        ["Start with 8 CPU cores and 64 GB of memory"],
    ),
    ("more than the profile allows", {**COURSE, "gpus": 0, "runtime": "20h"}, situation(), ["Start for 12 h"]),
    (
        "more than the budget pays for",
        {**COURSE, "gpu_class": "medium", "gpus": 2},
        situation(hub=PAID),
        [
            "Start for 1 h 30 min (free now, at most 3 SU)",
            "Start without a GPU",
        ],
    ),
    (
        "what no limit would allow",
        {**COURSE, "gpus": 0},
        situation([held(0, "small", "ada", server="two"), held(0, "small", "ada", server="three")]),
        [],
    ),
    ("an option that there is not", {**COURSE, "gpu": 4}, situation(), []),
    ("a workspace of others", {"workspace": "secret"}, situation(), []),
    ("nonsense", {**COURSE, "cpu": {"a": []}, "gpus": "many"}, situation(), []),
]


@pytest.mark.parametrize(("options", "where", "labels"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_a_refused_launch_offers_what_would_start(options: dict[str, Any], where: Situation, labels: list[str]) -> None:
    assert said(remedies_of(refused(options, where), options, where)) == labels


OWN_IMAGE = {**COURSE, "image": "quay.io/lab/mine:1", "gpus": 0}
STOCK = Stock("Medium", gpus=4, most_on_a_node=2)
SMALL = {"workspace": "everyone", "gpus": 2}
FAILED: list[tuple[str, LaunchError, dict[str, Any], Situation, list[str]]] = [
    (
        "it waited in vain",
        TooSlowError(Stage.PLACE, 1800),
        {**COURSE, "gpu_class": "medium", "gpus": 2},
        situation(free=capacity(2, 1)),
        [
            "Wait up to 2 h for 2 Medium GPUs (waits until one is free)",
            "Start on 2 “Small, 16 GB” GPUs (free now)",
            "Start on a Medium GPU (free now)",
            "Start without a GPU",
        ],
    ),
    (
        "it waited in vain and all is taken",
        TooSlowError(Stage.PLACE, 1800),
        {"workspace": "everyone"},
        situation(free=capacity(0, 0)),
        [
            "Wait up to 2 h for a “Small, 16 GB” GPU (waits until one is free)",
            "Start without a GPU",
        ],
    ),
    ("the image came too slowly", TooSlowError(Stage.IMAGE, 1800), COURSE, situation(), ["Start again (free now)"]),
    (
        "its image does not exist",
        ImageMissingError("x"),
        OWN_IMAGE,
        situation(hub=PAID),
        ["Start with the image of PyTorch"],
    ),
    ("the profile's image does not exist", ImageMissingError("x"), COURSE, situation(), []),
    (
        "no node has so many GPUs",
        TooManyGPUsError(STOCK),
        {"workspace": "lab", "gpu_class": "medium", "gpus": 4},
        situation(),
        ["Start on 2 Medium GPUs (free now)", "Start on 4 “Small, 16 GB” GPUs (free now)"],
    ),
    ("no node has such a GPU", NoSuchGPUError("Small"), SMALL, situation(), ["Start without a GPU"]),
    (
        "memory ran out",
        OOMKilledError(8),
        {**COURSE, "gpus": 0},
        situation(),
        ["Start with 16 GB of memory", "Start again"],
    ),
    (
        "memory ran out at the limit",
        OOMKilledError(8),
        {**COURSE, "memory": "64G"},
        situation(),
        ["Start again (free now)"],
    ),
]


@pytest.mark.parametrize(
    ("error", "options", "where", "labels"), [one[1:] for one in FAILED], ids=[one[0] for one in FAILED]
)
def test_a_failed_launch_offers_what_may_fare_better(
    error: LaunchError, options: dict[str, Any], where: Situation, labels: list[str]
) -> None:
    assert said(remedies_of(error, options, where)) == labels
    kept = Ending.from_state(Ending.of(error, MONDAY, ran=False, options=options).state())
    assert kept is not None
    if error.status == kept.error.status:
        assert said(remedies_of(kept.error, options, where)) == labels


def test_an_ending_of_an_earlier_version_offers_nothing() -> None:
    old = {"ended": {"at": MONDAY.isoformat(), "ran": True, "code": "x", "reason": "Over.", "remedy": "", "detail": ""}}
    kept = Ending.from_state(old)
    assert kept is not None
    assert remedies_of(kept.error, kept.options, situation()) == ()


@settings(max_examples=60, deadline=None)
@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            "workspace": st.sampled_from(["everyone", "cse151a", "lab"]),
            "profile": st.sampled_from(["pytorch", "minimal", "training"]),
            "gpu_class": st.sampled_from(["small", "medium", "any", ["medium", "small"], "whole"]),
            "gpus": st.integers(0, 9),
            "cpu": st.sampled_from([0.5, 2, 8, 64]),
            "memory": st.sampled_from(["1G", "64G", "128G", "1T"]),
            "runtime": st.sampled_from(["1m", "6h", "20h"]),
            "wait": st.sampled_from(["1m", "20h"]),
            "image": st.sampled_from(["quay.io/lab/x", "other"]),
        },
    ),
    usage=st.lists(
        st.builds(held, st.integers(1, 12), st.sampled_from(["small", "medium"]), st.sampled_from(["ada", "bob"]),
                  server=st.sampled_from(["one", "two"])),
        max_size=4,
    ),
    free=st.builds(capacity, st.integers(0, 4), st.integers(0, 4)),
    ways=st.lists(st.sampled_from(Way), unique=True),
)  # fmt: skip
def test_every_remedy_is_admitted_as_it_is_posted(
    options: dict[str, Any], usage: list[Held], free: Capacity, ways: list[Way]
) -> None:
    where = situation(usage, free, PAID)
    error = LaunchError("It failed.")
    try:
        where.admitted(options)
        error.ways = tuple(ways)
    except LaunchError as refusal:
        error = refusal
    remedies = remedies_of(error, options, where)
    assert len(remedies) <= 4
    requests = [where.parse(json.loads(json.dumps(dict(remedy.options)))) for remedy in remedies]
    for request in requests:
        admit(request, where.settings, usage, free, MONDAY, where.accounts)
    assert len(set(requests)) == len(requests)
