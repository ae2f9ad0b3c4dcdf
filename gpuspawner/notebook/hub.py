"""The hub of this server, by what the server's environment says of it: questions with the server's own token."""

import json
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

__all__ = ["Events", "Hub", "HubError", "client_context"]

_PATIENCE = 20.0
"""Seconds."""


class HubError(Exception):
    """The hub did not answer as asked; ``reason`` and ``remedy`` are sentences for whoever reads them.

    ``status`` is that of its answer; None where there was none.
    """

    def __init__(self, reason: str, remedy: str = "", status: int | None = None) -> None:
        self.reason = reason
        self.remedy = remedy
        self.status = status
        super().__init__(f"{reason} {remedy}".rstrip())


@dataclass(frozen=True, slots=True)
class Hub:
    """Where the hub of this server is, and who this server is there.

    Attributes
    ----------
    api
        The URL of its REST API, as this server reaches it.
    pages
        The URL of its pages, as a browser reaches it, with a slash at the end.
    user, server
        Whose server this is, and its name; ``""`` is the default one.
    """

    api: str
    token: str
    pages: str
    user: str
    server: str
    context: ssl.SSLContext | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Hub | None":
        """The hub that has started this server; None where none has."""
        api, token, user = (environment.get(f"JUPYTERHUB_{name}", "") for name in ("API_URL", "API_TOKEN", "USER"))
        if not (api and token and user):
            return None
        pages = environment.get("JUPYTERHUB_PUBLIC_HUB_URL") or (
            environment.get("JUPYTERHUB_HOST", "") + environment.get("JUPYTERHUB_BASE_URL", "/").rstrip("/") + "/hub/"
        )
        name = environment.get("JUPYTERHUB_SERVER_NAME", "")
        return cls(api.rstrip("/"), token, f"{pages.rstrip('/')}/", user, name, client_context(environment))

    @property
    def sessions(self) -> str:
        """The path of the running servers of this user."""
        return f"sessions/{quote(self.user, safe='')}"

    @property
    def session(self) -> str:
        """The path of this server among them."""
        return f"{self.sessions}/{quote(self.server, safe='')}"

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The hub's answer, ``path`` being one below ``/hub/api/gpuspawner/``. Raises ``HubError``."""
        try:
            answer = await AsyncHTTPClient().fetch(
                self._request(path, method=method, body=None if body is None else json.dumps(body))
            )
            found: dict[str, Any] = json.loads(answer.body)
        except HTTPClientError as error:
            raise _said(error) from error
        except (OSError, ValueError) as error:
            raise _silent() from error
        return found

    async def listen(self, path: str, after: str, heard: Callable[[str, dict[str, Any]], None], within: float) -> None:
        """Tell ``heard`` the name and data of each event of a stream, until it ends or ``within`` seconds are over.

        ``after`` is the id of the event that is known already. Raises ``HubError``.
        """
        events = Events(heard)
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
        client = AsyncHTTPClient(force_instance=True)
        try:
            await client.fetch(
                self._request(path, headers=headers, request_timeout=within, streaming_callback=events.read)
            )
        except HTTPClientError as error:
            if error.code != 599:  # tornado's own: its time is over, or the hub has left
                raise _said(error) from error
        except OSError as error:
            raise _silent() from error
        finally:
            client.close()

    def _request(self, path: str, headers: Mapping[str, str] | None = None, **how: Any) -> HTTPRequest:
        return HTTPRequest(
            f"{self.api}/gpuspawner/{path}",
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json", **(headers or {})},
            ssl_options=self.context,
            **{"request_timeout": _PATIENCE, **how},
        )


class Events:
    """Reads server-sent events (WHATWG HTML, section 9.2) from pieces of a stream, of those that the hub sends."""

    def __init__(self, heard: Callable[[str, dict[str, Any]], None]) -> None:
        self._heard = heard
        self._rest = b""

    def read(self, piece: bytes) -> None:
        """The next piece, which may end anywhere."""
        *whole, self._rest = (self._rest + piece).split(b"\n\n")
        for event in whole:
            lines = [line.partition(": ") for line in event.decode(errors="replace").split("\n")]
            fields = {name: value for name, _, value in lines if name}
            with suppress(ValueError):
                self._heard(fields.get("event", "message"), json.loads(fields.get("data", "")))


def client_context(environment: Mapping[str, str]) -> ssl.SSLContext | None:
    """What a server shows the hub, and trusts in it, where the hub has ``internal_ssl``."""
    authority, certificate, key = (
        environment.get(f"JUPYTERHUB_SSL_{name}") for name in ("CLIENT_CA", "CERTFILE", "KEYFILE")
    )
    if not certificate:
        return None
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)
    return context


def _said(error: HTTPClientError) -> HubError:
    if error.code == 599:
        return _silent()
    try:
        told = json.loads(error.response.body) if error.response is not None else {}
        reason, remedy = str(told.get("reason") or told.get("message") or ""), str(told.get("remedy") or "")
    except (ValueError, AttributeError):
        reason = remedy = ""
    return HubError(reason or f"The hub answered with {error.code}.", remedy, error.code)


def _silent() -> HubError:
    return HubError("The hub does not answer.", "Your server goes on without it; try again in a minute.")
