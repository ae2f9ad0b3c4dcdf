"""What a login could start now on a GPU class is told in a sentence, the best of all its workspaces."""

from collections.abc import Mapping
from typing import Any

import pytest
from small_hub import MONDAY, section

from gpuspawner.admission import Availability, Capacity, Held, OfferCapacity, State
from gpuspawner.config import load_settings
from gpuspawner.entitlement import entitlements
from gpuspawner.reports.standing import Can, Standing, standing_of

SETTINGS = load_settings(section())


def standing(
    gpu_class: str = "small",
    workspaces: tuple[str, ...] = ("everyone", "cse151a"),
    usage: tuple[Held, ...] = (),
    free: int = 8,
    together: int = 4,
    state: State | None = None,
    **how: Any,
) -> Standing:
    offers = SETTINGS.catalog.offers()
    capacity = Capacity({offer: OfferCapacity(free, 8, together, 4) for offer in offers}, live=True, cluster_wide=True)
    known: Mapping[tuple[str, str, str], Availability] = {}
    if state is not None:
        names = SETTINGS.catalog.gpu_classes
        known = {
            (space, profile, name): Availability(state, "")
            for space in SETTINGS.workspaces
            for profile in SETTINGS.catalog.profiles
            for name in names
        }
    found = entitlements("ada", workspaces, SETTINGS, usage, capacity, MONDAY, availability=known, **how)
    return standing_of(gpu_class, found)


def held(workspace: str, gpus: int, user: str = "eve", gpu_class: str = "small") -> Held:
    return Held(user, "", workspace, (gpu_class,), gpus, 1, 10**9)


def test_the_workspace_that_allows_most_is_named() -> None:
    assert standing() == Standing(Can.NOW, "You can start on up to 4 GPUs now in Everyone.", 4, "everyone", "pytorch")


def test_what_another_workspace_has_left_counts_where_the_first_is_full() -> None:
    found = standing(usage=(held("everyone", 4),))
    assert (found.can, found.workspace, found.gpus) == (Can.NOW, "cse151a", 2)


def test_a_launch_is_no_larger_than_what_one_node_has_free() -> None:
    found = standing(free=2, together=1, state=State.FREE)
    assert found.sentence == (
        "You can start on 1 GPU now in Everyone. You may have 4 GPUs, but no node has more than 1 free."
    )


@pytest.mark.parametrize(
    ("state", "can"), [(State.BUSY, Can.WAIT), (State.NEEDS_NODE, Can.NODE), (State.MISCONFIGURED, Can.IMPOSSIBLE)]
)
def test_hardware_that_is_not_free_is_told_apart_from_limits(state: State, can: Can) -> None:
    assert standing(free=0, together=0, state=state).can is can


def test_a_quota_that_is_used_up_is_the_reason_although_gpus_are_free() -> None:
    found = standing(usage=(held("everyone", 4), held("cse151a", 2)))
    assert found.can is Can.REFUSED
    assert found.sentence == "Everyone holds 4 of its 4 GPUs of this class."


def test_a_class_that_no_workspace_offers_says_so() -> None:
    assert standing("medium", ("everyone",)) == Standing(Can.NOT_OFFERED, "Your workspace does not offer this class.")
    assert standing("instinct").sentence == "None of your workspaces offers this class."
    assert standing("small", ()).can is Can.NOT_OFFERED
