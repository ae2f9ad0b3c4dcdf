"""Any traits of the page together, set for the hub or by a profile: the pods still agree."""

import asyncio
from copy import deepcopy
from typing import Any

import pytest
from from_kubespawner import Ours, Theirs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubespawner_page import FIELDS, ROWS, agree

from gpuspawner.migration.pods import OUR_CONTEXT, OUR_POD_CONTEXT, OUR_SPEC
from gpuspawner.migration.translation import translate

TRAITS = sorted(set(ROWS) & set(FIELDS))
# What another value of the same trait may be, for a profile that overrides the hub's.
OTHERS: dict[str, Any] = {
    "allow_privilege_escalation": False,
    "automount_service_account_token": False,
    "cmd": ["start.sh", "jupyterhub-singleuser"],
    "cpu_limit": 2,
    "environment": {"HOME_OF": None, "A": "a", "B": "$(A)/b"},
    "extra_containers": [],
    "extra_labels": {"team": None},
    "extra_resource_limits": {"nvidia.com/gpu": None},
    "image": "other:1",
    "init_containers": {"x": {"name": "other", "image": "other:2"}},
    "lifecycle_hooks": {"postStart": None},
    "mem_guarantee": None,
    "node_selector": {"pool": None},
    "privileged": False,
    "service_account": None,
    "supplemental_gids": [],
    "tolerations": [],
    "uid": 1000,
    "volume_mounts": [],
    "volumes": [],
}


PLAIN = {"profiles": {"default": {"image": "x"}}, "workspaces": {"everyone": {"members": "*"}}}


def test_what_the_translation_takes_for_granted_is_what_a_pod_of_ours_says() -> None:
    spec = Ours(PLAIN).pod["spec"]
    assert spec["securityContext"] == OUR_POD_CONTEXT
    assert spec["containers"][0]["securityContext"] == OUR_CONTEXT
    assert OUR_SPEC.items() <= spec.items()


@pytest.mark.parametrize("trait", ["fs_gid", "pod_security_context", "allow_privilege_escalation", "service_account"])
def test_a_profile_that_takes_back_what_the_hub_says_is_as_restricted_as_any(trait: str) -> None:
    traits = chosen([trait])
    traits["profile_list"] = [{"display_name": "other", "kubespawner_override": {trait: None}}]
    if trait == "allow_privilege_escalation":
        traits["profile_list"][0]["kubespawner_override"] = {trait: False}
    if trait == "pod_security_context":
        traits["profile_list"][0]["kubespawner_override"] = {trait: {"fsGroupChangePolicy": None}}
    spec = Ours(translate(traits).section).pod["spec"]
    assert spec["securityContext"] == OUR_POD_CONTEXT
    assert spec["containers"][0]["securityContext"] == OUR_CONTEXT
    assert OUR_SPEC.items() <= spec.items()


def chosen(names: list[str]) -> dict[str, Any]:
    return {name: deepcopy(value) for trait in names for name, value in ROWS[trait][0].items()}


async def both(traits: dict[str, Any], **options: str) -> tuple[Any, Any]:
    theirs = await Theirs(deepcopy(traits)).made(**options)
    return theirs.pod, Ours(translate(deepcopy(traits)).section, **options).pod


@given(st.lists(st.sampled_from(TRAITS), unique=True), st.lists(st.sampled_from(TRAITS), unique=True))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_traits_of_the_hub_and_of_a_profile_together_make_the_same_pod(hub: list[str], profile: list[str]) -> None:
    traits = chosen(hub)
    traits["profile_list"] = [
        {"display_name": "first"},
        {"display_name": "second", "kubespawner_override": chosen(profile)},
    ]
    for name in ("first", "second"):
        wanted, found = asyncio.run(both(traits, profile=name))
        for trait in dict.fromkeys(hub if name == "first" else [*hub, *profile]):
            agree(trait, wanted, found)


@pytest.mark.parametrize("trait", sorted(OTHERS))
def test_a_profile_takes_back_what_the_hub_says(trait: str) -> None:
    traits = chosen([trait])
    traits["profile_list"] = [{"display_name": "other", "kubespawner_override": {trait: OTHERS[trait]}}]
    wanted, found = asyncio.run(both(traits, profile="other"))
    agree(trait, wanted, found)
    assert found["spec"]["containers"][0]["image"] == wanted["spec"]["containers"][0]["image"]
