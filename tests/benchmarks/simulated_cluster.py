"""A cluster for benchmarks, in a process of its own: the engine's API server and scheduler, and pods that only pretend.

A pod becomes ready after the seconds that its user's name says (``t12-007``: 12 s), else after the default, and every
pod's address answers HTTP from one small server. So a thousand servers fit on two cores, and what is measured is the
hub. A second port, without TLS, steers the cluster and tells what the API was asked.
"""

import argparse
import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from gpuspawner.local.apiserver.application import make_app
from gpuspawner.local.apiserver.events import record_event
from gpuspawner.local.apiserver.requestinfo import flag
from gpuspawner.local.apiserver.store import Object, Store, timestamp
from gpuspawner.local.apiserver.tls import server_context
from gpuspawner.local.kubelet.addresses import AddressPool
from gpuspawner.local.nodes.description import parse_nodes, ready_condition
from gpuspawner.local.scheduler.controller import Scheduler

TOKEN = "benchmark"
USER = "hub.jupyter.org/username"
_NAMED_SECONDS = re.compile(r"t([0-9.]+)-")


class Traffic:
    """What the API was asked: requests by verb and resource, and the bytes it has sent."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.sent = 0

    @web.middleware
    async def count(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        """Around every request; the frames of a watch are counted as they are written."""
        parts = request.path.split("/")
        resource = parts[parts.index("namespaces") + 2] if "namespaces" in parts[:-2] else parts[-1]
        verb = "WATCH" if flag(request.query, "watch") else request.method
        self.requests[f"{verb} {resource}"] += 1
        response: web.StreamResponse = await handler(request)
        if isinstance(response, web.Response):
            self.sent += len(response.body or b"")  # type: ignore[arg-type]
        return response

    def count_streams(self) -> None:
        """Count the bytes of watches too."""
        write = web.StreamResponse.write
        traffic = self

        async def counted(response: web.StreamResponse, data: bytes) -> None:
            traffic.sent += len(data)
            await write(response, data)

        web.StreamResponse.write = counted  # type: ignore[method-assign, assignment]


class PretendedKubelet:
    """Walks every bound pod through the statuses and events that a kubelet writes, and remembers when it was ready."""

    def __init__(self, store: Store) -> None:
        self.seconds = 0.5
        self.ready: dict[str, float] = {}
        """When each user's pod was last ready; the machine's monotonic clock, which all its processes share."""
        self._store = store
        self._addresses = AddressPool("benchmark")
        self._begun: set[str] = set()
        store.subscribe(self._changed)

    def _changed(self, resource: str, type_: str, pod: Object) -> None:
        if resource != "pods":
            return
        metadata = pod["metadata"]
        uid = metadata["uid"]
        loop = asyncio.get_running_loop()
        if type_ == "DELETED":
            self._begun.discard(uid)
        elif "deletionTimestamp" in metadata:
            loop.call_soon(self._remove, metadata["namespace"], metadata["name"], uid)
        elif pod["spec"].get("nodeName") and uid not in self._begun and not metadata["name"].startswith("foreign-"):
            self._begun.add(uid)
            loop.call_soon(self._begin, metadata["namespace"], metadata["name"], uid)

    def _find(self, namespace: str, name: str, uid: str) -> Object | None:
        found = self._store.find("pods", namespace, name)
        return found if found is not None and found["metadata"]["uid"] == uid else None

    def _begin(self, namespace: str, name: str, uid: str) -> None:
        pod = self._find(namespace, name, uid)
        if pod is None:
            return
        user = pod["metadata"].get("annotations", {}).get(USER, "")
        named = _NAMED_SECONDS.match(user)
        seconds = float(named[1]) if named else self.seconds
        self._store.modify("pods", namespace, name, self._creating)
        image = pod["spec"]["containers"][0]["image"]
        self._tell(pod, "Pulled", f'Container image "{image}" already present on machine')
        asyncio.get_running_loop().call_later(seconds, self._runs, namespace, name, uid, user)

    def _creating(self, pod: Object) -> None:
        now = timestamp(self._store.clock())
        status = pod["status"]
        status["hostIP"], status["startTime"] = "10.0.0.1", now
        waiting = {"waiting": {"reason": "ContainerCreating"}}
        status["containerStatuses"] = [_container_status(c, waiting, False) for c in pod["spec"]["containers"]]
        _conditions(status, "False", now)
        # The API server's own bookkeeping, which makes up about half of a real pod.
        pod["metadata"]["managedFields"] = [
            {"manager": "hub", "operation": "Update", "apiVersion": "v1", "time": now, "fieldsType": "FieldsV1",
             "fieldsV1": _fields({"metadata": pod["metadata"], "spec": pod["spec"]})},
            {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": now, "fieldsType": "FieldsV1",
             "subresource": "status", "fieldsV1": _fields({"status": status})},
        ]  # fmt: skip

    def _runs(self, namespace: str, name: str, uid: str, user: str) -> None:
        pod = self._find(namespace, name, uid)
        if pod is None:
            return
        address = self._addresses.take(f"{namespace}/{name}")
        now = timestamp(self._store.clock())

        def running(pod: Object) -> None:
            status = pod["status"]
            status |= {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
            state = {"running": {"startedAt": now}}
            status["containerStatuses"] = [_container_status(c, state, True) for c in pod["spec"]["containers"]]
            _conditions(status, "True", now)

        self.ready[user] = time.monotonic()
        self._store.modify("pods", namespace, name, running)
        for reason, words in (("Created", "Created container: notebook"), ("Started", "Started container notebook")):
            self._tell(pod, reason, words)

    def _remove(self, namespace: str, name: str, uid: str) -> None:
        pod = self._find(namespace, name, uid)
        if pod is None:
            return
        if "podIP" in pod["status"]:
            self._addresses.give_back(pod["status"]["podIP"])
        now = timestamp(self._store.clock())

        def ended(pod: Object) -> None:
            status = pod["status"]
            status["phase"] = "Failed"
            state = {"terminated": {"exitCode": 143, "reason": "Error", "startedAt": now, "finishedAt": now}}
            status["containerStatuses"] = [_container_status(c, state, False) for c in pod["spec"]["containers"]]
            _conditions(status, "False", now)

        self._store.modify("pods", namespace, name, ended)
        self._store.remove("pods", namespace, name)

    def _tell(self, pod: Object, reason: str, message: str) -> None:
        record_event(self._store, pod, "Normal", reason, message, "kubelet", host="node", field_path="")


def _container_status(container: Object, state: Object, ready: bool) -> Object:
    return {
        "name": container["name"], "state": state, "lastState": {}, "ready": ready, "restartCount": 0,
        "image": container["image"], "imageID": "", "started": ready,
    }  # fmt: skip


def _conditions(status: Object, ready: str, now: str) -> None:
    others = [c for c in status.get("conditions", []) if c["type"] == "PodScheduled"]
    status["conditions"] = others + [
        {"type": kind, "status": value, "lastProbeTime": None, "lastTransitionTime": now}
        for kind, value in (("Initialized", "True"), ("ContainersReady", ready), ("Ready", ready))
    ]


def _fields(value: Any) -> Object:
    """The managedFields of a value: each field's path, as the API server writes them."""
    if isinstance(value, dict):
        return {f"f:{key}": _fields(item) for key, item in value.items() if key != "managedFields"}
    if isinstance(value, list):
        keyed = [item for item in value if isinstance(item, dict)]
        return {f'k:{{"name":"{item.get("name", item.get("type", ""))}"}}': _fields(item) for item in keyed}
    return {}


def foreign_pod(number: int, node: str) -> Object:
    """Somebody else's running pod on a node."""
    resources = {"cpu": "100m", "memory": "64Mi"}
    container = {"name": "main", "image": "example.org/other:1", "resources": {"requests": resources}}
    return {
        "metadata": {"name": f"foreign-{number}", "namespace": "other", "labels": {"app": "other"}},
        "spec": {"nodeName": node, "containers": [container]},
        "status": {"phase": "Running"},
    }


def foreign_event(number: int, namespace: str) -> Object:
    """An event about somebody else's pod, of a usual length."""
    name = f"foreign-{number % 500}"
    about = {"kind": "Pod", "namespace": namespace, "name": name, "apiVersion": "v1", "uid": f"uid-{number % 500}"}
    now = "2026-01-01T00:00:00Z"
    return {
        "metadata": {"name": f"{name}.{number:x}", "namespace": namespace},
        "involvedObject": {**about, "fieldPath": "spec.containers{main}"},
        "reason": "BackOff", "message": "Back-off restarting failed container main in pod " + name + "_" + namespace,
        "source": {"component": "kubelet", "host": "node-1"}, "firstTimestamp": now, "lastTimestamp": now,
        "count": 7, "type": "Warning", "reportingComponent": "kubelet", "reportingInstance": "node-1",
    }  # fmt: skip


class Control:
    """The second port: set the pods' start time, add what is foreign, read the counters."""

    def __init__(self, store: Store, kubelet: PretendedKubelet, traffic: Traffic) -> None:
        self._store, self._kubelet, self._traffic = store, kubelet, traffic

    def app(self) -> web.Application:
        """The application."""
        app = web.Application()
        app.router.add_get("/stats", self._stats)
        app.router.add_post("/set", self._set)
        return app

    async def _stats(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "requests": dict(self._traffic.requests),
                "sent": self._traffic.sent,
                "ready": self._kubelet.ready,
                "pods": len(self._store.items("pods", "default")),
            }
        )

    async def _set(self, request: web.Request) -> web.Response:
        told = await request.json()
        if "seconds" in told:
            self._kubelet.seconds = told["seconds"]
        for number in range(told.get("foreign_events", 0)):
            self._store.create("events", foreign_event(number, "default"))
        nodes = [stored.name for stored in self._store.items("nodes")]
        for number in range(told.get("foreign_pods", 0)):
            self._store.create("pods", foreign_pod(number, nodes[number % len(nodes)]))
        return web.json_response({})


async def _answer(request: web.Request) -> web.Response:
    return web.json_response({"version": "5.0.0"}, headers={"X-JupyterHub-Version": "5.0.0"})


async def _listen(app: web.Application, host: str, ssl_context: Any = None) -> int:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, 0, ssl_context=ssl_context, backlog=2048).start()
    return int(runner.addresses[0][1])


def _kubeconfig(port: int, ca: str, folder: Path) -> Path:
    (folder / "ca.pem").write_text(ca)
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(folder / "ca.pem")}
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": TOKEN}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench", "namespace": "default"}}],
    }  # fmt: skip
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


async def serve(folder: Path, nodes: str) -> None:
    """Run until killed; prints one line of JSON with the addresses."""
    store, traffic = Store(), Traffic()
    traffic.count_streams()
    context, ca = server_context(folder)
    app = make_app(store, TOKEN, ca=ca, middlewares=[traffic.count])
    for node in parse_nodes(nodes):
        node.manifest["status"]["conditions"] = [ready_condition(timestamp(store.clock()))]
        store.create("nodes", node.manifest)
    kubelet = PretendedKubelet(store)
    Scheduler(store).start()
    port = await _listen(app, "127.0.0.1", context)
    pods = web.Application()
    pods.router.add_route("*", "/{path:.*}", _answer)
    print(
        json.dumps(
            {
                "kubeconfig": str(_kubeconfig(port, ca, folder)),
                "api": f"https://127.0.0.1:{port}",
                "control": f"http://127.0.0.1:{await _listen(Control(store, kubelet, traffic).app(), '127.0.0.1')}",
                "pod_port": await _listen(pods, "0.0.0.0"),  # noqa: S104  # every pod's address is in 127.0.0.0/8
            }
        ),
        flush=True,
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", default="t4=130x8")
    options = parser.parse_args()
    asyncio.run(serve(options.folder, options.nodes))
