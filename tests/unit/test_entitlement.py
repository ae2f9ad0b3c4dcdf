"""What one login may choose, and that admission agrees with every bit of it."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuspawner.admission import Capacity, Held, OfferCapacity, admit
from gpuspawner.config import Settings, load_settings
from gpuspawner.entitlement import ProfileOffer, WorkspaceOffer, entitlements
from gpuspawner.errors import BadRequestError, DeniedError, LaunchError
from gpuspawner.request import parse_request

NOW = datetime(2026, 11, 23, 10, tzinfo=ZoneInfo("America/Los_Angeles"))
SECTION: dict[str, Any] = {
    "gpu_classes": {
        "small": {
            "display_name": "Small, 16 GB",
            "memory": "16Gi",
            "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
        },
        "medium": {
            "accepts": [
                {"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-40GB"},
                {"resource": "nvidia.com/mig-3g.40gb"},
            ]
        },
    },
    "profiles": {
        "pytorch": {
            "display_name": "PyTorch",
            "image": "pytorch",
            "cpu": {"default": 2, "min": 1, "max": 16},
            "memory": {"default": "8G", "min": "1G", "max": "128G"},
            "gpu_classes": ["small", "medium"],
            "gpus": {"default": 1, "min": 0, "max": 4},
        },
        "writing": {"image": "scipy", "cpu": 1, "memory": "2G"},
    },
    "workspaces": {
        "everyone": {"members": "*", "quota": {"small": 4}},
        "cse151a": {
            "display_name": "CSE 151A",
            "ends": "2026-12-18",
            "quota": {"small": 2, "medium": 2},
            "per_member": {"gpus": 1, "cpu": 8, "memory": "64G", "servers": 2},
        },
    },
}
SETTINGS = load_settings(SECTION)


def offer(
    workspace: str = "cse151a", usage: list[Held] | None = None, capacity: Capacity | None = None, **more: Any
) -> WorkspaceOffer:
    (found,) = entitlements("ada", {workspace}, SETTINGS, usage or [], capacity or Capacity(), NOW, **more)
    return found


def profile(name: str, found: WorkspaceOffer) -> ProfileOffer:
    return next(one for one in found.profiles if one.name == name)


def held(user: str = "bob", server: str = "", **changes: Any) -> Held:
    amounts: dict[str, Any] = {
        "workspace": "cse151a",
        "gpu_classes": ("small",),
        "gpus": 1,
        "cpu": 2.0,
        "memory": 10**9,
    }
    return Held(user, server, **{**amounts, **changes})


def test_workspaces_come_in_the_order_of_the_configuration_and_one_is_the_default() -> None:
    found = entitlements("ada", {"cse151a", "everyone"}, SETTINGS, [], Capacity(), NOW)
    assert [(one.name, one.title, one.until, one.default) for one in found] == [
        ("everyone", "everyone", None, True),
        ("cse151a", "CSE 151A", date(2026, 12, 18), False),
    ]


def test_a_login_without_the_default_workspace_begins_with_its_first() -> None:
    assert offer("cse151a").default
    assert entitlements("ada", set(), SETTINGS, [], Capacity(), NOW) == ()


def test_a_range_ends_at_the_limit_of_the_member_and_says_so() -> None:
    pytorch = profile("pytorch", offer())
    assert (pytorch.cpu.min, pytorch.cpu.default, pytorch.cpu.max) == (1, 2, 8)
    assert pytorch.cpu.why == "Your limit in CSE 151A is 8 cores."
    assert (pytorch.memory.max, pytorch.memory.why) == (64 * 10**9, "Your limit in CSE 151A is 64 GB.")
    assert (pytorch.gpus.max, pytorch.gpus.why) == (1, "Your limit in CSE 151A is 1 GPU.")


def test_a_range_ends_where_the_profile_ends_if_nothing_else_limits_it() -> None:
    pytorch = profile("pytorch", offer("everyone"))
    assert (pytorch.cpu.max, pytorch.cpu.why) == (16, "PyTorch offers at most 16 cores.")
    assert (pytorch.runtime.max, pytorch.runtime.why) == (12 * 3600, "PyTorch runs for at most 12 h.")


def test_what_the_member_holds_elsewhere_in_the_workspace_is_taken_off() -> None:
    pytorch = profile("pytorch", offer(usage=[held("ada", "other", cpu=5.5, gpus=0, gpu_classes=())]))
    assert pytorch.cpu.max == 2.5
    assert pytorch.cpu.why == "You hold 5.5 of your 8 cores in CSE 151A."


def test_what_the_server_itself_holds_is_not_counted_against_it() -> None:
    mine = [held("ada", "lab", cpu=5)]
    assert profile("pytorch", offer(usage=mine, server="lab")).cpu.max == 8


def test_a_profile_that_needs_more_than_the_member_has_left_is_greyed_with_the_reason() -> None:
    writing = profile("writing", offer(usage=[held("ada", "other", cpu=7.5)]))
    assert writing.reason == "CPU: You hold 7.5 of your 8 cores in CSE 151A. writing needs 1 core."


def test_a_member_with_all_their_servers_is_told_to_stop_one() -> None:
    found = offer(usage=[held("ada", "one"), held("ada", "two")])
    assert found.reason == "You have 2 of your 2 servers in CSE 151A: stop one to start another."


def test_a_class_at_its_quota_is_greyed_with_the_reason() -> None:
    small, medium = profile("pytorch", offer(usage=[held("bob"), held("eve")])).gpu_classes
    assert (small.held, small.quota) == (2, 2)
    assert small.reason == "CSE 151A holds 2 of its 2 GPUs of this class."
    assert not medium.reason


def test_a_class_the_workspace_does_not_grant_is_greyed_not_hidden() -> None:
    medium = profile("pytorch", offer("everyone")).gpu_classes[1]
    assert medium.reason == "everyone grants none of these."


def test_a_member_with_all_their_gpus_may_still_start_without_one() -> None:
    pytorch = profile("pytorch", offer(usage=[held("ada", "other")]))
    assert {one.reason for one in pytorch.gpu_classes} == {"You hold 1 of your 1 GPU in CSE 151A."}
    assert (pytorch.gpus.max, pytorch.gpu_class, pytorch.reason) == (0, "", "")


def test_free_gpus_are_told_only_where_nodes_can_be_read() -> None:
    offers = list(SETTINGS.catalog.offers())
    live = Capacity(
        {
            offers[0]: OfferCapacity(free=0, total=8),
            offers[1]: OfferCapacity(free=2, total=4, most_free_on_a_node=1, most_on_a_node=2),
            offers[2]: OfferCapacity(free=1, total=2, most_free_on_a_node=1, most_on_a_node=2),
        },
        live=True,
        cluster_wide=True,
    )
    small, medium = profile("pytorch", offer(capacity=live)).gpu_classes
    assert (small.free, small.total, small.free_together, small.exact) == (0, 8, 0, True)
    assert (medium.free, medium.total, medium.free_together) == (3, 6, 1)
    assert profile("pytorch", offer()).gpu_classes[0].free is None


def test_the_form_begins_with_the_first_class_that_is_free() -> None:
    small = next(iter(SETTINGS.catalog.offers()))
    none_free = Capacity({small: OfferCapacity(total=8)}, live=True)
    one_free = Capacity({small: OfferCapacity(free=1, total=8, most_free_on_a_node=1)}, live=True)
    assert profile("pytorch", offer("everyone", capacity=one_free)).gpu_class == "small"
    assert profile("pytorch", offer("everyone", capacity=none_free)).gpu_class == "small"
    assert profile("pytorch", offer(capacity=none_free)).gpu_class == "small"


# Admission agrees, whatever the configuration and whoever holds what.

AMOUNTS = st.integers(0, 6)


@st.composite
def sections(draw: st.DrawFn) -> dict[str, Any]:
    def span(unit: float, least: int = 0) -> dict[str, float]:
        low, default, high = sorted(draw(st.tuples(*[st.integers(least, 6)] * 3)))
        return {"min": low * unit, "default": default * unit, "max": high * unit}

    def optional(values: st.SearchStrategy[Any]) -> Any:
        return draw(st.none() | values)

    gpus = {key: int(value) for key, value in span(1).items()}
    per_member = {
        "gpus": optional(AMOUNTS),
        "cpu": optional(st.floats(0, 8, allow_nan=False).map(lambda cores: round(cores, 4))),
        "memory": optional(AMOUNTS.map(lambda count: count * 10**9)),
        "servers": optional(st.integers(0, 3)),
    }
    return {
        "gpu_classes": {
            name: {"accepts": [{"resource": "nvidia.com/gpu", "product": name}]} for name in ("small", "medium")
        },
        "profiles": {
            "gpu": {
                "image": "i",
                "gpu_classes": ["small", "medium"],
                "gpus": gpus,
                "cpu": span(draw(st.sampled_from([1, 0.5, 0.1, 0.3334])), 1),
                "memory": {key: int(value) for key, value in span(10**9, 1).items()},
            },
            "cpu": {"image": "i", "cpu": span(1, 1), "memory": {k: int(v) for k, v in span(10**9, 1).items()}},
        },
        "workspaces": {
            "lab": {
                "quota": optional(st.dictionaries(st.sampled_from(["small", "medium"]), AMOUNTS)),
                "per_member": {key: value for key, value in per_member.items() if value is not None},
            }
        },
    }


USAGE = st.lists(
    st.builds(
        Held,
        user=st.sampled_from(["ada", "bob"]),
        server=st.sampled_from(["", "a", "b"]),
        workspace=st.sampled_from(["lab", "other"]),
        gpu_classes=st.sampled_from([("small",), ("medium",), ("small", "medium")]),
        gpus=st.integers(0, 3),
        cpu=st.sampled_from([0.0, 0.1, 0.2, 0.7, 1.0, 2.3334]),
        memory=st.integers(0, 3).map(lambda count: count * 10**9),
    ),
    max_size=4,
    unique_by=lambda one: one.key,
)


def launch(options: dict[str, Any], configured: Settings, usage: list[Held]) -> None:
    request = parse_request(
        {"workspace": "lab", **options}, user="ada", server="new", workspaces={"lab"}, settings=configured, now=NOW
    )
    admit(request, configured, usage, Capacity(), NOW)


def amounts(found: ProfileOffer) -> Iterator[dict[str, Any]]:
    """The corners of what is offered, and its default."""
    for pick in ("min", "default", "max"):
        chosen = {"profile": found.name}
        chosen |= {key: getattr(getattr(found, key), pick) for key in ("cpu", "memory", "runtime")}
        if found.gpus.min == 0:
            yield {**chosen, "gpus": 0}
        if found.gpus.max:
            yield {**chosen, "gpus": getattr(found.gpus, pick), "gpu_class": "any"}
        for one in found.gpu_classes:
            if not one.reason:
                yield {**chosen, "gpus": getattr(one.gpus, pick), "gpu_class": one.name}


@settings(max_examples=300)
@given(sections(), USAGE)
def test_whatever_is_offered_is_admitted(section: dict[str, Any], usage: list[Held]) -> None:
    configured = load_settings(section)
    (space,) = entitlements("ada", {"lab"}, configured, usage, Capacity(), NOW, server="new")
    for found in space.profiles if not space.reason else ():
        for options in amounts(found) if not found.reason else ():
            launch(options, configured, usage)


@settings(max_examples=300)
@given(sections(), USAGE)
def test_whatever_has_a_reason_is_refused(section: dict[str, Any], usage: list[Held]) -> None:
    configured = load_settings(section)
    (space,) = entitlements("ada", {"lab"}, configured, usage, Capacity(), NOW, server="new")
    for found in space.profiles:
        least = {"profile": found.name} | {key: getattr(found, key).min for key in ("cpu", "memory", "runtime")}
        if space.reason or found.reason:
            with pytest.raises(LaunchError):
                launch(
                    {**least, "gpus": found.gpus.min, "gpu_class": "any" if found.gpus.min else None}, configured, usage
                )
        for one in found.gpu_classes:
            if one.reason:
                with pytest.raises((DeniedError, BadRequestError)):
                    launch({**least, "gpus": one.gpus.min, "gpu_class": one.name}, configured, usage)


@settings(max_examples=300)
@given(sections(), USAGE)
def test_more_than_is_offered_is_refused(section: dict[str, Any], usage: list[Held]) -> None:
    configured = load_settings(section)
    (space,) = entitlements("ada", {"lab"}, configured, usage, Capacity(), NOW, server="new")
    for found in space.profiles:
        least = {"profile": found.name} | {key: getattr(found, key).min for key in ("cpu", "memory", "runtime")}
        least |= {"gpus": found.gpus.min}
        for more in (
            {"cpu": found.cpu.max + 0.002},
            {"memory": found.memory.max + 1},
            {"runtime": found.runtime.max + 1},
        ):
            with pytest.raises(LaunchError):
                launch({**least, **more}, configured, usage)
        for one in found.gpu_classes:
            with pytest.raises(LaunchError):
                launch({**least, "gpus": one.gpus.max + 1, "gpu_class": one.name}, configured, usage)
