"""jupyterhub_config.py of a hub under measurement; the environment says which spawner (BENCH_SPAWNER) and where."""

import asyncio
import json
import os
import time
from typing import Any

from jupyterhub.proxy import Proxy
from tornado import web
from traitlets import Dict

c = get_config()  # type: ignore[name-defined]  # noqa: F821

SPAWNER = os.environ["BENCH_SPAWNER"]
FOLDER = os.environ["BENCH_FOLDER"]
STARTED: dict[str, float] = {}
"""When each user's ``start()`` returned; the machine's monotonic clock."""


class RoutesInMemory(Proxy):
    """No proxy process: what is measured is the hub."""

    routes = Dict()
    should_start = False

    async def add_route(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        self.routes.pop(routespec, None)

    async def get_all_routes(self) -> dict[str, Any]:
        return dict(self.routes)


class LoopWatch:
    """How long the hub's event loop is held up: the latest heartbeat, and the longest callback in CPU time."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._latest = self._longest = 0.0
        self._plain = asyncio.Handle._run

    def start(self) -> None:
        """Begin; costs about 1 ms of CPU a second."""
        self._latest = self._longest = 0.0
        plain, watch = self._plain, self

        def run(handle: asyncio.Handle) -> None:
            began = time.thread_time()
            plain(handle)
            watch._longest = max(watch._longest, time.thread_time() - began)

        asyncio.Handle._run = run  # type: ignore[method-assign]
        self._task = asyncio.create_task(self._beat())

    def stop(self) -> dict[str, float]:
        """End; milliseconds."""
        asyncio.Handle._run = self._plain  # type: ignore[method-assign]
        if self._task is not None:
            self._task.cancel()
        return {"late_ms": self._latest * 1000, "callback_cpu_ms": self._longest * 1000}

    async def _beat(self) -> None:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            self._latest = max(self._latest, time.monotonic() - due)


WATCH = LoopWatch()


class BenchHandler(web.RequestHandler):
    """What only the hub's own process knows."""

    async def get(self) -> None:
        """``?loop=start`` and ``?loop=stop`` frame a measurement; without it starts and CPU seconds."""
        what = self.get_argument("loop", "")
        if what == "start":
            WATCH.start()
        self.write(json.dumps(WATCH.stop() if what == "stop" else {"started": STARTED, "cpu": time.thread_time()}))


def timed(base: type) -> type:
    """A spawner class that notes when ``start()`` has returned."""

    async def start(self: Any) -> Any:
        url = await base.start(self)  # type: ignore[attr-defined]
        STARTED[self.user.name] = time.monotonic()
        return url

    return type(base.__name__, (base,), {"start": start})


c.JupyterHub.hub_bind_url = os.environ["BENCH_HUB_URL"]
c.JupyterHub.db_url = f"sqlite:///{FOLDER}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{FOLDER}/cookie_secret"
c.JupyterHub.proxy_class = RoutesInMemory
c.JupyterHub.cleanup_servers = False
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.log_level = "WARN"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.extra_handlers = [(r"/bench", BenchHandler)]
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 600, "slow_stop_timeout": 600}
c.JupyterHub.services = [{"name": "bench", "api_token": os.environ["BENCH_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "bench", "services": ["bench"], "scopes": ["admin:users", "admin:servers", "read:hub", "tokens"]}
]
c.Authenticator.allow_all = True
c.Spawner.consecutive_failure_limit = 0
c.Spawner.start_timeout = 600
c.Spawner.http_timeout = 60
c.Spawner.port = int(os.environ["BENCH_POD_PORT"])

if SPAWNER == "floor":
    from floor import FloorSpawner

    c.JupyterHub.spawner_class = timed(FloorSpawner)
elif SPAWNER == "kubespawner":
    from kubespawner import KubeSpawner

    c.JupyterHub.spawner_class = timed(KubeSpawner)
    c.KubeSpawner.image = "example.org/notebook:1"
    c.KubeSpawner.cpu_limit = c.KubeSpawner.cpu_guarantee = 0.1
    c.KubeSpawner.mem_limit = c.KubeSpawner.mem_guarantee = "128M"
    c.KubeSpawner.extra_resource_limits = {"nvidia.com/gpu": "1"}
    c.KubeSpawner.tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    if os.environ.get("BENCH_STORAGE"):
        c.KubeSpawner.storage_pvc_ensure = True
        c.KubeSpawner.storage_capacity = "1Gi"
        c.KubeSpawner.pvc_name_template = "claim-{username}"
        c.KubeSpawner.volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-{username}"}}]
        c.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/jovyan"}]
else:
    from gpuspawner import configure, with_workspaces
    from gpuspawner.spawner import GPUSpawner

    c.JupyterHub.authenticator_class = with_workspaces("dummy")
    c.JupyterHub.spawner_class = timed(GPUSpawner)
    c.GPUSpawner.connect = {"kubeconfig": os.environ["KUBECONFIG"]}
    c.GPUSpawner.namespace = "default"
    c.GPUSpawner.token_in_secret = SPAWNER != "gpuspawner-without-secrets"
    c.GPUSpawner.gpu_classes = {
        "small": {"display_name": "Small", "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}]}
    }
    c.GPUSpawner.profiles = {
        "notebook": {
            "display_name": "Notebook",
            "image": "example.org/notebook:1",
            "cpu": {"default": 0.1, "max": 1},
            "memory": {"default": "128M", "max": "1G"},
            "gpu_classes": ["small"],
            "gpus": {"default": 1, "max": 1},
            "runtime": {"default": "6h", "max": "12h"},
        }
    }
    c.GPUSpawner.workspaces = {
        "everyone": {"members": "*", "quota": {"small": 2000}, "per_member": {"gpus": 1, "servers": 2}}
    }
    c.GPUSpawner.storage = {"size": "1Gi"} if os.environ.get("BENCH_STORAGE") else None
    if os.environ.get("BENCH_LEDGER"):
        c.GPUSpawner.ledger_url = os.environ["BENCH_LEDGER"]
        c.GPUSpawner.gpu_classes["small"]["rate"] = 1
        budget = {"per_member": 1000, "pool": 1_000_000, "renews": "weekly"}
        c.GPUSpawner.workspaces["everyone"] |= {"budget": budget, "managers": ["manager"]}
        c.GPUSpawner.administrators = ["administrator"]
        c.JupyterHub.allow_named_servers = True
    configure(c)
