"""What JupyterHub wants to run in a pod, and where it is reached. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CERTIFICATES_PATH", "SECRET_VARIABLES", "Server"]

CERTIFICATES_PATH = "/etc/jupyterhub/ssl"
"""Where a server finds its certificates with JupyterHub's internal_ssl."""
SECRET_VARIABLES = frozenset({"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"})
"""Variables of the environment that travel in a Secret."""


@dataclass(frozen=True, slots=True)
class Server:
    """What JupyterHub wants to run: environment, command (None: the image's own) and arguments, and the port.

    ``base_path`` begins and ends with a slash; ``answers_within`` are the seconds its process may take to answer.
    ``templates`` are the variables of the environment in which the administrator may write ``{username}`` and the
    like, or a mapping as Kubernetes has it (``{"valueFrom": ...}``) in place of the value. ``user_id`` is JupyterHub's
    number of the user. ``host`` is the DNS name of its Service, where it has one. ``certificates`` are files by name
    (PEM), which it finds in ``CERTIFICATES_PATH``; with them it speaks HTTPS.
    """

    environment: Mapping[str, str]
    command: Sequence[str] | None
    arguments: Sequence[str]
    port: int = 8888
    base_path: str = "/"
    answers_within: float = 30.0
    templates: Mapping[str, Any] = field(default_factory=dict)
    user_id: int | None = None
    host: str = ""
    certificates: Mapping[str, str] = field(default_factory=dict)
    https: bool = False

    def url(self, address: str) -> str:
        """The server's URL: at its Service, or in a pod of this IP address."""
        host = self.host or (f"[{address}]" if ":" in address else address)
        return f"{'https' if self.https else 'http'}://{host}:{self.port}{self.base_path}"
