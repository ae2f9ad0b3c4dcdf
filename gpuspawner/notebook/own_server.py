"""What whoever works in this server should know: time left, GPUs, budget, notices. Asks the hub as rarely as it can."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gpuspawner.notebook.cpu import CPUMeter
from gpuspawner.notebook.gpu import Gpu, gpus
from gpuspawner.notebook.hub import Hub, HubError

__all__ = ["OwnServer"]

logger = logging.getLogger(__name__)

_KNOWN_FOR = 300.0
"""Seconds after which the hub is asked again though it has said nothing new."""
_SOON = 60.0
_STREAM = 600.0
_WATCHED = 60.0
"""Seconds after the last question of a page for which the hub's notices are still listened to."""
_PAUSE = 5.0
_MEASURED_FOR = 5.0
_BUDGET, _ENDED = "budget", "ended"


@dataclass
class OwnServer:
    """This server, as its own pages show it.

    The hub is asked when a page asks, at most once in five minutes; between that the hub says itself, in the stream of
    notices, when something is new. Nobody looking: nothing is asked, and no stream is open for longer than ten minutes.
    """

    hub: Hub
    gpus: Callable[[], list[Gpu]] = gpus
    cpu: Callable[[], float | None] = field(default_factory=lambda: CPUMeter().read)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _session: dict[str, Any] | None = None
    _budget: dict[str, Any] | None = None
    _trouble: HubError | None = None
    _known_at: float = 0
    _ask_at: float = 0
    _asked_at: float = 0
    _foreign: bool = False
    _notices: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    _measured: tuple[float, dict[str, Any]] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _listening: asyncio.Task[None] | None = None

    async def status(self) -> dict[str, Any]:
        """All of it, as JSON. ``server`` is None where the hub knows no end of this server: nothing is shown."""
        self._asked_at = self.clock()
        async with self._lock:
            if not self._foreign and self.clock() >= self._ask_at:
                await self._ask()
            measured = await self._measure()
        self._listen()
        return {
            "hub": {"home": f"{self.hub.pages}home", "usage": f"{self.hub.pages}gpuspawner/usage"},
            "server": self._session and {**self._session, "left": self._left()},
            "budget": self._budget,
            "notices": list(self._notices.values()),
            "trouble": self._trouble and {"reason": self._trouble.reason, "remedy": self._trouble.remedy},
            **measured,
        }

    async def extend(self, by: Any) -> dict[str, Any]:
        """Ask the hub for so much more time, as its API takes it. Returns the status then; raises ``HubError``."""
        async with self._lock:
            self._keep(await self.hub.ask("POST", f"{self.hub.session}/extend", {} if by is None else {"by": by}))
            self._ask_at = 0  # what is left of the budget has changed, too
        return await self.status()

    def _left(self) -> int:
        assert self._session is not None  # noqa: S101 - of a session only
        return max(0, round(float(self._session["left"]) - (self.clock() - self._known_at)))

    async def _ask(self) -> None:
        self._ask_at = self.clock() + _SOON
        try:
            told = await self.hub.ask("GET", self.hub.sessions)
            mine = (one for one in told.get("sessions", ()) if one.get("server") == self.hub.server)
            self._keep(next(mine, None))
            self._budget = await self._ask_budget()
            self._trouble = None
        except HubError as error:
            if error.status is None or error.status >= 500:
                self._trouble = error
                return
            logger.debug("gpuspawner: the hub tells nothing of this server: %s", error)
            self._keep(None)
            self._foreign = error.status == 404  # a hub without gpuspawner
        if self._session is not None:
            self._ask_at = self.clock() + _KNOWN_FOR

    async def _ask_budget(self) -> dict[str, Any] | None:
        if self._session is None:
            return None
        told = await self.hub.ask("GET", "balance")
        workspace = self._session["workspace"]
        found = next((one for one in told.get("workspaces", ()) if one["workspace"] == workspace), None)
        accounts = [one for one in (found["member"], found["pool"]) if one] if found else []
        if found is None or not accounts:
            return None
        scarce = min(accounts, key=lambda account: account["left"])
        return {"left": scarce["left"], "total": scarce["total"], "sentence": found["sentence"]}

    def _keep(self, session: dict[str, Any] | None) -> None:
        self._session, self._known_at = session, self.clock()

    async def _measure(self) -> dict[str, Any]:
        if self._measured is None or self.clock() >= self._measured[0] + _MEASURED_FOR:
            found, cores = await asyncio.to_thread(self.gpus), await asyncio.to_thread(self.cpu)
            self._measured = self.clock(), {"gpus": [asdict(gpu) for gpu in found], "cpu": cores}
        return self._measured[1]

    def _listen(self) -> None:
        if self._session is not None and (self._listening is None or self._listening.done()):
            self._listening = asyncio.ensure_future(self._hear())

    async def _hear(self) -> None:
        """Listen for as long as some page asks now and then; after trouble the next question tries again."""
        try:
            while self._session is not None and self.clock() < self._asked_at + _WATCHED:
                told = (await self.hub.ask("GET", "notices")).get("notices", [])
                self._notices = {_about(one): one for one in told if self._concerns(one)}
                await self.hub.listen("notices", told[-1]["id"] if told else "", self._heard, _STREAM)
                await self.sleep(_PAUSE)
        except HubError as error:
            logger.debug("gpuspawner: the hub's notices are not heard: %s", error)
            await self.sleep(_SOON)

    def _heard(self, event: str, notice: dict[str, Any]) -> None:
        """A notice has come or gone: what is known of the session and the budget may have changed with it."""
        self._ask_at = 0
        if event == "withdrawn":
            self._notices = {about: one for about, one in self._notices.items() if one["id"] != notice["id"]}
        elif self._concerns(notice):
            self._notices[_about(notice)] = notice

    def _concerns(self, notice: Mapping[str, Any]) -> bool:
        """What is said of other servers is for those servers' own pages."""
        kind = notice["kind"]
        return kind == _BUDGET or (kind != _ENDED and bool(notice["server"] == self.hub.server))


def _about(notice: Mapping[str, Any]) -> tuple[str, ...]:
    """Of one kind about the same there is one notice, the last."""
    return notice["kind"], notice["server"], notice["about"]
