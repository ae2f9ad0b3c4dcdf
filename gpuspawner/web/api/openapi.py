"""``GET /openapi.json``: the OpenAPI document of the REST API, made from what its handlers declare."""

import json
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, ClassVar

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from gpuspawner.web.api.answers import Error
from gpuspawner.web.api.base import ApiHandler
from gpuspawner.web.api.operations import JSON, Operation, Operations, Route

__all__ = ["DocumentHandler", "document"]

Types = Mapping[tuple[Any, JsonSchemaMode], dict[str, Any]]

_REFERENCE = re.compile(r'"#/components/schemas/([^"]+)"')
_PARAMETERS = {
    "user_name": ("The name of a user, as JupyterHub has it.", "ada"),
    "server_name": ("The name of a named server; the path without it is for the default one.", "two"),
    "grant_id": ("The `id` of a grant.", "0123456789abcdef0123456789abcdef"),
    "workspace": ("The name of a workspace, as the configuration has it.", "cse151a"),
}
_ERRORS = {
    400: "What was sent cannot be understood; `reason` names every mistake in it.",
    403: "Whoever asks is not known, or may not do this, or the launch is refused; `remedy` says what it takes.",
    404: "What the path or the request names does not exist.",
    409: "It cannot be done in the state that things are in.",
    500: "It failed; `reason` says why.",
    503: "The hub cannot answer just now; ask again later.",
}
_ABOUT = """\
What the pages of gpuspawner show and do, for programs.

Times are RFC 3339, durations are seconds, memory is bytes, CPU is cores, and service units are numbers in SU.
Lists come in pages: `limit` says how many, and `next` of one page is `after` of the following.
Every refusal is JSON with `code` for programs, and `reason` and `remedy` for people.
A page of the hub's own origin asks with its cookies and the header `X-XSRFToken`; programs ask with a token."""


def document(routes: Sequence[Route], base_url: str = "/hub/") -> dict[str, Any]:
    """The document, OpenAPI 3.1. ``base_url`` is the hub's own, with a slash at its end."""
    declared = [(route, method, found) for route in routes for method, found in route.handler.operations.items()]
    types, schemas = _schemas([operation for _, _, operation in declared])
    paths: dict[str, dict[str, Any]] = {}
    for route, method, operation in declared:
        paths.setdefault(route.path, {})[method.lower()] = _operation(route, method, operation, types, schemas)
    scopes = sorted({scope for _, _, operation in declared for scope in operation.scopes})
    responses = {
        str(status): {"description": said, "content": {JSON: {"schema": types[(Error, "serialization")]}}}
        for status, said in _ERRORS.items()
    }
    used = _used(schemas, [paths, responses])
    return {
        "openapi": "3.1.0",
        "info": {"title": "gpuspawner", "version": metadata.version("gpuspawner"), "description": _ABOUT},
        "servers": [{"url": f"{base_url}api/gpuspawner"}],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name in used},
            "responses": responses,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": f"A token of JupyterHub. Its scopes decide: {', '.join(scopes)}.",
                }
            },
        },
    }


def _schemas(operations: Sequence[Operation]) -> tuple[Types, dict[str, Any]]:
    """The schema of each type that is used, and those they refer to, by name."""
    used: dict[tuple[Any, JsonSchemaMode], None] = {(Error, "serialization"): None}
    for operation in operations:
        used.update({(sent, "validation"): None for sent in (operation.query, operation.body) if sent is not None})
        if operation.answer is not None:
            used[(operation.answer, "serialization")] = None
    inputs = [((kind, mode), mode, TypeAdapter(kind)) for kind, mode in used]
    found, definitions = TypeAdapter.json_schemas(
        [(index, mode, adapter) for index, (_, mode, adapter) in enumerate(inputs)],
        ref_template="#/components/schemas/{model}",
    )
    types = {key: found[(index, mode)] for index, (key, mode, _) in enumerate(inputs)}
    return types, definitions.get("$defs", {})


def _used(schemas: Mapping[str, Any], by: Any) -> set[str]:
    """The names of the schemas that something refers to, directly or not."""
    found, ahead = set[str](), [by]
    while ahead:
        names = set(_REFERENCE.findall(json.dumps(ahead.pop()))) - found
        found |= names
        ahead += [schemas[name] for name in names]
    return found


def _operation(
    route: Route, method: str, operation: Operation, types: Types, schemas: Mapping[str, Any]
) -> dict[str, Any]:
    errors = {403, *operation.errors, *([400] if operation.query or operation.body else [])}
    found: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *route.path.replace("{", "").replace("}", "").strip("/").split("/")]),
        "tags": [route.path.strip("/").split("/")[0].partition(".")[0] or "version"],
        "summary": operation.summary,
        "security": [{"token": [scope]} for scope in operation.scopes] or [{"token": []}],
        "parameters": [
            *(_in_path(name) for name in route.parameters),
            *(_in_query(operation, types, schemas) if operation.query is not None else ()),
        ],
        "responses": {
            **{str(status): _answer(status, said, operation, types) for status, said in operation.statuses.items()},
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)},
        },
    }
    if operation.description:
        found["description"] = operation.description
    if operation.body is not None:
        schema = types[(operation.body, "validation")]
        needed = bool(_resolved(schema, schemas).get("required"))
        content = {"schema": schema, **({"example": dict(operation.example)} if operation.example else {})}
        found["requestBody"] = {"required": needed, "content": {JSON: content}}
    return found


def _answer(status: int, said: str, operation: Operation, types: Types) -> dict[str, Any]:
    if status == 204 or operation.answer is None:
        return {"description": said}
    schema = types[(operation.answer, "serialization")]
    return {
        "description": said,
        "content": {media: {"schema": schema if media == JSON else {"type": "string"}} for media in operation.media},
    }


def _in_path(name: str) -> dict[str, Any]:
    said, example = _PARAMETERS[name]
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "description": said, "schema": schema, "example": example}


def _in_query(operation: Operation, types: Types, schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    model = _resolved(types[(operation.query, "validation")], schemas)
    examples = {} if operation.body is not None else operation.example
    return [
        {
            "name": name,
            "in": "query",
            "required": name in model.get("required", ()),
            "description": found.get("description", ""),
            "schema": {key: value for key, value in _plain(found).items() if key not in ("description", "title")},
            **({"example": examples[name]} if name in examples else {}),
        }
        for name, found in model["properties"].items()
    ]


def _plain(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """In a query, what may be None is what may be absent."""
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) != 1 or len(choices) == len(schema["anyOf"]):
        return schema
    return {**{key: value for key, value in schema.items() if key not in ("anyOf", "default")}, **choices[0]}


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = schemas[name] if name else schema
    return found


class DocumentHandler(ApiHandler):
    """Describes the REST API to programs."""

    operations: ClassVar[Operations] = {
        "GET": Operation(summary="This document: OpenAPI 3.1, in JSON.", answer=dict[str, Any]),
    }

    def initialize(self, routes: Sequence[Route]) -> None:
        """Overrides Tornado's; ``routes`` are all of the API."""
        super().initialize()
        self._routes = routes

    async def get(self) -> None:
        """The document."""
        self.answer(document(self._routes, self.hub.base_url))
