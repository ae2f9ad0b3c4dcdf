"""The configuration of a small hub, as plain values, for the tests of the core."""

from copy import deepcopy
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gpuspawner.config import Settings, load_settings
from gpuspawner.request import LaunchRequest, parse_request

PACIFIC = ZoneInfo("America/Los_Angeles")
MONDAY = datetime(2026, 11, 23, 10, tzinfo=PACIFIC)
SECTION: dict[str, Any] = {
    "gpu_classes": {
        "small": {
            "display_name": "Small, 16 GB",
            "memory": "16Gi",
            "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
        },
        "medium": {
            "display_name": "Medium",
            "memory": "40Gi",
            "accepts": [
                {"resource": "nvidia.com/gpu", "product": ["NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB"]},
                {"resource": "nvidia.com/mig-3g.40gb"},
            ],
        },
        "whole": {"accepts": [{"resource": "nvidia.com/gpu"}]},
        "instinct": {"accepts": [{"resource": "amd.com/gpu"}]},
    },
    "profiles": {
        "pytorch": {
            "display_name": "PyTorch",
            "image": "quay.io/jupyter/pytorch-notebook:cuda12",
            "cpu": {"default": 2, "min": 1, "max": 16},
            "memory": {"default": "8G", "max": "128G"},
            "gpu_classes": ["small", "medium", "whole", "instinct"],
            "gpus": {"default": 1, "max": 4},
            "runtime": {"default": "6h", "max": "12h"},
        },
        "minimal": {
            "display_name": "Minimal",
            "image": "quay.io/jupyter/minimal-notebook",
            "cpu": {"default": 1, "max": 2},
        },
        "anywhere": {"image": "quay.io/jupyter/minimal-notebook", "allow_gpu_nodes": True},
        "training": {"image": "train", "gpu_classes": ["medium"], "gpus": {"default": 1, "min": 1, "max": 2}},
    },
    "workspaces": {
        "everyone": {"display_name": "Everyone", "members": "*", "quota": {"small": 4}},
        "cse151a": {
            "display_name": "CSE 151A",
            "starts": "2026-09-21",
            "ends": "2026-12-18",
            "members": [{"claim": "groups", "matches": "course:cse151a:*"}],
            "managers": ["prof"],
            "profiles": ["pytorch", "minimal"],
            "quota": {"small": 2, "medium": 12},
            "per_member": {"gpus": 2, "cpu": 8, "memory": "64G", "servers": 2},
            "exceptions": [{"from": "2026-11-30", "to": "2026-12-04", "quota": {"medium": 24, "whole": 1}}],
        },
        "lab": {"display_name": "Vision lab", "members": ["ada", "grace"]},
    },
    "timezone": "America/Los_Angeles",
}


def section(**changes: Any) -> dict[str, Any]:
    """The section with some of its keys replaced."""
    return {**deepcopy(SECTION), **changes}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The section with one entry set, its path written with slashes: ``"profiles/pytorch/cpu"``."""
    result = deepcopy(SECTION)
    inner = result
    *parents, last = path.split("/")
    for key in parents:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return result


def small_hub(**changes: Any) -> Settings:
    """The settings of the small hub."""
    return load_settings(section(**changes))


def ask(
    settings: Settings,
    options: dict[str, Any] | None = None,
    *,
    user: str = "ada",
    server: str = "",
    now: datetime = MONDAY,
) -> LaunchRequest:
    """A checked request of somebody who belongs to every workspace."""
    return parse_request(
        options or {}, user=user, server=server, workspaces=list(settings.workspaces), settings=settings, now=now
    )
