"""A running hub answers as its OpenAPI document says, whatever it is asked, and asks for the scopes it names."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import requests
import schemathesis
from cluster import SECTION
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from launching import launch
from running_hub import ADMIN_TOKEN, RunningHub
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from gpuspawner.web.api import ROUTES
from gpuspawner.web.api.openapi import document
from gpuspawner.web.api.operations import Operation, Route

STRANGER_TOKEN = "token-of-a-service-without-any-scope"
WORKSPACES = {
    "everyone": {"members": "*", "quota": {"small": 2}, "per_member": {"servers": 3}},
    "cse151a": {
        "display_name": "CSE 151A",
        "members": ["ada", "eve"],
        "managers": ["prof"],
        "quota": {"medium": 2, "small": 2},
        "budget": {"per_member": 100, "pool": 500, "renews": "weekly"},
        "exceptions": [{"from": "2026-11-30", "to": "2099-12-04", "quota": {"medium": 24}}],
    },
}
EXAMPLES = 3
"""Of each operation and way to make them, of each who asks."""
AT_RANDOM = ("ada", "administrator")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXTENDABLE = {"pytorch": {**SECTION["profiles"]["pytorch"], "extend_to": "24h"}, "cpu": SECTION["profiles"]["cpu"]}
REAL = {"user_name": ["ada", "eve"], "server_name": ["two"], "workspace": ["cse151a", "everyone"]}
LAST = ("stop", "extend")


OPERATIONS = [(route, method, operation) for route in ROUTES for method, operation in route.handler.operations.items()]
TOKEN_OF = {
    scope: f"token-of-a-service-that-has-{scope}".replace(":", "-")
    for scope in {scope for _, _, operation in OPERATIONS for scope in operation.scopes}
    if not scope.endswith("!user")
}


@pytest.fixture
async def hub(start_gpu_hub: Any) -> RunningHub:
    """A hub with a workspace that has a budget, and the running servers of two members."""
    scopes = {token: scope for scope, token in TOKEN_OF.items()}
    services = {"tests": ADMIN_TOKEN, "stranger": STRANGER_TOKEN} | {
        f"has-{n}": token for n, token in enumerate(scopes)
    }
    hub: RunningHub = await start_gpu_hub(
        workspaces=WORKSPACES,
        profiles=EXTENDABLE,
        idle={"after": "30m"},
        hub={
            "services": [{"name": name, "api_token": token} for name, token in services.items()],
            "load_roles": [
                {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "tokens"]},
                *(
                    {"name": f"role-{n}", "services": [f"has-{n}"], "scopes": [scope]}
                    for n, scope in enumerate(scopes.values())
                ),
            ],
        },
    )
    for user in ("ada", "eve", "prof"):
        await hub.login(user, "x")
    for user, server in (("ada", ""), ("eve", "two"), ("ada", "two")):
        options = {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "any"}
        assert await launch(hub, user, options, server=server) == ""
    return hub


def strategies(operation: APIOperation[Any, Any, Any, Any], grant: str) -> Iterator[tuple[str, st.SearchStrategy[Any]]]:
    """Ways to ask: the documented example, at random within the document, at random beside it."""
    names = [found["name"] for found in operation.definition.raw.get("parameters", ()) if found["in"] == "path"]
    real = {**REAL, "grant_id": [grant]}
    places = [{name: real[name][index % len(real[name])] for name in names} for index in range(2 if names else 1)]
    body = operation.definition.raw.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    query = {
        found["name"]: found["example"]
        for found in operation.definition.raw.get("parameters", ())
        if found["in"] == "query" and "example" in found
    }
    for place in places:
        fixed = {"path_parameters": place, **({"body": body} if body else {})}
        yield "example", st.builds(operation.Case, **{k: st.just(v) for k, v in {**fixed, "query": query}.items()})
    if names:
        yield "real", st.sampled_from(places).flatmap(lambda place: operation.as_strategy(path_parameters=place))
    yield "random", operation.as_strategy()
    if operation.query or operation.body:
        yield "wrong", operation.as_strategy(schemathesis.GenerationMode.NEGATIVE, path_parameters=places[0])


class Conversation:
    """Asks a hub, as several people, and keeps what was answered and what of it does not conform."""

    def __init__(self, url: str, tokens: dict[str, str], grant: str) -> None:
        self.url, self.tokens, self.grant = url, tokens, grant
        self.statuses = defaultdict[str, set[int]](set)
        self.wrong: dict[str, str] = {}

    def hold(self) -> None:
        schema = schemathesis.openapi.from_dict(document(ROUTES))
        schema.validate()  # against OpenAPI's own schema
        operations = [found.ok() for found in schema.get_all_operations()]
        with requests.Session() as session:
            for operation in sorted(operations, key=lambda one: one.path.endswith(LAST)):
                for who in self.tokens:
                    for how, strategy in strategies(operation, self.grant):
                        if who in AT_RANDOM or how in ("example", "real"):
                            self._ask(session, who, how, strategy)

    def _ask(self, session: requests.Session, who: str, how: str, strategy: st.SearchStrategy[Any]) -> None:
        @settings(
            max_examples=1 if how == "example" else EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def ask(case: Any) -> None:
            headers = {"Authorization": f"token {self.tokens[who]}"}
            answer = case.call(base_url=self.url, session=session, headers=headers, timeout=20)
            label = case.operation.label
            self.statuses[label].add(answer.status_code)
            checks = [*CHECKS, negative_data_rejection] if how == "wrong" else CHECKS
            try:
                case.validate_response(answer, checks=checks)
            except (Failure, FailureGroup) as failure:
                told = "; ".join(map(str, getattr(failure, "exceptions", [failure])))
                said = f"{who}, {how}: {answer.request.url} {answer.request.body!r}"
                self.wrong.setdefault(label, f"{said}: {answer.status_code} {answer.text[:300]}\n{told[:1000]}")

        ask()


async def test_every_operation_answers_as_the_document_says(hub: RunningHub) -> None:
    given = {"workspace": "cse151a", "user": "ada", "units": 5, "reason": "Project week"}
    grant = (await (await hub.api("POST", "gpuspawner/grants", json=given)).json())["id"]
    tokens = {name: hub.user(name).new_api_token() for name in ("ada", "prof")} | {"administrator": ADMIN_TOKEN}
    talk = Conversation(str(hub.url / "api/gpuspawner"), tokens, grant)
    await asyncio.to_thread(talk.hold)
    assert not talk.wrong, "\n\n".join(f"{label} {said}" for label, said in talk.wrong.items())
    unseen = [label for label, seen in talk.statuses.items() if not any(status < 300 for status in seen)]
    assert unseen == [], "operations that never succeeded: give them an example that does"


async def code_of(hub: RunningHub, token: str, route: Route, method: str, operation: Operation) -> str:
    """The kind of refusal that the documented example meets with; empty where it is granted."""
    place = {name: REAL[name][0] if name in REAL else "0" * 32 for name in route.parameters}
    sent = {"json": dict(operation.example)} if operation.body else {"params": dict(operation.example)}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session,
        session.request(method, f"{hub.url}api/gpuspawner{route.path.format(**place)}", **sent) as answer,
    ):
        return "" if answer.status < 300 else str((await answer.json())["code"])


async def test_an_operation_takes_one_of_the_scopes_it_names_and_nothing_less(hub: RunningHub) -> None:
    ada = hub.user("ada")
    names_her = ada.new_api_token(scopes=["read:users:name!user=ada"])
    for route, method, operation in sorted(OPERATIONS, key=lambda one: one[0].path.endswith(LAST)):
        asked = route, method, operation
        label = f"{method} {route.path}"
        for token in (STRANGER_TOKEN, names_her):
            assert (await code_of(hub, token, *asked) == "forbidden") is bool(operation.scopes), label
        assert await code_of(hub, "no token at all", *asked) == "forbidden", label
        for scope in operation.scopes:
            mine = f"{scope}=ada"
            token = ada.new_api_token(scopes=[mine]) if scope.endswith("!user") else TOKEN_OF[scope]
            assert await code_of(hub, token, *asked) != "forbidden", f"{label} {scope}"
