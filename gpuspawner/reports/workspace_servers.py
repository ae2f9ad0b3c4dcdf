"""The servers of a workspace: those that run, with their ends, and those that are starting, with what they wait for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.config import Settings
from gpuspawner.limits.usage import Held
from gpuspawner.quantity import say_cores, say_memory
from gpuspawner.reports.queue import QueueLine
from gpuspawner.sessions.idle import IdleState, Verdict
from gpuspawner.sessions.lease import Lease
from gpuspawner.sessions.sessions import Sessions
from gpuspawner.under_way import UnderWays

__all__ = ["Idle", "ServerLine", "ServerState", "running_lines", "running_of", "starting_lines"]

_NEVER = datetime.max.replace(tzinfo=UTC)

Idle = Callable[[str, str], Verdict | None]
"""What is known of the idleness of a server (user name, server name)."""


class ServerState(StrEnum):
    """How a server is; the value is for people, too."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLine:
    """One server of a member. ``since`` is when it started, or was asked for; ``ends`` the first of its ends.

    ``why`` is what ends it, or what it waits for; ``idle`` since when nothing has used it. ``micro`` is what it
    has cost until now in micro-units, ``extendable_by`` the seconds it could be given. Of one that waits for a GPU
    ``position`` is its place, from 1, and ``by`` when its turn comes; None where nobody knows.
    """

    user: str
    server: str
    workspace: str
    profile: str
    gpu_class: str
    gpus: int
    cpu: float
    memory: int
    state: ServerState
    since: datetime | None
    ends: datetime | None = None
    why: str = ""
    idle: datetime | None = None
    micro: int = 0
    extendable_by: int = 0
    position: int | None = None
    by: datetime | None = None
    titles: tuple[str, str] = ("", "")
    """Of profile and GPU class."""

    @property
    def what(self) -> str:
        """``"PyTorch on 2 GPUs (Medium)"``."""
        profile, gpu_class = self.titles
        if not self.gpus:
            return profile
        return f"{profile} on {self.gpus} GPU{'' if self.gpus == 1 else 's'} ({gpu_class})"

    @property
    def size(self) -> str:
        """``"4 CPU cores, 16 GB"``."""
        return f"{say_cores(self.cpu)}, {say_memory(self.memory)}"

    def left(self, now: datetime) -> int | None:
        """Seconds until it ends; None where that is not known."""
        return None if self.ends is None else max(0, round((self.ends - now).total_seconds()))

    def as_json(self) -> dict[str, Any]:
        """For the API: seconds, bytes, cores, service units."""
        return {
            "user": self.user,
            "server": self.server,
            "workspace": self.workspace,
            "profile": self.profile,
            "gpu_class": self.gpu_class or None,
            "gpus": self.gpus,
            "cpu": self.cpu,
            "memory": self.memory,
            "state": str(self.state),
            "since": _say(self.since),
            "ends": _say(self.ends),
            "why": self.why,
            "idle_since": _say(self.idle),
            "units": self.micro / MICRO,
            "extendable_by": self.extendable_by,
            "position": self.position,
            "by": _say(self.by),
        }


def running_of(held: Iterable[Held], under_way: UnderWays) -> list[Held]:
    """Those that are not being launched, the one that ends first first."""
    found = [one for one in held if under_way.get(*one.key) is None]
    return sorted(found, key=lambda one: (one.ends or _NEVER, *one.key))


def running_lines(
    held: Iterable[Held], sessions: Sessions, accounts: Accounts, idle: Idle, now: datetime
) -> list[ServerLine]:
    """What is known of some servers of :func:`running_of`."""
    return [_running(one, sessions.lease(*one.key), sessions, accounts, idle, now) for one in held]


def starting_lines(launches: Iterable[QueueLine], held: Iterable[Held], settings: Settings) -> list[ServerLine]:
    """Launches under way as servers that are to be; ``held`` tells the class that a launch has moved to."""
    by_key = {one.key: one for one in held}
    return [_starting(one, by_key.get((one.request.user, one.request.server)), settings) for one in launches]


def _running(
    held: Held, lease: Lease | None, sessions: Sessions, accounts: Accounts, idle: Idle, now: datetime
) -> ServerLine:
    settings, zone = sessions.settings, sessions.settings.timezone
    gpu_class = (held.gpu_classes or ("",))[0] if held.gpus else ""
    line: dict[str, Any] = {
        "user": held.user,
        "server": held.server,
        "workspace": held.workspace,
        "gpu_class": gpu_class,
        "gpus": held.gpus,
        "cpu": held.cpu,
        "memory": held.memory,
    }
    if lease is None:
        titles = ("", settings.catalog.class_title(gpu_class))
        return ServerLine(**line, profile="", state=ServerState.STOPPING, since=None, titles=titles)
    first, verdict = sessions.ends(lease)[0], idle(*held.key)
    resting = verdict is not None and verdict.state not in (IdleState.ACTIVE, IdleState.UNKNOWN)
    return ServerLine(
        **line,
        profile=lease.profile,
        state=ServerState.RUNNING,
        since=lease.started.astimezone(zone),
        ends=first.at.astimezone(zone),
        why=first.warning,
        idle=verdict.since if verdict is not None and resting else None,
        micro=accounts.accrued(lease.launch, now),
        extendable_by=sessions.extendable_by(lease),
        titles=(settings.catalog.profile_title(lease.profile), settings.catalog.class_title(gpu_class)),
    )


def _starting(line: QueueLine, held: Held | None, settings: Settings) -> ServerLine:
    asked = line.request
    classes = (held.gpu_classes if held is not None else asked.gpu_classes) if asked.gpus else ()
    return ServerLine(
        user=asked.user,
        server=asked.server,
        workspace=asked.workspace,
        profile=asked.profile,
        gpu_class=classes[0] if classes else "",
        gpus=asked.gpus,
        cpu=asked.cpu,
        memory=asked.memory,
        state=ServerState.WAITING if line.waits else ServerState.STARTING,
        since=line.since,
        why=line.why,
        position=line.position,
        by=line.by,
        titles=(line.profile_title, " or ".join(map(settings.catalog.class_title, classes))),
    )


def _say(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
