"""A member's running server as the home page and the API tell it: what it has, how long it lasts, what it costs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpuspawner.budgets.extensions import Spending
from gpuspawner.limits.checks import gpus_of
from gpuspawner.limits.usage import Held
from gpuspawner.quantity import MICRO, format_duration, say_cores, say_memory, say_units
from gpuspawner.sessions.idle import IdleState, Verdict
from gpuspawner.sessions.lease import SHORTEST_EXTENSION, Lease, PlannedEnd
from gpuspawner.sessions.sessions import Sessions

__all__ = ["App", "Extension", "RunningServer", "running_server"]

_STEPS = (1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600)
_RUNS_LOW = 30 * 60


@dataclass(frozen=True, slots=True)
class App:
    """A web application of a server's profile; ``place`` is its path below the server's own URL."""

    title: str
    place: str


@dataclass(frozen=True, slots=True)
class Extension:
    """More time on offer: ``seconds`` of it at ``micro`` micro-units; ``longest``: more cannot be had."""

    seconds: int
    micro: int
    longest: bool

    @property
    def words(self) -> str:
        """``"1 h"``."""
        return format_duration(self.seconds)

    @property
    def note(self) -> str:
        """``"1 SU"``, or that more cannot be had; empty where there is nothing to say."""
        cost = say_units(self.micro, up=True) if self.micro else ""
        return ", ".join(filter(None, ("the longest" if self.longest else "", cost)))


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A running server at ``now``, in the hub's time zone. ``held`` is what it has, None where that is not known.

    ``ends`` are the ends that await it, the first one first.
    """

    lease: Lease
    now: datetime
    workspace: str
    profile: str
    gpus: str
    held: Held | None
    ends: tuple[PlannedEnd, ...]
    extendable_by: int
    extensions: tuple[Extension, ...]
    spending: Spending
    idle: Verdict | None
    apps: tuple[App, ...]

    @property
    def end(self) -> PlannedEnd:
        """The end that comes first."""
        return self.ends[0]

    @property
    def left(self) -> int:
        """Seconds until its first end."""
        return max(0, round((self.end.at - self.now).total_seconds()))

    @property
    def runs_low(self) -> bool:
        """Whether its end is so near that its member should do something about it."""
        return self.left <= _RUNS_LOW

    @property
    def left_in_words(self) -> str:
        """``"2 h 35 min"``, rounded up to minutes."""
        return format_duration(-(-self.left // 60) * 60)

    @property
    def until(self) -> str:
        """``"14:35"``, with the day where it is not today."""
        at = self.end.at.astimezone(self.now.tzinfo)
        day = "" if at.date() == self.now.date() else f"{at:%A %-d %B, }"
        return f"{day}{at:%H:%M}"

    @property
    def part_left(self) -> float:
        """What part of its time is left, 0 to 1."""
        whole = (self.end.at - self.lease.started).total_seconds()
        return min(1.0, max(0.0, self.left / whole)) if whole > 0 else 0.0

    @property
    def size(self) -> str:
        """``"2 CPU cores, 8 GB of memory"``."""
        return f"{say_cores(self.held.cpu)}, {say_memory(self.held.memory)}" if self.held else ""

    @property
    def so_far(self) -> str:
        """What it has cost, in words; empty where no budget pays."""
        return say_units(self.spending.so_far) if self.spending.hourly or self.spending.so_far else ""

    @property
    def at_most(self) -> str:
        """What it costs at most, in words; empty where no budget pays."""
        return say_units(self.spending.at_most, up=True) if self.so_far and self.spending.at_most else ""

    @property
    def is_idle(self) -> bool:
        """Whether it does nothing, as far as that is known."""
        return self.idle is not None and self.idle.state in (IdleState.IDLE, IdleState.WARNED, IdleState.DUE)

    def as_json(self) -> dict[str, Any]:
        """For the API: times as RFC 3339 in the hub's time zone, durations in seconds, amounts in service units."""
        lease, held, idle, spending = self.lease, self.held, self.idle, self.spending

        def say(moment: datetime) -> str:
            return moment.astimezone(self.now.tzinfo).isoformat(timespec="seconds")

        return {
            "user": lease.user,
            "server": lease.server,
            "workspace": lease.workspace,
            "workspace_title": self.workspace,
            "profile": lease.profile,
            "profile_title": self.profile,
            "gpus": held.gpus if held else 0,
            "gpu_classes": list(held.gpu_classes) if held else [],
            "gpus_title": self.gpus,
            "cpu": held.cpu if held else None,
            "memory": held.memory if held else None,
            "started": say(lease.started),
            "ends": say(lease.ends),
            "runtime": lease.runtime,
            "left": self.left,
            "extendable_by": self.extendable_by,
            "extensions": [{"by": one.seconds, "cost": one.micro / MICRO} for one in self.extensions],
            "ends_by": [{"cause": end.kind, "at": say(end.at), "why": end.warning} for end in self.ends],
            "cost": {
                "so_far": spending.so_far / MICRO,
                "at_most": spending.at_most / MICRO,
                "hourly": spending.hourly / MICRO,
            },
            "apps": [{"title": app.title, "path": app.place} for app in self.apps],
            "idle": idle
            and {
                "state": str(idle.state),
                "why": idle.why,
                "since": idle.since and say(idle.since),
                "ends": idle.ends and say(idle.ends),
            },
        }


def running_server(lease: Lease, sessions: Sessions, idle: Verdict | None = None) -> RunningServer:
    """A running server; ``idle`` is what is known of its idleness, where it ends for that."""
    settings = sessions.settings
    profile, space = settings.catalog.profiles.get(lease.profile), settings.workspaces.get(lease.workspace)
    held, most = sessions.holds(lease), sessions.extendable_by(lease)
    gpus = ""
    if held is not None and held.gpus:
        known = [name for name in held.gpu_classes if name in settings.catalog.gpu_classes]
        gpus = " or ".join(gpus_of(held.gpus, name, settings) for name in known) or f"{held.gpus} GPUs"
    spending = sessions.spending(lease)
    paid = bool(space and space.budget)
    steps = [*(step for step in _STEPS if step < most), *([most] if most >= SHORTEST_EXTENSION else [])]
    return RunningServer(
        lease=lease,
        now=sessions.now(),
        workspace=settings.workspace_title(lease.workspace),
        profile=settings.catalog.profile_title(lease.profile),
        gpus=gpus,
        held=held,
        ends=tuple(sessions.ends(lease)),
        extendable_by=most,
        extensions=tuple(
            Extension(step, sessions.cost_of_extension(lease, step) if paid else 0, step == most) for step in steps
        ),
        spending=spending,
        idle=idle,
        apps=tuple(App(app.display_name, app.place) for app in (profile.apps if profile else ())),
    )
