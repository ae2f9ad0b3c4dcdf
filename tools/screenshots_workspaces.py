"""The pictures of the workspace pages, of a course in which things happen: python tools/screenshots.py workspaces."""

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from administered_hub import log_in
from busy_hub import SECTION, BusyHub, busy_hub
from playwright.async_api import Browser

MEMBERS = ("ada", "alan", "barbara", "donald", "edsger", "frances", "grace", "hedy", "katherine", "leslie", "radia")
GPU = {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "small"}

Shoot = Callable[..., Awaitable[None]]


async def take_workspaces(browser: Browser, shoot: Shoot) -> None:
    """The overview, the members also on a telephone and in the dark, the servers and the limits."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        profiles = {**SECTION["profiles"], "pytorch": {**SECTION["profiles"]["pytorch"], "extend_to": "24h"}}
        async with busy_hub(Path(folder), workspaces=_workspaces(), profiles=profiles) as hub:
            waiting = await _happen(hub)
            pages = (
                ("", "workspace", 1060, {}),
                ("/members", "workspace-members", 900, {}),
                ("/members", "workspace-members-dark", 900, {"color_scheme": "dark"}),
                ("/members", "workspace-members-390", 844, {}),
                ("/servers", "workspace-servers", 1000, {}),
                ("/limits", "workspace-limits", 1080, {}),
            )
            for path, name, height, how in pages:
                size = {"width": 390 if name.endswith("-390") else 1280, "height": height}
                page = await log_in(browser, hub, "prof", viewport=size, **how)
                await page.goto(f"{hub.hub.url}gpuspawner/workspaces/cse151a{path}")
                if path == "/servers":
                    await page.get_by_role("row", name="alan").locator("summary", has_text="Stop").click()
                    await page.evaluate("window.scrollTo(0, 0)")
                await shoot(page, name)
                await page.context.close()
            await hub.hub.api("DELETE", "users/radia/server")
            await asyncio.wait({waiting})


def _workspaces() -> dict[str, Any]:
    def day(ahead: int) -> str:
        return (datetime.now(UTC) + timedelta(days=ahead)).date().isoformat()

    course = {
        **SECTION["workspaces"]["cse151a"],
        "members": [*MEMBERS, "margaret", "vint"],
        "starts": day(-60),
        "ends": day(45),
        "quota": {"small": 8, "medium": 3},
        "per_member": {"gpus": 2, "memory": "32G", "servers": 2},
        "per_launch": {"runtime": "6h"},
        "budget": {"per_member": 20, "pool": 250, "renews": "weekly"},
        "exceptions": [
            {"from": day(-20), "to": day(-17), "quota": {"small": 12}},
            {"from": day(9), "to": day(14), "quota": {"small": 16, "medium": 8}, "per_member": {"gpus": 4}},
        ],
    }
    return {**SECTION["workspaces"], "cse151a": course}


async def _happen(hub: BusyHub) -> "asyncio.Task[Any]":
    """A month of sessions, some servers that run, and one that waits."""
    for name in (*MEMBERS, "prof"):
        await hub.hub.login(name, "x")
    for number, name in enumerate(MEMBERS[:-1]):
        await hub.remember(name, 30 - 3 * number)
    for name in MEMBERS[1:6]:
        await hub.launch(name, **GPU, runtime="3h")
    await hub.launch("grace", **{**GPU, "gpu_class": "medium"}, runtime="2h")
    await hub.launch("hedy", workspace="cse151a", profile="notebook", runtime="1h")
    await hub.cordon("a100-0")
    waiting = asyncio.create_task(hub.hub.api("POST", "users/radia/server", json={**GPU, "gpu_class": "medium"}))
    while hub.launcher.under_way.get("radia", "") is None:  # noqa: ASYNC110 - in the hub's objects
        await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    return waiting
