"""What comes over the wire from a Kubernetes API server: its errors, and the frames of a watch."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Self

import aiohttp

__all__ = [
    "ApiError",
    "GarbledError",
    "Raw",
    "StaleError",
    "StreamError",
    "UnreachableError",
    "api_error",
    "connection_words",
    "frame",
    "lines",
]

Raw = dict[str, Any]
"""An object of the Kubernetes API as its JSON."""

_CHUNK = 2**16


class ApiError(Exception):
    """The API server answered with an error: its v1.Status in fields.

    ``status`` is the HTTP status, ``reason`` Kubernetes' word ("AlreadyExists"), ``message`` its sentence,
    ``details`` the Status' details (causes, name, kind), ``retry_after`` seconds or None.
    """

    def __init__(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        self.retry_after = retry_after
        super().__init__(f"{status} {reason}: {message}"[:2000])

    @property
    def gone(self) -> bool:
        """Whether a resourceVersion or continue token is too old, so that a new list is needed."""
        return self.status == 410 or self.reason in ("Expired", "Gone")

    @classmethod
    def from_status(cls, status: int, body: object, headers: Mapping[str, str] | None = None) -> Self:
        """The error of a response: ``body`` is a parsed v1.Status, or whatever text a proxy answered instead."""
        retry_after = _retry_after(headers or {})
        if not isinstance(body, dict):
            text = body if isinstance(body, str) else ""
            return cls(status, "", text[:500], retry_after=retry_after)
        details = body.get("details")
        details = details if isinstance(details, dict) else {}
        seconds = details.get("retryAfterSeconds")
        if retry_after is None and isinstance(seconds, int | float):
            retry_after = float(seconds)
        code = body.get("code")
        return cls(
            code if isinstance(code, int) and code else status,
            str(body.get("reason") or ""),
            str(body.get("message") or ""),
            details,
            retry_after,
        )


class StreamError(ApiError):
    """A watch that had been granted carried an ERROR event."""


class UnreachableError(Exception):
    """No answer: no connection, a connection that broke, a time-out, or bytes that are not the API's."""


class StaleError(UnreachableError):
    """A watch that had been granted has been silent too long: half-open, or the server feeds it no more."""


class GarbledError(UnreachableError):
    """The connection stands, and what it carries is not the Kubernetes API."""


async def api_error(response: aiohttp.ClientResponse) -> ApiError:
    """The error an answer carries; reads and releases it."""
    text = (await response.content.read(2**20)).decode(errors="replace")
    response.release()
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    return ApiError.from_status(response.status, body, response.headers)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


async def lines(content: aiohttp.StreamReader) -> AsyncIterator[bytearray]:
    """Lines of any length, however they are cut into packets; the loop gets its turn after each full chunk."""
    rest = bytearray()
    async for chunk in content.iter_chunked(_CHUNK):
        rest += chunk
        if b"\n" in chunk:
            *whole, rest = rest.split(b"\n")
            for line in whole:
                yield line
        if len(chunk) == _CHUNK:
            await asyncio.sleep(0)
    if rest.strip():
        yield rest


def frame(line: bytearray) -> Raw:
    """One event of a watch; raises ``StreamError`` for an ERROR event, ``GarbledError`` for what is none."""
    try:
        parsed = json.loads(line)
    except ValueError:
        raise GarbledError("the watch carried something that is not JSON") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("object"), dict):
        raise GarbledError("the watch carried something that is not an event")
    if parsed.get("type") == "ERROR":
        raise StreamError.from_status(500, parsed["object"])
    return parsed


def connection_words(error: BaseException) -> str:
    """What happened to the connection; never the request, whose headers hold the token."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        why = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else str(cause)
        return f"no connection to {error.host}:{error.port}: {why}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection broke in the middle of an answer"
    return type(error).__name__
