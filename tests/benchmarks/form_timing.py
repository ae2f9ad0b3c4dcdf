"""How much CPU the launch form costs the hub on clusters of 10, 100 and 1,000 nodes with 5,000 pods."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from simulated_cluster import foreign_pod

from gpuspawner.cluster.client import Client
from gpuspawner.cluster.view import View
from gpuspawner.config import load_settings
from gpuspawner.entitlement import entitlements
from gpuspawner.local.nodes.description import parse_nodes, ready_condition
from gpuspawner.web.form import render_form

TITLE = "The launch form beside 5,000 pods"
PODS = 5000
_ROUNDS = 40
_PRODUCTS = {"t4": "Tesla-T4", "a100": "NVIDIA-A100-SXM4-80GB", "h100": "NVIDIA-H100-80GB-HBM3"}
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def _settings() -> Any:
    classes = {
        name: {"display_name": name.upper(), "accepts": [{"resource": "nvidia.com/gpu", "product": product}]}
        for name, product in _PRODUCTS.items()
    }
    profile = {"display_name": "Notebook", "image": "example.org/notebook:1", "gpu_classes": list(classes)}
    profiles = {f"profile-{number}": {**profile, "gpus": {"default": 1, "max": 2}} for number in range(5)}
    workspaces = {
        "everyone": {"members": "*", "quota": dict.fromkeys(classes, 100), "per_member": {"gpus": 2, "servers": 2}}
    }
    return load_settings({"gpu_classes": classes, "profiles": profiles, "workspaces": workspaces})


def _view(nodes: int) -> View:
    view = View(Client(), "default", {"app": "jupyterhub"})
    third = max(1, nodes // 3)
    description = f"t4={third}x8 a100={third}x8 h100={nodes - 2 * third}x8"
    manifests = [node.manifest for node in parse_nodes(description)]
    for manifest in manifests:
        manifest["status"]["conditions"] = [ready_condition("2026-01-01T00:00:00Z")]
        view._node_watch._apply({"type": "ADDED", "object": manifest})
    view._node_watch.lists = 1
    for number in range(PODS):
        view._pod_watch._apply(_added(number, manifests))
    return view


def _added(number: int, manifests: list[Any]) -> dict[str, Any]:
    pod = foreign_pod(number, manifests[number % len(manifests)]["metadata"]["name"])
    pod["metadata"] |= {"uid": f"uid-{number}", "resourceVersion": str(number + 1)}
    if number % 3 == 0:
        pod["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = "1"
    return {"type": "ADDED", "object": pod}


async def measure() -> dict[str, dict[str, float]]:
    """Milliseconds of CPU per form, by number of nodes: with nothing changed, and with a pod changed before each."""
    rows: dict[str, float] = {}
    settings = _settings()
    for nodes in (10, 100, 1000):
        view = _view(nodes)
        usage: list[Any] = []

        def form(view: View = view, usage: list[Any] = usage) -> str:
            mine = entitlements(
                "ada",
                frozenset({"everyone"}),
                settings,
                usage,
                view.capacity(settings.catalog),
                datetime(2026, 10, 1, tzinfo=UTC),
            )
            return render_form(mine, initial={}, base_url="/hub/")

        form()
        rows[f"{nodes} nodes: form, ms CPU"] = _each(form)
        manifests = [{"metadata": {"name": name}} for name in view.nodes]

        def changed(form: Any = form, view: View = view, manifests: list[Any] = manifests) -> None:
            frame = _added(3, manifests)
            frame["object"]["metadata"]["resourceVersion"] = str(time.monotonic_ns())
            key = ("other", "foreign-3")
            view._pod_watch._tell(view._pod_deleted, key, frame["object"])
            view._pod_watch._apply(frame)
            form()

        rows[f"{nodes} nodes: form after a change, ms CPU"] = _each(changed)
    return {"gpuspawner": rows}


def _each(work: Any) -> float:
    began = time.process_time()
    for _ in range(_ROUNDS):
        work()
    return (time.process_time() - began) / _ROUNDS * 1000


if __name__ == "__main__":
    print(asyncio.run(measure()))
