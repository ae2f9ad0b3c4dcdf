"""A running hub's API, for the commands that ask it."""

import json
import os
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from gpuspawner.cli.errors import CommandError

__all__ = ["HubApi", "HubSilentError", "RefusedError"]

_DEFAULT = "http://127.0.0.1:8081/hub/api"
_PATIENCE = 30


class RefusedError(CommandError):
    """The hub refuses, in its own words; ``code`` is HTTP's."""

    def __init__(self, text: str, code: int) -> None:
        self.code = code
        super().__init__(text, status=2)


class HubSilentError(CommandError):
    """The hub does not answer."""


class HubApi:
    """Asks the API below ``/hub/api``.

    ``url`` and ``token_file`` are what the command line names; without them JupyterHub's environment variables count.
    ``token`` is shown instead of the file's.
    """

    def __init__(self, url: str | None, token_file: str | None = None, *, token: str = "") -> None:
        self.url = (url or os.environ.get("JUPYTERHUB_API_URL") or _DEFAULT).rstrip("/")
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise CommandError(f"{self.url} is no URL of a hub. Write it as http://127.0.0.1:8081/hub/api.", status=2)
        self.token = token or _token(token_file)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request to ``/hub/api/gpuspawner``. Raises as :meth:`ask` does."""
        found: dict[str, Any] = self.ask("POST", f"gpuspawner/{path}", body)[1]
        return found

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """The status and the answer, None where it is empty.

        Raises
        ------
        CommandError
            ``RefusedError`` with the hub's own words, ``HubSilentError`` with how to reach it; exit status 2.
        """
        try:
            with urlopen(self._request(method, path, body), timeout=_PATIENCE) as answer:  # noqa: S310
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except HTTPError as error:
            raise RefusedError(_said(error), error.code) from None
        except (URLError, TimeoutError, HTTPException, OSError, json.JSONDecodeError) as error:
            raise self._silent(error) from None

    def events(self, path: str) -> Iterator[dict[str, Any] | None]:
        """The events of a stream; None for each line that only keeps it open. Raises as :meth:`ask` does."""
        try:
            with urlopen(self._request("GET", path), timeout=_PATIENCE) as answer:  # noqa: S310
                for line in answer:
                    yield json.loads(line[len(b"data:") :]) if line.startswith(b"data:") else None
        except HTTPError as error:
            raise RefusedError(_said(error), error.code) from None
        except (URLError, TimeoutError, HTTPException, OSError, json.JSONDecodeError) as error:
            raise self._silent(error) from None

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Request:
        return Request(  # noqa: S310  # the scheme is checked
            f"{self.url}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            method=method,
        )

    def _silent(self, error: Exception) -> HubSilentError:
        reason = getattr(error, "reason", None) or error
        return HubSilentError(f"the hub at {self.url} does not answer ({reason}). Name its API with --hub.", status=2)


def _token(file: str | None) -> str:
    if file is not None:
        try:
            return Path(file).read_text().strip()
        except OSError as error:
            raise CommandError(f"the token in {file} cannot be read: {error.strerror}.", status=2) from None
    found = os.environ.get("JUPYTERHUB_API_TOKEN", "")
    if not found:
        raise CommandError(
            "no token. Put one into a file and name it with --token-file, or set JUPYTERHUB_API_TOKEN.", status=2
        )
    return found


def _said(error: HTTPError) -> str:
    """What the hub says of a refusal, in our words or JupyterHub's; of another answer, its status."""
    try:
        told = json.load(error)
        if "reason" in told:
            return f"{told['reason']} {told['remedy']}".rstrip()
        return f"the hub answers {error.code}: {told['message']}"
    except (ValueError, KeyError, TypeError):
        return f"the hub answers {error.code} {error.reason}. Is --hub the URL of its API, and gpuspawner in use there?"
