"""The embedded engine with images for tests, and a hub that launches on it."""

import socket
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gpuspawner.local.engine import Engine

DOMAIN = ".svc.cluster.local"
NODES = "a100=1x2 t4=1x2 cpu=1"
TINY_SERVER = str(Path(__file__).with_name("tiny_server.py"))
IMAGES: Mapping[str, Sequence[str]] = {
    "example.org/notebook:1": (sys.executable, TINY_SERVER),
    "example.org/crash:1": ("sh", "-c", "echo loading; echo 'ImportError: no module named torch' >&2; exit 3"),
    "example.org/silent:1": ("sleep", "3600"),
    "example.org/git:1": ("true",),
}

_PROFILE: dict[str, Any] = {
    "image": "example.org/notebook:1",
    "cpu": {"default": 1, "max": 8},
    "memory": {"default": "1G", "max": "64G"},
    "gpu_classes": ["small", "medium"],
    "gpus": {"default": 1, "max": 4},
    "runtime": {"default": "1h", "max": "2h"},
}

SECTION: dict[str, Any] = {
    "gpu_classes": {
        "small": {"display_name": "Small", "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}]},
        "medium": {
            "display_name": "Medium",
            "accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-80GB"}],
        },
    },
    "profiles": {
        "pytorch": {"display_name": "PyTorch", **_PROFILE},
        "cpu": {"display_name": "CPU", "image": "example.org/notebook:1"},
        "crash": {"display_name": "Crash", "image": "example.org/crash:1"},
        "silent": {"display_name": "Silent", "image": "example.org/silent:1"},
        "missing": {"display_name": "Missing", "image": "example.org/missing:1"},
        "huge": {**_PROFILE, "display_name": "Huge", "memory": {"default": "1G", "max": "9000G"}},
    },
    "workspaces": {
        "everyone": {"members": "*", "quota": {"small": 2}, "per_member": {"servers": 3}},
        "lab": {"display_name": "The Lab", "members": ["ada"], "quota": {"medium": 2}},
    },
}


def section(engine: Engine, folder: Path, **changes: Any) -> dict[str, Any]:
    """The ``GPUSpawner`` section of a hub that launches on this engine."""
    kubeconfig = folder / "kubeconfig"
    engine.write_kubeconfig(kubeconfig)
    return {**deepcopy(SECTION), "connect": {"kubeconfig": str(kubeconfig)}, "start_timeout": 60, **changes}


def name_services(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have names of Services lead to the pods that they select, as in a cluster."""
    resolve = socket.getaddrinfo

    def address(host: str) -> str:
        name, namespace, *_ = host.split(".")
        service = engine.store.find("services", namespace, name)
        selector = service["spec"]["selector"].items() if service else ()
        for pod in engine.store.list("pods", namespace)[0]:
            if selector and selector <= pod["metadata"]["labels"].items() and "podIP" in pod["status"]:
                return str(pod["status"]["podIP"])
        raise socket.gaierror(socket.EAI_NONAME, host)

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return resolve(address(name) if name and name.endswith(DOMAIN) else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("aiohttp.connector.DefaultResolver", aiohttp.ThreadedResolver)
