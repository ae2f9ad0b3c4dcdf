"""The embedded engine put together: store, API server, scheduler and kubelet, in one event loop."""

import asyncio
import base64
import fcntl
import json
import os
import secrets
import shutil
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any

import aiohttp
from aiohttp import web

from gpuspawner.local.apiserver.access.tokens import ServiceAccountTokens, signing_key
from gpuspawner.local.apiserver.application import LOG_PROVIDER, make_app
from gpuspawner.local.apiserver.store import Store, timestamp
from gpuspawner.local.apiserver.tls import server_context
from gpuspawner.local.controllers.manager import ControllerManager
from gpuspawner.local.kubelet.claims import ClaimFolders
from gpuspawner.local.kubelet.devices import DeviceManager
from gpuspawner.local.kubelet.identity import issue_token
from gpuspawner.local.kubelet.kubelet import Kubelet
from gpuspawner.local.kubelet.launch import Images
from gpuspawner.local.kubelet.logs import MAX_BYTES
from gpuspawner.local.kubelet.memory import MemoryWatch
from gpuspawner.local.kubelet.process import clean_environment, kill_marked
from gpuspawner.local.kubelet.runtime import Backoff, Runtime
from gpuspawner.local.kubelet.service_proxy import ServiceProxy
from gpuspawner.local.nodes.description import LocalNode, parse_nodes, ready_condition
from gpuspawner.local.nodes.dra import device_classes
from gpuspawner.local.nodes.machine import machine_node
from gpuspawner.local.scheduler.controller import Scheduler

__all__ = ["DEFAULT_IMAGES", "THIS_MACHINE", "Engine", "EngineError"]

DEFAULT_IMAGES: Mapping[str, Sequence[str]] = {"*": ("jupyterhub-singleuser",)}
"""Every image exists and runs a single-user server."""

THIS_MACHINE = "this-machine"
"""The description of nodes that stands for the real machine."""

_SAVE_DELAY = 0.05
_NOT_SAVED = frozenset({"pods", "events", "nodes", "resourceslices.resource.k8s.io"})


class EngineError(RuntimeError):
    """The engine cannot start; the text says why and what to do."""


class Engine:
    """A Kubernetes API on loopback whose pods are processes of this machine.

    It runs everything as the current user, without isolation between pods: it is for demonstrations, tests and one
    trusted workstation. Objects other than pods, events and nodes outlive it in ``data_dir``, as do the folders of
    claims; pods end with it, whichever way it ends.

    Parameters
    ----------
    nodes
        A description such as ``a100=1x8 t4=2x4 cpu=1`` (see `parse_nodes`), or ``this-machine``.
    images
        Default command by image or pattern of images; see `Images`.
    data_dir
        Folder for everything that it keeps; made if missing, readable by the owner only.
    host, port
        Where the API listens; port 0 takes a free one.
    token
        The bearer token that clients show; by default a new one, kept in ``data_dir``.
    namespaces
        Made at the start if missing, beside ``default`` and ``kube-system``.
    backoff
        How long failed containers and images wait before they are tried again.
    stop_grace
        Seconds that processes have to end when the engine stops.
    memory_interval
        Seconds between two looks at the memory of containers that have a limit.
    log_bytes
        Size at which a container's log is rotated.
    """

    def __init__(
        self,
        nodes: str = "cpu=1",
        images: Mapping[str, Sequence[str]] = DEFAULT_IMAGES,
        *,
        data_dir: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        namespaces: Sequence[str] = (),
        backoff: Backoff | None = None,
        stop_grace: float = 5.0,
        memory_interval: float = 1.0,
        log_bytes: int = MAX_BYTES,
    ) -> None:
        self.nodes_found = ""
        """What ``this-machine`` turned out to be, as a sentence; empty for pretended nodes."""
        self._nodes = self._describe(nodes)
        self._images = Images(images)
        self.data_dir = Path(data_dir).resolve()
        self._host, self._port = host, port
        self.token = token or ""
        self._namespaces = tuple(namespaces)
        self._backoff = backoff or Backoff()
        self._stop_grace, self._log_bytes = stop_grace, log_bytes
        self._memory = MemoryWatch(memory_interval)
        self.store = Store()
        self._ca = ""
        self._lock: IO[str] | None = None
        self._saving: asyncio.TimerHandle | None = None
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._kubelet: Kubelet | None = None
        self._scheduler = Scheduler(self.store)
        self._controllers = ControllerManager(self.store, job_backoff=self._backoff.initial)
        self._services = ServiceProxy(self.store)
        self._claims = ClaimFolders(self.store, self.data_dir)

    @property
    def url(self) -> str:
        """The API's address, such as ``https://127.0.0.1:41234``; known once it has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self._port}"

    @property
    def ca(self) -> str:
        """The certificate (PEM) that clients trust; known once it has started."""
        return self._ca

    def _describe(self, nodes: str) -> list[LocalNode]:
        if nodes.strip() != THIS_MACHINE:
            return parse_nodes(nodes)
        node, self.nodes_found = machine_node()
        return [node]

    async def start(self) -> None:
        """Start everything. Raises `EngineError` when another engine uses the folder or the port is taken."""
        if not ip_address(self._host).is_loopback:
            raise EngineError(
                f"The engine listens on loopback only, not on {self._host}: whoever reaches it runs programs here. "
                "Choose an address such as 127.0.0.1; more than one machine is Kubernetes."
            )
        self._take_folder()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        engine_id = self._engine_id()
        kill_marked(engine_id)
        for leftover in ("pods", "logs"):
            shutil.rmtree(self.data_dir / leftover, ignore_errors=True)
        saved = self.data_dir / "objects.json"
        if saved.exists():
            self.store.load(saved)
        self._session = aiohttp.ClientSession()
        tokens = ServiceAccountTokens(self.store, signing_key(self.data_dir / "service-account.key"))
        runtime = Runtime(
            engine_id=engine_id,
            images=self._images,
            session=self._session,
            memory=self._memory,
            backoff=self._backoff,
            environment=clean_environment() | self._jupyter_environment(),
            now=lambda: timestamp(self.store.clock()),
            log_bytes=self._log_bytes,
            api_url=lambda: self.url,
            issue_token=partial(issue_token, tokens),
        )
        devices = DeviceManager()
        context, self._ca = server_context(self.data_dir)
        app = make_app(self.store, self.token, tokens=tokens, ca=self._ca)
        self._furnish(devices)
        self._kubelet = Kubelet(self.store, runtime, devices, self.data_dir)
        app[LOG_PROVIDER] = self._kubelet.log
        self._claims.start()
        self._scheduler.start()
        self._kubelet.start()
        self._controllers.start()
        self._services.start()
        self.store.subscribe(self._on_change)
        self._save()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await self._listen(context)

    async def _listen(self, context: Any) -> None:
        assert self._runner is not None  # noqa: S101
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            where = f"{self._host}:{self._port}"
            raise EngineError(
                f"The engine cannot listen on {where} ({error.strerror}). Choose another port."
            ) from error
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop everything: no process and no port is left. What is to be kept has been saved."""
        self._controllers.stop()
        await self._services.stop()
        self._scheduler.stop()
        if self._kubelet:
            await self._kubelet.stop(self._stop_grace)
            self._kubelet = None
        self._claims.stop()
        await self._memory.stop()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
        if self._session:
            await self._session.close()
            self._session = None
        if self._saving:
            self._saving.cancel()
            self._save()
        if self._lock:
            self._lock.close()
            self._lock = None

    def write_kubeconfig(self, path: Path, *, namespace: str = "default") -> None:
        """Write a kubeconfig for kubectl and Kubernetes' clients, readable by the owner only."""
        authority = base64.b64encode(self._ca.encode()).decode()
        name = "gpuspawner-local"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": {"token": self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
            "current-context": name,
        }
        _write_private(path, json.dumps(config, indent=2) + "\n")

    def _take_folder(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self.data_dir / "lock").open("a", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise EngineError(
                f"Another engine uses {self.data_dir}. Stop it first, or choose another data folder."
            ) from error
        self._lock = lock
        token = self.data_dir / "token"
        if not self.token:
            self.token = token.read_text(encoding="ascii").strip() if token.exists() else secrets.token_urlsafe(32)
        _write_private(token, self.token + "\n")

    def _engine_id(self) -> str:
        path = self.data_dir / "engine-id"
        if not path.exists():
            path.write_text(uuid.uuid4().hex, encoding="ascii")
        return path.read_text(encoding="ascii").strip()

    def _jupyter_environment(self) -> dict[str, str]:
        """Jupyter refuses to run as root, which pods do where the engine does, as in a container or on CI."""
        if os.geteuid() != 0:
            return {}
        folder = self.data_dir / "jupyter"
        folder.mkdir(exist_ok=True)
        config = {"ServerApp": {"allow_root": True}}
        (folder / "jupyter_server_config.json").write_text(json.dumps(config), encoding="utf-8")
        others = os.environ.get("JUPYTER_CONFIG_PATH")
        return {"JUPYTER_CONFIG_PATH": f"{folder}{os.pathsep}{others}" if others else str(folder)}

    def _furnish(self, devices: DeviceManager) -> None:
        now = timestamp(datetime.now(UTC))
        for node in self._nodes:
            devices.add_node(node.name, node.devices)
            node.manifest["status"]["conditions"] = [ready_condition(now)]
            self.store.create("nodes", node.manifest)
        slices = [published for node in self._nodes for published in node.slices]
        for published in slices:
            self.store.create("resourceslices.resource.k8s.io", published)
        for kind in device_classes(slices):
            if self.store.find("deviceclasses.resource.k8s.io", None, kind["metadata"]["name"]) is None:
                self.store.create("deviceclasses.resource.k8s.io", kind)
        for name in self._namespaces:
            if self.store.find("namespaces", None, name) is None:
                labels = {"kubernetes.io/metadata.name": name}
                namespace = {"metadata": {"name": name, "labels": labels}, "spec": {"finalizers": ["kubernetes"]}}
                self.store.create("namespaces", namespace | {"status": {"phase": "Active"}})

    def _on_change(self, resource: str, type_: str, obj: dict[str, Any]) -> None:
        if resource not in _NOT_SAVED and self._saving is None and self._lock is not None:
            self._saving = asyncio.get_running_loop().call_later(_SAVE_DELAY, self._save)

    def _save(self) -> None:
        self._saving = None
        self.store.save(self.data_dir / "objects.json")


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
