"""The chart installed by the real Helm on the engine: its hub and its proxy run as the pods of their Deployments."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cluster import TINY_SERVER
from helm_python import Chart, Config
from launching import named
from rendering import CHART, merged
from running_hub import Person
from yarl import URL

from gpuspawner.local.engine import Engine

__all__ = ["DEBIAN_NODE_MODULES", "NAMESPACE", "Release", "release_on_engine"]

NAMESPACE = "jupyter"
DEBIAN_NODE_MODULES = "/usr/share/nodejs"
"""Where Debian's configurable-http-proxy finds its parts, with whatever Node there is."""

_LONGEST = 90
_QUICK_PROBE = {"periodSeconds": 1}
ON_ENGINE = {
    # A pod of the engine has no network of its own: what listens everywhere there listens at the pod's address here,
    # where arguments and variables say so.
    "hub": {
        "extraArgs": ["--JupyterHub.hub_bind_url=http://0.0.0.0:8081"],
        "readinessProbe": _QUICK_PROBE,
        "startupProbe": _QUICK_PROBE,
    },
    "proxy": {"readinessProbe": _QUICK_PROBE},
}


class Release:
    """A release ``gpuspawner`` in the namespace jupyter, and what an operator does to it."""

    def __init__(self, engine: Engine, helm: Config, kubeconfig: Path) -> None:
        self.engine = engine
        self.store = engine.store
        self.people: list[Person] = []
        self._helm = helm
        self._kubeconfig = kubeconfig
        self._chart = Chart.load(CHART)

    # Helm

    async def install(self, values: dict[str, Any]) -> None:
        await self._run(self._helm.install, self._chart, "gpuspawner", merged(ON_ENGINE, values), wait="watcher")

    async def upgrade(self, values: dict[str, Any]) -> None:
        await self._run(self._helm.upgrade, self._chart, "gpuspawner", merged(ON_ENGINE, values), wait="watcher")

    async def rollback(self) -> None:
        await self._run(self._helm.rollback, "gpuspawner", wait="watcher")

    async def uninstall(self) -> None:
        await self._run(self._helm.uninstall, "gpuspawner", wait="watcher")

    async def test(self) -> str:
        """``helm test``: what its pods said."""
        done = await self._run(self._helm.test, "gpuspawner", logs=True)
        return str(done["logs"])

    async def _run(self, command: Callable[..., Any], *words: Any, **options: Any) -> Any:
        return await asyncio.to_thread(command, *words, timeout=_LONGEST, **options)

    # What is there

    @property
    def public(self) -> URL:
        """Where people reach the hub: the Service of the proxy, which an Ingress would lead to."""
        return URL(f"http://{self.get('services', 'gpuspawner-proxy-public')['spec']['clusterIP']}")

    @property
    def url(self) -> URL:
        """The hub's pages."""
        return self.public / "hub"

    def get(self, resource: str, name: str) -> dict[str, Any]:
        """An object of the namespace."""
        return dict(self.store.get(resource, NAMESPACE, name))

    def names(self, resource: str) -> set[str]:
        """The names of all objects of a kind in the namespace."""
        return set(named(self.engine, resource, NAMESPACE))

    def secrets(self) -> dict[str, str]:
        """The generated secrets."""
        data = self.get("secrets", "gpuspawner-secrets")["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    async def kubectl(self, *words: str) -> str:
        """Run kubectl in the namespace; what it said."""
        command = ["kubectl", "--kubeconfig", str(self._kubeconfig), *words]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=_LONGEST)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pod(self, component: str) -> str:
        """The uid of the one pod of a component."""
        label = "app.kubernetes.io/component"
        pods = named(self.engine, "pods", NAMESPACE).values()
        [found] = [pod for pod in pods if pod["metadata"].get("labels", {}).get(label) == component]
        return str(found["metadata"]["uid"])

    # People

    def person(self) -> Person:
        """A fresh browser."""
        self.people.append(Person(self))  # type: ignore[arg-type]  # has all that a browser asks of a hub
        return self.people[-1]

    async def log_in(self) -> Person:
        """The first administrator, by the generated password."""
        admin = self.person()
        assert await admin.log_in("admin", self.secrets()["admin-password"])
        return admin

    async def launch(self, person: Person, options: dict[str, str]) -> None:
        """Launch somebody's server and wait until it is ready."""
        where, headers = self.url / f"api/users/{person.name}/server", person.xsrf_header()
        async with person.session.post(where, json=options, headers=headers) as answer:
            assert answer.status in (201, 202), await answer.text()
        async with person.session.get(where / "progress", headers=headers) as stream:
            async for line in stream.content:
                last = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
                if last.get("ready") or last.get("failed"):
                    assert last.get("ready"), last
                    return
        raise AssertionError("the stream ended")

    async def stop_server(self, person: Person) -> None:
        """Stop somebody's server and wait until its pod is gone."""
        where, headers = self.url / f"api/users/{person.name}/server", person.xsrf_header()
        async with person.session.delete(where, headers=headers) as answer:
            assert answer.status in (202, 204), await answer.text()
        await self.until(lambda: not any(name.startswith("jupyter-") for name in self.names("pods")))

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait, change by change of the cluster, until a condition holds."""
        changed = asyncio.Event()
        stop = self.store.subscribe(lambda *change: changed.set())
        try:
            async with asyncio.timeout(_LONGEST):
                while not condition():
                    changed.clear()
                    await changed.wait()
        finally:
            stop()

    async def create(self, kind: str, name: str, **body: Any) -> None:
        """``kubectl create`` of an object, of the core group unless ``apiVersion`` says otherwise."""
        file = self._kubeconfig.with_name(f"{name}.json")
        file.write_text(json.dumps({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}} | body))
        await self.kubectl("create", "-f", str(file))

    async def run_on_volumes(self, name: str, command: list[str]) -> str:
        """Run a command in a pod of the hub's image, in the folder of its volume, with the claim ``copies`` as /tmp."""
        claims = {"hub": ("gpuspawner-hub", "/srv/jupyterhub"), "copies": ("copies", "/tmp")}
        container = {
            "name": "main",
            "image": "ghcr.io/gpuspawner/hub:0.1.0",
            "command": command,
            "workingDir": "/srv/jupyterhub",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": volume, "mountPath": path} for volume, (_, path) in claims.items()],
        }
        spec = {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [
                {"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, (claim, _) in claims.items()
            ],
        }
        await self.create("Pod", name, spec=spec)
        await self.until(lambda: self.get("pods", name)["status"]["phase"] in ("Succeeded", "Failed"))
        said = await self.kubectl("logs", name)
        assert self.get("pods", name)["status"]["phase"] == "Succeeded", said
        await self.kubectl("delete", "pod", name)
        return said


@asynccontextmanager
async def release_on_engine(folder: Path) -> AsyncIterator[Release]:
    """An engine whose images are the hub's, the proxy's and tiny servers, and the real Helm.

    The namespace refuses pods that do not meet Pod Security "restricted".
    """
    images = {
        "*/configurable-http-proxy:*": ("configurable-http-proxy",),
        "ghcr.io/gpuspawner/hub:*": ("jupyterhub",),
        "registry.k8s.io/pause:*": ("sleep", "infinity"),
        "*": (sys.executable, TINY_SERVER),
    }
    engine = Engine("a100=1x2 cpu=1", images, data_dir=folder / "engine", namespaces=[NAMESPACE], stop_grace=2.0)
    await engine.start()
    try:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        engine.store.modify("namespaces", None, NAMESPACE, lambda found: found["metadata"]["labels"].update(labels))
        kubeconfig = folder / "kubeconfig"
        engine.write_kubeconfig(kubeconfig, namespace=NAMESPACE)
        with Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE) as helm:
            release = Release(engine, helm, kubeconfig)
            yield release
            for person in release.people:
                await person.session.close()
    finally:
        await engine.stop()
