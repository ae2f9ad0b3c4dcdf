"""Looks after idle servers: gathers what they use, judges them, plans their ends, and says so on their pods."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Protocol

from gpuspawner.activity.prometheus import Pod, SourceError
from gpuspawner.activity.report import Report
from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.use import is_quiet, shares_gpu
from gpuspawner.cluster.view import View
from gpuspawner.companions import namespace_of
from gpuspawner.config import Settings
from gpuspawner.labels import IDLE, IDLE_AFTER, IDLE_ENDS
from gpuspawner.pod import held_of, pod_name
from gpuspawner.sessions.idle import (
    IdlePolicy,
    IdleState,
    Patience,
    Sample,
    Track,
    Verdict,
    judge_cpu,
    judge_gpu,
    observe,
    patience_for,
)
from gpuspawner.sessions.lease import AGAIN, EndError, Lease, PlannedEnd
from gpuspawner.sessions.sessions import Sessions

__all__ = ["DOWNGRADED", "IDLE_END", "IdleWatch", "Source"]

logger = logging.getLogger(__name__)

Key = tuple[str, str]
IDLE_END = "idle"
DOWNGRADED = "downgraded"
"""Codes of the causes: a server ended for being idle, and one that is started again without its GPU."""

_LAST_LOOK = timedelta(seconds=5)
_AT_ONCE = 50
"""Servers that are judged before others get a turn in the event loop."""
_KEPT = "Your files are kept."


class Source(Protocol):
    """Where the use of all pods is read; every call raises ``SourceError`` where that does not succeed."""

    async def look(self, at: datetime) -> Mapping[Pod, list[Sample]]:
        """What each pod used since the last look."""

    async def history(self, began: datetime, at: datetime) -> Mapping[Pod, list[Sample]]:
        """What each pod used since ``began``."""

    async def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """A running server that ends when it is idle."""

    lease: Lease
    pod: PodRecord
    gpus: int
    gpu_classes: tuple[str, ...]
    patience: Patience


class IdleWatch:
    """One for the hub.

    Parameters
    ----------
    activity
        When each running server was last active, as JupyterHub knows it.
    source
        Where the use of GPUs is read besides the reports of notebook servers.
    """

    def __init__(
        self,
        settings: Settings,
        view: View,
        sessions: Sessions,
        *,
        clock: Callable[[], datetime],
        activity: Callable[[], Mapping[Key, datetime]],
        source: Source | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._policy = settings.idle or IdlePolicy()
        self._view = view
        self._sessions = sessions
        self._clock = clock
        self._activity = activity
        self._source = source
        self._sleep = sleep
        self._tracks: dict[str, Track] = {}
        self._warned: dict[str, datetime | None] = {}
        self._said: dict[str, Verdict] = {}
        self._listening: datetime | None = None
        self._history_read = False
        self._silent = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look after all running servers from now on; needs a running loop."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop looking; what is planned stays planned."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._source is not None:
            await self._source.close()

    def report(self, user: str, report: Report) -> datetime | None:
        """Take in what a server says of itself; since when its use is known without a gap, None if it does not run."""
        lease = self._sessions.lease(user, report.server)
        if lease is None:
            return None
        now = self._clock()
        track = self._heard(lease, report.within(lease.started, now))
        known = [signal.known.began for signal in (track.gpu, track.cpu) if signal is not None]
        return min(known, default=now)

    def verdict(self, user: str, server: str) -> Verdict | None:
        """What is known of a server's idleness since the last look; None where it does not end for being idle."""
        lease = self._sessions.lease(user, server)
        return self._said.get(lease.launch) if lease is not None else None

    async def look(self) -> None:
        """Gather and judge once."""
        now = self._clock()
        if self._listening is None:
            self._listening = now
        watched = [one for lease in self._sessions.leases() if (one := self._watched(lease)) is not None]
        running = {one.lease.launch for one in watched}
        for kept in (self._tracks, self._warned, self._said):
            for launch in kept.keys() - running:
                del kept[launch]
        await self._gather(watched, now)
        active = self._activity() if any(not one.gpus for one in watched) else {}
        notes, quiet = [], cache(self._quiet)
        for count, one in enumerate(watched):
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if not self._still_runs(one):
                continue
            verdict = self._said[one.lease.launch] = self._judge(one, active, quiet, now)
            self._plan(one, verdict, now)
            said = self._annotations(one, verdict)
            if any(one.pod.annotations.get(name) != text for name, text in said.items()):
                notes.append(self._sessions.note(*one.lease.key, said))
        await asyncio.gather(*notes)

    def _still_runs(self, one: _Watched) -> bool:
        """Whether the server is the one it was when the look began: it may have been stopped and started since."""
        pod = self._view.pod(one.pod.namespace, one.pod.name)
        return pod is not None and pod.uid == one.pod.uid and not pod.ended

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # one server's trouble must not keep the others from being looked at
                logger.exception("Error while looking for idle servers")
            await self._sleep(self._nap())

    def _nap(self) -> float:
        """Seconds until the next look: shortly before a server is ended there is one more."""
        now = self._clock()
        last_looks = [verdict.ends - _LAST_LOOK for verdict in self._said.values() if verdict.ends]
        ahead = [(look - now).total_seconds() for look in last_looks if look > now]
        return max(1.0, min([self._policy.every, *ahead]))

    def _watched(self, lease: Lease) -> _Watched | None:
        pod = self._view.pod(namespace_of(lease.user, self._settings), pod_name(*lease.key))
        held = held_of(pod.annotations, self._settings) if pod is not None else None
        if pod is None or held is None:
            return None
        after = pod.annotations.get(IDLE_AFTER, "")
        own = int(after) if after.isascii() and after.isdecimal() else None
        patience = patience_for(self._settings.idle, own, gpus=held.gpus)
        return _Watched(lease, pod, held.gpus, held.gpu_classes, patience) if patience is not None else None

    async def _gather(self, watched: list[_Watched], now: datetime) -> None:
        if self._source is None or not watched:
            return
        try:
            if self._history_read:
                found = await self._source.look(now)
            else:
                found = await self._source.history(self._worth_knowing(watched, now), now)
                self._history_read = True
        except SourceError as error:
            if not self._silent:
                logger.warning("%s No server ends for an idle GPU until it does.", error)
            self._silent = True
            return
        self._silent = False
        for one in watched:
            await asyncio.sleep(0)
            samples = found.get((one.pod.namespace, one.pod.name), ())
            self._heard(one.lease, [sample for sample in samples if sample.at >= one.lease.started])

    def _worth_knowing(self, watched: list[_Watched], now: datetime) -> datetime:
        longest = max(one.patience.when_quiet for one in watched) + self._policy.cpu_over + self._policy.grace.max
        began = min(one.lease.started for one in watched)
        return max(min(began, now), now - timedelta(seconds=longest))  # a clock that was set back has no past

    def _heard(self, lease: Lease, samples: Iterable[Sample]) -> Track:
        track = self._tracks[lease.launch] = observe(self._tracks.get(lease.launch, Track()), samples, self._policy)
        return track

    def _quiet(self, gpu_class: str) -> bool | None:
        found = self._settings.catalog.gpu_classes[gpu_class]
        return is_quiet(found, self._view.inventory, self._policy.quiet_below)

    def _judge(
        self,
        one: _Watched,
        active: Mapping[Key, datetime],
        quiet: Callable[[str], bool | None],
        now: datetime,
    ) -> Verdict:
        track = self._tracks.get(one.lease.launch, Track())
        warned = self._warned_at(one)
        if not one.gpus:
            return judge_cpu(
                track,
                self._policy,
                one.patience,
                active=max(one.lease.started, active.get(one.lease.key, one.lease.started)),
                listening=self._listening or now,
                now=now,
                warned=warned,
            )
        landed = self._view.class_of(one.pod, self._settings.catalog, one.gpu_classes)
        return judge_gpu(
            track,
            self._policy,
            one.patience,
            started=one.lease.started,
            now=now,
            shared=shares_gpu(one.pod, self._view.inventory),
            quiet=quiet(landed) if landed else None,
            warned=warned,
        )

    def _warned_at(self, one: _Watched) -> datetime | None:
        """When its member was told; a hub that restarts reads it from the pod."""
        if one.lease.launch not in self._warned:
            self._warned[one.lease.launch] = _warned_of(one.pod.annotations.get(IDLE, ""))
        return self._warned[one.lease.launch]

    def _plan(self, one: _Watched, verdict: Verdict, now: datetime) -> None:
        """Plan the end of a server that is to be warned, and cancel it where it is needed no more."""
        launch, key = one.lease.launch, one.lease.key
        warns = verdict.state in (IdleState.WARNED, IdleState.DUE)
        if warns and verdict.ends is not None and not self._kept(one):
            self._warned[launch] = self._warned[launch] or now
            self._sessions.plan_end(*key, self._end(one, verdict, verdict.ends, now))
        else:
            self._warned[launch] = None
            self._sessions.cancel_end(*key, IDLE_END)

    def _kept(self, one: _Watched) -> bool:
        space = self._settings.workspaces.get(one.lease.workspace)
        return bool(one.gpus) and space is not None and space.idle_gpu == "keep"

    def _downgrades(self, one: _Watched) -> bool:
        space = self._settings.workspaces.get(one.lease.workspace)
        profile = self._settings.catalog.profiles.get(one.lease.profile)
        possible = profile is None or not profile.gpus.min
        return bool(one.gpus) and possible and space is not None and space.idle_gpu == "downgrade"

    def _end(self, one: _Watched, verdict: Verdict, at: datetime, now: datetime) -> PlannedEnd:
        what = "its GPU" if one.gpus else "it"
        since = (verdict.since or now).astimezone(now.tzinfo)
        warning = f"{what} has not been used since {since:%H:%M}"
        if self._downgrades(one):
            cause = EndError(DOWNGRADED, verdict.why, f"It is started again without GPU. {_KEPT}")
            avert = f"It then starts again without GPU. {_KEPT} Use the GPU, and it stays."
        else:
            cause = EndError(IDLE_END, verdict.why, AGAIN)
            avert = f"{_KEPT} Use {'the GPU' if one.gpus else 'it'}, and it stays."
        return PlannedEnd(IDLE_END, at, cause, warning, avert, now + timedelta(seconds=self._policy.silence))

    def _annotations(self, one: _Watched, verdict: Verdict) -> dict[str, str | None]:
        if verdict.since is None or verdict.ends is None:
            return {IDLE: None, IDLE_ENDS: None}
        kept, warned = self._kept(one), self._warned[one.lease.launch]
        state = IdleState.IDLE if kept else verdict.state
        said = {"state": str(state), "since": _text(verdict.since), "why": verdict.why}
        if warned is not None:
            said["warned"] = _text(warned)
        return {IDLE: json.dumps(said, ensure_ascii=False), IDLE_ENDS: None if kept else _text(verdict.ends)}


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _warned_of(annotation: str) -> datetime | None:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        found = datetime.fromisoformat(json.loads(annotation)["warned"])
        return found if found.tzinfo is not None else None
    return None
