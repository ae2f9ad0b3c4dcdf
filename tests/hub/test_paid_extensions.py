"""What an extension costs is shown, held before the server has it, and refused with what fits."""

from datetime import timedelta
from typing import Any

import pytest
from cluster import SECTION
from launching import from_inside, launch, named, stop
from running_hub import RunningHub
from sitting import HOUR, Clock, gone, lease, page, sentences, sessions, until

from gpuspawner.budgets.pricing import MICRO
from gpuspawner.cluster.client import UnreachableError
from gpuspawner.launcher import Launcher
from gpuspawner.ledger.records import AuditFilter
from gpuspawner.local.engine import Engine
from gpuspawner.sessions.lease import ExtensionError
from gpuspawner.sessions.notices import Notice

CLASSES = {
    "small": {**SECTION["gpu_classes"]["small"], "rate": 1},
    "medium": {**SECTION["gpu_classes"]["medium"], "rate": 2},
}
PROFILES: dict[str, Any] = {
    "gpu": {
        "display_name": "GPU",
        "image": "example.org/notebook:1",
        "gpu_classes": ["small", "medium"],
        "gpus": {"default": 1, "min": 1, "max": 1},
        "runtime": {"default": "1h", "max": "4h"},
        "extend_to": "8h",
    }
}


def course(**budget: Any) -> dict[str, Any]:
    return {"course": {"display_name": "Course", "members": "*", "budget": {"renews": "never", **budget}}}


@pytest.fixture
def start(start_gpu_hub: Any) -> Any:
    """A hub on which ada runs a server on a GPU that a budget pays."""

    async def started(
        options: dict[str, Any] | None = None, *, budget: dict[str, Any] | None = None, **changes: Any
    ) -> tuple[RunningHub, Clock]:
        hub = await start_gpu_hub(
            gpu_classes=CLASSES, profiles=PROFILES, workspaces=course(**(budget or {"per_member": 3})), **changes
        )
        await hub.login("ada", "x")
        assert await launch(hub, "ada", {"profile": "gpu", "gpu_class": "small", **(options or {})}) == ""
        return hub, Clock(hub, lease(hub).started)

    return started


def launcher(hub: RunningHub) -> Launcher:
    found: Launcher = hub.app.tornado_settings["gpuspawner_launcher"]
    return found


def held(hub: RunningHub) -> float:
    account = launcher(hub).accounts.member("course", "ada", launcher(hub).now())
    assert account is not None
    return account.held / MICRO


async def test_an_extension_is_held_and_written_with_who_asked_for_it(start: Any) -> None:
    hub, _ = await start()
    assert held(hub) == 1
    await sessions(hub).extend("ada", "", HOUR, by="prof")
    assert held(hub) == 2
    (session,) = await launcher(hub).store.unsettled()
    assert (session.runtime, session.held) == (2 * HOUR, 2 * MICRO)
    entries = (await launcher(hub).store.audit(AuditFilter(action="extension"))).rows
    assert [(entry.actor, entry.user) for entry in entries] == [("prof", "ada")]


async def test_a_hub_that_restarts_still_holds_what_an_extension_costs(start: Any, start_gpu_hub: Any) -> None:
    hub, _ = await start()
    await sessions(hub).extend("ada", "", HOUR)
    ends = lease(hub).ends
    hub = await start_gpu_hub(gpu_classes=CLASSES, profiles=PROFILES, workspaces=course(per_member=3))
    await until(lambda: "gpuspawner_sessions" in hub.app.tornado_settings and sessions(hub).lease("ada", ""))
    await launcher(hub).books.quiet()
    assert held(hub) == 2
    assert lease(hub).ends == ends
    with pytest.raises(ExtensionError, match="Ask for at most 1 h"):
        await sessions(hub).extend("ada", "", 2 * HOUR)
    await sessions(hub).extend("ada", "", HOUR)
    assert held(hub) == 3


async def test_after_it_only_what_was_used_is_charged(start: Any) -> None:
    hub, _ = await start()
    await sessions(hub).extend("ada", "", 2 * HOUR)
    await stop(hub, "ada")
    await launcher(hub).books.quiet()
    account = launcher(hub).accounts.member("course", "ada", launcher(hub).now())
    assert account is not None
    assert account.held == 0
    assert account.spent < MICRO / 60


async def test_more_than_the_budget_covers_is_refused_with_what_fits(start: Any) -> None:
    hub, _ = await start(budget={"per_member": 1.75})
    with pytest.raises(ExtensionError) as refused:
        await sessions(hub).extend("ada", "", HOUR)
    assert refused.value.reason == "1 h more cost 1 SU; of the budget in Course 0.75 SU are left."
    assert refused.value.remedy == "Ask for at most 45 min."
    assert sessions(hub).extendable_by(lease(hub)) == 45 * 60
    await sessions(hub).extend("ada", "", 45 * 60)
    assert held(hub) == 1.75
    with pytest.raises(ExtensionError, match="ask the managers"):
        await sessions(hub).extend("ada", "", HOUR)
    assert sessions(hub).extendable_by(lease(hub)) == 0


async def test_whoever_allowed_several_classes_extends_at_the_price_of_the_one_they_got(start: Any) -> None:
    hub, _ = await start({"gpu_class": ["small", "medium"]}, budget={"per_member": 10})
    assert held(hub) == 2
    assert launcher(hub).accounts.held((await launcher(hub).store.unsettled())[0].id) == 2 * MICRO
    landed = lease(hub)
    await sessions(hub).extend("ada", "", HOUR)
    assert held(hub) == 3
    assert lease(hub).runtime == landed.runtime + HOUR


async def test_an_extension_that_kubernetes_does_not_take_gives_its_hold_back(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, _ = await start()

    async def away(*_: Any, **__: Any) -> Any:
        raise UnreachableError("no route to host")

    monkeypatch.setattr(sessions(hub)._client, "patch", away)
    with pytest.raises(ExtensionError, match="Kubernetes did not take it"):
        await sessions(hub).extend("ada", "", HOUR)
    assert held(hub) == 1
    (session,) = await launcher(hub).store.unsettled()
    assert (session.runtime, session.held) == (HOUR, MICRO)


async def test_the_page_shows_what_an_extension_costs_and_offers_only_what_is_covered(start: Any) -> None:
    hub, _ = await start(budget={"per_member": 2.5})
    shown = await page(await hub.login("ada", "x"))
    assert "Extend by 30 min (0.5 SU)" in shown
    assert "Extend by 1 h (1 SU)" in shown
    assert "Extend by 1 h 30 min (the longest, 1.5 SU)" in shown
    assert ">2 h" not in shown


async def test_a_notebook_is_told_by_its_own_token_what_is_left_and_what_more_time_costs(start: Any) -> None:
    hub, clock = await start(budget={"per_member": 2.5})
    clock.at += timedelta(minutes=20)
    status, told = await from_inside(hub, "GET", "sessions/ada")
    assert status == 200
    [server] = told["sessions"]
    assert (server["profile_title"], server["workspace_title"], server["left"]) == ("GPU", "Course", 40 * 60)
    assert server["extensions"] == [{"by": 1800, "cost": 0.5}, {"by": 3600, "cost": 1}, {"by": 5400, "cost": 1.5}]
    status, told = await from_inside(hub, "GET", "balance")
    assert (status, told["workspaces"][0]["member"]["left"]) == (200, 1.5)


async def test_a_server_whose_budget_pays_for_less_than_asked_ends_then_and_says_why(
    start: Any, engine: Engine
) -> None:
    sent: list[Notice] = []
    hub, clock = await start(
        {"runtime": "2h"}, budget={"per_member": 1.5, "when_used_up": "end"}, notify_hook=sent.append
    )
    assert lease(hub).runtime == 90 * 60
    assert named(engine, "pods")["jupyter-ada"]["metadata"]["annotations"]["gpuspawner/limited-by"] == "budget"
    clock.at = lease(hub).ends - timedelta(minutes=20)
    sessions(hub).look()
    [told] = [sentence for sentence in sentences(hub) if "ends in" in sentence]
    assert "its budget pays for 1 h 30 min. Save your work." in told
    clock.at = lease(hub).ends
    sessions(hub).look()
    await gone(hub, engine)
    told = await page(await hub.login("ada", "x"))
    assert "The budget that paid for the server is used up.</strong> Start it again when the budget renews" in told


async def test_a_budget_that_runs_low_is_told_on_every_page_and_by_the_hook(start: Any) -> None:
    sent: list[Notice] = []
    hub, clock = await start({"runtime": "3h"}, notify_hook=sent.append)
    warnings = launcher(hub).accounts
    clock.at += timedelta(hours=2, minutes=16)
    assert warnings.so_far("course", "ada", clock.at) >= 2.25 * MICRO
    await sessions(hub).budgets.look()
    await sessions(hub).notices.close()
    assert [notice.kind for notice in sent] == ["budget"]
    assert "You have used 75 % of your budget in Course" in await page(await hub.login("ada", "x"), "token")
    await launcher(hub).books.quiet()
    (entry,) = (await launcher(hub).store.audit(AuditFilter(action="warning"))).rows
    assert (entry.user, entry.details["percent"]) == ("ada", 75)
