"""OpenAPI as far as kubectl asks for it: version 3 per group, and version 2."""

from functools import cache
from typing import Any

from aiohttp import web

from gpuspawner.local.apiserver.protobuf import encode_openapi
from gpuspawner.local.apiserver.rendering import dump
from gpuspawner.local.apiserver.resources import RESOURCES, Resource
from gpuspawner.local.apiserver.schema import definition_name, definitions
from gpuspawner.local.apiserver.status import StatusError

__all__ = ["add_routes"]

Object = dict[str, Any]
_WRITES = {"create": "post", "update": "put", "patch": "patch"}
_V2_REF, _V3_REF = "#/definitions/", "#/components/schemas/"


def add_routes(router: web.UrlDispatcher) -> None:
    """Serve ``/openapi/v2`` and ``/openapi/v3``."""
    router.add_get("/openapi/v2", _v2)
    router.add_get("/openapi/v3", _v3_index)
    router.add_get("/openapi/v3/{path:.+}", _v3)


def _group_path(resource: Resource) -> str:
    return f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"


def _kind(resource: Resource) -> Object:
    return {"group": resource.group, "kind": resource.kind, "version": resource.version}


def _parameter(name: str, version: int) -> Object:
    of: Object = {"schema": {"type": "string"}} if version == 3 else {"type": "string"}
    return {"in": "query", "name": name} | of


def _paths(resource: Resource, version: int) -> Object:
    """Describe which writes take ``fieldValidation`` and ``dryRun``; kubectl looks for nothing else."""
    base = f"/{_group_path(resource)}" + ("/namespaces/{namespace}" if resource.namespaced else "")
    parameters = [_parameter(name, version) for name in ("dryRun", "fieldManager", "fieldValidation")]
    paths: Object = {}
    for verb, method in _WRITES.items():
        if verb in resource.verbs:
            path = f"{base}/{resource.plural}" + ("" if verb == "create" else "/{name}")
            about = {"x-kubernetes-action": verb, "x-kubernetes-group-version-kind": _kind(resource)}
            operation = {"parameters": parameters, "responses": {"200": {"description": "OK"}}}
            paths.setdefault(path, {})[method] = operation | about
    return paths


def _reachable(names: list[str]) -> dict[str, Object]:
    found: dict[str, Object] = {}
    while names:
        name = names.pop()
        if name not in found:
            found[name] = definitions()[name]
            names += _references(found[name])
    return found


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"].removeprefix(_V2_REF)] if isinstance(value.get("$ref"), str) else []
    return own + [name for item in value.values() for name in _references(item)]


@cache
def _v3_document(path: str) -> bytes | None:
    served = [resource for resource in RESOURCES if _group_path(resource) == path]
    if not served:
        return None
    paths: Object = {}
    for resource in served:
        paths |= _paths(resource, 3)
    schemas = _reachable([definition_name(one.group, one.version, one.kind) for one in served])
    document = {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}, "paths": paths}
    return dump(document | {"components": {"schemas": schemas}}).replace(_V2_REF.encode(), _V3_REF.encode())


async def _v3_index(request: web.Request) -> web.Response:
    groups = sorted({_group_path(resource) for resource in RESOURCES})
    paths = {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in groups}
    return web.Response(body=dump({"paths": paths}), content_type="application/json")


async def _v3(request: web.Request) -> web.Response:
    document = _v3_document(request.match_info["path"])
    if document is None:
        raise StatusError(404, "NotFound", "the server could not find the requested resource", {})
    return web.Response(body=document, content_type="application/json")


def _v2_document() -> Object:
    paths: Object = {}
    for resource in RESOURCES:
        paths |= _paths(resource, 2)
    document = {"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}, "paths": paths}
    return document | {"definitions": definitions()}


@cache
def _v2_json() -> bytes:
    return dump(_v2_document())


@cache
def _v2_protobuf() -> bytes:
    return encode_openapi(_v2_document())


async def _v2(request: web.Request) -> web.Response:
    if "com.github.proto-openapi.spec.v2" in request.headers.get("Accept", ""):
        return web.Response(
            body=_v2_protobuf(), content_type="application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        )
    return web.Response(body=_v2_json(), content_type="application/json")
