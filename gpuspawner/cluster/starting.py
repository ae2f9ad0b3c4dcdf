"""From a created pod to a ready one: what a launch waits on, what it tells, and what ends it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import aiohttp

from gpuspawner.catalog import Catalog

from .client import Client
from .event_feed import Follower
from .events import Phase, Progress, diagnose, ended, progress
from .failures import ExitedError, PodError, SilentError, plain
from .records import PodRecord
from .view import View
from .wire import ApiError, UnreachableError

__all__ = ["log_tail", "until_answering", "until_ready"]

_LOG_PATIENCE = 5.0
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
) -> PodRecord:
    """Wait until a pod that the view has observed is ready; sets no time limit of its own.

    ``gpu_classes`` are those it may land on. ``tell`` hears each step, repeated ones too. ``follower`` holds the pod's
    events, and ``wake`` is set by whoever adds one.

    Raises
    ------
    PodError
        When the pod ends, goes, or has a problem for longer than that problem's patience.
    """
    wake = wake or asyncio.Event()
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
                tell(Progress(Phase.WAITING, _away(view.outage.reason), 0))
                await wake.wait()
                continue
            events = tuple(e for e in (follower.events if follower else ()) if e.uid in ("", pod.uid))
            stock = None if now.node else view.stock_for(now, catalog, gpu_classes)
            problem = diagnose(now, events, stock)
            since = {type(problem): since.get(type(problem), clock())} if problem else {}
            left = problem.patience - (clock() - since[type(problem)]) if problem else None
            if problem is not None and left is not None and left <= 0:
                raise await _with_log(problem, client, now)
            tell(progress(now, events, stock))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), left if left is not None and left < _FOR_EVER else None)
    finally:
        stop()
        stop_outage()


_FOR_EVER = 1e9


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
        last = end.result() or view.last(*pod.key) or pod
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
    with contextlib.suppress(ApiError, UnreachableError, TimeoutError):
        async with asyncio.timeout(_LOG_PATIENCE):
            return await client.pod_log(
                pod.namespace,
                pod.name,
                tail_lines=lines,
                container=pod.container or None,
                previous=pod.restarts > 0 and bool(pod.waiting_reason),
            )
    return ""


async def _with_log(problem: PodError, client: Client, pod: PodRecord) -> PodError:
    if not isinstance(problem, ExitedError):
        return problem
    return ExitedError(pod.exit_code, await log_tail(client, pod) or pod.terminated_message, detail=problem.detail)
