"""Middlewares that let a request pass: who it comes from, and whether it may."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gpuspawner.local.apiserver.access.attributes import ANONYMOUS, MASTERS, User, attributes_of
from gpuspawner.local.apiserver.access.authorizer import Authorizer
from gpuspawner.local.apiserver.access.tokens import ServiceAccountTokens
from gpuspawner.local.apiserver.status import StatusError

__all__ = ["ADMINISTRATOR", "GATE", "USER", "Gate", "authenticate", "authorize"]

Handler = Callable[[web.Request], Any]
ADMINISTRATOR = User("gpuspawner:admin", (MASTERS, "system:authenticated"))
"""Whoever shows the engine's own token."""
USER: Any = web.RequestKey("user", User) if hasattr(web, "RequestKey") else "user"  # aiohttp 3.14 has keys
"""Under this key a request holds who sent it."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a request has to pass."""

    token: str
    """Of the administrator."""
    tokens: ServiceAccountTokens
    authorizer: Authorizer


GATE = web.AppKey("gate", Gate)


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find out who sends a request; 401 for credentials that are none."""
    gate = request.app[GATE]
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    shown = shown.strip()
    user: User | None = ANONYMOUS
    if scheme:
        user = None
        if scheme.lower() == "bearer":
            own = hmac.compare_digest(shown.encode(), gate.token.encode())
            user = ADMINISTRATOR if own else gate.tokens.user(shown)
    if user is None:
        raise StatusError(401, "Unauthorized", "Unauthorized")
    request[USER] = user
    response: web.StreamResponse = await handler(request)
    return response


@web.middleware
async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse with 403 what no role allows."""
    gate = request.app[GATE]
    gate.authorizer.require(request[USER], attributes_of(request.method, request.path, request.query))
    response: web.StreamResponse = await handler(request)
    return response
