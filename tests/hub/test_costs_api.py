"""The REST API tells what a launch would cost and what is left, to whom it concerns."""

import html
import re
from typing import Any

import aiohttp
import pytest
from launching import launch, stop
from running_hub import ADMIN_TOKEN, RunningHub
from spending import Launch
from yarl import URL

from gpuspawner.launcher import Launcher

AUDITOR_TOKEN = "token-of-an-auditor-of-the-lab"
WORKSPACES = {
    "everyone": {"members": "*", "quota": {"small": 2}},
    "lab": {
        "display_name": "The Lab",
        "members": ["ada", "eve"],
        "budget": {"per_member": 10, "pool": 15, "renews": "never"},
    },
}


@pytest.fixture
async def hub(start_gpu_hub: Any) -> RunningHub:
    """A hub whose lab has a budget, with an auditor of the lab."""
    return await start_gpu_hub(
        workspaces=WORKSPACES,
        hub={
            "services": [
                {"name": "tests", "api_token": ADMIN_TOKEN},
                {"name": "auditor", "api_token": AUDITOR_TOKEN},
            ],
            "load_roles": [
                {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "tokens"]},
                {"name": "audit", "services": ["auditor"], "scopes": ["custom:gpuspawner:read!group=lab"]},
            ],
        },
    )


def launcher_of(hub: RunningHub, user: str) -> Launcher:
    launcher: Launcher = hub.user(user).spawner.launcher
    return launcher


async def ask(hub: RunningHub, path: str, token: str, method: str = "GET", **kwargs: Any) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
        answer = await session.request(method, hub.url / "api/gpuspawner" / path, **kwargs)
        found: dict[str, Any] = await answer.json()
        return answer.status, found


async def token_of(hub: RunningHub, user: str) -> str:
    await hub.login(user, "x")
    token: str = hub.user(user).new_api_token()
    return token


async def spend(hub: RunningHub, units: float, user: str) -> None:
    launcher = launcher_of(hub, user)
    assert await launcher.books.ready()
    launcher.accounts.hold(Launch(user, units, launcher.now(), user, "lab"))


async def test_a_member_is_told_what_a_launch_would_cost(hub: RunningHub) -> None:
    token = await token_of(hub, "ada")
    await spend(hub, 7.5, "ada")
    options = {"workspace": "lab", "profile": "pytorch", "gpu_class": "any", "gpus": 2, "runtime": "1h"}
    status, found = await ask(hub, "estimate", token, "POST", json=options)
    assert status == 200
    assert (found["cost"], found["left"], found["covered"]) == (2, 2.5, True)
    assert found["by_class"] == {"small": 2, "medium": 2}
    assert found["sentence"] == (
        "This launch costs 2 SU at most, for 1 h; you pay for the time you use. "
        "2.5 of your 10 SU and 7.5 of the 15 SU that all members share are left."
    )
    status, found = await ask(hub, "estimate", token, "POST", json={**options, "runtime": "2h"})
    assert (status, found["covered"]) == (200, False)
    assert found["remedy"] == "Ask for at most 1 h 15 min, ask for 1 GPU, or start without a GPU."
    assert [check["limit"] for check in found["checks"]] == ["workspace.budget.per_member"] * 2


async def test_a_launch_without_budget_has_a_cost_and_no_bound(hub: RunningHub) -> None:
    token = await token_of(hub, "bob")
    status, found = await ask(hub, "estimate", token, "POST", json={"workspace": "everyone", "profile": "pytorch"})
    assert (status, found["cost"], found["left"], found["covered"]) == (200, 1, None, True)


async def test_an_estimate_of_nonsense_is_refused(hub: RunningHub) -> None:
    token = await token_of(hub, "ada")
    status, told = await ask(hub, "estimate", token, "POST", json={"profil": "pytorch"})
    assert (status, told["code"], told["remedy"]) == (400, "bad_request", "Did you mean 'profile'?")
    status, told = await ask(hub, "estimate", token, "POST", json=[])
    assert (status, told["code"]) == (400, "bad_request")
    status, told = await ask(hub, "estimate", ADMIN_TOKEN, "POST", json={})
    assert (status, told["reason"]) == (403, "Only members launch servers.")


async def test_a_member_sees_their_own_balance(hub: RunningHub) -> None:
    token = await token_of(hub, "ada")
    await spend(hub, 4, "ada")
    status, found = await ask(hub, "balance", token)
    assert status == 200
    assert [space["workspace"] for space in found["workspaces"]] == ["everyone", "lab"]
    everyone, lab = found["workspaces"]
    assert (everyone["member"], everyone["pool"], everyone["sentence"]) == (None, None, "")
    assert (lab["member"]["held"], lab["member"]["left"], lab["pool"]["left"]) == (4, 6, 11)


async def test_the_balance_of_others_is_for_those_who_may_read_their_workspace(hub: RunningHub) -> None:
    token = await token_of(hub, "ada")
    await token_of(hub, "bob")
    await token_of(hub, "eve")
    await spend(hub, 4, "eve")
    status, told = await ask(hub, "balance", token, params={"user": "eve"})
    assert (status, told["code"]) == (403, "forbidden")
    status, found = await ask(hub, "balance", AUDITOR_TOKEN, params={"user": "eve"})
    assert [space["workspace"] for space in found["workspaces"]] == ["lab"]
    assert found["workspaces"][0]["member"]["left"] == 6
    status, found = await ask(hub, "balance", AUDITOR_TOKEN, params={"user": "bob"})
    assert (status, found["workspaces"]) == (200, [])
    assert (await ask(hub, "balance", ADMIN_TOKEN, params={"user": "nobody"}))[0] == 404
    assert (await ask(hub, "balance", ADMIN_TOKEN))[1]["remedy"] == "Name a member: ?user=NAME."


async def test_a_launch_that_is_not_covered_is_refused_with_what_fits(hub: RunningHub) -> None:
    await token_of(hub, "ada")
    await spend(hub, 9.5, "ada")
    options = {"workspace": "lab", "profile": "pytorch", "gpu_class": "small", "runtime": "1h"}
    answer = await hub.api("POST", "users/ada/server", json=options)
    told = (await answer.json())["message"]
    assert told == (
        "Not started: 1 Small GPU for 1 h costs 1 SU; of your 10 SU in The Lab, 0.5 SU are left. "
        "Ask for at most 30 min, or start without a GPU."
    )


async def test_without_javascript_the_form_shows_rates_balance_and_on_request_the_cost(hub: RunningHub) -> None:
    person = await hub.login("ada", "x")
    await spend(hub, 4, "ada")
    page = " ".join((await (await person.get("spawn")).text()).split())
    assert "1 SU per GPU and hour" in page
    assert "6 of your 10 SU and 11 of the 15 SU that all members share are left." in page
    (action,) = re.findall(r'formaction="([^"]+)"', page)
    chosen = {"workspace": "lab", "profile": "pytorch", "gpu_class": "small", "gpus": "2", "runtime_hours": "1.5"}
    answer = await person.session.post(hub.url.join(URL(html.unescape(action), encoded=True)), data=chosen)
    shown = " ".join((await answer.text()).split())
    assert answer.status == 200
    assert "PyTorch on 2 GPUs (Small)" in shown
    assert "This launch costs 3 SU at most, for 1 h 30 min" in shown
    assert '<input type="hidden" name="runtime_hours" value="1.5">' in shown
    assert ">Start</button>" in shown
    (start,) = re.findall(r'<form action="([^"]+)"', shown)
    started = await person.session.post(
        hub.url.join(URL(html.unescape(start), encoded=True)), data=chosen, allow_redirects=False
    )
    assert "spawn-pending/ada" in started.headers["Location"]


async def test_the_page_of_the_cost_offers_no_start_that_would_be_refused(hub: RunningHub) -> None:
    person = await hub.login("ada", "x")
    await spend(hub, 9.5, "ada")
    await person.get("spawn")
    token = person.xsrf_header()["X-XSRFToken"]
    page = (hub.url / "gpuspawner/cost").with_query({"to": "https://evil.example/spawn", "_xsrf": token})
    shown = await (await person.session.post(page, data={"workspace": "lab", "profile": "pytorch"})).text()
    assert "0.5 SU are left" in shown
    assert ">Start</button>" not in shown
    assert "evil" not in shown


async def test_what_cannot_be_asked_for_is_told_in_the_form_instead_of_its_cost(hub: RunningHub) -> None:
    person = await hub.login("ada", "x")
    await person.get("spawn")
    token = person.xsrf_header()["X-XSRFToken"]
    page = (hub.url / "gpuspawner/cost").with_query({"to": "https://evil.example/spawn", "_xsrf": token})
    answer = await person.session.post(page, data={"workspace": "lab", "profile": "<b>"})
    shown = await answer.text()
    assert answer.url.path == "/hub/spawn"
    assert "is not on offer" in shown
    assert 'id="spawn_form"' in shown
    assert "evil" not in shown
    assert "<b>" not in shown


async def test_the_cost_is_not_shown_where_nothing_is_paid(hub: RunningHub) -> None:
    person = await hub.login("bob", "x")
    page = await (await person.get("spawn")).text()
    assert "SU" not in page
    assert "gpuspawner/cost" not in page


async def test_a_launch_holds_what_was_shown_and_a_stop_gives_back_what_was_not_used(hub: RunningHub) -> None:
    token = await token_of(hub, "ada")
    options = {"workspace": "lab", "profile": "pytorch", "gpu_class": "any", "gpus": 2, "runtime": "2h"}
    _, shown = await ask(hub, "estimate", token, "POST", json=options)
    assert await launch(hub, "ada", options) == ""
    assert "; at most 4 SU" in hub.user("ada").spawner.launch_summary
    lab = (await ask(hub, "balance", token))[1]["workspaces"][1]
    assert (lab["member"]["held"], lab["pool"]["held"], shown["cost"]) == (4, 4, 4)
    await stop(hub, "ada")
    await launcher_of(hub, "ada").books.quiet()
    lab = (await ask(hub, "balance", token))[1]["workspaces"][1]
    assert lab["member"]["held"] == lab["pool"]["held"] == 0
    assert 0 <= lab["member"]["spent"] < 0.1
    assert lab["member"]["spent"] == lab["pool"]["spent"] == round(10 - lab["member"]["left"], 6)
