"""How the hub finds the Kubernetes API and its credentials: in-cluster, kubeconfig, or an explicit address."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import incluster_config

from gpuspawner.errors import ConfigurationError

__all__ = ["Connection", "Credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection was resolved to: the library's configuration, and the namespace it points to (or None)."""

    configuration: Configuration = field(repr=False)
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the Kubernetes API is and how the hub proves who it is.

    With no argument: the pod's service account when the hub runs in a cluster, else the kubeconfig that ``kubectl``
    would use, also in a pod that has no token but ``KUBECONFIG``. ``kubeconfig`` and ``context`` choose another;
    ``host`` with ``token`` (or ``token_file``) and ``ca`` (a path) names an API server without any file. Loading, exec
    plugins and token refresh are the client library's.
    """

    kubeconfig: str | None = None
    context: str | None = None
    in_cluster: bool | None = None
    host: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    ca: str | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        problems = []
        if self.host and (self.kubeconfig or self.context or self.in_cluster):
            problems.append("connection: host excludes kubeconfig, context and in_cluster")
        if not self.host and (self.token or self.token_file or self.ca):
            problems.append("connection: token, token_file and ca need a host")
        if self.token and self.token_file:
            problems.append("connection: give either token or token_file")
        if problems:
            raise ConfigurationError(problems)

    async def load(self) -> Credentials:
        """Read the credentials again from where they are kept.

        Raises ``ConfigurationError`` with what is missing; its text never holds a secret.
        """
        try:
            if self.host:
                return self._explicit(self.host)
            if self._use_service_account():
                return self._service_account()
            return await self._kubeconfig()
        except Exception as error:  # noqa: BLE001 - the library meets a malformed file with any exception there is
            raise ConfigurationError([f"connection: {self.source}: {_words(error)}"]) from None

    @property
    def source(self) -> str:
        """Where the credentials come from, in words for a log."""
        if self.host:
            return self.host
        if self._use_service_account():
            return "the pod's service account"
        return f"kubeconfig {self._kubeconfig_path()}"

    def _use_service_account(self) -> bool:
        if self.in_cluster is not None:
            return self.in_cluster
        if self.kubeconfig or self.context or not os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME):
            return False
        return Path(incluster_config.SERVICE_TOKEN_FILENAME).exists() or "KUBECONFIG" not in os.environ

    def _kubeconfig_path(self) -> str:
        return self.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"

    def _existing_kubeconfig(self) -> str:
        path = self._kubeconfig_path()
        if not any(Path(part).expanduser().exists() for part in path.split(os.pathsep) if part):
            raise FileNotFoundError(2, "no such file; set kubeconfig or host, or run the hub in the cluster")
        return path

    def _explicit(self, host: str) -> Credentials:
        configuration = Configuration(host=host.rstrip("/"), ssl_ca_cert=self.ca, verify_ssl=self.verify)
        token = self.token or (Path(self.token_file).read_text().strip() if self.token_file else None)
        if token:
            configuration.api_key["BearerToken"] = f"Bearer {token}"
        return Credentials(configuration)

    def _service_account(self) -> Credentials:
        configuration = Configuration()
        kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        namespace = Path(incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace")
        return Credentials(configuration, namespace.read_text().strip() if namespace.exists() else None)

    async def _kubeconfig(self) -> Credentials:
        configuration = Configuration()
        loader: Any = await kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=self._existing_kubeconfig(),
            context=self.context,
            client_configuration=configuration,
            persist_config=False,
        )
        return Credentials(configuration, loader.current_context["context"].get("namespace"))


def _words(error: Exception) -> str:
    """What is wrong with the credentials, without them: the library quotes parts of the kubeconfig in its messages."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, kubernetes_config.ConfigException):
        return str(error).partition("{")[0].strip()
    return f"not understood ({type(error).__name__})"
