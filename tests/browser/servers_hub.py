"""A hub for the home page and the page of a launch: a profile with apps, one that never starts, a budget."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from cluster import IMAGES
from playwright.async_api import Browser, BrowserContext, Page
from running_hub import RunningHub
from traitlets.config import Config

from gpuspawner import configure, with_workspaces
from gpuspawner.local.engine import Engine

NODES = "t4=1x2 a100=1x2 cpu=1"
_PROFILE: dict[str, Any] = {
    "image": "example.org/notebook:1",
    "cpu": {"default": 2, "max": 8},
    "memory": {"default": "8G", "max": "32G"},
    "runtime": {"default": "2h", "max": "6h"},
}
_GPUS = {"gpu_classes": ["small", "medium"], "gpus": {"default": 1, "max": 4}}
SECTION: dict[str, Any] = {
    "gpu_classes": {
        "small": {
            "display_name": "Small",
            "memory": "16Gi",
            "rate": 0.5,
            "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
        },
        "medium": {
            "display_name": "Medium",
            "memory": "80Gi",
            "accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-80GB"}],
        },
    },
    "profiles": {
        "pytorch": {
            **_PROFILE,
            **_GPUS,
            "display_name": "PyTorch",
            "extend_to": "12h",
            "apps": [
                {"display_name": "TensorBoard", "port": 6006},
                {"display_name": "Remote desktop", "path": "desktop/"},
            ],
        },
        "notebook": {**_PROFILE, "display_name": "Notebook"},
        "hasty": {**_PROFILE, **_GPUS, "display_name": "Hasty", "wait": {"default": 2, "min": 1, "max": "2h"}},
        "silent": {**_PROFILE, "display_name": "Silent", "image": "example.org/silent:1"},
        "crash": {**_PROFILE, "display_name": "Crash", "image": "example.org/crash:1"},
    },
    "workspaces": {
        "everyone": {"display_name": "Everyone", "members": "*", "quota": {"small": 2}},
        "cse151a": {
            "display_name": "CSE 151A",
            "members": ["ada", "grace", "prof"],
            "quota": {"small": 4, "medium": 1},
            "per_member": {"gpus": 2},
            "budget": {"per_member": 10, "renews": "weekly"},
        },
    },
    "start_timeout": 3600,
    "timezone": "America/Los_Angeles",
}


@contextlib.asynccontextmanager
async def servers_hub(folder: Path, **hub: Any) -> AsyncIterator[tuple[RunningHub, Engine]]:
    """Start it, with nothing running; ``hub`` are traits of JupyterHub."""
    engine = Engine(nodes=NODES, images=IMAGES, data_dir=folder / "engine", stop_grace=1.0)
    await engine.start()
    engine.write_kubeconfig(folder / "kubeconfig")
    config = Config(
        {
            "JupyterHub": {
                "allow_named_servers": True,
                "authenticator_class": with_workspaces("dummy"),
                "tornado_settings": {"slow_spawn_timeout": 0},
                **hub,
            },
            "GPUSpawner": {
                **SECTION,
                "connect": {"kubeconfig": str(folder / "kubeconfig")},
                "ledger_url": f"sqlite:///{folder}/ledger.sqlite",
            },
            "Authenticator": {"allow_all": True},
        }
    )
    configure(config)
    running = await RunningHub.start(folder, config)
    try:
        yield running, engine
    finally:
        await running.stop()
        await engine.stop()


async def sign_in(browser: Browser, hub: RunningHub, name: str, **how: Any) -> Page:
    """A fresh visitor who has signed in and sees the home page."""
    context: BrowserContext = await browser.new_context(viewport={"width": 1280, "height": 900}, **how)
    page = await context.new_page()
    await page.goto(str(hub.url / "login"))
    await page.fill("#username_input", name)
    await page.fill("#password_input", "x")
    await page.click("#login_submit")
    await page.goto(str(hub.url / "home"))
    return page
