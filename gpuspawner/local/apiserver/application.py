"""The API server: an aiohttp application over a store."""

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import yaml
from aiohttp import web
from aiohttp.typedefs import Middleware

from gpuspawner.local.apiserver import discovery, openapi
from gpuspawner.local.apiserver.access.attributes import Attributes
from gpuspawner.local.apiserver.access.authorizer import Authorizer
from gpuspawner.local.apiserver.access.bootstrap import add_bootstrap_roles
from gpuspawner.local.apiserver.access.gate import GATE, USER, Gate, authenticate, authorize
from gpuspawner.local.apiserver.access.reviews import review
from gpuspawner.local.apiserver.access.tokens import ServiceAccountTokens, signing_key
from gpuspawner.local.apiserver.controllers import DRIVER, start_controllers
from gpuspawner.local.apiserver.listing import list_page
from gpuspawner.local.apiserver.operations import DeleteOptions, Operations, WriteOptions
from gpuspawner.local.apiserver.protobuf import PROTOBUF, decode_body
from gpuspawner.local.apiserver.rendering import dump, renderer
from gpuspawner.local.apiserver.requestinfo import RequestInfo, flag, parse_request
from gpuspawner.local.apiserver.scale import patch_scale, read_scale, replace_scale
from gpuspawner.local.apiserver.schema import DecodeError, decode, definition_name
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store, Stored
from gpuspawner.local.apiserver.watching import BOOKMARK_SECONDS, serve_watch
from gpuspawner.local.kubelet.pod_logs import LOG_PROVIDER, LogProvider, serve_log

__all__ = ["LOG_PROVIDER", "STORE", "LogProvider", "make_app"]

_LOG = logging.getLogger(__name__)
Handler = Callable[[web.Request], Any]
STORE = web.AppKey("store", Store)
_OPERATIONS = web.AppKey("operations", Operations)
_BOOKMARKS = web.AppKey("bookmark_seconds", float)
_HEALTH = ("/healthz", "/livez", "/readyz")
_MAX_BODY = 3 * 1024 * 1024
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)


def make_app(
    store: Store,
    token: str,
    *,
    tokens: ServiceAccountTokens | None = None,
    log_provider: LogProvider | None = None,
    ca: str = "",
    storage_class: str | None = "standard",
    bookmark_seconds: float = BOOKMARK_SECONDS,
    middlewares: Sequence[Middleware] = (),
) -> web.Application:
    """Build the API server's application.

    Parameters
    ----------
    store
        Holds the objects; the namespaces ``default`` and ``kube-system`` are added if missing.
    token
        The administrator's bearer token, of the group ``system:masters``.
    tokens
        Issues and recognises those of service accounts, who may do what roles say; by default with a key of its own.
    log_provider
        Tells where a container's log is.
    ca
        The certificate authority (PEM) that pods find in ``kube-root-ca.crt``.
    storage_class
        Name of the default StorageClass to add if there is none; None adds none, and claims stay Pending.
    bookmark_seconds
        How often a watch that allows it is told how far it has come.
    middlewares
        aiohttp middlewares around every authenticated request; tests of clients put failures there.
    """
    store.closed = False
    app = web.Application(middlewares=[_errors, authenticate, authorize, *middlewares], client_max_size=_MAX_BODY)
    app[STORE] = store
    authorizer = Authorizer(store)
    tokens = tokens or ServiceAccountTokens(store, signing_key())
    app[_OPERATIONS] = Operations(store)
    app[GATE] = Gate(token, tokens, authorizer)
    app[_BOOKMARKS] = bookmark_seconds
    app[LOG_PROVIDER] = log_provider or (lambda pod, container, previous: None)
    _furnish(store, storage_class)
    add_bootstrap_roles(store)
    stop = start_controllers(store, ca)
    app.on_shutdown.append(_close_watches)
    app.on_cleanup.append(partial(_stop, stop))
    for path in _HEALTH:
        app.router.add_get(path, _healthy)
    app.router.add_get("/version", _version)
    openapi.add_routes(app.router)
    app.router.add_route("*", "/{path:.*}", _serve)
    return app


async def _close_watches(app: web.Application) -> None:
    app[STORE].close()


async def _stop(stop: Callable[[], None], app: web.Application) -> None:
    stop()


def _furnish(store: Store, storage_class: str | None) -> None:
    for name in ("default", "kube-system"):
        if store.find("namespaces", None, name) is None:
            labels = {"kubernetes.io/metadata.name": name}
            namespace = {"metadata": {"name": name, "labels": labels}, "spec": {"finalizers": ["kubernetes"]}}
            store.create("namespaces", namespace | {"status": {"phase": "Active"}})
    classes = "storageclasses.storage.k8s.io"
    if storage_class and not store.items(classes):
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        kind: dict[str, Any] = {"metadata": {"name": storage_class, "annotations": annotations}, "provisioner": DRIVER}
        kind |= {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate", "allowVolumeExpansion": True}
        store.create(classes, kind)


def _answer(body: Any, status: int = 200, warnings: list[str] | None = None) -> web.Response:
    data = body if isinstance(body, bytes) else dump(body)
    response = web.Response(body=data, status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-cache, private"
    for warning in warnings or ():
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')
    return response


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except StatusError as error:
        return _answer(error.body, error.status)
    except web.HTTPRequestEntityTooLarge:
        message = f"Request entity too large: limit is {_MAX_BODY}"
        return _answer(StatusError(413, "RequestEntityTooLarge", message, {}).body, 413)
    except (web.HTTPException, ConnectionResetError):
        raise
    except Exception as error:  # noqa: BLE001 - a mistake of ours is answered as the API answers its own
        _LOG.exception("%s %s failed", request.method, request.path)
        message = f"Internal error occurred: {type(error).__name__}"
        return _answer(StatusError(500, "InternalError", message, {"causes": [{"message": str(error)}]}).body, 500)
    return response


async def _healthy(request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _version(request: web.Request) -> web.Response:
    return _answer(discovery.VERSION)


def _is_watch(request: web.Request) -> bool:
    return flag(request.query, "watch")


def _flag(request: web.Request, name: str) -> bool:
    return flag(request.query, name)


async def _serve(request: web.Request) -> web.StreamResponse:
    info = parse_request(request.method, request.path, _is_watch(request))
    if info is None:
        return _discover(request)
    serve = _SERVED.get((info.verb, info.subresource))
    nameless = info.name is None and info.verb in ("update", "patch")
    if serve is None or nameless or (not info.subresource and info.verb not in info.resource.verbs):
        raise StatusError.method_not_allowed(info.resource.key)
    response: web.StreamResponse = await serve(request, info)
    return response


def _discover(request: web.Request) -> web.Response:
    parts = [part for part in request.path.split("/") if part]
    found: Any = None
    if request.method != "GET" or not parts:
        found = None
    elif len(parts) == 1 and parts[0] in ("api", "apis"):
        core = parts[0] == "api"
        if "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" in request.headers.get("Accept", ""):
            response = _answer(discovery.group_discovery(core))
            response.headers["Content-Type"] = discovery.AGGREGATED
            return response
        found = discovery.api_versions(request.host) if core else discovery.api_groups()
    elif parts == ["api", "v1"]:
        found = discovery.api_resources("", "v1")
    elif parts[0] == "apis" and len(parts) == 2:
        found = discovery.api_group(parts[1])
    elif parts[0] == "apis" and len(parts) == 3:
        found = discovery.api_resources(parts[1], parts[2])
    if found is None:
        raise StatusError(404, "NotFound", "the server could not find the requested resource", {})
    return _answer(found)


def _renderer(request: web.Request, info: RequestInfo) -> Any:
    accept = request.headers.get("Accept", "")
    return renderer(request.app[STORE], info.resource, accept, request.query.get("includeObject", ""))


async def _get(request: web.Request, info: RequestInfo) -> web.Response:
    look = _renderer(request, info)
    store, resource = request.app[STORE], info.resource
    try:
        stored = store.stored(resource.stored_as, info.namespace, info.name or "")
    except StatusError:
        raise StatusError.not_found(resource.key, info.name or "") from None
    return _answer(look.one(stored))


async def _list(request: web.Request, info: RequestInfo) -> web.Response:
    look = _renderer(request, info)
    return _answer(look.page(list_page(request.app[STORE], info.resource, info.namespace, request.query)))


async def _watch(request: web.Request, info: RequestInfo) -> web.StreamResponse:
    return await serve_watch(request.app[STORE], request, info, _renderer(request, info), request.app[_BOOKMARKS])


async def _read(request: web.Request) -> Any:
    data = await request.read()
    if not data:
        return None
    kind = request.content_type
    if kind == PROTOBUF:
        return decode_body(data)
    if "yaml" in kind and not data.lstrip().startswith(b"{"):
        try:
            return yaml.safe_load(data)
        except yaml.YAMLError as error:
            raise StatusError.bad_request(f"error converting YAML to JSON: {error}") from None
    try:
        return json.loads(data)
    except ValueError as error:
        if not data.lstrip().startswith((b"{", b"[")) and "json" not in kind:
            message = "the body of the request was in an unknown format - accepted media types include: "
            raise StatusError.unsupported_media_type(f"{message}application/json, application/yaml") from None
        raise StatusError.bad_request(f"couldn't get version/kind; json parse error: {error}") from None


def _write_options(request: web.Request) -> WriteOptions:
    query = request.query
    dry_run = query.getall("dryRun", [])
    if dry_run and dry_run != ["All"]:
        raise StatusError.invalid(
            "CreateOptions.meta.k8s.io",
            "",
            [{"reason": "FieldValueNotSupported", "field": "dryRun",
              "message": f'Unsupported value: "{dry_run[0]}": supported values: "All"'}],
        )  # fmt: skip
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        raise StatusError.bad_request(f'fieldValidation: Unsupported value: "{validation}"')
    manager = query.get("fieldManager") or request.headers.get("User-Agent", "unknown").partition("/")[0]
    guard = partial(request.app[GATE].authorizer.guard_write, request[USER])
    return WriteOptions(bool(dry_run), validation, manager, _flag(request, "force"), guard=guard)


def _written(request: web.Request, info: RequestInfo, obj: Any, status: int, warnings: list[str]) -> web.Response:
    look = _renderer(request, info)
    body = dump(obj) if not look.form or obj.get("kind") == "Status" else look.one(Stored(obj))
    return _answer(body, status, warnings)


async def _create(request: web.Request, info: RequestInfo) -> web.Response:
    options = _write_options(request)
    body = await _read(request)
    gate, user = request.app[GATE], request[USER]
    reviewed = review(gate.authorizer, user, info.resource, body)
    if reviewed is not None:
        return _answer(reviewed, 201)
    if info.name is not None or (info.resource.namespaced and info.namespace is None):
        raise StatusError.method_not_allowed(info.resource.key)
    obj = request.app[_OPERATIONS].create(info.resource, info.namespace, body, options)
    return _written(request, info, obj, 201, options.warnings)


async def _update(request: web.Request, info: RequestInfo) -> web.Response:
    options = _write_options(request)
    body = await _read(request)
    operations = request.app[_OPERATIONS]
    obj = operations.replace(info.resource, info.namespace, info.name or "", body, options, info.subresource)
    return _written(request, info, obj, 200, options.warnings)


async def _patch(request: web.Request, info: RequestInfo) -> web.Response:
    options = _write_options(request)
    kind = request.content_type
    if kind not in _PATCHES:
        message = "the body of the request was in an unknown format - accepted media types include: "
        raise StatusError.unsupported_media_type(message + ", ".join(_PATCHES))
    body = await _read(request)
    if kind == _PATCHES[-1] and "fieldManager" not in request.query:
        cause = {"reason": "FieldValueRequired", "field": "fieldManager"}
        cause["message"] = "Required value: is required for apply patch"
        raise StatusError.invalid("PatchOptions.meta.k8s.io", "", [cause])
    if kind == _PATCHES[-1]:
        _require_create(request, info)
    operations = request.app[_OPERATIONS]
    name, part = info.name or "", info.subresource
    obj, created = operations.patch(info.resource, info.namespace, name, kind, body, options, part)
    return _written(request, info, obj, 201 if created else 200, options.warnings)


async def _read_scale(request: web.Request, info: RequestInfo) -> web.Response:
    return _answer(read_scale(request.app[_OPERATIONS], info.resource, info.namespace or "", info.name or ""))


async def _write_scale(request: web.Request, info: RequestInfo) -> web.Response:
    options, body = _write_options(request), await _read(request)
    operations, namespace, name = request.app[_OPERATIONS], info.namespace or "", info.name or ""
    if info.verb == "update":
        scale = replace_scale(operations, info.resource, namespace, name, body, options)
    else:
        scale = patch_scale(operations, info.resource, namespace, name, request.content_type, body, options)
    return _answer(scale, 200, options.warnings)


def _require_create(request: web.Request, info: RequestInfo) -> None:
    """An apply that would create an object needs the right to create it, too."""
    of, namespace, name = info.resource, info.namespace, info.name or ""
    if request.app[STORE].find(of.stored_as, namespace, name) is None:
        asked = Attributes("create", of.group, of.plural, info.subresource, namespace or "", name)
        request.app[GATE].authorizer.require(request[USER], asked)


async def _delete_options(request: web.Request) -> DeleteOptions:
    body = await _read(request) or {}
    if not isinstance(body, dict):
        raise StatusError.bad_request("the body of a deletion must be DeleteOptions")
    query = request.query
    grace = query.get("gracePeriodSeconds", body.get("gracePeriodSeconds"))
    preconditions = body.get("preconditions") or {}
    propagation = query.get("propagationPolicy") or body.get("propagationPolicy") or "Background"
    if _flag(request, "orphanDependents") or body.get("orphanDependents"):
        propagation = "Orphan"
    try:
        seconds = None if grace is None else int(grace)
    except (TypeError, ValueError):
        raise StatusError.bad_request(f"gracePeriodSeconds: {grace!r} is not a number of seconds") from None
    dry_run = bool(query.get("dryRun") or body.get("dryRun"))
    return DeleteOptions(seconds, preconditions.get("uid"), preconditions.get("resourceVersion"), propagation, dry_run)


async def _delete(request: web.Request, info: RequestInfo) -> web.Response:
    options = await _delete_options(request)
    obj = request.app[_OPERATIONS].delete(info.resource, info.namespace, info.name or "", options)
    return _written(request, info, obj, 200, [])


async def _delete_collection(request: web.Request, info: RequestInfo) -> web.Response:
    options = await _delete_options(request)
    page = list_page(request.app[STORE], info.resource, info.namespace, request.query)
    for stored in page.items:
        request.app[_OPERATIONS].delete(info.resource, stored.namespace or None, stored.name, options)
    return _answer(_renderer(request, info).page(page))


async def _evict(request: web.Request, info: RequestInfo) -> web.Response:
    body = await _read(request)
    dry_run = bool(request.query.get("dryRun"))
    operations = request.app[_OPERATIONS]
    done = operations.evict(info.namespace or "", info.name or "", body or {}, DeleteOptions(dry_run=dry_run))
    return _answer(done, 201)


async def _bind(request: web.Request, info: RequestInfo) -> web.Response:
    body = await _read(request)
    return _answer(request.app[_OPERATIONS].bind(info.namespace or "", info.name or "", body or {}), 201)


async def _token(request: web.Request, info: RequestInfo) -> web.Response:
    body = await _read(request)
    try:
        asked = decode(body, definition_name("authentication.k8s.io", "v1", "TokenRequest")).obj
    except DecodeError as error:
        where = 'TokenRequest in version "v1" cannot be handled as a TokenRequest'
        raise StatusError.bad_request(f"{where}: {error}") from None
    return _answer(request.app[GATE].tokens.answer(info.namespace or "", info.name or "", asked), 201)


async def _log(request: web.Request, info: RequestInfo) -> web.StreamResponse:
    pod = request.app[STORE].stored("pods", info.namespace, info.name or "").obj
    return await serve_log(request, pod, request.app[LOG_PROVIDER])


_SERVED: dict[tuple[str, str], Callable[[web.Request, RequestInfo], Any]] = {
    ("get", ""): _get,
    ("get", "status"): _get,
    ("get", "log"): _log,
    ("get", "scale"): _read_scale,
    ("update", "scale"): _write_scale,
    ("patch", "scale"): _write_scale,
    ("list", ""): _list,
    ("watch", ""): _watch,
    ("create", ""): _create,
    ("create", "binding"): _bind,
    ("create", "eviction"): _evict,
    ("create", "token"): _token,
    ("update", ""): _update,
    ("update", "status"): _update,
    ("update", "finalize"): _update,
    ("patch", ""): _patch,
    ("patch", "status"): _patch,
    ("delete", ""): _delete,
    ("deletecollection", ""): _delete_collection,
}
