"""A hub on which things happen: three GPU classes on several nodes, workspaces with budgets, a month of sessions."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from chromium import signed_in
from cluster import IMAGES
from launching import launch
from playwright.async_api import Browser, Page, ViewportSize
from running_hub import ADMIN_TOKEN, RunningHub
from traitlets.config import Config

from gpuspawner import configure, with_workspaces
from gpuspawner.launcher import Launcher
from gpuspawner.ledger.records import Session
from gpuspawner.local.engine import Engine
from gpuspawner.quantity import micro_of

__all__ = ["BusyHub", "busy_hub", "tab"]

NODES = "t4=2x4 a100=1x4 h100=1x2 cpu=1"
RATES = {"small": 0.25, "medium": 1.0, "large": 2.0}
_PROFILE: dict[str, Any] = {
    "image": "example.org/notebook:1",
    "cpu": {"default": 1, "max": 4},
    "memory": {"default": "1G", "max": "16G"},
    "runtime": {"default": "2h", "max": "12h"},
}
SECTION: dict[str, Any] = {
    "gpu_classes": {
        "small": {
            "display_name": "Small, 16 GB",
            "description": "For coursework, inference and small models.",
            "memory": "16Gi",
            "rate": RATES["small"],
            "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
        },
        "medium": {
            "display_name": "Medium, 80 GB",
            "description": "For training and large models.",
            "memory": "80Gi",
            "rate": RATES["medium"],
            "accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-80GB"}],
        },
        "large": {
            "display_name": "Large, 80 GB fast",
            "memory": "80Gi",
            "rate": RATES["large"],
            "accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}],
        },
    },
    "profiles": {
        "pytorch": {
            **_PROFILE,
            "display_name": "PyTorch",
            "gpu_classes": ["small", "medium", "large"],
            "gpus": {"default": 1, "max": 4},
        },
        "notebook": {**_PROFILE, "display_name": "Notebook without GPU"},
    },
    "workspaces": {
        "everyone": {"display_name": "Everyone", "members": "*", "quota": {"small": 4}},
        "cse151a": {
            "display_name": "CSE 151A, Fall 2026",
            "members": ["ada", "eve"],
            "managers": ["prof"],
            "quota": {"small": 6, "medium": 2},
            "budget": {"per_member": 40, "renews": "weekly"},
        },
        "vision-lab": {
            "display_name": "Vision Lab",
            "members": ["ada", "grace"],
            "quota": {"medium": 4},
            "budget": {"per_member": 60, "pool": 200, "renews": "monthly"},
        },
    },
    "start_timeout": 60,
    "timezone": "America/Los_Angeles",
}
_CAUSES = ("stopped", "idle", "runtime_limit", "stopped", "stopped", "out_of_memory")


class BusyHub:
    """The hub, its cluster, and what the tests do to them."""

    def __init__(self, hub: RunningHub, engine: Engine) -> None:
        self.hub = hub
        self.engine = engine

    @property
    def launcher(self) -> Launcher:
        """The hub's."""
        found: Launcher = self.hub.app.tornado_settings["gpuspawner_launcher"]
        return found

    async def remember(self, user: str, days: int, workspace: str = "cse151a") -> None:
        """So many days of sessions of a member, until yesterday: on most days one or two, alike each time."""
        store, now = self.launcher.store, self.launcher.now()
        for ago in range(days, 0, -1):
            morning = (now - timedelta(days=ago)).replace(hour=9, minute=0, second=0, microsecond=0)
            for number in range(0 if ago % 7 in (0, 6) else 1 + ago % 2):
                hours = 1 + (ago * 7 + number * 5) % 6
                name = ("small", "small", "medium", "")[(ago + number) % 4]
                opened = morning + timedelta(hours=4 * number, minutes=ago % 50)
                session = _session(f"{user}-{ago}-{number}", store.hub, user, workspace, name, opened)
                charged = micro_of(hours * RATES.get(name, 0))
                await store.hold(session)
                self.launcher.accounts.hold(session)
                self.launcher.accounts.settle(session.id, charged)
                await store.settle(
                    session.id,
                    started=opened,
                    ended=opened + timedelta(hours=hours),
                    gpu_class=name or None,
                    charged=charged,
                    cause=_CAUSES[ago % len(_CAUSES)],
                )

    async def launch(self, user: str, server: str = "", **options: Any) -> None:
        """Start a server, and wait until it runs."""
        assert not await launch(self.hub, user, options, server)

    async def cordon(self, node: str) -> None:
        """As ``kubectl cordon`` does; wait until the hub knows."""
        self.engine.store.modify("nodes", None, node, lambda found: found["spec"].update(unschedulable=True))
        async with asyncio.timeout(20), aclosing(self.launcher.live.listen(())) as news:
            async for _ in news:
                if not self.launcher.view.nodes[node].usable:
                    return


def _session(name: str, hub: str, user: str, workspace: str, gpu_class: str, opened: datetime) -> Session:
    return Session(
        id=name,
        hub=hub,
        user=user,
        server="",
        workspace=workspace,
        profile="pytorch" if gpu_class else "notebook",
        options={},
        gpu_classes=(gpu_class,) if gpu_class else (),
        gpus=1 if gpu_class else 0,
        cpu=2,
        memory=8 * 10**9,
        image="example.org/notebook:1",
        runtime=6 * 3600,
        price={"rates": {}, "cpu_rate": 0, "off_peak": None},
        held=micro_of(24),
        opened=opened,
    )


@contextlib.asynccontextmanager
async def busy_hub(folder: Path, **changes: Any) -> AsyncIterator[BusyHub]:
    """Start it, with nothing running and nothing remembered; ``changes`` are keys of the section."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("JUPYTERHUB_")}
    engine = Engine(nodes=NODES, images=IMAGES, data_dir=folder / "engine", stop_grace=1.0)
    await engine.start()
    kubeconfig = folder / "kubeconfig"
    engine.write_kubeconfig(kubeconfig)
    section = {**SECTION, "connect": {"kubeconfig": str(kubeconfig)}, "ledger_url": f"sqlite:///{folder}/ledger.sqlite"}
    c = Config(
        {
            "JupyterHub": {
                "allow_named_servers": True,
                "cleanup_servers": False,
                "services": [{"name": "tests", "api_token": ADMIN_TOKEN}],
            },
            "GPUSpawner": {**section, **changes},
            "Authenticator": {"allow_all": True, "admin_users": {"root"}},
        }
    )
    configure(c)
    c.JupyterHub.authenticator_class = with_workspaces("dummy")
    hub = await RunningHub.start(folder, c)
    try:
        yield BusyHub(hub, engine)
    finally:
        await hub.stop()
        await engine.stop()
        os.environ.update(before)


async def tab(busy: BusyHub, browser: Browser, user: str, path: str, *, script: bool = True) -> Page:
    """A page as somebody sees it who has logged in; anything their browser complains of fails the test."""
    person = await busy.hub.login(user, "x")
    size: ViewportSize = {"width": 1280, "height": 900}
    context = await signed_in(browser, person, viewport=size, java_script_enabled=script, accept_downloads=True)
    page = await context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    await page.goto(f"{busy.hub.url}{path}")
    return page
