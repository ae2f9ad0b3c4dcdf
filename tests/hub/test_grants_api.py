"""Grants by the REST API, on a real hub with a real ledger: who may, what they add, and what the audit log keeps."""

from typing import Any

import pytest
from launching import launch
from running_hub import ADMIN_TOKEN, RunningHub
from test_costs_api import WORKSPACES, ask, launcher_of, spend, token_of

from gpuspawner.ledger.records import AuditFilter

STRANGER_TOKEN = "token-of-a-service-without-scopes"
MANAGER_TOKEN, LAB_ADMIN_TOKEN = "token-of-a-manager-of-the-lab", "token-of-an-administrator-of-the-lab"
GRANT = {"workspace": "lab", "user": "ada", "units": 5, "until": "2099-12-18", "reason": "Project week"}
OPTIONS = {"workspace": "lab", "profile": "pytorch", "gpu_class": "small", "runtime": "1h"}


TOKENS = {"tests": ADMIN_TOKEN, "manager": MANAGER_TOKEN, "lab-admin": LAB_ADMIN_TOKEN}
SCOPES = {
    "tests": ["admin:users", "admin:servers", "tokens"],
    "manager": ["custom:gpuspawner:manage!group=lab"],
    "lab-admin": ["custom:gpuspawner:admin!group=lab"],
}
HUB = {
    "services": [{"name": name, "api_token": token} for name, token in (*TOKENS.items(), ("stranger", STRANGER_TOKEN))],
    "load_roles": [{"name": f"of-{name}", "services": [name], "scopes": scopes} for name, scopes in SCOPES.items()],
}


@pytest.fixture
async def hub(start_gpu_hub: Any) -> RunningHub:
    """A hub whose lab has a budget, a manager, and an administrator of the lab alone."""
    return await start_gpu_hub(workspaces=WORKSPACES, hub=HUB)


async def test_a_grant_lets_a_member_start_what_the_allowance_does_not_cover(hub: RunningHub) -> None:
    token = await token_of(hub, "ada")
    await spend(hub, 9.5, "ada")
    assert "0.5 SU are left" in await launch(hub, "ada", OPTIONS)
    status, grant = await ask(hub, "grants", ADMIN_TOKEN, "POST", json=GRANT)
    assert (status, grant["by"], grant["units"]) == (201, "service:tests", 5)
    assert (await ask(hub, "balance", token))[1]["workspaces"][1]["member"]["left"] == 5.5
    assert await launch(hub, "ada", OPTIONS) == ""


async def test_a_grant_outlasts_a_restart_and_is_in_the_audit_log(start_gpu_hub: Any) -> None:
    hub = await start_gpu_hub(workspaces=WORKSPACES, hub=HUB)
    await token_of(hub, "ada")
    await ask(hub, "grants", LAB_ADMIN_TOKEN, "POST", json=GRANT)
    hub = await start_gpu_hub(workspaces=WORKSPACES, hub=HUB)
    token = await token_of(hub, "ada")
    (entry,) = (await launcher_of(hub, "ada").store.audit(AuditFilter(action="grant"))).rows
    assert (entry.actor, entry.action, entry.user, entry.workspace) == ("service:lab-admin", "grant", "ada", "lab")
    assert (entry.details["units"], entry.details["reason"]) == (5, "Project week")
    assert (await ask(hub, "balance", token))[1]["workspaces"][1]["member"]["left"] == 15


async def test_a_grant_that_is_asked_for_twice_is_given_once(hub: RunningHub) -> None:
    token = await token_of(hub, "ada")
    asked = {**GRANT, "id": "0" * 32}
    assert (await ask(hub, "grants", ADMIN_TOKEN, "POST", json=asked))[0] == 201
    status, grant = await ask(hub, "grants", ADMIN_TOKEN, "POST", json={**asked, "units": 7})
    assert (status, grant["units"]) == (200, 5)
    assert (await ask(hub, "balance", token))[1]["workspaces"][1]["member"]["left"] == 15


async def test_a_revoked_grant_is_gone_but_for_what_was_spent_of_it(hub: RunningHub) -> None:
    token = await token_of(hub, "ada")
    _, grant = await ask(hub, "grants", ADMIN_TOKEN, "POST", json=GRANT)
    await spend(hub, 12, "ada")
    status, revoked = await ask(hub, f"grants/{grant['id']}", ADMIN_TOKEN, "DELETE")
    assert (status, bool(revoked["revoked"])) == (200, True)
    member = (await ask(hub, "balance", token))[1]["workspaces"][1]["member"]
    assert (member["granted"], member["left"]) == (2, 0)
    assert (await ask(hub, f"grants/{grant['id']}", ADMIN_TOKEN, "DELETE"))[1]["revoked"] == revoked["revoked"]
    assert (await ask(hub, "grants/none", ADMIN_TOKEN, "DELETE"))[0] == 404
    launcher = launcher_of(hub, "ada")
    actions = [entry.action for entry in (await launcher.store.audit(AuditFilter(actor="service:tests"))).rows]
    assert sorted(actions) == ["grant", "revocation"]


async def test_only_administrators_grant_and_only_those_concerned_see_it(hub: RunningHub) -> None:
    ada, eve = await token_of(hub, "ada"), await token_of(hub, "eve")
    for token in (MANAGER_TOKEN, ada):
        status, told = await ask(hub, "grants", token, "POST", json=GRANT)
        assert (status, told["code"]) == (403, "forbidden")
    assert (await ask(hub, "grants", LAB_ADMIN_TOKEN, "POST", json={**GRANT, "workspace": "everyone"}))[0] == 403
    _, grant = await ask(hub, "grants", LAB_ADMIN_TOKEN, "POST", json=GRANT)
    for token in (MANAGER_TOKEN, ada, ADMIN_TOKEN):
        assert (await ask(hub, "grants", token))[1] == {"items": [grant], "next": None}
    assert (await ask(hub, "grants", eve))[1]["items"] == []
    assert (await ask(hub, "grants", STRANGER_TOKEN))[0] == 403
    for token in (MANAGER_TOKEN, ada):
        assert (await ask(hub, f"grants/{grant['id']}", token, "DELETE"))[0] == 403


async def test_the_member_is_told(hub: RunningHub) -> None:
    await token_of(hub, "ada")
    await ask(hub, "grants", ADMIN_TOKEN, "POST", json=GRANT)
    (notice,) = hub.user("ada").spawner.sessions.notices.of("ada")
    assert (notice.kind, notice.data["units"]) == ("grant", 5)
    assert notice.sentence == (
        "You have been given 5 SU more in The Lab, to be used before 19 December 2099: Project week"
    )


async def test_what_cannot_be_granted_says_why(hub: RunningHub) -> None:
    await token_of(hub, "ada")
    for changes, status, words in (
        ({"user": "nobody"}, 404, "The hub knows no user 'nobody'."),
        ({"units": -1}, 400, "units"),
        ({"reason": " "}, 400, "A grant needs a reason"),
        ({"workspace": "nowhere"}, 400, "There is no workspace 'nowhere'"),
    ):
        found, told = await ask(hub, "grants", ADMIN_TOKEN, "POST", json={**GRANT, **changes})
        assert (found, words in told["reason"]) == (status, True), told


async def test_grants_come_in_pages_the_newest_first(hub: RunningHub) -> None:
    ada = await token_of(hub, "ada")
    await token_of(hub, "eve")
    for index, user in enumerate(["ada", None, "eve", "ada"]):
        asked = {**GRANT, "user": user, "reason": str(index)}
        assert (await ask(hub, "grants", ADMIN_TOKEN, "POST", json=asked))[0] == 201
    seen, after = [], None
    while after is not None or not seen:
        params = {"limit": "1", **({"after": after} if after else {})}
        page = (await ask(hub, "grants", MANAGER_TOKEN, params=params))[1]
        seen += [grant["reason"] for grant in page["items"]]
        after = page["next"]
    assert seen == ["3", "2", "1", "0"]
    assert [grant["reason"] for grant in (await ask(hub, "grants", ada))[1]["items"]] == ["3", "0"]
    status, told = await ask(hub, "grants", ada, params={"after": "nowhere"})
    assert (status, told["code"]) == (400, "bad_request")
