"""Limits on a real hub with real launches: loans and races for them, all workspaces together, images, the audit log."""

import asyncio
from typing import Any

import pytest
from launching import launch, stop
from running_hub import RunningHub

from gpuspawner.ledger.records import AuditFilter
from gpuspawner.local.engine import Engine


@pytest.fixture
async def hub(start_gpu_hub: Any) -> RunningHub:
    """Two courses that share two medium GPUs, one each, and lend them."""
    hub: RunningHub = await start_gpu_hub(
        workspaces={
            "cse151a": {"display_name": "CSE 151A", "members": "*", "quota": {"medium": 1}},
            "cse251u": {
                "display_name": "CSE 251U",
                "members": "*",
                "quota": {"medium": 1},
                "per_launch": {"runtime": "1h"},
                "images": ["example.org/*"],
            },
        },
        cohorts={"teaching": {"workspaces": ["cse151a", "cse251u"], "borrowing": True}},
        per_member={"servers": 2},
    )
    for name in ("ada", "grace", "hopper"):
        await hub.login(name, "x")
    return hub


def medium(workspace: str, **options: Any) -> dict[str, Any]:
    return {"workspace": workspace, "gpu_class": "medium", **options}


async def test_a_course_borrows_what_the_other_leaves_idle_and_the_owner_is_told_who_has_it(hub: RunningHub) -> None:
    assert await launch(hub, "ada", medium("cse151a")) == ""
    assert await launch(hub, "grace", medium("cse151a")) == "", "lent by CSE 251U"
    said = await launch(hub, "hopper", medium("cse251u"))
    assert "The workspaces of teaching hold 2 of 2 Medium GPUs together, 1 of them borrowed by CSE 151A" in said
    assert "It is possible from" in said, "the borrowed server ends within its runtime"
    await stop(hub, "grace")
    assert await launch(hub, "hopper", medium("cse251u")) == ""


async def test_of_two_who_borrow_the_last_gpu_at_once_one_gets_it(hub: RunningHub) -> None:
    assert await launch(hub, "ada", medium("cse151a")) == ""
    said = await asyncio.gather(*(launch(hub, name, medium("cse151a")) for name in ("grace", "hopper")))
    assert sorted(bool(one) for one in said) == [False, True]


async def test_servers_of_all_workspaces_count_against_the_limit_of_a_member(hub: RunningHub) -> None:
    assert await launch(hub, "ada", {"workspace": "cse151a", "gpus": 0}, "one") == ""
    assert await launch(hub, "ada", {"workspace": "cse251u", "gpus": 0}, "two") == ""
    said = await launch(hub, "ada", {"workspace": "cse251u", "gpus": 0}, "three")
    assert "You hold 2 servers in all workspaces (the server 'one', the server 'two')" in said


async def test_the_session_length_of_a_workspace_is_that_of_its_pods(hub: RunningHub, engine: Engine) -> None:
    said = await launch(hub, "ada", {"workspace": "cse251u", "gpus": 0, "runtime": "2h"})
    assert "in CSE 251U a launch may run for 1 h at most. Ask for at most 1 h." in said
    assert await launch(hub, "ada", {"workspace": "cse251u", "gpus": 0}) == ""
    (pod,) = engine.store.list("pods", "default")[0]
    assert pod["spec"]["activeDeadlineSeconds"] == 3600


async def test_an_image_of_ones_own_runs_where_a_pattern_allows_it(hub: RunningHub, engine: Engine) -> None:
    own = {"profile": "silent", "image": "example.org/notebook:1", "gpus": 0}
    assert "offers no choice of image" in await launch(hub, "ada", {"workspace": "cse151a", **own})
    assert "Name one like example.org/*" in await launch(
        hub, "ada", {"workspace": "cse251u", **own, "image": "evil.example/x"}
    )
    assert await launch(hub, "ada", {"workspace": "cse251u", **own}) == ""
    (pod,) = engine.store.list("pods", "default")[0]
    assert pod["spec"]["containers"][0]["image"] == "example.org/notebook:1"


async def test_what_is_not_on_offer_is_refused_and_in_the_audit_log_too(hub: RunningHub) -> None:
    assert await launch(hub, "ada", medium("cse151a", cpu="1000", image="x" * 1000)) != ""
    assert await launch(hub, "ada", {"workspace": "cse151a", "nonsense": [1]}) != ""
    assert await launch(hub, "ada", {"workspace": 7}) != ""
    launcher = hub.app.tornado_settings["gpuspawner_launcher"]
    await launcher.books.quiet()
    third, second, first = (await launcher.store.audit(AuditFilter(action="denial"))).rows
    assert first.details["rules"] == ["c.GPUSpawner.profiles['pytorch'].cpu.max"]
    assert first.details["options"] == {
        "workspace": "cse151a",
        "gpu_class": "medium",
        "cpu": "1000",
        "image": "x" * 200,
    }
    assert (second.workspace, second.details["reason"]) == ("cse151a", "'nonsense' is not an option of a launch.")
    assert (third.workspace, third.details["rules"]) == ("7", [])


async def test_a_refusal_is_in_the_audit_log_with_the_rules_that_made_it(hub: RunningHub) -> None:
    for name in ("ada", "grace"):
        assert await launch(hub, name, medium("cse151a")) == ""
    assert await launch(hub, "hopper", medium("cse251u")) != ""
    launcher = hub.app.tornado_settings["gpuspawner_launcher"]
    await launcher.books.quiet()
    page = await launcher.store.audit(AuditFilter(action="denial"))
    (entry,) = page.rows
    assert (entry.user, entry.workspace) == ("hopper", "cse251u")
    (check,) = entry.details["checks"]
    assert check["rule"] == "c.GPUSpawner.cohorts['teaching'].workspaces"
    assert (check["value"], check["used"], check["asked"]) == (2, 2, 1)
