"""The probes of one running container, repeated as their times say."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gpuspawner.local.apiserver.store import Object
from gpuspawner.local.kubelet.probes import Outcome, ProbeTimes

__all__ = ["Prober"]


class Prober:
    """Repeats the startup, readiness and liveness probes of a container.

    Parameters
    ----------
    spec
        The Container.
    once
        Carries out a probe once.
    changed
        Called when `started` or `ready` has changed.
    unhealthy
        Called with the kind of probe and its message when one fails.
    hopeless
        Called with the kind of probe (startup or liveness) when it failed too often: restart the container.
    """

    def __init__(
        self,
        spec: Object,
        once: Callable[[Object], Awaitable[Outcome]],
        *,
        changed: Callable[[], None],
        unhealthy: Callable[[str, str], None],
        hopeless: Callable[[str], None],
    ) -> None:
        self._probes: dict[str, Object] = {
            kind: spec[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness") if spec.get(f"{kind}Probe")
        }
        self._once, self._changed, self._unhealthy, self._hopeless = once, changed, unhealthy, hopeless
        self._tasks: list[asyncio.Task[None]] = []
        self.started = False
        self.ready = False

    def start(self) -> None:
        """Begin; what has no probe is well from the start."""
        if "startup" in self._probes:
            self._spawn(self._until_started())
        else:
            self._has_started()

    def stop(self) -> None:
        """Probe no more."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def _spawn(self, probing: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(probing))

    def _has_started(self) -> None:
        self.started = True
        self.ready = "readiness" not in self._probes
        self._changed()
        if "readiness" in self._probes:
            self._spawn(self._keep_ready())
        if "liveness" in self._probes:
            self._spawn(self._keep_alive("liveness"))

    async def _until_started(self) -> None:
        await self._keep_alive("startup", until_success=True)

    async def _keep_ready(self) -> None:
        times = ProbeTimes.of(self._probes["readiness"])
        good = bad = 0
        await asyncio.sleep(times.delay)
        while True:
            outcome = await self._once(self._probes["readiness"])
            good, bad = (good + 1, 0) if outcome.ok else (0, bad + 1)
            if not outcome.ok:
                self._unhealthy("readiness", outcome.message)
            ready = good >= times.successes if not self.ready else bad < times.failures
            if ready != self.ready:
                self.ready = ready
                self._changed()
            await asyncio.sleep(times.period)

    async def _keep_alive(self, kind: str, *, until_success: bool = False) -> None:
        times = ProbeTimes.of(self._probes[kind])
        bad = 0
        await asyncio.sleep(times.delay)
        while True:
            outcome = await self._once(self._probes[kind])
            bad = 0 if outcome.ok else bad + 1
            if outcome.ok and until_success:
                self._has_started()
                return
            if not outcome.ok:
                self._unhealthy(kind, outcome.message)
            if bad >= times.failures:
                self._hopeless(kind)
                return
            await asyncio.sleep(times.period)
