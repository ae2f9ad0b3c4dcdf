"""What differs between JupyterHub 5.5 and 6."""

from typing import Any
from urllib.parse import quote

from tornado.web import HTTPError

from gpuspawner.errors import LaunchError
from gpuspawner.web.errors import html_of

try:
    from jupyterhub.spawner import SpawnException
except ImportError:  # JupyterHub 5.5

    class SpawnException(HTTPError):  # type: ignore[no-redef]  # noqa: N818  # JupyterHub's name
        """A launch refused by policy. JupyterHub 5.5 counts answers of 500 and above as failures of the hub and
        exits after five in a row, so that a missing image of one member would end it for all."""

        def __init__(self, message: str, *, reason: str, status_code: int = 400, **_: Any) -> None:
            super().__init__(min(status_code, 424), "%s", message, reason=reason)


__all__ = ["SpawnRefused"]


class SpawnRefused(SpawnException):  # type: ignore[misc]  # JupyterHub is untyped
    """A ``LaunchError`` on its way through JupyterHub: the spawn page, the pending page, the event stream, the API.

    ``user`` and ``server`` are the names of whose launch it was and of which server.
    """

    def __init__(self, error: LaunchError, user: str = "", server: str = "") -> None:
        self.error = error
        self.spawn_path = "/".join(("spawn", *(quote(name, safe="") for name in (user, server) if name)))
        self.jupyterhub_message = error.sentence
        self.jupyterhub_html_message = html_of(error)
        super().__init__(error.sentence, reason=error.code, status_code=error.status)
