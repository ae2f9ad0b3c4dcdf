"""What may this person start now, and if not, why: for any options, and whatever is held."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from small_hub import MONDAY, changed, small_hub

from gpuspawner.admission import Capacity, Held
from gpuspawner.budgets.accounts import Accounts
from gpuspawner.config import Settings, load_settings
from gpuspawner.limits.explain import Explanation, explain, times_of_membership
from gpuspawner.request import OPTIONS

HUB = small_hub()


def explained(
    options: dict[str, Any] | None = None, usage: list[Held] | None = None, settings: Settings = HUB, **more: Any
) -> Explanation:
    now = more.pop("now", MONDAY)
    everything = set(settings.workspaces)
    today = {name for name, space in settings.workspaces.items() if space.is_open(now.date())}
    return explain(
        options or {},
        user="ada",
        server=more.pop("server", ""),
        workspaces=more.pop("workspaces", everything),
        open_now=today,
        settings=settings,
        usage=usage or [],
        capacity=Capacity(),
        now=now,
        **more,
    )


def test_a_launch_that_may_start_is_explained_by_every_limit_it_keeps() -> None:
    found = explained({"workspace": "cse151a"})
    assert found.allowed
    assert {check.limit for check in found.checks} >= {"workspace.quota", "workspace.per_member.gpus", "profile.cpu"}
    told = found.as_json()
    assert (told["allowed"], told["allowed_from"], told["room"]) == (True, None, ["small"])
    assert told["request"]["gpu_classes"] == ("small",)


def test_one_that_may_not_is_told_why_and_from_when() -> None:
    usage = [Held("grace", "", "cse151a", ("small",), 2, 1, 1, MONDAY + timedelta(hours=2))]
    found = explained({"workspace": "cse151a"}, usage)
    told = found.as_json()
    assert not found.allowed
    assert told["reason"] == "CSE 151A holds 2 of 2 “Small, 16 GB” GPUs; you asked for 1 more."
    assert told["allowed_from"] == "2026-11-23T12:00:00-08:00"


def test_options_that_are_not_on_offer_are_explained_by_the_rule_that_leaves_them_out() -> None:
    found = explained({"workspace": "cse151a", "profile": "training"})
    assert found.request is None
    assert [check.rule for check in found.checks] == ["c.GPUSpawner.workspaces['cse151a'].profiles"]
    assert found.as_json()["code"] == "bad_request"


def test_a_workspace_that_is_not_open_yet_says_when_it_opens() -> None:
    found = explained({"workspace": "cse151a"}, now=MONDAY.replace(month=9, day=20))
    assert found.as_json()["reason"] == "CSE 151A opens on 21 September 2026."
    assert found.as_json()["allowed_from"] == "2026-09-21T00:00:00-07:00"
    assert "cse151a" not in {offer["name"] for offer in found.as_json()["offers"]}


def test_who_belongs_to_nothing_is_told_so() -> None:
    nothing = explain(
        {},
        user="ada",
        server="",
        workspaces=set(),
        open_now=set(),
        settings=HUB,
        usage=[],
        capacity=Capacity(),
        now=MONDAY,
    )
    assert nothing.as_json()["reason"] == "You do not belong to any workspace that is open today."
    assert nothing.as_json()["offers"] == []


def test_what_a_launch_costs_is_part_of_its_explanation() -> None:
    settings = load_settings(changed("workspaces/lab/budget", {"per_member": 10}))
    accounts = Accounts(settings.workspaces, settings.timezone)
    found = explained({"workspace": "lab", "gpus": 2, "runtime": "3h"}, settings=settings, accounts=accounts)
    assert found.as_json()["cost"] == 6
    assert "workspace.budget.per_member" in {check.limit for check in found.checks}
    dear = explained({"workspace": "lab", "gpus": 2, "runtime": "6h"}, settings=settings, accounts=accounts)
    assert not dear.allowed
    assert "cost" not in dear.as_json(), "what is not granted costs nothing"


def test_membership_is_asked_for_a_day_on_which_the_workspace_is_open() -> None:
    times = times_of_membership(HUB, MONDAY)
    assert set(times.values()) == {MONDAY}
    early = times_of_membership(HUB, MONDAY.replace(month=9, day=20))
    assert early["cse151a"] == MONDAY.replace(month=9, day=21, hour=0)
    late = times_of_membership(HUB, MONDAY.replace(year=2027))
    assert late["cse151a"] == MONDAY.replace(month=12, day=18, hour=0)
    assert late["lab"] == MONDAY.replace(year=2027)


values = st.one_of(st.none(), st.integers(-1, 20), st.text(max_size=5), st.sampled_from(["any", "small", "2h", "8G"]))


@given(st.dictionaries(st.sampled_from([*OPTIONS, "nonsense"]), values), st.integers(0, 3))
def test_whatever_is_asked_has_an_explanation_that_json_can_say(options: dict[str, Any], held: int) -> None:
    usage = [Held("grace", str(n), "everyone", ("small",), 1, 1, 1, MONDAY + timedelta(hours=n)) for n in range(held)]
    found = explained(options, usage)
    told = json.loads(json.dumps(found.as_json()))
    assert told["allowed"] is ("reason" not in told)
    if found.request is not None:
        assert told["allowed"] is not any(not check["allowed"] for check in told["checks"]) or told["room"]
    assert replace(found, offers=()).as_json()["offers"] == []
