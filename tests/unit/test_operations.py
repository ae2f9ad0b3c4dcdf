"""Every handler of the REST API declares what it takes and answers; the OpenAPI document is made from that."""

import inspect
import re

import pytest
from tornado.web import RequestHandler

from gpuspawner.web.api import ROUTES, api_handlers
from gpuspawner.web.api.openapi import document
from gpuspawner.web.api.operations import OWN, Operation, Route

METHODS = ("get", "post", "put", "patch", "delete")
DECLARED = [
    pytest.param(route, method, operation, id=f"{method} {route.path}")
    for route in ROUTES
    for method, operation in route.handler.operations.items()
]


def implemented(handler: type) -> set[str]:
    return {name.upper() for name in METHODS if getattr(handler, name) is not getattr(RequestHandler, name)}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_a_handler_declares_exactly_the_methods_it_has(route: Route) -> None:
    assert implemented(route.handler) == set(route.handler.operations)


@pytest.mark.parametrize(("route", "method", "operation"), DECLARED)
def test_an_operation_says_what_it_is_and_takes_what_its_path_names(
    route: Route, method: str, operation: Operation
) -> None:
    assert operation.summary.endswith(".")
    assert set(route.parameters) <= set(inspect.signature(getattr(route.handler, method.lower())).parameters)
    known = ("custom:gpuspawner:", "servers", "delete:servers", *OWN)
    assert all(scope.startswith(known) for scope in operation.scopes), operation.scopes
    assert (operation.answer is None) <= (set(operation.statuses) <= {202, 204})


def test_each_path_is_answered_by_its_own_handler() -> None:
    patterns = [(re.compile(f"{found[0]}$"), found[1]) for found in api_handlers()]
    for route in ROUTES:
        path = "/api/gpuspawner" + re.sub(r"\{(\w+)\}", "a", route.path)
        assert next(handler for pattern, handler in patterns if pattern.match(path)) is route.handler, path


def test_the_document_has_each_operation_once_and_refers_to_nothing_that_is_not_there() -> None:
    found = document(ROUTES, "/hub/")
    operations = [one for path in found["paths"].values() for one in path.values()]
    assert len(operations) == len(DECLARED)
    assert len({one["operationId"] for one in operations}) == len(operations)
    refers = set(re.findall(r"'#/components/schemas/([^']+)'", repr(found)))
    assert refers == set(found["components"]["schemas"])
    assert all("__" not in name for name in refers), "two models of one name"
    assert found["servers"] == [{"url": "/hub/api/gpuspawner"}]


def test_what_a_handler_sends_is_described_for_people() -> None:
    schemas = document(ROUTES)["components"]["schemas"]
    assert [name for name, schema in schemas.items() if not schema.get("description")] == []
