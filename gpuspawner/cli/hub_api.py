"""A running hub's API, for the commands that ask it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from gpuspawner.cli.errors import CommandError

__all__ = ["HubApi"]

_DEFAULT = "http://127.0.0.1:8081/hub/api"
_PATIENCE = 30


class HubApi:
    """Asks the API below ``/hub/api/gpuspawner``.

    ``url`` and ``token_file`` are what the command line names; without them JupyterHub's environment variables count.
    """

    def __init__(self, url: str | None, token_file: str | None) -> None:
        self.url = (url or os.environ.get("JUPYTERHUB_API_URL") or _DEFAULT).rstrip("/")
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise CommandError(f"{self.url} is no URL of a hub. Write it as http://127.0.0.1:8081/hub/api.", status=2)
        self.token = _token(token_file)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Raises
        ------
        CommandError
            With the hub's own words where it refuses, else with how to reach it; exit status 2.
        """
        request = Request(  # noqa: S310  # the scheme is checked
            f"{self.url}/gpuspawner/{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            method="POST",
        )
        try:
            with urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except HTTPError as error:
            raise CommandError(_said(error), status=2) from None
        except (URLError, TimeoutError, ConnectionError, json.JSONDecodeError) as error:
            reason = getattr(error, "reason", None) or error
            raise CommandError(
                f"the hub at {self.url} does not answer ({reason}). Name its API with --hub.", status=2
            ) from None


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
    """What the hub says of a refusal; of an answer that is not ours, its status."""
    try:
        told = json.load(error)
        return f"{told['reason']} {told['remedy']}".rstrip()
    except (ValueError, KeyError, TypeError):
        return f"the hub answers {error.code} {error.reason}. Is --hub the URL of its API, and gpuspawner in use there?"
