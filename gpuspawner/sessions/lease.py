"""How long a running server may last: its end, how far it can be extended, which warnings are due. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from gpuspawner.errors import LaunchError, Way
from gpuspawner.labels import BUDGET, ENDED_BY, ENDS, LIMITED_BY, RUNTIME, WARNED
from gpuspawner.quantity import format_duration

__all__ = [
    "BUDGET_USED_UP",
    "RUNTIME_END",
    "SHORTEST_EXTENSION",
    "WARNINGS",
    "EndError",
    "ExtensionError",
    "Lease",
    "PlannedEnd",
    "check_extension",
    "end_of",
    "ended_by",
    "ended_by_text",
    "ends_with_budget",
    "granted_runtime",
    "lease_of",
    "runtime_end",
    "warned_text",
]

WARNINGS = (30 * 60, 5 * 60)
"""Seconds before its end at which a member is warned."""
RUNTIME_END = "runtime"
BUDGET_USED_UP = (
    "budget_used_up",
    "The budget that paid for the server is used up.",
    "Start it again when the budget renews, or on what costs less; your files are kept.",
)
"""Code, reason and remedy of an end."""
SHORTEST_EXTENSION = 60
"""Seconds; less is not worth a request."""
_SAME_END = timedelta(seconds=60)
AGAIN = "Start it again; your files are kept."
_AGAIN = "Save your work; when the server has ended, start it again."


class EndError(LaunchError):
    """Why the hub ends a running server; ``code`` is which kind of end it is."""

    ways: tuple[Way, ...] = (Way.AGAIN, Way.GPU_CLASS, Way.RUNTIME, Way.NO_GPU)

    def __init__(self, code: str, reason: str, remedy: str = "") -> None:
        super().__init__(reason, remedy)
        self.code = code


class ExtensionError(LaunchError):
    """A running server is not extended, and why."""

    code = "not_extended"
    status = 403

    @property
    def sentence(self) -> str:
        """Reason and remedy as a person reads them."""
        return f"Not extended: {self.reason} {self.remedy}".rstrip()


@dataclass(frozen=True, slots=True)
class PlannedEnd:
    """An end that will come unless something changes.

    ``kind`` is ``runtime``, ``budget``, ``idle`` and so on; a server has at most one planned end of each kind.
    ``cause`` is what the member is told afterwards, ``warning`` what before, as a clause: ``"its runtime of 6 h is
    over"``; ``avert`` is what they can do about it, a sentence. After ``void_after`` what it rests on is not known any
    more, as when the hub has slept: then it does not come.
    """

    kind: str
    at: datetime
    cause: EndError
    warning: str
    avert: str = ""
    void_after: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Lease:
    """How long one running server may last, as its pod says it.

    Attributes
    ----------
    launch
        The id of the launch, by which the ledger knows the session.
    started
        Since when its runtime counts: the pod's ``status.startTime``, as for ``activeDeadlineSeconds``.
    ends
        The end that was granted, at the launch or by an extension.
    deadline
        When Kubernetes itself ends the pod: the latest that an extension can reach. Kubernetes lets the deadline of a
        running pod be lowered but never raised.
    extendable
        Whether an extension was possible at the launch, so that the hub and not Kubernetes ends it.
    paid_to_the_end
        Whether its budget paid for no more than this, although more was asked for.
    """

    user: str
    server: str
    workspace: str
    profile: str
    launch: str
    started: datetime
    ends: datetime
    deadline: datetime
    extendable: bool
    paid_to_the_end: bool
    warned: Mapping[str, tuple[datetime, int]]

    @property
    def key(self) -> tuple[str, str]:
        """User name and server name."""
        return self.user, self.server

    @property
    def runtime(self) -> int:
        """Seconds it may run in all."""
        return round((self.ends - self.started).total_seconds())

    @property
    def longest(self) -> int:
        """Seconds it could be extended to in all, as far as the platform goes."""
        return round((self.deadline - self.started).total_seconds())

    def window(self, end: PlannedEnd, now: datetime) -> int | None:
        """The seconds ahead of the last warning whose moment has come; None before the first.

        One that would come before the server started is none: whoever started it knows its runtime.
        """
        first = self.started if end.kind == RUNTIME_END else datetime.min.replace(tzinfo=UTC)
        reached = (ahead for ahead in WARNINGS if first <= end.at - timedelta(seconds=ahead) <= now)
        return min(reached, default=None)

    def was_warned(self, end: PlannedEnd, ahead: int) -> bool:
        """Whether the member was told of this end, so many seconds ahead or later."""
        told = self.warned.get(end.kind)
        return told is not None and end.at <= told[0] + _SAME_END and told[1] <= ahead

    def next_moment(self, end: PlannedEnd, now: datetime) -> datetime:
        """When this end has to be looked at again: at its next warning, or when it is due."""
        moments = (end.at - timedelta(seconds=ahead) for ahead in WARNINGS)
        return min((moment for moment in moments if moment > now), default=end.at)


def granted_runtime(annotations: Mapping[str, str], deadline: int) -> int:
    """The seconds that were granted to a pod at its launch, at most its ``activeDeadlineSeconds``."""
    granted = annotations.get(RUNTIME, "")
    return min(int(granted), deadline) if _is_number(granted) else deadline


def end_of(annotations: Mapping[str, str], started_at: str, deadline: int) -> datetime | None:
    """When a pod ends unless it is extended; None where it has not started.

    ``started_at`` is ``status.startTime`` as RFC 3339, ``deadline`` its ``activeDeadlineSeconds``. Annotations that
    cannot be read are passed over; an end after the deadline is the deadline.
    """
    started = _time(started_at)
    if started is None:
        return None
    extended = _time(annotations.get(ENDS, ""))
    if extended is None:
        return started + timedelta(seconds=granted_runtime(annotations, deadline))
    return min(extended, started + timedelta(seconds=deadline))


def lease_of(
    annotations: Mapping[str, str],
    *,
    user: str,
    server: str,
    workspace: str,
    profile: str,
    launch: str,
    started_at: str,
    deadline: int,
) -> Lease | None:
    """The lease of a pod, see :func:`end_of`; None where it has not begun, or nothing ends it."""
    started = _time(started_at)
    if started is None or not deadline:
        return None
    return Lease(
        user=user,
        server=server,
        workspace=workspace,
        profile=profile,
        launch=launch,
        started=started,
        ends=end_of(annotations, started_at, deadline) or started,
        deadline=started + timedelta(seconds=deadline),
        extendable=granted_runtime(annotations, deadline) < deadline,
        paid_to_the_end=ends_with_budget(annotations),
        warned={
            name.removeprefix(WARNED): told
            for name, text in annotations.items()
            if name.startswith(WARNED) and (told := _warned(text)) is not None
        },
    )


def check_extension(lease: Lease, seconds: int, *, title: str, longest: int | None, within: str) -> datetime:
    """The end that an extension by ``seconds`` gives.

    ``title`` is the profile's. ``longest`` are the seconds that one server may run by a limit of ``within`` (the
    workspace, for people); None without one.

    Raises
    ------
    ExtensionError
        With what fits.
    """
    if not lease.extendable:
        raise ExtensionError(f"{title} servers cannot be extended while they run.", _AGAIN)
    most, by = lease.longest, title
    if longest is not None and longest < most:
        most, by = longest, within
    left = most - lease.runtime
    if left < SHORTEST_EXTENSION:
        raise ExtensionError(
            f"The server runs for {format_duration(lease.runtime)} in all, the longest that {by} allows.", _AGAIN
        )
    if seconds > left:
        raise ExtensionError(
            f"You asked for {format_duration(seconds)} more; {by} allows {format_duration(most)} in all, of which "
            f"{format_duration(left)} {'are' if left >= 120 else 'is'} left.",
            f"Ask for at most {format_duration(left)}.",
        )
    if seconds < SHORTEST_EXTENSION:
        raise ExtensionError(
            f"You asked for {format_duration(seconds)} more.", f"Ask for {format_duration(SHORTEST_EXTENSION)} or more."
        )
    return lease.ends + timedelta(seconds=seconds)


def runtime_end(lease: Lease, more: int = 0) -> PlannedEnd:
    """The end of what was granted, which Kubernetes itself enforces where the lease cannot be extended.

    ``more`` are the seconds by which it can be extended.
    """
    avert = "Extend it, or save your work." if more >= SHORTEST_EXTENSION else "Save your work."
    runtime = format_duration(lease.runtime)
    if lease.paid_to_the_end:
        words = f"its budget pays for {runtime}"
        return PlannedEnd(RUNTIME_END, lease.ends, EndError(*BUDGET_USED_UP), words, avert)
    cause = EndError("runtime_limit", f"The server reached its runtime limit of {runtime}.", AGAIN)
    return PlannedEnd(RUNTIME_END, lease.ends, cause, f"it may run for {runtime}", avert)


def ends_with_budget(annotations: Mapping[str, str]) -> bool:
    """Whether a pod's runtime is what its budget paid for at the launch, and it was not extended since then."""
    return annotations.get(LIMITED_BY) == BUDGET and ENDS not in annotations


def ended_by_text(cause: LaunchError) -> str:
    """The annotation that says why the hub ends a server."""
    return json.dumps({"code": cause.code, "reason": cause.reason, "remedy": cause.remedy}, ensure_ascii=False)


def ended_by(annotations: Mapping[str, str]) -> EndError | None:
    """Why the hub ends a server, from its pod's annotations; None where it does not, or they cannot be read."""
    try:
        found: Any = json.loads(annotations[ENDED_BY])
        code, reason, remedy = (found[name] for name in ("code", "reason", "remedy"))
    except (KeyError, TypeError, ValueError):
        return None
    if not all(isinstance(text, str) for text in (code, reason, remedy)):
        return None
    return EndError(code, reason, remedy)


def warned_text(end: PlannedEnd, ahead: int) -> str:
    """The annotation that says of which end a member was warned last."""
    return f"{end.at.astimezone(UTC).isoformat(timespec='seconds')} {ahead}"


def _warned(text: str) -> tuple[datetime, int] | None:
    at, _, ahead = text.partition(" ")
    time = _time(at)
    return (time, int(ahead)) if time is not None and _is_number(ahead) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 11


@lru_cache(maxsize=16_384)
def _time(text: str) -> datetime | None:
    """A time in RFC 3339; None for anything else. Forecasts ask for those of all pods, again and again."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
