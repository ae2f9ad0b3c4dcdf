"""The Kubernetes API as raw JSON: one client for the whole hub, over the official library's connection layer."""

import asyncio
import json
import logging
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject

from gpuspawner.errors import ConfigurationError

from .connection import Connection, Credentials
from .wire import (
    ApiError,
    GarbledError,
    Raw,
    StaleError,
    UnreachableError,
    api_error,
    connection_words,
    frame,
    lines,
)

__all__ = ["ApiError", "Client", "Connection", "Raw", "UnreachableError"]

logger = logging.getLogger(__name__)

_GROUPS = {
    "daemonsets": "/apis/apps/v1",
    "deployments": "/apis/apps/v1",
    "deviceclasses": "/apis/resource.k8s.io/v1",
    "localqueues": "/apis/visibility.kueue.x-k8s.io/v1beta2",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "resourceclaims": "/apis/resource.k8s.io/v1",
    "resourceclaimtemplates": "/apis/resource.k8s.io/v1",
    "resourceslices": "/apis/resource.k8s.io/v1",
    "selfsubjectaccessreviews": "/apis/authorization.k8s.io/v1",
}
_CORE = "/api/v1"
_PATCH = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_RETRIES = 5
_LONGEST_RETRY_AFTER = 30.0
_CREDENTIALS_AGE = 10.0


class Client:
    """Requests to one Kubernetes API server.

    Every call raises ``ApiError`` for an answer that is an error and ``UnreachableError`` for none. Answers with
    a Retry-After (429, 503) are tried again a few times, as client-go does; a 401 reads the credentials again once,
    which covers rotated tokens, exec plugins and OIDC.

    Parameters
    ----------
    connection
        Where the API is.
    timeout
        Seconds one request may take; watches have their own limits.
    pod_tls
        How to speak with servers in pods that speak HTTPS.
    """

    def __init__(
        self,
        connection: Connection | None = None,
        *,
        timeout: float = 30.0,
        pod_tls: ssl.SSLContext | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.connection = connection or Connection()
        self.timeout = timeout
        self._sleep = sleep
        self._session: tuple[RESTClientObject, Credentials] | None = None
        self._pod_tls = pod_tls
        self._pods: aiohttp.ClientSession | None = None
        self._loaded = float("-inf")
        self._loading = asyncio.Lock()

    async def default_namespace(self) -> str | None:
        """The namespace of the service account or the kubeconfig's context, if it names one."""
        return (await self._ready())[1].namespace

    async def create(self, resource: str, namespace: str | None, manifest: Mapping[str, Any]) -> Raw:
        """Create an object; returns it as stored. ``ApiError`` 409 if it exists, 400 for a field that is not known.

        Without strict validation Kubernetes drops a misspelt field silently, and with it what it should have set.
        """
        return await self._json("POST", _path(resource, namespace), {"fieldValidation": "Strict"}, body=manifest)

    async def get(self, resource: str, namespace: str | None, name: str) -> Raw:
        """Read one object."""
        return await self._json("GET", _path(resource, namespace, name))

    async def list(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = None,
        continue_: str | None = None,
    ) -> Raw:
        """One page of a list; ``metadata.continue`` is there when more follow. Namespace None means all."""
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": limit,
            "continue": continue_,
        }
        return await self._json("GET", _path(resource, namespace), query)

    async def pages(
        self, resource: str, namespace: str | None = None, *, limit: int = 250, **selectors: str | None
    ) -> AsyncIterator[Raw]:
        """All pages of a list, ``limit`` objects each, so that no answer holds up the event loop for long."""
        token: str | None = None
        while True:
            page = await self.list(resource, namespace, limit=limit, continue_=token, **selectors)
            yield page
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return

    async def delete(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
    ) -> Raw:
        """Delete one object, only if it still has ``uid`` (409 otherwise). ``ApiError`` 404 if it is gone already."""
        options: Raw = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return await self._json("DELETE", _path(resource, namespace, name), body=options)

    async def patch(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        patch: object,
        *,
        content_type: str = _PATCH,
        subresource: str | None = None,
    ) -> Raw:
        """Change one object by a JSON merge patch, or by the kind of patch ``content_type`` names."""
        path = _path(resource, namespace, name, subresource)
        return await self._json("PATCH", path, body=patch, content_type=content_type)

    async def apply(self, resource: str, namespace: str | None, manifest: Mapping[str, Any]) -> Raw:
        """Make an object, or make one that is there what the manifest says, whoever has changed it: server-side apply.

        What others have added to it stays. Needs the rights to patch and to create.
        """
        query = {"fieldManager": "gpuspawner", "force": "true", "fieldValidation": "Strict"}
        path = _path(resource, namespace, manifest["metadata"]["name"])
        return await self._json("PATCH", path, query, body=manifest, content_type=_APPLY)

    async def pod_log(
        self,
        namespace: str,
        name: str,
        *,
        tail_lines: int = 20,
        container: str | None = None,
        previous: bool = False,
        limit_bytes: int = 16384,
    ) -> str:
        """The last lines of a container's log; with ``previous``, of its run before the last restart."""
        query = {"tailLines": tail_lines, "limitBytes": limit_bytes, "container": container}
        if previous:
            query["previous"] = "true"
        return (await self._request("GET", _path("pods", namespace, name, "log"), query)).decode(errors="replace")

    async def pending_workloads(self, namespace: str, queue: str) -> Raw:
        """Who waits in a LocalQueue of Kueue's; ``ApiError`` 404 where Kueue does not tell."""
        return await self._json("GET", _path("localqueues", namespace, queue, "pendingworkloads"))

    async def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_seconds: int = 300,
        read_timeout: float = 90.0,
        on_open: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[Raw, None]:
        """Frames ``{"type", "object"}`` of one watch, as they come, until the server ends it.

        ``on_open`` is called when the server has granted the watch.

        Empty lines are passed over. ``ApiError`` for a refusal and for an ERROR frame; ``StaleError`` when a watch
        is silent for ``read_timeout`` seconds; ``UnreachableError`` when the connection breaks, is not granted as soon
        as any request would be answered, or carries something that is not a frame.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "timeoutSeconds": timeout_seconds,
        }
        timeout = aiohttp.ClientTimeout(total=timeout_seconds + self.timeout, sock_connect=10, sock_read=read_timeout)
        try:
            async with asyncio.timeout(self.timeout):
                response = await self._open("GET", _path(resource, namespace), query, timeout=timeout)
            on_open()
            try:
                async for line in lines(response.content):
                    if line.strip():
                        yield frame(line)
            except aiohttp.SocketTimeoutError:
                raise StaleError(f"nothing was heard for {read_timeout:g} s") from None
            finally:
                response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(connection_words(error)) from None

    @property
    def pods(self) -> aiohttp.ClientSession:
        """For requests to servers in pods: one session for all, without credentials; no connection is kept open."""
        if self._pods is None:
            self._pods = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, force_close=True, resolver=aiohttp.ThreadedResolver(), ssl=self._pod_tls or True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=10),
            )
        return self._pods

    async def close(self) -> None:
        """Close the connections; requests in flight fail."""
        if self._pods is not None:
            await self._pods.close()
            self._pods = None
        session, self._session = self._session, None
        if session is not None:
            await session[0].close()

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        body: object = None,
        content_type: str = "application/json",
    ) -> Raw:
        data = await self._request(method, path, query, body=body, content_type=content_type)
        try:
            parsed = json.loads(data)
        except ValueError:
            raise GarbledError("the answer is not JSON: is this a Kubernetes API server?") from None
        if not isinstance(parsed, dict):
            raise GarbledError("the answer is not a Kubernetes object")
        return parsed

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        body: object = None,
        content_type: str = "application/json",
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=self.timeout, sock_connect=10)
        for attempt in range(_RETRIES + 1):
            try:
                response = await self._open(method, path, query, body=body, content_type=content_type, timeout=timeout)
                return await response.read()
            except ApiError as error:
                if error.retry_after is None or attempt == _RETRIES or not (error.status == 429 or error.status >= 500):
                    raise
                await self._sleep(min(error.retry_after, _LONGEST_RETRY_AFTER))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                # The original carries request headers, and so the token, in its repr.
                raise UnreachableError(connection_words(error)) from None
        raise AssertionError("unreachable")

    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        *,
        timeout: aiohttp.ClientTimeout,
        body: object = None,
        content_type: str = "application/json",
    ) -> aiohttp.ClientResponse:
        for attempt in (0, 1):
            rest, credentials = await self._ready()
            url = credentials.configuration.host + path
            chosen = {key: value for key, value in (query or {}).items() if value is not None}
            if chosen:
                url += "?" + urlencode(chosen)
            headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "gpuspawner"}
            auth = (await credentials.configuration.auth_settings()).get("BearerToken")
            if auth and auth["value"]:
                headers["Authorization"] = auth["value"]
            answer = await rest.request(method, url, headers=headers, body=body, _request_timeout=timeout)  # type: ignore[no-untyped-call]
            response: aiohttp.ClientResponse = answer.response
            if response.status < 300:
                return response
            error = await api_error(response)
            if not (error.status == 401 and attempt == 0 and await self._reload()):
                raise error
        raise AssertionError("unreachable")

    async def _ready(self) -> tuple[RESTClientObject, Credentials]:
        if self._session is None:
            async with self._loading:
                return self._session or await self._load()
        return self._session

    async def _load(self) -> tuple[RESTClientObject, Credentials]:
        credentials = await self.connection.load()
        self._loaded = time.monotonic()
        old = self._session
        if old and _tls(old[1]) == _tls(credentials):
            self._session = (old[0], credentials)
        else:
            self._session = (RESTClientObject(credentials.configuration), credentials)
            if old:
                await old[0].close()
        return self._session

    async def _reload(self) -> bool:
        """Read the credentials again after a 401, at most every 10 s; whether trying again makes sense."""
        seen = self._session
        async with self._loading:
            if self._session is not seen:
                return True
            if time.monotonic() - self._loaded < _CREDENTIALS_AGE:
                return False
            try:
                await self._load()
            except ConfigurationError as error:
                logger.warning("The Kubernetes API answers 401, and reading the credentials again failed: %s", error)
                return False
            return True


def _path(resource: str, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
    parts = [_GROUPS.get(resource, _CORE)]
    if namespace is not None:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(resource)
    parts += [quote(part, safe="") for part in (name, subresource) if part is not None]
    return "/".join(parts)


def _tls(credentials: Credentials) -> tuple[object, ...]:
    c = credentials.configuration
    return (c.ssl_ca_cert, c.ca_cert_data, c.cert_file, c.key_file, c.verify_ssl, c.tls_server_name, c.proxy)
