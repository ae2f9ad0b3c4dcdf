"""Idle: what a server does with its GPU and CPU, judged by the policy: since when it rests, when it ends, and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gpuspawner.quantity import format_bytes, say_cores
from gpuspawner.schema import DURATION, Bytes, Cores, Schema, Seconds, read_seconds

__all__ = [
    "Grace",
    "IdlePolicy",
    "IdleState",
    "Patience",
    "ProfileIdle",
    "Prometheus",
    "Sample",
    "Signal",
    "Span",
    "Track",
    "Verdict",
    "judge_cpu",
    "judge_gpu",
    "observe",
    "patience_for",
]

NEVER = "never"
_WARNED_AHEAD = 30 * 60
"""Seconds from the first warning to the end, unless patience is shorter."""


def _read_idle(value: Any) -> int:
    if value == NEVER or (value == 0 and not isinstance(value, bool)):
        return 0
    try:
        return read_seconds(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "{NEVER}"') from None


ProfileIdle = Annotated[
    int,
    BeforeValidator(_read_idle),
    WithJsonSchema(
        {"type": ["number", "string"], "minimum": 0, "pattern": f"^({NEVER}|{DURATION})$"}, mode="validation"
    ),
]
"""Seconds a server may be idle; 0, written ``"never"``, is for ever."""


def _url(value: str) -> str:
    if not value.startswith(("http://", "https://")) or len(value) < 9:
        raise ValueError("a URL such as http://prometheus.monitoring:9090")
    return value.rstrip("/")


class Prometheus(Schema):
    """A Prometheus that has scraped NVIDIA's DCGM exporter and, for the CPU, cAdvisor."""

    url: Annotated[str, AfterValidator(_url)] = Field(description="Where its HTTP API is.")
    token_file: str | None = Field(default=None, description="File that holds a bearer token for it.")
    ca: str | None = Field(default=None, description="File that holds the CA bundle of url.")
    selector: str = Field(
        default="",
        description='Label matchers for a Prometheus that several clusters share, such as cluster="west".',
    )


class Grace(Schema):
    """How long a GPU may rest after work: as long as the work took, within these bounds."""

    min: Seconds = Field(default=15 * 60, description="At least.")
    max: Seconds = Field(default=60 * 60, description="At most.")

    @model_validator(mode="after")
    def _ordered(self) -> "Grace":
        if self.max < self.min:
            raise ValueError("min and max in ascending order")
        return self


class IdlePolicy(Schema):
    """When an idle server ends. The defaults are those of UCSD's DSMLP.

    A GPU is idle while no more than ``gpu_memory`` of it is in use and the container has used no more than ``cpu`` over
    the last ``cpu_over``. What is not known, as with GPUs that pods share by time slicing or MPS, and while the source
    is silent, never counts as idle.
    """

    gpu_memory: Bytes = Field(
        default=150 * 2**20, description="A GPU with so much of its memory in use, or less, does nothing."
    )
    cpu: Cores | None = Field(
        default=0.1, description="So many CPU cores in use, or fewer, are no work. None: the CPU does not count."
    )
    cpu_over: Seconds = Field(default=3600, description="The most CPU in use over so long counts.")
    after: Seconds = Field(default=30 * 60, description="A server with a GPU ends when that was idle for so long.")
    after_when_quiet: Seconds | None = Field(
        default=6 * 3600,
        description="The same while its GPU class is quiet. None: no difference.",
    )
    quiet_below: float = Field(
        default=0.75, gt=0, le=1, description="A class is quiet while less than this share of each node is allocated."
    )
    never_in_first: Seconds = Field(default=45 * 60, description="No server with a GPU ends earlier than this.")
    grace: Grace = Field(default=Grace(), description="Rest after work, before idle time begins to count.")
    cpu_servers: Seconds | None = Field(
        default=None,
        description="A server without GPU ends after so long without activity, as JupyterHub counts it. None: never.",
    )
    every: Seconds = Field(default=60, description="How often use is looked at.")
    silence: Seconds = Field(
        default=10 * 60, description="A source that has said nothing for so long is silent; what it said is void."
    )
    prometheus: Prometheus | None = Field(
        default=None,
        description="Where the use of GPUs is read. None: from notebook servers with `gpuspawner.notebook` alone.",
    )

    @model_validator(mode="after")
    def _heard_in_time(self) -> "IdlePolicy":
        if self.silence < 2 * self.every:
            raise ValueError("silence of at least twice every")
        return self


@dataclass(frozen=True, slots=True)
class Sample:
    """What a server used at an instant, or up to it since the sample before; None is unknown.

    ``gpu_memory`` is in bytes, the most of any of its GPUs; ``cpu`` in cores.
    """

    at: datetime
    gpu_memory: int | None = None
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, both ends included."""

    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class Signal:
    """What is known of the GPU, or of the CPU: over which unbroken stretch, and its last spell of work if any."""

    known: Span
    work: Span | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """All that is kept of a server's samples; its size does not grow with them."""

    gpu: Signal | None = None
    cpu: Signal | None = None


def observe(track: Track, samples: Iterable[Sample], policy: IdlePolicy) -> Track:
    """The track with further samples, which are in the order of their time among themselves.

    Samples that come late, or twice, never make a server idle sooner.
    """
    fresh = Track()
    for sample in samples:
        gpu = _heard(sample.at, sample.gpu_memory, policy.gpu_memory)
        cpu = _heard(sample.at, sample.cpu, policy.cpu)
        fresh = Track(_together(fresh.gpu, gpu, policy), _together(fresh.cpu, cpu, policy))
    return Track(_together(track.gpu, fresh.gpu, policy), _together(track.cpu, fresh.cpu, policy))


def _heard(at: datetime, used: float | None, allowed: float | None) -> Signal | None:
    if used is None:
        return None
    now = Span(at, at)
    return Signal(now, now if allowed is not None and used > allowed else None)


def _together(one: Signal | None, other: Signal | None, policy: IdlePolicy) -> Signal | None:
    if one is None or other is None:
        return one or other
    known = _joined(one.known, other.known, policy.silence)
    if one.work is None or other.work is None:
        return Signal(known, one.work or other.work)
    return Signal(known, _joined(one.work, other.work, policy.grace.min))


def _joined(span: Span, other: Span, pause: int) -> Span:
    """Two stretches as one where at most ``pause`` seconds lie between them, else the later one."""
    first, second = sorted((span, other), key=lambda one: one.ended)
    if second.began - first.ended > timedelta(seconds=pause):
        return second
    return Span(min(first.began, second.began), second.ended)


class IdleState(StrEnum):
    """What is known of a server's idleness."""

    ACTIVE = "active"
    IDLE = "idle"
    WARNED = "warned"
    DUE = "due"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a server is idle: ``since`` when, and when it ``ends`` if that goes on; both None where it is not.

    ``why`` is a sentence for people. From ``WARNED`` on its member has to be told; ``DUE`` is past its end.
    """

    state: IdleState
    why: str
    since: datetime | None = None
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one server may be idle: in seconds, and while its class is quiet; and how long before it is warned."""

    after: int
    when_quiet: int
    warn: int


def patience_for(policy: IdlePolicy | None, profile_idle: int | None, *, gpus: int) -> Patience | None:
    """The patience with a server of a profile; None where it never ends for being idle.

    ``profile_idle`` is the profile's ``idle``: it applies also where the hub has no policy, with the defaults for all
    else.
    """
    if profile_idle == 0 or (policy is None and profile_idle is None):
        return None
    policy = policy or IdlePolicy()
    after = profile_idle or (policy.after if gpus else policy.cpu_servers)
    if after is None:
        return None
    when_quiet = max(after, policy.after_when_quiet or 0) if gpus else after
    return Patience(after, when_quiet, min(_WARNED_AHEAD, after))


def judge_gpu(
    track: Track,
    policy: IdlePolicy,
    patience: Patience,
    *,
    started: datetime,
    now: datetime,
    shared: bool | None,
    quiet: bool | None,
    warned: datetime | None,
) -> Verdict:
    """Judge a server with GPUs.

    ``shared`` says whether other pods use its GPU, too (None: not known), ``quiet`` whether its class is quiet (None:
    not known, and patience is the longer one), ``warned`` when its member was told that it will end.
    """
    if shared is not False:
        return Verdict(IdleState.UNKNOWN, _SHARED if shared else "Whether other servers share its GPU is not known.")
    needed = {"GPU": track.gpu} | ({"CPU": track.cpu} if policy.cpu is not None else {})
    for name, signal in needed.items():
        if signal is None:
            return Verdict(IdleState.UNKNOWN, f"Nothing is known of the use of its {name}.")
        if now - signal.known.ended > timedelta(seconds=policy.silence):
            return Verdict(
                IdleState.UNKNOWN, f"Nothing was heard of its {name} since {_clock(signal.known.ended, now)}."
            )
    since = max(_rests_since(signal) + _seconds(_lasts(name, policy)) for name, signal in needed.items() if signal)
    works = [signal.work for signal in needed.values() if signal and signal.work]
    counts_from = max([since, *(work.ended + _grace(work, policy) for work in works)])
    if counts_from > now:
        return Verdict(IdleState.ACTIVE, _worked(works, now))
    due = max(
        counts_from + _seconds(patience.after if quiet is False else patience.when_quiet),
        started + _seconds(policy.never_in_first),
    )
    resting = max(_rests_since(signal) for signal in needed.values() if signal)
    return _verdict(_unused(policy, resting, now), resting, due, patience, now, warned)


def judge_cpu(
    track: Track,
    policy: IdlePolicy,
    patience: Patience,
    *,
    active: datetime,
    listening: datetime,
    now: datetime,
    warned: datetime | None,
) -> Verdict:
    """Judge a server without GPU: ``active`` is its start or its last activity as JupyterHub counts it.

    ``listening`` is since when the hub has run: servers tell it of activity every few minutes. Where a server's use of
    the CPU is known, work there is activity, too: a long computation that prints nothing is none for JupyterHub.
    """
    if now - listening < _seconds(policy.silence):
        return Verdict(IdleState.UNKNOWN, "The hub has not listened for long enough yet.")
    work = track.cpu.work if track.cpu else None
    since = max(active, work.ended) if work else active
    why = f"It was not used from {_clock(since, now)} on."
    if now - since <= _seconds(policy.every):
        return Verdict(IdleState.ACTIVE, "It is being used.")
    return _verdict(why, since, since + _seconds(patience.after), patience, now, warned)


def _verdict(
    why: str, since: datetime, due: datetime, patience: Patience, now: datetime, warned: datetime | None
) -> Verdict:
    """Nobody ends without having been warned in time, also where the due time has come nearer since."""
    warning = _seconds(patience.warn)
    if now < due - warning:
        return Verdict(IdleState.IDLE, why, since, due)
    ends = max(due, (warned or now) + warning)
    return Verdict(IdleState.DUE if warned and now >= ends else IdleState.WARNED, why, since, ends)


_SHARED = "It shares its GPU with others, so that nobody can tell whose work is seen there."


def _rests_since(signal: Signal) -> datetime:
    return max(signal.known.began, signal.work.ended) if signal.work else signal.known.began


def _lasts(name: str, policy: IdlePolicy) -> int:
    """Seconds for which use is remembered."""
    return policy.cpu_over if name == "CPU" else 0


def _grace(work: Span, policy: IdlePolicy) -> timedelta:
    return min(max(work.ended - work.began, _seconds(policy.grace.min)), _seconds(policy.grace.max))


def _worked(works: list[Span], now: datetime) -> str:
    if not works:
        return "It has not been watched for long enough yet."
    return f"It last worked at {_clock(max(work.ended for work in works), now)}."


def _unused(policy: IdlePolicy, since: datetime, now: datetime) -> str:
    cpu = "" if policy.cpu is None else f" and {say_cores(policy.cpu)}"
    used = f"no more than {format_bytes(policy.gpu_memory)} of GPU memory{cpu} {'were' if cpu else 'was'} in use"
    return f"Its GPU was idle from {_clock(since, now)} on: {used}."


def _clock(at: datetime, now: datetime) -> str:
    """A time of day in the zone of ``now``, with the day where that is another one."""
    local = at.astimezone(now.tzinfo)
    return f"{local:%H:%M}" if local.date() == now.date() else f"{local:%A %H:%M}"


def _seconds(count: int) -> timedelta:
    return timedelta(seconds=count)
