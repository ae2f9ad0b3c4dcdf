"""The real Helm against the engine's API server alone: releases are stored, and nothing runs."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from helm_python import Chart, Config
from rendering import CHART

from gpuspawner.local.apiserver.application import make_app
from gpuspawner.local.apiserver.store import Store
from gpuspawner.local.apiserver.tls import server_context

__all__ = ["Cluster", "cluster"]

_TOKEN = "the-tests-token"
_NAMESPACE = "jupyter"


class Cluster:
    """A Kubernetes API and a Helm that talks to it, in the namespace jupyter."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store = store
        self.helm = config
        self._chart = Chart.load(CHART)

    async def install(self, name: str, values: dict[str, Any] | None = None) -> None:
        await asyncio.to_thread(self.helm.install, self._chart, name, values or {})

    async def upgrade(self, name: str, values: dict[str, Any] | None = None) -> None:
        await asyncio.to_thread(self.helm.upgrade, self._chart, name, values or {})

    async def uninstall(self, name: str) -> None:
        await asyncio.to_thread(self.helm.uninstall, name)

    def get(self, resource: str, name: str) -> dict[str, Any]:
        """An object of the namespace."""
        return dict(self.store.get(resource, _NAMESPACE, name))

    def names(self, resource: str) -> set[str]:
        """The names of all objects of a kind."""
        return {stored.obj["metadata"]["name"] for stored in self.store.items(resource, _NAMESPACE)}

    def secrets(self, name: str) -> dict[str, str]:
        """The texts of a Secret."""
        data = self.get("secrets", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def pod_annotations(self, deployment: str) -> dict[str, str]:
        """Annotations of the pods of a Deployment; the pods are restarted when they change."""
        return dict(self.get("deployments.apps", deployment)["spec"]["template"]["metadata"]["annotations"])


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    """A cluster without nodes, while the block runs. Helm shows its token to nobody who has no certificate."""
    store = Store(clock=lambda: datetime.now(UTC))
    runner = web.AppRunner(make_app(store, _TOKEN))
    await runner.setup()
    context, _ = server_context(folder)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    host, port = runner.addresses[0][:2]
    try:
        store.create("namespaces", {"metadata": {"name": _NAMESPACE}, "status": {"phase": "Active"}})
        config = Config(
            kubeconfig_path=_kubeconfig(folder, f"https://{host}:{port}"),
            namespace=_NAMESPACE,
        )
        yield Cluster(store, config)
    finally:
        await runner.cleanup()


def _kubeconfig(folder: Path, url: str) -> Path:
    path = folder / "kubeconfig"
    authority = base64.b64encode((folder / "apiserver.crt").read_bytes()).decode()
    path.write_text(
        f"""
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{url}", certificate-authority-data: {authority}}}}}]
users: [{{name: u, user: {{token: {_TOKEN}}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u, namespace: {_NAMESPACE}}}}}]
current-context: x
""",
        encoding="utf-8",
    )
    return path
