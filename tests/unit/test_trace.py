"""Every decision keeps its trace: each limit that applies, its value, what is used, which rule set it, from when."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_hub import MONDAY, ask, changed, section, small_hub

from gpuspawner.admission import Capacity, Held, admit, decide
from gpuspawner.config import Settings, load_settings
from gpuspawner.errors import BadRequestError, DeniedError
from gpuspawner.limits.trace import Check, Unit, say_time
from gpuspawner.request import matches_image

COURSE = {"workspace": "cse151a"}
HERE = "c.GPUSpawner.workspaces['cse151a']"


def course(**limits: Any) -> Settings:
    """The small hub with further limits of the course."""
    workspaces = section()["workspaces"]
    return load_settings(section(workspaces={**workspaces, "cse151a": {**workspaces["cse151a"], **limits}}))


def held(gpus: int, *classes: str, user: str = "grace", server: str = "", minutes: int | None = None) -> Held:
    ends = None if minutes is None else MONDAY + timedelta(minutes=minutes)
    return Held(user, server, "cse151a", classes, gpus, 1, 10**9, ends)


def trace(
    options: dict[str, Any], usage: list[Held] | None = None, hub: Settings | None = None, now: datetime = MONDAY
) -> dict[str, Check]:
    """The trace of a decision by kind of limit, whatever it was."""
    hub = hub or small_hub()
    decision = decide(ask(hub, {**COURSE, **options}, now=now), hub, usage or [], Capacity(), now)
    return {check.limit: check for check in decision.checks}


def test_a_launch_that_may_start_keeps_every_limit_that_was_looked_at_and_the_rule_that_set_it() -> None:
    hub = small_hub()
    granted = admit(ask(hub, COURSE), hub, [held(1, "small")], Capacity(), MONDAY)
    rules = {check.limit: (check.value, check.used, check.asked, check.rule) for check in granted.checks}
    assert rules["workspace.open"] == ("2026-12-18", 0, "2026-11-23", f"{HERE}.ends")
    assert rules["workspace.profiles"] == (("pytorch", "minimal"), 0, "pytorch", f"{HERE}.profiles")
    assert rules["profile.cpu"] == (16, 0, 2, "c.GPUSpawner.profiles['pytorch'].cpu.max")
    assert rules["workspace.per_member.gpus"] == (2, 0, 1, f"{HERE}.per_member.gpus")
    assert rules["workspace.quota"] == (2, 1, 1, f"{HERE}.quota['small']")
    assert all(check.allowed for check in granted.checks)


def test_a_limit_that_an_exception_sets_names_the_exception() -> None:
    now = MONDAY.replace(day=30)
    assert trace({"gpu_class": "medium"}, now=now)["workspace.quota"].rule == f"{HERE}.exceptions[0].quota['medium']"
    assert trace({}, now=now)["workspace.quota"].rule == f"{HERE}.quota['small']"


def test_a_class_the_quota_does_not_name_is_refused_by_the_quota() -> None:
    request = ask(small_hub(), {"workspace": "everyone"})
    (check,) = (
        one
        for one in decide(replace(request, gpu_classes=("medium",)), small_hub(), [], Capacity(), MONDAY).checks
        if one.limit == "workspace.quota"
    )
    assert (check.value, check.allowed, check.rule) == (0, False, "c.GPUSpawner.workspaces['everyone'].quota")


def test_a_denial_carries_the_whole_trace() -> None:
    hub = small_hub()
    with pytest.raises(DeniedError) as caught:
        admit(ask(hub, COURSE), hub, [held(2, "small")], Capacity(), MONDAY)
    refused = [check for check in caught.value.checks if not check.allowed]
    assert [(check.limit, check.used, check.reason) for check in refused] == [
        ("workspace.quota", 2, "CSE 151A holds 2 of 2 “Small, 16 GB” GPUs; you asked for 1 more.")
    ]
    assert len(caught.value.checks) > 8


@pytest.mark.parametrize(
    ("options", "rule", "value"),
    [
        ({"cpu": 17}, "c.GPUSpawner.profiles['pytorch'].cpu.max", 16),
        ({"cpu": 0.5}, "c.GPUSpawner.profiles['pytorch'].cpu.min", 1),
        ({"runtime": "13h"}, "c.GPUSpawner.profiles['pytorch'].runtime.max", 12 * 3600),
        ({"profile": "training"}, f"{HERE}.profiles", ("pytorch", "minimal")),
        ({"gpu_class": "whole"}, f"{HERE}.quota", ("small", "medium")),
        ({"gpu_class": "tpu"}, "c.GPUSpawner.profiles['pytorch'].gpu_classes", ("small", "medium")),
    ],
)
def test_a_request_beyond_what_is_on_offer_names_the_rule(options: dict[str, Any], rule: str, value: Any) -> None:
    with pytest.raises(BadRequestError) as caught:
        ask(small_hub(), {**COURSE, **options})
    (check,) = caught.value.checks
    assert (check.rule, check.value, check.allowed) == (rule, value, False)
    assert check.reason == caught.value.reason


def test_a_quota_is_free_again_when_enough_of_its_servers_have_ended_at_the_latest() -> None:
    usage = [held(1, "small", minutes=300), held(1, "small", user="hopper", minutes=90)]
    one = trace({}, usage)["workspace.quota"]
    assert one.allowed_from == MONDAY + timedelta(minutes=90)
    with pytest.raises(DeniedError, match=r"It is possible from 11:30 on\."):
        admit(ask(small_hub(), COURSE), small_hub(), usage, Capacity(), MONDAY)
    two = trace({"gpus": 2}, usage)["workspace.quota"]
    assert two.allowed_from == MONDAY + timedelta(minutes=300)


def test_nobody_knows_when_a_quota_is_free_whose_servers_have_not_begun_to_run() -> None:
    check = trace({}, [held(2, "small")])["workspace.quota"]
    assert (check.allowed, check.allowed_from) == (False, None)
    overdue = trace({}, [held(2, "small", minutes=-5)])["workspace.quota"]
    assert overdue.allowed_from is None, "what should have ended and has not says nothing"


def test_an_exception_to_come_is_a_time_from_which_a_launch_is_possible() -> None:
    check = trace({"gpu_class": "medium"}, [held(12, "medium")])["workspace.quota"]
    assert check.allowed_from == MONDAY.replace(day=30, hour=0)
    sooner = trace({"gpu_class": "medium"}, [held(12, "medium", minutes=30)])["workspace.quota"]
    assert sooner.allowed_from == MONDAY + timedelta(minutes=30)


def test_what_ends_before_an_exception_lowers_the_limit_counts_by_the_limit_of_its_time() -> None:
    hub = course(exceptions=[{"from": "2026-11-24", "to": "2026-11-24", "quota": {"small": 0}}])
    usage = [held(2, "small", minutes=24 * 60)]
    check = trace({}, usage, hub)["workspace.quota"]
    assert check.allowed_from == MONDAY.replace(day=25, hour=0), "on the 24th nothing is granted"


def test_a_launch_is_possible_when_all_its_limits_allow_it_and_not_when_the_first_does() -> None:
    mine = [held(0, user="ada", server="a", minutes=60), held(0, user="ada", server="b", minutes=600)]
    taken = [held(2, "small", minutes=120)]
    hub = course(exceptions=[{"from": "2026-11-23", "to": "2026-11-23", "per_launch": {"gpus": 0}}])
    decision = decide(ask(hub, {**COURSE, "gpu_class": "small"}), hub, [*mine, *taken], Capacity(), MONDAY)
    assert [check.limit for check in decision.checks if not check.allowed] == [
        "workspace.per_launch.gpus",
        "workspace.per_member.servers",
        "workspace.quota",
    ]
    assert decision.allowed_from == MONDAY.replace(day=24, hour=0)
    assert decision.refusal is not None
    assert decision.refusal.remedy.endswith("It is possible from 24 November on.")


def test_a_limit_that_falls_before_another_rises_makes_a_launch_wait_for_both() -> None:
    exceptions = [
        {"from": "2026-11-24", "to": "2026-11-24", "per_launch": {"runtime": "12h"}},
        {"from": "2026-11-26", "to": "2026-11-26", "per_launch": {"runtime": "12h"}, "quota": {"small": 4}},
    ]
    hub = course(per_launch={"runtime": "1h"}, exceptions=exceptions)
    request = ask(hub, {**COURSE, "runtime": "2h"})
    decision = decide(request, hub, [held(2, "small")], Capacity(), MONDAY)
    assert decision.allowed_from == MONDAY.replace(day=26, hour=0)
    never = decide(request, hub, [held(4, "small")], Capacity(), MONDAY)
    assert never.allowed_from is None


days = st.integers(22, 29).flatmap(lambda first: st.tuples(st.just(first), st.integers(first, 29)))
dated = st.builds(
    lambda days, limits: {"from": f"2026-11-{days[0]}", "to": f"2026-11-{days[1]}", **limits},
    days,
    st.fixed_dictionaries(
        {},
        optional={
            "quota": st.fixed_dictionaries({"small": st.integers(0, 3)}),
            "per_member": st.fixed_dictionaries({"gpus": st.integers(0, 3)}),
            "per_launch": st.fixed_dictionaries({"gpus": st.integers(0, 3)}),
        },
    ),
)


@given(
    st.lists(dated, max_size=3),
    st.lists(st.tuples(st.integers(1, 2), st.sampled_from(["ada", "grace"]), st.integers(1, 6000)), max_size=4),
    st.integers(1, 2),
)
def test_the_time_that_is_told_is_the_first_at_which_the_launch_is_allowed(
    exceptions: list[dict[str, Any]], others: list[tuple[int, str, int]], gpus: int
) -> None:
    hub = course(exceptions=exceptions)
    usage = [held(n, "small", user=user, server=str(at), minutes=at) for at, (n, user, _) in enumerate(others, 1)]
    usage = [
        replace(one, ends=MONDAY + timedelta(minutes=ends)) for one, (_, _, ends) in zip(usage, others, strict=True)
    ]
    request = ask(hub, {**COURSE, "gpu_class": "medium"}, server="new")
    request = replace(request, gpu_classes=("small",), gpus=gpus)

    def allowed(at: datetime) -> bool:
        then = [one for one in usage if one.ends is not None and one.ends > at]
        return decide(request, hub, then, Capacity(), at).refusal is None

    told = decide(request, hub, usage, Capacity(), MONDAY)
    times = sorted({one.ends for one in usage if one.ends} | {MONDAY.replace(day=day, hour=0) for day in range(24, 31)})
    first = next((at for at in times if allowed(at)), None)
    assert told.allowed_from == (None if told.refusal is None else first)


def test_a_workspace_that_opens_later_says_when() -> None:
    check = trace({}, now=MONDAY.replace(month=9, day=20))["workspace.open"]
    assert (check.allowed, check.rule) == (False, f"{HERE}.starts")
    assert check.allowed_from == MONDAY.replace(month=9, day=21, hour=0)


@pytest.mark.parametrize(
    ("limit", "options", "sentence"),
    [
        (
            {"gpus": 1},
            {"gpus": 2},
            "You asked for 2 GPUs; in CSE 151A a launch may have 1 GPU at most. Ask for at most 1 GPU.",
        ),
        (
            {"cpu": 4},
            {"cpu": 6},
            (
                "You asked for 6 CPU cores; in CSE 151A a launch may have 4 CPU cores at most. "
                "Ask for at most 4 CPU cores."
            ),
        ),
        (
            {"memory": "16G"},
            {"memory": "20G"},
            (
                "You asked for 20 GB of memory; in CSE 151A a launch may have 16 GB of memory at most. "
                "Ask for at most 16 GB of memory."
            ),
        ),
        (
            {"runtime": "2h"},
            {"runtime": "3h"},
            "You asked for 3 h; in CSE 151A a launch may run for 2 h at most. Ask for at most 2 h.",
        ),
        (
            {"gpus": 0},
            {"gpu_class": "small"},
            "You asked for 1 GPU; in CSE 151A a launch may have 0 GPUs at most. Choose another workspace.",
        ),
    ],
)
def test_a_launch_over_a_limit_of_its_workspace_is_told_what_fits(
    limit: dict[str, Any], options: dict[str, Any], sentence: str
) -> None:
    hub = course(per_launch=limit)
    with pytest.raises(DeniedError) as caught:
        admit(ask(hub, {**COURSE, **options}), hub, [], Capacity(), MONDAY)
    assert caught.value.sentence == f"Not started: {sentence}"


def test_a_launch_that_names_nothing_keeps_to_the_limits_of_a_launch() -> None:
    hub = course(per_launch={"cpu": 1.5, "memory": "4G", "runtime": "1h", "gpus": 0})
    request = ask(hub, COURSE)
    assert (request.cpu, request.memory, request.runtime, request.gpus) == (1.5, 4 * 10**9, 3600, 0)
    low = course(per_launch={"cpu": 0.5})
    assert ask(low, COURSE).cpu == 1, "never below what the profile needs"
    assert not trace({}, hub=low)["workspace.per_launch.cpu"].allowed


def test_limits_of_a_launch_and_what_is_on_offer_change_on_the_days_of_an_exception() -> None:
    exception = {
        "from": "2026-11-30",
        "to": "2026-12-01",
        "per_launch": {"runtime": "12h"},
        "profiles": ["training"],
        "gpu_classes": ["medium"],
    }
    hub = course(per_launch={"runtime": "1h"}, exceptions=[exception])
    check = trace({"runtime": "2h"}, hub=hub)["workspace.per_launch.runtime"]
    assert check.allowed_from == MONDAY.replace(day=30, hour=0)
    later = MONDAY.replace(day=30)
    found = trace({"runtime": "2h"}, hub=hub, now=later)
    assert found["workspace.per_launch.runtime"].rule == f"{HERE}.exceptions[0].per_launch.runtime"
    assert found["workspace.profiles"].rule == f"{HERE}.exceptions[0].profiles"
    assert found["workspace.gpu_classes"].rule == f"{HERE}.exceptions[0].gpu_classes"
    assert ask(hub, COURSE, now=later).profile == "training"


def test_a_workspace_may_offer_some_classes_without_any_quota() -> None:
    hub = load_settings(changed("workspaces/lab", {"members": "*", "gpu_classes": ["medium"]}))
    assert ask(hub, {"workspace": "lab"}).gpu_classes == ("medium",)
    with pytest.raises(BadRequestError) as caught:
        ask(hub, {"workspace": "lab", "gpu_class": "small"})
    assert caught.value.checks[0].rule == "c.GPUSpawner.workspaces['lab'].gpu_classes"


def test_an_image_may_be_named_that_fits_a_pattern_of_the_profile_or_the_workspace() -> None:
    hub = load_settings(changed("profiles/pytorch/images", "quay.io/lab/*"))
    assert ask(hub, {"image": "quay.io/lab/cuda:12"}).image == "quay.io/lab/cuda:12"
    mine = course(images=["ghcr.io/cse151a/*:fa26"])
    assert ask(mine, {**COURSE, "image": "ghcr.io/cse151a/hw1:fa26"}).image == "ghcr.io/cse151a/hw1:fa26"
    found = trace({"image": "ghcr.io/cse151a/hw1:fa26"}, hub=mine)["workspace.images"]
    assert (found.value, found.rule) == (("ghcr.io/cse151a/*:fa26",), f"{HERE}.images")
    assert "workspace.images" not in trace({}, hub=mine)
    with pytest.raises(BadRequestError) as caught:
        ask(mine, {**COURSE, "image": "ghcr.io/cse151a/hw1:latest"})
    assert caught.value.remedy == "Name one like ghcr.io/cse151a/*:fa26, or leave image out."


@pytest.mark.parametrize(
    "image", ["quay.io/lab/../evil", "quay.io/lab/x y", "quay.io/lab/x@sha256:zz", "", 7, ["quay.io/lab/x"], "x" * 600]
)
def test_what_is_not_the_name_of_an_image_is_refused_though_a_pattern_allows_anything(image: Any) -> None:
    hub = load_settings(changed("profiles/pytorch/images", "*"))
    if image == "":
        assert ask(hub, {"image": image}).image == "quay.io/jupyter/pytorch-notebook:cuda12"
        return
    with pytest.raises(BadRequestError, match="is not the name of an image"):
        ask(hub, {"image": image})


@pytest.mark.parametrize(
    ("image", "glob", "fits"),
    [
        ("quay.io/lab/x", "quay.io/lab/*", True),
        ("quay.io/laboratory/x", "quay.io/lab/*", False),
        ("quay.io/lab/x", "quay.io/lab/x:latest", True),
        ("quay.io/lab/x:1", "quay.io/lab/x:latest", False),
        ("registry:5000/x", "registry:5000/x:*", True),
        ("quay.io/lab/x@sha256:" + "a" * 64, "quay.io/lab/x@sha256:*", True),
        ("python", "docker.io/library/*", False),
    ],
)
def test_an_image_fits_a_pattern_as_it_is_written(image: str, glob: str, fits: bool) -> None:
    assert matches_image(image, glob) is fits


def test_a_check_goes_into_the_api_with_numbers_and_words() -> None:
    check = trace({}, [held(2, "small", minutes=60)])["workspace.quota"]
    assert check.as_json() == {
        "limit": "workspace.quota",
        "rule": f"{HERE}.quota['small']",
        "unit": "gpus",
        "gpu_class": "small",
        "value": 2,
        "used": 2,
        "asked": 1,
        "allowed": False,
        "allowed_from": "2026-11-23T11:00:00-08:00",
        "said": {"value": "2 GPUs", "used": "2 GPUs", "asked": "1 GPU"},
        "reason": check.reason,
        "remedy": check.remedy,
    }
    names = trace({})["workspace.profiles"].as_json()
    assert (names["value"], names["said"]) == (
        ["pytorch", "minimal"],
        {"value": "pytorch, minimal", "asked": "pytorch"},
    )
    assert Unit.SECONDS.say(5400) == "1 h 30 min"


def test_a_check_goes_into_the_log_in_one_short_line() -> None:
    found = trace({}, [held(1, "small")])
    assert str(found["workspace.quota"]) == "workspace.quota small 1 of 2, 1 asked"
    assert str(found["workspace.profiles"]) == "workspace.profiles pytorch, minimal, pytorch asked"


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (MONDAY.replace(hour=18, minute=30), "18:30"),
        (MONDAY.replace(day=24, hour=8), "24 November, 08:00"),
        (MONDAY.replace(day=30, hour=0), "30 November"),
        (MONDAY.replace(year=2027, month=1, day=4, hour=0), "4 January 2027"),
    ],
)
def test_a_time_to_come_is_said_as_people_do(at: datetime, words: str) -> None:
    assert say_time(at, MONDAY) == words
