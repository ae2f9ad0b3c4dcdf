"""A hub for administrators: a month behind it, grants, a dated exception ahead, servers that run, one that waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from busy_hub import SECTION, BusyHub, busy_hub
from chromium import signed_in
from playwright.async_api import Browser, Page

from gpuspawner.under_way import CalledOffError

__all__ = ["MEDIUM", "log_in", "prepared"]

MEDIUM = {"workspace": "vision-lab", "profile": "pytorch", "gpu_class": "medium"}


def _workspaces(today: datetime) -> dict[str, Any]:
    spaces: dict[str, Any] = deepcopy(SECTION["workspaces"])
    first, last = ((today + timedelta(days=days)).date().isoformat() for days in (4, 8))
    spaces["cse151a"]["exceptions"] = [{"from": first, "to": last, "quota": {"medium": 4}, "per_member": {"gpus": 2}}]
    spaces["cse151a"]["per_member"] = {"gpus": 1, "cpu": 8, "memory": "64G"}
    spaces["vision-lab"]["quota"] = {"medium": 8, "large": 2}
    spaces["chem"] = {"display_name": "Chemistry 40", "members": [], "ends": last, "quota": {"small": 2, "large": 0}}
    return spaces


@asynccontextmanager
async def prepared(folder: Path) -> AsyncIterator[BusyHub]:
    """A hub with a month behind it, servers that run, and one that waits."""
    async with busy_hub(folder, workspaces=_workspaces(datetime.now())) as busy:  # noqa: DTZ005
        for name in ("root", "ada", "grace", "eve"):
            await busy.hub.login(name, "x")
        launcher = busy.launcher
        await launcher.books.quiet()
        now = launcher.now()
        await launcher.store.note_capacity(now - timedelta(days=27), {})
        await launcher.store.note_capacity(now - timedelta(days=26), {"small": 4, "medium": 4, "large": 2})
        await launcher.store.note_capacity(now - timedelta(days=12), {"small": 8, "medium": 4, "large": 2})
        for user, space in (("ada", "cse151a"), ("eve", "cse151a"), ("grace", "vision-lab")):
            await busy.remember(user, 28, space)
        for units, user, reason in ((5, "ada", "Project week"), (40, None, "Camera-ready deadline")):
            given = {"workspace": "vision-lab", "units": units, "reason": reason}
            answer = await busy.hub.api("POST", "gpuspawner/grants", json={**given, **({"user": user} if user else {})})
            assert answer.status == 201
        await busy.hub.api("POST", "users/eve/server", json={**MEDIUM, "gpus": 2})
        await busy.launch("grace", **MEDIUM, gpus=4)
        await busy.launch("ada", workspace="cse151a", profile="pytorch", gpu_class="small")
        waiting = asyncio.create_task(busy.hub.api("POST", "users/ada/servers/thesis", json={**MEDIUM, "gpus": 1}))
        async with asyncio.timeout(30):
            while launcher.outlook("ada", "thesis") is None:  # noqa: ASYNC110 - it comes with the cluster's answer
                await asyncio.sleep(0.02)
        yield busy
        launcher.under_way.call_off("ada", "thesis", CalledOffError("the end of the tests"))
        await waiting


async def log_in(browser: Browser, busy: BusyHub, name: str, **how: Any) -> Page:
    """A browser in which somebody has logged in."""
    context = await signed_in(browser, await busy.hub.login(name, "x"), **how)
    return await context.new_page()
