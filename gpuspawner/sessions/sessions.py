"""The running servers of a hub: warns before each ends, ends it for whatever reason with its cause, extends it."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gpuspawner.budgets.extensions import Extensions, Spending
from gpuspawner.budgets.warnings import BudgetWarnings
from gpuspawner.cluster.client import ApiError, Client, UnreachableError
from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.view import View
from gpuspawner.companions import namespace_of
from gpuspawner.config import Settings
from gpuspawner.errors import LaunchError
from gpuspawner.labels import ENDED_BY, ENDS, LAUNCH, PROFILE_LABEL, SERVER, USER, WARNED
from gpuspawner.limits.usage import Held
from gpuspawner.pod import held_of, pod_name
from gpuspawner.sessions.lease import (
    RUNTIME_END,
    EndError,
    ExtensionError,
    Lease,
    PlannedEnd,
    check_extension,
    ended_by,
    ended_by_text,
    lease_of,
    runtime_end,
    warned_text,
)
from gpuspawner.sessions.notices import Notices
from gpuspawner.sessions.sentences import ENDS_SOON, ends_soon, has_ended, was_extended

__all__ = ["Sessions", "Stop"]

logger = logging.getLogger(__name__)

Key = tuple[str, str]
Stop = Callable[[str, str, LaunchError], Awaitable[bool]]
"""Stops a server (user name, server name) through JupyterHub, for a cause; False where that is not possible now."""

_LONGEST_NAP = 60.0
"""Seconds after which the clock is looked at again in any case: the time of day may be set anew."""
_PATIENCE = 5.0
_RETRY = timedelta(seconds=10)
LEFT_END = "left"
LEAVERS_GRACE = timedelta(minutes=5)


class Sessions:
    """One for the whole hub. Timers come from the pods' annotations, so that they survive its restarts.

    Parameters
    ----------
    clock
        Now, in the hub's time zone.
    stop
        How a server is stopped: through JupyterHub, so that its pages know.
    belongs
        Whether a user may still launch in a workspace.
    extensions
        What extensions cost and whether budgets cover them; without it they are free.
    """

    budgets: BudgetWarnings
    """The warnings of budgets that run low, which go by the same notices."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        view: View,
        *,
        clock: Callable[[], datetime],
        stop: Stop,
        notices: Notices,
        belongs: Callable[[str, str], bool] = lambda user, workspace: True,
        extensions: Extensions | None = None,
    ) -> None:
        self.settings = settings
        self.notices = notices
        self._client = client
        self._view = view
        self._clock = clock
        self._stop = stop
        self._belongs = belongs
        self._extensions = extensions
        self._followed: set[Key] = set()
        self._planned: dict[Key, dict[str, PlannedEnd]] = defaultdict(dict)
        self._warned: dict[str, dict[str, tuple[datetime, int]]] = defaultdict(dict)
        self._standing: dict[Key, tuple[str, datetime, int]] = {}
        self._ending: dict[Key, asyncio.Task[bool]] = {}
        self._not_before: dict[Key, datetime] = {}
        self._locks: dict[Key, asyncio.Lock] = {}
        self._wake = asyncio.Event()
        self._moments: dict[Key, datetime] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unlisten = view.on_pod(self._pod_changed)

    def begin(self, *further: Coroutine[Any, Any, Any]) -> None:
        """Look after whatever is followed, and do ``further`` work beside it; needs a running loop."""
        for work in (self._run(), *further):
            self._background(work)

    async def close(self) -> None:
        """Stop looking; servers go on."""
        self._unlisten()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.notices.close()

    def now(self) -> datetime:
        """Now, in the hub's time zone."""
        return self._clock()

    def follow(self, user: str, server: str) -> None:
        """A server runs, or ran when the hub started: from now on its end is looked after."""
        self._followed.add((user, server))
        self._look_soon((user, server))

    def forget(self, user: str, server: str) -> None:
        """A server has ended; what was said of its end is pointless."""
        key = (user, server)
        self._followed.discard(key)
        self._moments.pop(key, None)
        self._planned.pop(key, None)
        self._standing.pop(key, None)
        self._not_before.pop(key, None)
        self._locks.pop(key, None)
        self.notices.withdraw(user, server)

    def lease(self, user: str, server: str) -> Lease | None:
        """How long a running server may last; None where it does not run."""
        pod = self._pod((user, server))
        return self._lease(pod) if pod is not None and (user, server) in self._followed else None

    def leases(self, user: str | None = None) -> list[Lease]:
        """Those of all running servers, or of one user's, by server name."""
        keys = sorted(key for key in self._followed if user in (None, key[0]))
        return [lease for key in keys if (lease := self.lease(*key)) is not None]

    def ends(self, lease: Lease) -> list[PlannedEnd]:
        """The ends that await a server, the first one first."""
        runtime = runtime_end(lease, self.extendable_by(lease))
        return sorted((runtime, *self._planned.get(lease.key, {}).values()), key=lambda end: end.at)

    def extendable_by(self, lease: Lease) -> int:
        """The seconds by which a server can be extended now: by its profile, its workspace, and what budgets cover."""
        longest, pod = self._longest(lease), self._pod(lease.key)
        most = max(0, min(lease.longest, lease.longest if longest is None else longest) - lease.runtime)
        if self._extensions is None or pod is None or not most:
            return most
        return self._extensions.affordable(pod, lease, most)

    def cost_of_extension(self, lease: Lease, seconds: int) -> int:
        """Micro-units that so many seconds more cost at most."""
        pod = self._pod(lease.key)
        return 0 if self._extensions is None or pod is None else self._extensions.cost(pod, lease, seconds)

    def spending(self, lease: Lease) -> Spending:
        """What a server has cost and will cost; nothing where no budget pays."""
        pod = self._pod(lease.key)
        return Spending() if self._extensions is None or pod is None else self._extensions.spending(pod)

    def holds(self, lease: Lease) -> Held | None:
        """What a server has of the cluster, of the GPU classes it might have landed on only the one it did."""
        pod = self._pod(lease.key)
        held = held_of(pod.annotations, self.settings) if pod is not None else None
        if pod is None or held is None:
            return None
        landed = self._view.class_of(pod, self.settings.catalog, held.gpu_classes) if held.gpus else None
        return held if landed is None else replace(held, gpu_classes=(landed,))

    def members_changed(self, user: str) -> None:
        """A user has joined or left workspaces, whose running servers may have to end (``leavers``)."""
        for key in self._followed:
            if key[0] == user:
                self._look_soon(key)

    def plan_end(self, user: str, server: str, end: PlannedEnd) -> None:
        """A server will end at a time, in place of the end of that kind that was planned before; its member is warned.

        A plan is forgotten with the hub: whoever makes it makes it anew after a restart. Of which end the member was
        warned is kept with the pod.
        """
        before = self._planned[(user, server)].get(end.kind)
        self._planned[(user, server)][end.kind] = end
        if before != end:
            self._look_soon((user, server))

    def cancel_end(self, user: str, server: str, kind: str) -> None:
        """The planned end of a kind will not come."""
        if self._planned.get((user, server), {}).pop(kind, None) is not None:
            self._look_soon((user, server))

    async def end(self, user: str, server: str, cause: LaunchError) -> bool:
        """End a running server for a cause, which the pod carries and the next page tells.

        Returns once it has stopped, True; False where JupyterHub cannot stop it just now, as while it starts: then it
        is tried again until it is gone. A second call joins the first.
        """
        return await asyncio.shield(self._end((user, server), cause))

    async def extend(self, user: str, server: str, seconds: int, *, by: str = "", longest: int | None = None) -> Lease:
        """Let a running server run longer than was granted.

        ``by`` is who asks for it, where that is not the server's own member. ``longest`` are the seconds that the
        workspace allows one server.

        Raises
        ------
        ExtensionError
            Where it cannot, with what fits.
        """
        async with self._locks.setdefault((user, server), asyncio.Lock()):
            lease = self.lease(user, server)
            if lease is None or (user, server) in self._ending:
                raise ExtensionError("The server does not run.", "Start it.")
            ends = check_extension(
                lease,
                seconds,
                title=self.settings.catalog.profile_title(lease.profile),
                longest=self._longest(lease),
                within=self.settings.workspace_title(lease.workspace),
            )
            await self._give_time(lease, ends, seconds, by or user)
            self._look_soon(lease.key)
            extended = self.lease(user, server) or replace(lease, ends=ends)
        self.notices.tell(was_extended(extended, seconds, by, self._clock()), quietly=by in ("", user))
        return extended

    async def note(self, user: str, server: str, annotations: Mapping[str, str | None]) -> None:
        """Annotate the pod of a running server, or take annotations away (None); a failure is only logged."""
        await self._note((user, server), annotations)

    async def _give_time(self, lease: Lease, ends: datetime, seconds: int, by: str) -> None:
        """First hold what it costs, then have the pod carry its new end: after a crash in between nothing is lost."""
        pod = self._pod(lease.key)
        held = None
        if self._extensions is not None and pod is not None:
            held = await self._extensions.hold(pod, lease, seconds, by)
        try:
            await self._annotate(lease.key, {ENDS: ends.astimezone(UTC).isoformat(timespec="seconds")})
        except (ApiError, UnreachableError, TimeoutError) as error:
            if self._extensions is not None and held is not None:
                await self._extensions.give_back(held, lease, by)
            raise ExtensionError(
                "Kubernetes did not take it.", "Try again in a moment; until then the end stays as it was."
            ) from error

    def tell_ended(self, user: str, server: str, cause: LaunchError) -> None:
        """Have the hook and whoever listens told why a server has ended; pages tell it by themselves."""
        self.notices.tell(has_ended(user, server, cause, self._clock()))

    def look(self) -> datetime | None:
        """Do what is due: warnings and ends. Returns when to look again; None where nothing will come."""
        now = self._clock()
        for key in [key for key, moment in self._moments.items() if moment <= now]:
            moment = self._look_at(key, now)
            if moment is None:
                self._moments.pop(key, None)
            else:
                self._moments[key] = moment
        return min(self._moments.values(), default=None)

    def _look_at(self, key: Key, now: datetime) -> datetime | None:
        pod = self._pod(key)
        if pod is None or pod.over or pod.deleting or key in self._ending:
            return None
        wait = self._not_before.get(key)
        if wait is not None and now < wait <= now + _RETRY:  # not where the clock was set back since then
            return wait
        cause: LaunchError | None = ended_by(pod.annotations)
        lease = self._lease(pod)
        if cause is None and lease is None:
            return None
        if cause is None and lease is not None:
            self._heed_membership(lease, now)
            first = self.ends(lease)[0]
            if now < first.at:
                self._warn(pod, lease, first, now)
                return lease.next_moment(first, now)
            if first.void_after is not None and now > first.void_after:
                del self._planned[key][first.kind]
                return now
            if first.kind == RUNTIME_END and not lease.extendable:
                return None  # Kubernetes ends it
            cause = first.cause
        if cause is not None:
            self._end(key, cause)
        return None

    def _heed_membership(self, lease: Lease, now: datetime) -> None:
        """Whoever has left a workspace that stops the servers of leavers has a few minutes to save their work."""
        space = self.settings.workspaces.get(lease.workspace)
        if space is None or space.leavers != "stop":
            return
        if self._belongs(lease.user, lease.workspace):
            self._planned[lease.key].pop(LEFT_END, None)
        elif LEFT_END not in self._planned[lease.key]:
            cause = EndError(
                "left_workspace",
                f"You do not belong to {space.title} any more, where the server ran.",
                "Start it in another workspace of yours, or ask its managers; your files are kept.",
            )
            words = f"you do not belong to {space.title} any more"
            self._planned[lease.key][LEFT_END] = PlannedEnd(
                LEFT_END, now + LEAVERS_GRACE, cause, words, "Save your work."
            )

    def _longest(self, lease: Lease) -> int | None:
        """The seconds that the workspace allows one server today."""
        space = self.settings.workspaces.get(lease.workspace)
        return None if space is None else space.limits(self._clock().date()).per_launch.runtime

    def _warn(self, pod: PodRecord, lease: Lease, end: PlannedEnd, now: datetime) -> None:
        """Tell of an end that comes soon: once by the hook, whatever happens to the hub; and on every page."""
        ahead = lease.window(end, now)
        if ahead is None:
            if self._standing.pop(lease.key, None) is not None:
                self.notices.withdraw(*lease.key, ENDS_SOON)
            return
        if self._standing.get(lease.key) == (end.kind, end.at, ahead):
            return
        self._standing[lease.key] = end.kind, end.at, ahead
        told = lease.was_warned(end, ahead)
        self.notices.tell(ends_soon(lease, end, ahead, now, self.extendable_by(lease)), quietly=told)
        if not told:
            self._warned[pod.uid][end.kind] = end.at, ahead
            self._background(self._note(lease.key, {WARNED + end.kind: warned_text(end, ahead)}))

    def _end(self, key: Key, cause: LaunchError) -> asyncio.Task[bool]:
        task = self._ending.get(key)
        if task is None:
            task = self._ending[key] = asyncio.create_task(self._end_now(key, cause))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._end_over(key, done))
        return task

    async def _end_now(self, key: Key, cause: LaunchError) -> bool:
        logger.info("Ending %s/%s: %s", *key, cause.reason)
        pod = self._pod(key)
        if pod is not None and ended_by(pod.annotations) is None:
            await self._note(key, {ENDED_BY: ended_by_text(cause)})
        return await self._stop(*key, cause)

    def _end_over(self, key: Key, task: asyncio.Task[bool]) -> None:
        self._finished(task)
        self._ending.pop(key, None)
        if task.cancelled():
            return
        if task.exception() is not None or not task.result():
            self._not_before[key] = self._clock() + _RETRY
            self._look_soon(key)

    async def _note(self, key: Key, annotations: Mapping[str, str | None]) -> None:
        """Annotate a pod; where that does not succeed, what it is for goes on without."""
        try:
            await self._annotate(key, annotations)
        except (ApiError, UnreachableError, TimeoutError) as error:
            logger.warning("The pod of %s/%s is not annotated with %s: %s", *key, ", ".join(annotations), error)

    async def _annotate(self, key: Key, annotations: Mapping[str, str | None]) -> None:
        pod = self._pod(key)
        if pod is None:
            return
        change = {"metadata": {"uid": pod.uid, "annotations": dict(annotations)}}
        async with asyncio.timeout(_PATIENCE):
            self._view.observe(await self._client.patch("pods", pod.namespace, pod.name, change))

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                moment = self.look()
            except Exception:  # one server's trouble must not leave the others without an end
                logger.exception("Error while looking after the running servers")
                moment = self._clock() + _RETRY
            nap = None if moment is None else (moment - self._clock()).total_seconds()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if nap is None else min(max(nap, 0.05), _LONGEST_NAP)):
                    await self._wake.wait()

    def _look_soon(self, key: Key) -> None:
        if key in self._followed:
            self._moments[key] = datetime.min.replace(tzinfo=UTC)
            self._wake.set()

    def _pod_changed(self, pod: PodRecord, gone: bool) -> None:
        if gone or pod.over:
            self._warned.pop(pod.uid, None)
        else:
            self._look_soon((pod.annotations.get(USER, ""), pod.annotations.get(SERVER, "")))

    def _pod(self, key: Key) -> PodRecord | None:
        return self._view.pod(namespace_of(key[0], self.settings), pod_name(*key))

    def _lease(self, pod: PodRecord) -> Lease | None:
        held = held_of(pod.annotations, self.settings)
        if held is None or pod.over:
            return None
        lease = lease_of(
            pod.annotations,
            user=held.user,
            server=held.server,
            workspace=held.workspace,
            profile=pod.labels.get(PROFILE_LABEL, ""),
            launch=pod.annotations.get(LAUNCH, ""),
            started_at=pod.started_at,
            deadline=pod.runtime,
        )
        known = self._warned.get(pod.uid)
        return replace(lease, warned={**lease.warned, **known}) if lease is not None and known else lease

    def _background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("Error in the background of the sessions", exc_info=task.exception())
