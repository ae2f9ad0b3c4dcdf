"""Who a pod is to the API: the token of its service account, and where its containers find it."""

import json
from collections.abc import Sequence
from pathlib import Path

from gpuspawner.local.apiserver.access.tokens import AUDIENCE, Bound, ServiceAccountTokens
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Object
from gpuspawner.local.kubelet.env import ConfigError

__all__ = ["TOKEN_PATH", "issue_token", "write_kubeconfig"]

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, not a password
_SECONDS = 365 * 24 * 3600


def issue_token(tokens: ServiceAccountTokens, pod: Object, source: Object) -> str:
    """A token of the pod's service account, bound to the pod. Raises `ConfigError`.

    Volumes are not written again while a pod runs: a token lasts a year, whatever is asked for, and ends with its pod.
    """
    metadata, account = pod["metadata"], pod["spec"].get("serviceAccountName", "default")
    bound = Bound("Pod", metadata["name"], metadata["uid"])
    audiences: Sequence[str] = [source["audience"]] if source.get("audience") else [AUDIENCE]
    try:
        seconds = max(source.get("expirationSeconds", 0), _SECONDS)
        token, _ = tokens.issue(metadata["namespace"], account, audiences=audiences, seconds=seconds, bound=bound)
    except StatusError as error:
        raise ConfigError(f"failed to fetch token: {error.message}") from None
    return token


def write_kubeconfig(folder: Path, root: Path, url: str) -> Path:
    """Write, below ``root``, what leads a client to the API and to the token in ``folder``; returns its path.

    A container here has no file system of its own, so that nothing is at the well-known path of the token: Kubernetes'
    clients find this file by ``KUBECONFIG``.
    """
    name = "service-account"
    namespace = folder / "namespace"
    context = {"cluster": name, "user": name}
    if namespace.exists():
        context["namespace"] = namespace.read_text(encoding="utf-8").strip()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, "certificate-authority": str(folder / "ca.crt")}}],
        "users": [{"name": name, "user": {"tokenFile": str(folder / "token")}}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    path = root / "kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
