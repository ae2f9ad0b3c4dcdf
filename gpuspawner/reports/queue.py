"""The launches under way: who waits for what, since when, why, and whose turn comes when. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpuspawner.cluster.events import Phase
from gpuspawner.cluster.outlook import Outlook
from gpuspawner.config import Settings
from gpuspawner.request import LaunchRequest
from gpuspawner.under_way import UnderWay

__all__ = ["PHASES", "QueueLine", "queue"]

OutlookOf = Callable[[str, str], Outlook | None]
PHASES = {
    Phase.ACCEPTED: "Accepted",
    Phase.WAITING: "Waiting for a GPU",
    Phase.NODE_COMING: "A node is coming",
    Phase.SCHEDULED: "Has a node",
    Phase.PULLING: "Loading the image",
    Phase.PULLED: "Image loaded",
    Phase.STARTING: "Starting",
    Phase.READY: "Ready",
}


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One launch under way. ``waits``: it has no node yet. ``seconds`` are since it was admitted.

    ``position`` is its place among this hub's launches that wait for the same GPUs, from 1; None where it waits for
    none, or nodes are not known. ``why`` is what its member reads.
    """

    request: LaunchRequest
    workspace_title: str
    profile_title: str
    asks: str
    since: datetime
    seconds: int
    phase: Phase
    waits: bool
    why: str
    position: int | None
    by: datetime | None

    @property
    def phase_title(self) -> str:
        """Its phase in words; a launch without GPU waits for a place."""
        waits_for_place = self.phase is Phase.WAITING and not self.request.gpus
        return "Waiting for a place" if waits_for_place else PHASES[self.phase]

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        asked = self.request
        return {
            "user": asked.user,
            "server": asked.server,
            "workspace": asked.workspace,
            "profile": asked.profile,
            "gpu_classes": list(asked.gpu_classes),
            "gpus": asked.gpus,
            "since": self.since.isoformat(timespec="seconds"),
            "seconds": self.seconds,
            "phase": self.phase.value,
            "waits": self.waits,
            "why": self.why,
            "position": self.position,
            "by": self.by and self.by.isoformat(timespec="seconds"),
        }


def queue(
    launches: Iterable[UnderWay],
    settings: Settings,
    outlook: OutlookOf,
    now: datetime,
    *,
    workspaces: Sequence[str] | None = None,
) -> tuple[QueueLine, ...]:
    """The launches under way in some workspaces (None: in all); those that wait first, and of those the first come.

    One that has been called off is none of them, though it takes a moment to end.
    """
    there = [one for one in launches if one.called_off is None]
    shown = [one for one in there if workspaces is None or one.request.workspace in workspaces]
    lines = [_line(one, settings, outlook, now) for one in shown]
    return tuple(sorted(lines, key=lambda line: (not line.waits, line.since, line.request.user, line.request.server)))


def _line(one: UnderWay, settings: Settings, outlook: OutlookOf, now: datetime) -> QueueLine:
    asked, zone = one.request, settings.timezone
    expected = outlook(*one.key) if one.waits and asked.gpus else None
    return QueueLine(
        request=asked,
        workspace_title=settings.workspace_title(asked.workspace),
        profile_title=settings.catalog.profile_title(asked.profile),
        asks=_asks(asked, settings),
        since=one.began.astimezone(zone),
        seconds=max(0, round((now - one.began).total_seconds())),
        phase=one.step.phase if one.step else Phase.ACCEPTED,
        waits=one.waits,
        why=one.step.message if one.step else "The launch has been accepted.",
        position=None if expected is None else expected.ahead + 1,
        by=None if expected is None or expected.by is None else expected.by.astimezone(zone),
    )


def _asks(asked: LaunchRequest, settings: Settings) -> str:
    """``"2 × Medium or Small"``; without GPU its cores."""
    if not asked.gpus:
        return "no GPU"
    titles = map(settings.catalog.class_title, asked.gpu_classes)
    return f"{asked.gpus} × {', then '.join(titles)}"
