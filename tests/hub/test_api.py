"""The base of the REST API: who is let in, XSRF, and errors as JSON with a reason and a remedy."""

from importlib import metadata
from typing import Any

import aiohttp
import pytest
from pydantic import Field
from running_hub import ADMIN_TOKEN, RunningHub

from gpuspawner.errors import DeniedError
from gpuspawner.limits.trace import Check, Unit
from gpuspawner.membership.roles import Action
from gpuspawner.schema import Schema
from gpuspawner.web.api.base import ApiHandler, NotFoundError

READ = Action.READ


class Asked(Schema):
    """What the handler of these tests takes."""

    count: int = Field(ge=1)
    title: str = ""


class Trial(ApiHandler):
    """Does what each test asks of it."""

    async def get(self, what: str) -> None:
        match what:
            case "denied":
                check = Check(limit="l", unit=Unit.GPUS, value=1, used=1, asked=1, allowed=False, rule="c.X")
                raise DeniedError("All are taken.", "Wait.", checks=[check])
            case "gone":
                raise NotFoundError("There is none.")
            case "broken":
                raise ValueError("a secret detail")
            case "read":
                self.require(READ, "lab")
            case "who":
                self.user_named("ada")
        self.answer({"asker": self.asker, "ada": self.is_self("ada"), "day": self.launcher.now().isoformat()[:2]})

    async def post(self, what: str) -> None:
        self.answer(self.body(Asked).model_dump(), 201)


@pytest.fixture
async def hub(start_gpu_hub: Any) -> RunningHub:
    """A hub with the API and one more handler."""
    return await start_gpu_hub(
        hub={
            "extra_handlers": [("/api/gpuspawner/trial/(.*)", Trial)],
            "custom_scopes": {READ: {"description": "read"}},
            "services": [
                {"name": "tests", "api_token": ADMIN_TOKEN},
                {"name": "dashboard", "api_token": "token-of-a-dashboard"},
                {"name": "lab-dashboard", "api_token": "token-of-the-lab-dashboard"},
            ],
            "load_groups": {"lab": {"users": []}},
            "load_roles": [
                {
                    "name": "tests",
                    "services": ["tests"],
                    "scopes": ["admin:users", "admin:groups", "admin:servers", "tokens", "shutdown"],
                },
                {"name": "lab", "services": ["lab-dashboard"], "scopes": [f"{READ}!group=lab"]},
            ],
        }
    )


async def ask(
    hub: RunningHub, path: str, token: str | None, method: str = "GET", **kwargs: Any
) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"token {token}"} if token else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        answer = await session.request(method, hub.url / "api/gpuspawner" / path, **kwargs)
        found: dict[str, Any] = await answer.json()
        return answer.status, found


async def test_the_api_tells_its_version_to_whoever_the_hub_knows(hub: RunningHub) -> None:
    assert await ask(hub, "", ADMIN_TOKEN) == (200, {"version": metadata.version("gpuspawner")})
    for token in (None, "nobody's"):
        status, told = await ask(hub, "", token)
        assert (status, told["code"], told["status"]) == (403, "forbidden", 403)
        assert told["remedy"] == "Log in, or send a token: Authorization: token TOKEN."


async def test_errors_are_json_with_a_reason_and_a_remedy(hub: RunningHub) -> None:
    status, told = await ask(hub, "trial/denied", ADMIN_TOKEN)
    assert (status, told["code"], told["reason"], told["remedy"]) == (403, "denied", "All are taken.", "Wait.")
    assert told["message"] == "All are taken. Wait."
    assert told["checks"][0]["rule"] == "c.X"
    status, told = await ask(hub, "trial/gone", ADMIN_TOKEN)
    assert (status, told["code"], told["reason"]) == (404, "not_found", "There is none.")
    status, told = await ask(hub, "trial/broken", ADMIN_TOKEN)
    assert (status, told["code"], told["remedy"]) == (500, "internal", "Tell the administrator; the log has it.")
    assert "secret" not in str(told)
    status, told = await ask(hub, "trial/x", ADMIN_TOKEN, "DELETE")
    assert (status, told["code"]) == (405, "method_not_allowed")


async def test_a_body_is_checked_and_every_mistake_is_told(hub: RunningHub) -> None:
    status, told = await ask(hub, "trial/x", ADMIN_TOKEN, "POST", json={"count": 2})
    assert (status, told) == (201, {"count": 2, "title": ""})
    status, told = await ask(hub, "trial/x", ADMIN_TOKEN, "POST", json={"count": 0, "titel": 1})
    assert (status, told["code"]) == (400, "bad_request")
    assert told["reason"] == (
        "The request cannot be understood: count: found 0, allowed: 1 or more; "
        "titel: unknown key; did you mean 'title'?."
    )
    for body in ("[]", "7", "no json"):
        status, told = await ask(hub, "trial/x", ADMIN_TOKEN, "POST", data=body)
        assert (status, told["code"]) == (400, "bad_request"), body


async def test_scopes_decide_who_may_look_into_which_workspace(hub: RunningHub) -> None:
    await hub.login("ada", "x")
    assert (await ask(hub, "trial/read", "token-of-the-lab-dashboard"))[1]["asker"] == "service:lab-dashboard"
    assert (await ask(hub, "trial/read", ADMIN_TOKEN))[0] == 200
    status, told = await ask(hub, "trial/read", "token-of-a-dashboard")
    assert (status, told["reason"]) == (403, "service:dashboard may not do this.")
    assert told["remedy"] == "It takes the scope custom:gpuspawner:read!group=lab."


async def test_a_browser_needs_the_xsrf_token_and_is_itself(hub: RunningHub) -> None:
    assert (await ask(hub, "trial/who", ADMIN_TOKEN))[0] == 404
    ada = await hub.login("ada", "x")
    page = "api/gpuspawner/trial/who"
    refused = await ada.get(page, headers={"Sec-Fetch-Mode": "cors"})
    assert (refused.status, (await refused.json())["code"]) == (403, "forbidden")
    answer = await ada.get(page, headers={"Sec-Fetch-Mode": "cors", **ada.xsrf_header()})
    assert await answer.json() == {"asker": "ada", "ada": True, "day": "20"}
    post = await ada.session.post(hub.url / "api/gpuspawner/trial/x", json={"count": 1})
    assert post.status == 403


async def test_a_hub_that_nobody_has_used_yet_says_so(hub: RunningHub) -> None:
    status, told = await ask(hub, "trial/x", ADMIN_TOKEN)
    assert (status, told["code"]) == (503, "unavailable")
