"""Limits over several workspaces: of a member in all of them, and of cohorts that share hardware and lend it."""

from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.admission import Capacity, Decision, Held, OfferCapacity, decide
from gpuspawner.config import Settings, load_settings
from gpuspawner.entitlement import entitlements
from gpuspawner.errors import BadRequestError, ConfigurationError, DeniedError, LaunchError
from gpuspawner.limits.class_checks import BORROWING
from gpuspawner.limits.trace import Check
from gpuspawner.request import LaunchRequest, parse_request

NOW = datetime(2026, 11, 23, 10, tzinfo=ZoneInfo("America/Los_Angeles"))
SECTION: dict[str, Any] = {
    "gpu_classes": {
        name: {"display_name": name.capitalize(), "accepts": [{"resource": "nvidia.com/gpu", "product": name}]}
        for name in ("small", "medium")
    },
    "profiles": {
        "p": {
            "display_name": "PyTorch",
            "image": "x",
            "cpu": {"default": 1, "max": 8},
            "memory": {"default": "1G", "max": "64G"},
            "gpu_classes": ["medium", "small"],
            "gpus": {"default": 1, "max": 8},
        }
    },
    "workspaces": {
        "cse151a": {"display_name": "CSE 151A", "members": "*", "quota": {"medium": 4, "small": 2}},
        "cse251u": {"display_name": "CSE 251U", "members": "*", "quota": {"medium": 4}},
        "guests": {"display_name": "Guests", "members": "*", "quota": {"medium": 0}},
        "lab": {"display_name": "The Lab", "members": "*"},
    },
    "cohorts": {
        "teaching": {
            "display_name": "Teaching",
            "workspaces": ["cse151a", "cse251u", "guests"],
            "borrowing": True,
            "reserve": {"medium": 1},
        }
    },
    "timezone": "America/Los_Angeles",
}


def hub(**changes: Any) -> Settings:
    """The hub of these tests; ``cohort__quota={...}`` changes the cohort, ``cse151a__images=...`` a workspace."""
    section = deepcopy(SECTION)
    for key, value in changes.items():
        part, _, name = key.partition("__")
        if not name:
            section[part] = value
        elif part == "cohort":
            section["cohorts"]["teaching"][name] = value
        else:
            section["workspaces"][part][name] = value
    return load_settings(section)


def asked(settings: Settings, workspace: str = "cse151a", *, now: datetime = NOW, **options: Any) -> LaunchRequest:
    options = {"workspace": workspace, "gpu_class": "medium", **options}
    return parse_request(
        options, user="ada", server="new", workspaces=list(settings.workspaces), settings=settings, now=now
    )


def held(
    gpus: int, workspace: str = "cse151a", *, user: str = "grace", server: str = "", hours: int | None = None
) -> Held:
    ends = None if hours is None else NOW + timedelta(hours=hours)
    return Held(user, server, workspace, ("medium",) if gpus else (), gpus, 1, 10**9, ends)


def decided(
    usage: list[Held],
    workspace: str = "cse151a",
    settings: Settings | None = None,
    capacity: Capacity | None = None,
    now: datetime = NOW,
    **options: Any,
) -> Decision:
    settings = settings or hub()
    return decide(asked(settings, workspace, now=now, **options), settings, usage, capacity or Capacity(), now)


def said(decision: Decision) -> str:
    assert isinstance(decision.refusal, DeniedError)
    return decision.refusal.sentence.removeprefix("Not started: ")


def check_of(decision: Decision, limit: str) -> Check:
    return next(check for check in decision.checks if check.limit == limit)


def free(medium: int) -> Capacity:
    """So many medium GPUs free in a cluster of sixteen."""
    offer = hub().catalog.gpu_classes["medium"].accepts[0]
    return Capacity({offer: OfferCapacity(medium, 16, medium, 16)}, True, True)


# A member, in all workspaces


@pytest.mark.parametrize(
    ("limit", "options", "usage", "sentence"),
    [
        (
            {"gpus": 2},
            {"gpus": 1},
            [held(2, "lab", user="ada")],
            (
                "You hold 2 GPUs in all workspaces (your default server); 1 GPU more would be over the 2 GPUs each "
                "member may hold in all of them together. Stop one of them, or ask for less."
            ),
        ),
        (
            {"servers": 1},
            {"gpus": 0, "gpu_class": None},
            [held(0, "lab", user="ada", server="two")],
            (
                "You hold 1 server in all workspaces (the server 'two'); 1 server more would be over the 1 server each "
                "member may hold in all of them together. Stop one of them first."
            ),
        ),
        (
            {"memory": "8G"},
            {"memory": "16G"},
            [],
            (
                "You asked for 16 GB of memory; each member may hold 8 GB of memory in all workspaces together. "
                "Ask for at most 8 GB of memory."
            ),
        ),
        (
            {"gpus": 0},
            {},
            [],
            "You asked for 1 GPU; each member may hold 0 GPUs in all workspaces together. Ask the administrator.",
        ),
    ],
)
def test_a_member_has_limits_over_all_workspaces(
    limit: dict[str, Any], options: dict[str, Any], usage: list[Held], sentence: str
) -> None:
    assert said(decided(usage, settings=hub(per_member=limit), **options)) == sentence


def test_what_others_hold_is_nothing_to_a_member() -> None:
    assert decided([held(2, "lab")], settings=hub(per_member={"gpus": 1})).refusal is None


def test_limits_over_all_workspaces_change_on_the_days_of_an_exception() -> None:
    settings = hub(per_member={"gpus": 1, "exceptions": [{"from": "2026-11-30", "to": "2026-12-04", "gpus": 3}]})
    decision = decided([held(1, "lab", user="ada")], settings=settings)
    check = check_of(decision, "hub.per_member.gpus")
    assert (check.value, check.rule) == (1, "c.GPUSpawner.per_member.gpus")
    assert check.allowed_from == datetime(2026, 11, 30, tzinfo=NOW.tzinfo)
    later = decided([held(1, "lab", user="ada")], settings=settings, now=NOW.replace(day=30))
    check = check_of(later, "hub.per_member.gpus")
    assert (check.value, check.rule) == (3, "c.GPUSpawner.per_member.exceptions[0].gpus")


# Cohorts


def test_a_workspace_may_use_what_others_of_its_cohort_leave_idle() -> None:
    decision = decided([held(4)])
    assert decision.refusal is None
    check = check_of(decision, BORROWING)
    assert (check.used, check.asked, check.value) == (4, 1, 7), "eight together, less one in reserve"
    assert check.rule == "c.GPUSpawner.cohorts['teaching'].reserve['medium']"
    assert "workspace.quota" not in {check.limit for check in decision.checks}


def test_within_its_quota_a_workspace_borrows_nothing() -> None:
    decision = decided([held(3)])
    assert check_of(decision, "workspace.quota").rule == "c.GPUSpawner.workspaces['cse151a'].quota['medium']"
    assert BORROWING not in {check.limit for check in decision.checks}
    assert check_of(decision, "cohort.quota").value == 8


def test_the_reserve_is_left_for_those_whose_quota_it_is() -> None:
    assert said(decided([held(7)])) == (
        "CSE 151A holds 7 of its own 4 GPUs of this class; its cohort Teaching has 1 idle and 1 is kept in reserve; "
        "you asked for 1 more. Wait until a server of this workspace stops."
    )
    owner = decided([held(7)], "cse251u")
    assert owner.refusal is None, "within its own quota it may take the reserve"


def test_who_has_a_quota_of_none_may_still_borrow() -> None:
    assert decided([], "guests").refusal is None
    assert decided([held(4), held(3, "cse251u")], "guests").refusal is not None


def test_no_workspace_borrows_a_class_that_it_does_not_name() -> None:
    settings = hub(cohort__quota={"small": 9})
    with pytest.raises(BadRequestError, match="is not on offer in CSE 251U"):
        asked(settings, "cse251u", gpu_class="small")


def test_without_borrowing_the_quota_is_the_most() -> None:
    assert "CSE 151A holds 4 of 4 Medium GPUs" in said(decided([held(4)], settings=hub(cohort__borrowing=False)))


def test_a_workspace_may_borrow_up_to_its_own_limit() -> None:
    settings = hub(cse151a__borrowing_limit={"medium": 2})
    assert decided([held(5)], settings=settings).refusal is None
    decision = decided([held(6)], settings=settings)
    assert "it may borrow 2 at most" in said(decision)
    assert check_of(decision, BORROWING).rule == "c.GPUSpawner.workspaces['cse151a'].borrowing_limit['medium']"


def test_only_what_is_idle_in_the_cluster_is_lent() -> None:
    assert decided([held(4)], capacity=free(2)).refusal is None
    assert said(decided([held(4)], capacity=free(1))) == (
        "CSE 151A holds 4 of its own 4 GPUs of this class; 1 is free in the cluster and 1 is kept in reserve; "
        "you asked for 1 more. Wait until a server of this workspace stops."
    )
    assert decided([held(3)], capacity=free(0)).refusal is None, "within its quota it waits in line"


def test_a_cohort_may_hold_less_than_the_quotas_of_its_workspaces() -> None:
    settings = hub(cohort__quota={"medium": 6})
    decision = decided([held(4), held(2, "cse251u")], "cse251u", settings)
    assert said(decision) == (
        "The workspaces of Teaching hold 6 of 6 Medium GPUs together; you asked for 1 more. "
        "Wait until one of their servers stops."
    )
    assert check_of(decision, "cohort.quota").rule == "c.GPUSpawner.cohorts['teaching'].quota['medium']"


def test_who_is_refused_their_own_quota_is_told_who_has_borrowed_it_and_until_when() -> None:
    usage = [held(4), held(2, server="two", hours=3), held(2, "cse251u")]
    decision = decided(usage, "cse251u")
    assert said(decision) == (
        "The workspaces of Teaching hold 8 of 8 Medium GPUs together, 2 of them borrowed by CSE 151A; "
        "you asked for 1 more. Wait until one of their servers stops. It is possible from 13:00 on."
    )
    assert decision.allowed_from == NOW + timedelta(hours=3)


def test_a_loan_is_possible_again_when_the_others_have_ended() -> None:
    decision = decided([held(4), held(3, "cse251u", hours=2)])
    assert decision.refusal is not None
    assert decision.allowed_from == NOW + timedelta(hours=2)


def test_a_cohort_with_an_unlimited_workspace_bounds_only_what_it_names() -> None:
    settings = hub(cohorts={"all": {"workspaces": ["cse151a", "lab"], "quota": {"small": 3}}})
    assert decided([held(50, "lab")], "lab", settings).refusal is None
    busy = [Held("grace", "", "lab", ("small",), 3, 1, 10**9)]
    assert decided(busy, "cse151a", settings, gpu_class="small").refusal is not None


def test_the_limits_of_a_cohort_change_on_the_days_of_an_exception() -> None:
    exceptions = [
        {"from": "2026-11-30", "to": "2026-12-04", "quota": {"medium": 12}, "reserve": {"medium": 0}},
        {"from": "2026-12-05", "to": "2026-12-06", "borrowing": False},
    ]
    settings = hub(cohort__exceptions=exceptions)
    decision = decided([held(7)], settings=settings)
    assert decision.allowed_from == datetime(2026, 11, 30, tzinfo=NOW.tzinfo)
    check = check_of(decided([held(8)], settings=settings, now=NOW.replace(day=30)), "cohort.quota")
    assert (check.value, check.rule) == (12, "c.GPUSpawner.cohorts['teaching'].exceptions[0].quota['medium']")
    closed = decided([held(4)], settings=settings, now=NOW.replace(month=12, day=5))
    assert check_of(closed, "workspace.quota").allowed is False


@pytest.mark.parametrize(
    ("cohorts", "problem"),
    [
        (
            {"a": {"workspaces": ["cse151"]}},
            ("c.GPUSpawner.cohorts['a'].workspaces: found 'cse151', which is no workspace; did you mean 'cse151a'?"),
        ),
        (
            {"a": {"workspaces": ["lab"]}, "b": {"workspaces": "lab"}},
            (
                "c.GPUSpawner.cohorts['b'].workspaces: found 'lab', which belongs to 'a', allowed: one cohort for each "
                "workspace"
            ),
        ),
        (
            {"a": {"workspaces": ["lab"], "reserve": {"smal": 1}}},
            "c.GPUSpawner.cohorts['a'].reserve: found 'smal', which is no GPU class; did you mean 'small'?",
        ),
        (
            {
                "a": {
                    "workspaces": ["lab"],
                    "exceptions": [{"from": "2026-11-01", "to": "2026-11-02", "quota": {"large": 1}}],
                }
            },
            (
                "c.GPUSpawner.cohorts['a'].exceptions[0].quota: found 'large', which is no GPU class; known: medium, "
                "small"
            ),
        ),
        (
            {"a": {"workspaces": []}},
            "c.GPUSpawner.cohorts['a'].workspaces: found [], allowed: a list that is not empty",
        ),
    ],
)
def test_a_mistake_in_a_cohort_is_told_with_its_place(cohorts: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        hub(cohorts=cohorts)
    assert caught.value.problems == [problem]


# The form shows the same bounds


launches = st.lists(
    st.builds(
        held,
        st.integers(0, 4),
        st.sampled_from(["cse151a", "cse251u", "guests", "lab"]),
        user=st.sampled_from(["ada", "grace"]),
        server=st.sampled_from(["a", "b", "c", "d", "e"]),
    ),
    max_size=5,
    unique_by=lambda one: one.key,
)
limited = st.fixed_dictionaries(
    {},
    optional={
        "per_member": st.fixed_dictionaries(
            {}, optional={key: st.integers(0, 4) for key in ("gpus", "cpu", "servers")}
        ),
        "cohort__quota": st.fixed_dictionaries({}, optional={"medium": st.integers(0, 12)}),
        "cohort__reserve": st.fixed_dictionaries({}, optional={"medium": st.integers(0, 3)}),
        "cohort__borrowing": st.booleans(),
        "cse151a__borrowing_limit": st.fixed_dictionaries({}, optional={"medium": st.integers(0, 3)}),
        "cse151a__per_launch": st.fixed_dictionaries(
            {}, optional={"gpus": st.integers(0, 3), "cpu": st.integers(1, 4), "runtime": st.just("2h")}
        ),
        "cse251u__gpu_classes": st.sampled_from([["medium"], ["small"], []]),
    },
)


@given(limited, launches, st.one_of(st.none(), st.integers(0, 8)), st.sampled_from(["cse151a", "cse251u", "guests"]))
def test_the_form_offers_exactly_what_admission_grants(
    changes: dict[str, Any], usage: list[Held], idle: int | None, workspace: str
) -> None:
    settings = hub(**changes)
    capacity = Capacity() if idle is None else free(idle)
    (space,) = entitlements("ada", {workspace}, settings, usage, capacity, NOW, server="new")
    (profile,) = space.profiles
    offers = {offer.name: offer for offer in profile.gpu_classes}

    def admitted(**options: Any) -> bool:
        try:
            request = asked(settings, workspace, **options)
        except LaunchError:
            return False
        return decide(request, settings, usage, capacity, NOW).refusal is None

    possible = not space.reason and not profile.reason
    least = {"cpu": profile.cpu.min, "memory": "1G", "runtime": profile.runtime.min}
    assert admitted(gpu_class=None, gpus=0, **least) is possible
    if not possible:
        return
    for name, offer in offers.items():
        for gpus in range(1, 9):
            fits = not offer.reason and offer.gpus.min <= gpus <= offer.gpus.max
            assert admitted(gpu_class=name, gpus=gpus, **least) is fits, (name, gpus, offer)
    assert admitted(gpu_class=None, gpus=0, **{**least, "cpu": profile.cpu.max})
    assert admitted(gpu_class=None, gpus=0, **{**least, "runtime": profile.runtime.max})
    if profile.cpu.max < 8:
        assert not admitted(gpu_class=None, gpus=0, **{**least, "cpu": profile.cpu.max + 1})


@given(
    st.lists(
        st.tuples(st.sampled_from(["cse151a", "cse251u", "guests"]), st.integers(1, 3), st.booleans()), max_size=20
    ),
    st.integers(0, 3),
)
def test_in_whatever_order_they_start_a_cohort_keeps_its_quota_and_loans_keep_the_reserve(
    launches: list[tuple[str, int, bool]], reserve: int
) -> None:
    settings = hub(cohort__reserve={"medium": reserve})
    quota, usage = {"cse151a": 4, "cse251u": 4, "guests": 0}, list[Held]()
    for number, (workspace, gpus, first_ends) in enumerate(launches):
        if first_ends and usage:
            usage.pop(0)
        mine = sum(one.gpus for one in usage if one.workspace == workspace)
        together = sum(one.gpus for one in usage)
        granted = decided(usage, workspace, settings, gpus=gpus).refusal is None
        own, lent = mine + gpus <= quota[workspace], together + gpus <= 8 - reserve
        assert granted is (together + gpus <= 8 and (own or lent))
        if granted:
            usage.append(held(gpus, workspace, user=f"user{number}"))
