"""A hub with people of every role, servers that run and wait, a ledger of a month, and names that want to be markup."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromium import signed_in
from cluster import IMAGES, SECTION, section
from jupyterhub import version_info
from launching import launch
from running_hub import Person, RunningHub
from traitlets.config import Config

from gpuspawner import configure, with_workspaces
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.ledger.records import Grant, Session, new_id
from gpuspawner.ledger.store import Store
from gpuspawner.local.apiserver.events import record_event
from gpuspawner.local.engine import Engine
from gpuspawner.sessions.lease import EndError

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext

MARKUP = "</script><img src=x onerror=alert(1)>"
HOSTILE = "<img src=x onerror=alert(1)>"
"""The name of a user, which may hold no slash; ``MARKUP`` is the title of whatever has one."""
STOPPED = f"prof stopped the server: “{MARKUP}”"
MEMBER, MANAGER, AUDITOR, ADMINISTRATOR, SUPERUSER = "ada", "prof", "eve", "root", "boss"
"""Whoever administers workspaces, and whoever administers JupyterHub itself."""
NODES = "a100=1x2 t4=1x2 cpu=1"
HOUR = 3600

_PROFILES: dict[str, Any] = {
    "pytorch": {
        **SECTION["profiles"]["pytorch"],
        "description": "PyTorch, CUDA and the usual tools for deep learning.",
        "runtime": {"default": "2h", "max": "4h"},
        "extend_to": "8h",
        "apps": [{"display_name": "TensorBoard", "port": 6006}, {"display_name": MARKUP, "port": 6007}],
    },
    "cpu": SECTION["profiles"]["cpu"],
    "silent": {**SECTION["profiles"]["silent"], "gpu_classes": ["small", "medium"]},
    "trap": {**SECTION["profiles"]["pytorch"], "display_name": MARKUP, "description": MARKUP},
}
_BUDGET = {"per_member": 20, "pool": 500, "renews": "weekly"}


def _workspaces(today: datetime) -> dict[str, Any]:
    def day(ahead: int) -> str:
        return (today + timedelta(days=ahead)).date().isoformat()

    exceptions = [{"from": day(5), "to": day(9), "quota": {"medium": 12}}]
    return {
        "everyone": {"members": "*", "quota": {"small": 2}, "per_member": {"servers": 4}},
        "cse151a": {
            "display_name": "CSE 151A",
            "members": [MEMBER, HOSTILE],
            "managers": [MANAGER],
            "auditors": [AUDITOR],
            "quota": {"medium": 8, "small": 2},
            "budget": _BUDGET,
            "exceptions": exceptions,
        },
        "trap": {
            "display_name": MARKUP,
            "members": [MEMBER, HOSTILE],
            "managers": [MANAGER],
            "auditors": [AUDITOR],
            "budget": _BUDGET,
        },
    }


class FullHub:
    """The running hub, its engine, and browsers of its people."""

    def __init__(self, hub: RunningHub, engine: Engine) -> None:
        self.hub = hub
        self.engine = engine
        self._people: dict[str, Person] = {}

    def url(self, path: str) -> str:
        """A page's address; ``path`` is below ``/hub/``."""
        return f"{self.hub.url}{path}"

    async def visitor(self, browser: "Browser", name: str, **how: Any) -> "BrowserContext":
        """A browser in which somebody has logged in; nobody where the name is empty."""
        if not name:
            return await browser.new_context(**how)
        person = self._people.get(name) or await self.hub.login(name, "x")
        self._people[name] = person
        return await signed_in(browser, person, **how)


@asynccontextmanager
async def full_hub(folder: Path, **changes: Any) -> AsyncIterator[FullHub]:
    """Start it. ada runs a server and waits for another, as does whoever is called ``HOSTILE``."""
    now = datetime.now(UTC)
    ledger = f"sqlite:///{folder / 'ledger.sqlite'}"
    engine = Engine(nodes=NODES, images=IMAGES, data_dir=folder / "engine", stop_grace=1.0)
    await engine.start()
    classes = deepcopy(SECTION["gpu_classes"])
    classes["small"]["display_name"] = MARKUP
    classes["small"]["rate"], classes["medium"]["rate"] = 0.5, 2
    classes["medium"]["memory"], classes["small"]["memory"] = "80Gi", "16Gi"
    written = section(
        engine,
        folder,
        gpu_classes=classes,
        profiles=_PROFILES,
        workspaces=_workspaces(now),
        ledger_url=ledger,
        administrators=[ADMINISTRATOR],
        **changes,
    )
    written["start_timeout"] = 600
    c = Config(
        {
            "JupyterHub": {
                "allow_named_servers": True,
                "cleanup_servers": False,
                "tornado_settings": {"slow_spawn_timeout": 0},
            },
            "GPUSpawner": written,
            "Authenticator": {"allow_all": True, "admin_users": {SUPERUSER}},
        }
    )
    configure(c)
    c.JupyterHub.authenticator_class = with_workspaces("dummy")
    await _history(ledger, now)
    hub = await RunningHub.start(folder, c)
    try:
        for name in (MEMBER, HOSTILE, MANAGER, AUDITOR, ADMINISTRATOR, SUPERUSER):
            await hub.login(name, "x")
        options = {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "medium"}
        assert await launch(hub, MEMBER, {**options, "gpus": 1}) == ""
        assert await launch(hub, HOSTILE, {**options, "workspace": "trap", "profile": "trap"}) == ""
        found = FullHub(hub, engine)
        await _stopped_with_a_message(found)
        for name in (MEMBER, HOSTILE):
            await _wait_in_vain(found, name)
        yield found
    finally:
        for name in (MEMBER, HOSTILE):
            await _give_up(hub, name)
        await hub.stop()
        await engine.stop()


async def _stopped_with_a_message(full: FullHub) -> None:
    """A server that a manager has stopped, with a reason that wants to be markup, as its name does where it may."""
    server = "told" if version_info >= (6,) else HOSTILE
    assert await launch(full.hub, HOSTILE, {"workspace": "cse151a", "profile": "cpu"}, server) == ""
    sessions = full.hub.app.tornado_settings["gpuspawner_sessions"]
    await sessions.end(HOSTILE, server, EndError("stopped", STOPPED, "Ask them."))


async def _wait_in_vain(full: FullHub, user: str) -> None:
    """A server for which no GPU is free, and an event of its pod that wants to be markup."""
    options = {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "medium", "gpus": 2}
    answer = await full.hub.api("POST", f"users/{user}/servers/waiting", json=options)
    assert answer.status == 202, await answer.text()
    async with asyncio.timeout(30):
        while not (pods := _pods(full.engine, user, "waiting")):  # noqa: ASYNC110 - in the engine's store
            await asyncio.sleep(0.05)
    record_event(full.engine.store, pods[0], "Warning", "FailedScheduling", MARKUP, "default-scheduler")


def _pods(engine: Engine, user: str, server: str) -> list[dict[str, Any]]:
    def is_it(pod: dict[str, Any]) -> bool:
        said = pod["metadata"].get("annotations", {})
        return bool(said.get("hub.jupyter.org/username") == user and said.get("hub.jupyter.org/servername") == server)

    return [pod for pod in engine.store.list("pods", "default")[0] if is_it(pod)]


async def _give_up(hub: RunningHub, user: str) -> None:
    """Cancel what waits, and see its pod go, before hub and cluster end."""
    await hub.api("DELETE", f"users/{user}/servers/waiting")
    async with asyncio.timeout(30):
        while "waiting" in (mine := hub.user(user).spawners) and mine["waiting"].active:  # noqa: ASYNC110 - in JupyterHub's objects
            await asyncio.sleep(0.05)


async def _history(url: str, now: datetime) -> None:
    """Four weeks of sessions that are over, and a grant."""
    store = Store(url, "jupyterhub")
    await store.open()
    for number in range(60):
        opened = now - timedelta(hours=10 * number + 5)
        gpu_class = ("small", "medium")[number % 2]
        user, workspace = (MEMBER, HOSTILE)[number % 3 == 2], ("cse151a", "trap")[number % 5 == 4]
        session = Session(
            id=new_id(),
            hub="jupyterhub",
            user=user,
            server=("", "thesis")[number % 4 == 3],
            workspace=workspace,
            profile=("pytorch", "trap")[number % 5 == 4],
            options={},
            gpu_classes=(gpu_class,),
            gpus=1,
            cpu=2.0,
            memory=8 * 10**9,
            image="example.org/notebook:1",
            runtime=2 * HOUR,
            price={},
            held=MICRO,
            opened=opened,
        )
        await store.hold(session)
        await store.settle(
            session.id,
            started=opened + timedelta(seconds=20),
            ended=opened + timedelta(hours=1 + number % 3),
            gpu_class=gpu_class,
            charged=(number % 3 + 1) * MICRO // 4,
            cause=("stopped", "runtime", "idle")[number % 3],
        )
    given = {"units": 5 * MICRO, "by": ADMINISTRATOR, "at": now, "until": now + timedelta(days=20)}
    await store.grant(Grant(workspace="cse151a", user=MEMBER, reason=MARKUP, **given))
    await store.close()
