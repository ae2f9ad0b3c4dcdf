"""From a created pod to a ready one: what a launch waits on, what it tells, and what ends it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from math import inf

import aiohttp

from gpuspawner.catalog import Catalog
from gpuspawner.quantity import format_duration

from .client import Client
from .deadlines import Stage, Stopwatch, TooSlowError, stage_of
from .event_feed import Follower
from .events import EventRecord, Phase, Progress, diagnose, ended, progress
from .failures import RECONSIDER, ExitedError, PodError, SilentError, plain
from .kueue import Kueue
from .outlook import Outlook
from .pulls import Pulls, pulled
from .records import PodRecord
from .view import View
from .wire import ApiError, UnreachableError

__all__ = ["log_tail", "until_answering", "until_ready"]

logger = logging.getLogger(__name__)

_LOG_PATIENCE = 5.0
_LAST_WORD = 2.0
_SERVER_ERROR = 500


async def until_ready(
    view: View,
    client: Client,
    pod: PodRecord,
    *,
    catalog: Catalog,
    gpu_classes: Sequence[str] = (),
    tell: Callable[[Progress], None] = lambda step: None,
    follower: Follower | None = None,
    wake: asyncio.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
    stopwatch: Stopwatch | None = None,
    outlook: Callable[[PodRecord], Outlook | None] = lambda pod: None,
    reconsider: Callable[[PodError, bool], float] = lambda problem, final: inf,
    pulls: Pulls | None = None,
    kueue: Kueue | None = None,
) -> PodRecord:
    """Wait until a pod that the view has observed is ready.

    ``gpu_classes`` are those it may land on. ``tell`` hears each step, repeated ones too. ``follower`` holds the pod's
    events, and ``wake`` is set by whoever adds one. ``stopwatch`` has the deadlines and counts on over several pods of
    one launch. ``outlook`` says what a pod that waits for a GPU can expect. ``reconsider`` is called with the problem
    of a pod that has no node, and whether it ends the launch now: it raises to go on with another pod, or says in how
    many seconds to call it again.

    Raises
    ------
    PodError
        When the pod ends, goes, or has a problem for longer than that problem's patience.
    TooSlowError
        When a stage of the launch takes longer than its deadline.
    """
    wake = wake or asyncio.Event()
    stopwatch = stopwatch if stopwatch is not None else Stopwatch()
    since: dict[type[PodError], float] = {}

    def changed(record: PodRecord, gone: bool) -> None:
        wake.set()

    stop = view.on_pod(changed, namespace=pod.namespace, name=pod.name)
    stop_outage = view.on_outage(wake.set)
    try:
        while True:
            wake.clear()
            now = view.pod(*pod.key)
            if now is None or now.uid != pod.uid:
                last = view.last(*pod.key)
                raise ended(last if last is not None and last.uid == pod.uid else pod)
            if now.ready and now.ip:
                return now
            if view.outage is not None:  # what is known may be over: it neither ends the launch nor is it told
                since = {}
                stopwatch.pause(clock())
                tell(Progress(Phase.WAITING, _away(view.outage.reason), 0))
                await wake.wait()
                continue
            events = tuple(e for e in (follower.events if follower else ()) if e.uid in ("", pod.uid))
            stock = None if now.node else view.stock_for(now, catalog, gpu_classes)
            expected = await _expected(now, outlook, kueue)
            problem = diagnose(now, events, stock, expected)
            since = {type(problem): since.get(type(problem), clock())} if problem else {}
            left = _patience(problem, stopwatch) - (clock() - since[type(problem)]) if problem else inf
            again = reconsider(problem, left <= 0) if problem is not None and not now.node else inf
            if problem is not None and left <= 0:
                raise await _with_log(problem, client, now)
            step = progress(now, events, stock, expected)
            stage = stage_of(step.phase, problem)
            stopwatch.enter(stage, clock())
            if stage is Stage.IMAGE or step.phase is Phase.PULLED:
                step = progress(now, events, pull=_pull(now.image, events, stopwatch, pulls))
            if stopwatch.left(stage) <= 0:
                raise TooSlowError(stage, stopwatch.spent(stage), step.message, step.raw)
            tell(step._replace(within=stopwatch.left(stage) if stopwatch.left(stage) < inf else None))
            left = min(left, stopwatch.left(stage), _RETELL.get(stage, inf), again)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), left if left < inf else None)
    finally:
        stop()
        stop_outage()


async def _expected(
    pod: PodRecord, outlook: Callable[[PodRecord], Outlook | None], kueue: Kueue | None
) -> Outlook | None:
    """Of a pod that Kueue has not admitted only Kueue knows."""
    if pod.node:
        return None
    if pod.gated:
        return await kueue.outlook(pod) if kueue is not None else None
    return outlook(pod)


# Seconds after which what changes by the clock alone is told anew: the estimate, the time a pull has taken.
_RETELL = {Stage.PLACE: 30.0, Stage.IMAGE: 15.0}
_LONG = 30


def _patience(problem: PodError, stopwatch: Stopwatch) -> float:
    return stopwatch.impossible if problem.patience == RECONSIDER else problem.patience


def _pull(image: str, events: Sequence[EventRecord], stopwatch: Stopwatch, pulls: Pulls | None) -> str:
    """What is known of a pull: under way, its time so far and its size and time when it was last pulled; else both."""
    newest = max((e for e in events if e.reason in ("Pulling", "Pulled")), key=lambda e: e.time[:19], default=None)
    if newest is not None and newest.reason == "Pulled":
        done = pulled(newest.message)
        return f" ({done.told})" if done is not None and (done.size or done.seconds >= 1) else ""
    known = pulls.of(image) if pulls is not None else None
    before = f" ({known.told} the last time)" if known is not None else ""
    spent = int(stopwatch.spent(Stage.IMAGE))
    if spent < _LONG:
        return before
    return f"{before}, for {format_duration(spent - spent % (_LONG if spent < 120 else 60))} so far"


def _away(reason: str) -> str:
    return f"Kubernetes does not answer right now ({plain(reason)}). The launch goes on as soon as it does."


async def until_answering(view: View, client: Client, pod: PodRecord, url: str, timeout: float) -> None:
    """Wait until the server in a ready pod answers HTTP at ``url`` with anything below 500.

    A container without a readiness probe is ready as soon as its process runs, so that a server which ends at once is
    noticed only here.

    Raises
    ------
    PodError
        As soon as the pod ends or goes, and ``SilentError`` after ``timeout`` seconds without an answer.
    """
    end = asyncio.create_task(view.wait_for(*pod.key, lambda now: now.ended or _fell(now), uid=pod.uid))
    answer = asyncio.create_task(_answer(client.pods, url))
    try:
        done, _ = await asyncio.wait({end, answer}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        end.cancel()
        answer.cancel()
    if answer in done:
        return
    if end in done:
        last = end.result()
        if last is not None and not last.ended:  # why it ended may be told only with the end of the whole pod
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD):
                    last = await view.wait_for(*pod.key, lambda now: now.ended, uid=pod.uid)
        last = last or view.last(*pod.key) or pod
        raise await _with_log(ended(last), client, last)
    raise SilentError(round(timeout), await log_tail(client, pod))


def _fell(pod: PodRecord) -> bool:
    return pod.exit_code is not None and not pod.running


async def _answer(session: aiohttp.ClientSession, url: str) -> None:
    pause = 0.1
    while True:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(url, allow_redirects=False) as response:
                if response.status < _SERVER_ERROR:
                    return
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.5)


async def log_tail(client: Client, pod: PodRecord, lines: int = 20) -> str:
    """The last lines of a pod's log, of the container that failed; empty if they cannot be had soon."""
    try:
        async with asyncio.timeout(_LOG_PATIENCE):
            return await client.pod_log(
                pod.namespace,
                pod.name,
                tail_lines=lines,
                container=pod.container or None,
                previous=pod.restarts > 0 and bool(pod.waiting_reason),
            )
    except (ApiError, UnreachableError, TimeoutError) as error:
        logger.info("The log of pod %s/%s cannot be read: %s", pod.namespace, pod.name, error)
        return ""


async def _with_log(problem: PodError, client: Client, pod: PodRecord) -> PodError:
    if not isinstance(problem, ExitedError):
        return problem
    return ExitedError(pod.exit_code, await log_tail(client, pod) or pod.terminated_message, detail=problem.detail)
