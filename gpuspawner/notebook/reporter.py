"""Measures what the server uses, and reports it to the hub with the server's own token."""

import asyncio
import json
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from gpuspawner.notebook.cpu import CPUMeter
from gpuspawner.notebook.gpu import gpu_memory
from gpuspawner.notebook.hub import client_context

__all__ = ["EVERY", "URL", "Reporter"]

logger = logging.getLogger(__name__)

URL, EVERY = "GPUSPAWNER_ACTIVITY_URL", "GPUSPAWNER_ACTIVITY_EVERY"
"""Variables by which the hub asks for reports: where to, and every how many seconds."""

_LOOKS = 4
"""Times that the GPU is looked at for one sample."""
_KEPT = 12 * 60
_AT_ONCE = 1000

Post = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Sends a report to the hub; returns its answer, and raises ``OSError`` or ``HTTPClientError`` without one."""


@dataclass
class Reporter:
    """Takes a sample every so many seconds, and keeps the latest ones until the hub knows them.

    The hub answers from when on it knows this server's use without a gap. If that is later than what it has been told,
    it has restarted, and is told again.
    """

    server: str
    every: float
    post: Post
    gpu: Callable[[], int | None] = gpu_memory
    cpu: Callable[[], float | None] = field(default_factory=lambda: CPUMeter().read)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _samples: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _told: datetime | None = None
    _complained: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Reporter | None":
        """The reporter that the hub asks for; None where it does not."""
        url, token = environment.get(URL), environment.get("JUPYTERHUB_API_TOKEN")
        if not url or not token:
            return None
        try:
            every = max(1.0, float(environment.get(EVERY) or 60))
        except ValueError:
            every = 60.0
        return cls(
            environment.get("JUPYTERHUB_SERVER_NAME", ""), every, _poster(url, token, client_context(environment))
        )

    async def run(self) -> None:
        """Measure and report until the server ends."""
        while True:
            await self.take_sample()
            await self.report()

    async def take_sample(self) -> None:
        """Look several times within ``every`` seconds, and keep the most that was in use."""
        memory: int | None = None
        for _ in range(_LOOKS):
            await self.sleep(self.every / _LOOKS)
            seen = await asyncio.to_thread(self.gpu)
            memory = seen if memory is None else max(memory, seen or 0)
        cores = await asyncio.to_thread(self.cpu)
        self._samples.append({"at": self.clock().isoformat(), "gpu_memory": memory, "cpu": cores})

    async def report(self) -> None:
        """Tell the hub what it does not know yet; without an answer it is told the next time."""
        unsent = [one for one in self._samples if self._told is None or _at(one) > self._told][-_AT_ONCE:]
        if not unsent:
            return
        try:
            answer = await self.post({"server": self.server, "samples": unsent})
            knows_from = datetime.fromisoformat(str(answer["known_from"]))
        except (HTTPClientError, OSError, KeyError, ValueError) as error:
            level = logging.DEBUG if self._complained else logging.WARNING
            logger.log(level, "The hub was not told what this server uses: %s", error)
            self._complained = True
            return
        self._complained = False
        forgotten = self._told is not None and knows_from > self._told
        self._told = None if forgotten and len(unsent) < len(self._samples) else _at(unsent[-1])


def _at(sample: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(sample["at"])


def _poster(url: str, token: str, context: ssl.SSLContext | None) -> Post:
    async def post(report: Mapping[str, Any]) -> Mapping[str, Any]:
        request = HTTPRequest(
            url,
            method="POST",
            headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
            body=json.dumps(report),
            ssl_options=context,
        )
        answer = await AsyncHTTPClient().fetch(request)
        found: Mapping[str, Any] = json.loads(answer.body)
        return found

    return post
