"""Which limits apply to a launch, whether each allows it, and from when. Pure."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple

from gpuspawner.config import SECTION, Settings
from gpuspawner.limits.limits import Limits
from gpuspawner.limits.trace import Check, Unit, midnight, say_time
from gpuspawner.limits.usage import Held
from gpuspawner.request import LaunchRequest, matches_image
from gpuspawner.workspace import Workspace

__all__ = [
    "Bound",
    "Counted",
    "Limit",
    "Words",
    "allowed_from",
    "day_of",
    "gpus_of",
    "judge",
    "launch_limits",
    "member_limits",
    "member_limits_everywhere",
    "offer_checks",
    "open_check",
    "place_of",
    "possible_from",
]


class Bound(NamedTuple):
    """How much a limit allows on a day, None for no bound, and the place in the configuration that says so."""

    value: float | None
    rule: str


class Words(NamedTuple):
    """Why a limit refuses, and what to do."""

    reason: str
    remedy: str


class Counted(NamedTuple):
    """What one server takes of a limit."""

    held: Held
    amount: float


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit that applies to a launch: how much it allows on each day, and what is taken of it.

    ``days`` are those on which ``bound`` may change. ``words`` says a refusal, given what was asked and the value.
    """

    name: str
    unit: Unit
    asked: float
    bound: Callable[[date], Bound]
    words: Callable[["Limit", float], Words]
    days: Collection[date] = ()
    counted: Sequence[Counted] = ()
    gpu_class: str = ""

    @property
    def used(self) -> float:
        """What is taken of it."""
        return _exactly(sum(amount for _, amount in self.counted))


def day_of(now: datetime, settings: Settings) -> date:
    """The day it is in the hub's time zone."""
    return now.astimezone(settings.timezone).date()


def judge(limits: Iterable[Limit], settings: Settings, now: datetime) -> list[Check]:
    """Whether each limit allows what is asked; those without a bound, or of which nothing is asked, are left out."""
    day = day_of(now, settings)
    found = []
    for limit in limits:
        value, rule = limit.bound(day)
        if value is None or not limit.asked:
            continue
        used = limit.used
        check = Check(
            limit=limit.name,
            unit=limit.unit,
            value=value,
            used=used,
            asked=limit.asked,
            allowed=_exactly(used + limit.asked) <= value,
            rule=f"{SECTION}.{rule}",
            gpu_class=limit.gpu_class,
        )
        found.append(check if check.allowed else _refused(check, limit, value, settings, now))
    return found


def _refused(check: Check, limit: Limit, value: float, settings: Settings, now: datetime) -> Check:
    reason, remedy = limit.words(limit, value)
    since = allowed_from(limit, value, settings, now)
    return replace(check, reason=reason, remedy=remedy, allowed_from=since)


def possible_from(since: datetime | None, settings: Settings, now: datetime) -> str:
    """The sentence that ends a remedy where it is known when the launch would be allowed; else empty."""
    return "" if since is None else f" It is possible from {say_time(since, now.astimezone(settings.timezone))} on."


def allowed_from(limit: Limit, value: float, settings: Settings, now: datetime) -> datetime | None:
    """When enough of what is taken has ended at the latest, or the calendar allows more; None if that is not known."""
    events: list[tuple[datetime, float, date | None]] = [
        *((held.ends, amount, None) for held, amount in limit.counted if held.ends is not None and held.ends > now),
        *((midnight(day, settings.timezone), 0, day) for day in limit.days if day > day_of(now, settings)),
    ]
    used, allowed = limit.used, value
    for at, freed, day in sorted(events, key=lambda event: event[0]):
        used = _exactly(used - freed)
        if day is not None:
            bound = limit.bound(day).value
            if bound is None:
                return at
            allowed = bound
        if _exactly(used + limit.asked) <= allowed:
            return at
    return None


def open_check(workspace: Workspace, settings: Settings, now: datetime) -> Check | None:
    """Whether a workspace is open today; None where it has no dates."""
    day = day_of(now, settings)
    if workspace.starts is None and workspace.ends is None:
        return None
    early = workspace.starts is not None and day < workspace.starts
    key = "starts" if early or workspace.ends is None else "ends"
    bound: date = getattr(workspace, key)
    reason = f"{workspace.title} {'opens' if early else 'ended'} on {bound:%-d %B %Y}."
    check = Check(
        limit="workspace.open",
        unit=Unit.DAY,
        value=bound.isoformat(),
        asked=day.isoformat(),
        allowed=workspace.is_open(day),
        rule=f"{SECTION}.{place_of(workspace)}.{key}",
        allowed_from=midnight(bound, settings.timezone) if early else None,
    )
    return check if check.allowed else replace(check, reason=reason, remedy="Choose another workspace.")


def place_of(workspace: Workspace) -> str:
    """Where in the section a workspace is configured."""
    return f"workspaces[{workspace.name!r}]"


def offer_checks(request: LaunchRequest, workspace: Workspace, settings: Settings, now: datetime) -> list[Check]:
    """What is on offer by name and by the ranges of the profile, all of which a checked request keeps to."""
    limits, profile = workspace.limits(day_of(now, settings)), settings.catalog.profiles[request.profile]
    here, there = place_of(workspace), f"profiles[{profile.name!r}]"
    named: list[tuple[str, Collection[str] | None, str | tuple[str, ...], str]] = [
        ("workspace.profiles", limits.profiles, request.profile, f"{here}.{limits.rule('profiles')}"),
        ("workspace.gpu_classes", limits.gpu_classes, request.gpu_classes, f"{here}.{limits.rule('gpu_classes')}"),
    ]
    if request.image != profile.image:
        by_profile = any(matches_image(request.image, glob) for glob in profile.images)
        images, rule = (profile.images, there) if by_profile else (limits.images, here)
        key = "images" if by_profile else limits.rule("images")
        named.append((f"{'profile' if by_profile else 'workspace'}.images", images, request.image, f"{rule}.{key}"))
    ranges = (*_amounts(request), ("runtime", Unit.SECONDS, request.runtime), ("wait", Unit.SECONDS, request.wait))
    return [
        *(
            Check(limit=name, unit=Unit.NAMES, value=tuple(known), asked=asked, allowed=True, rule=f"{SECTION}.{rule}")
            for name, known, asked, rule in named
            if known is not None and asked
        ),
        *(
            Check(
                limit=f"profile.{key}",
                unit=unit,
                value=getattr(profile, key).max,
                asked=asked,
                allowed=True,
                rule=f"{SECTION}.{there}.{key}.max",
            )
            for key, unit, asked in ranges
        ),
    ]


def launch_limits(request: LaunchRequest, workspace: Workspace) -> Iterator[Limit]:
    """What one launch may ask for in its workspace."""

    def words(limit: Limit, value: float) -> Words:
        asked, most = limit.unit.say(limit.asked), limit.unit.say(value)
        what = "launch may run for" if limit.unit is Unit.SECONDS else "launch may have"
        remedy = f"Ask for at most {most}." if value else "Choose another workspace."
        return Words(f"You asked for {asked}; in {workspace.title} a {what} {most} at most.", remedy)

    for key, unit, asked in (*_amounts(request), ("runtime", Unit.SECONDS, request.runtime)):
        yield Limit(
            f"workspace.per_launch.{key}",
            unit,
            asked,
            _bound_of(workspace, "per_launch", key),
            words,
            workspace.changes(),
        )


def _with_held(request: LaunchRequest, mine: Sequence[Held]) -> Iterator[tuple[str, Unit, float, list[Counted]]]:
    """Each amount that a member may hold so much of: what is asked for, and what each of their servers counts."""
    for key, unit, asked in (("servers", Unit.SERVERS, 1), *_amounts(request)):
        yield key, unit, asked, [Counted(held, 1 if key == "servers" else getattr(held, key)) for held in mine]


def member_limits(request: LaunchRequest, workspace: Workspace, mine: Sequence[Held]) -> Iterator[Limit]:
    """What the member may hold at once in the workspace; ``mine`` are their other servers there."""

    def words(limit: Limit, value: float) -> Words:
        asked, most = limit.unit.say(limit.asked), limit.unit.say(value)
        if limit.asked > value:
            return Words(
                f"You asked for {asked}; {workspace.title} allows each member {most}.",
                f"Ask for at most {most}." if value else "Choose another workspace.",
            )
        return Words(
            f"You hold {limit.unit.say(limit.used)} in {workspace.title} ({_names(mine)}); {asked} more would be "
            f"over the {most} each member may hold.",
            _make_room(limit),
        )

    for key, unit, asked, counted in _with_held(request, mine):
        bound = _bound_of(workspace, "per_member", key)
        yield Limit(f"workspace.per_member.{key}", unit, asked, bound, words, workspace.changes(), counted)


def member_limits_everywhere(request: LaunchRequest, settings: Settings, mine: Sequence[Held]) -> Iterator[Limit]:
    """What the member may hold at once in all workspaces together; ``mine`` are all their other servers."""

    def words(limit: Limit, value: float) -> Words:
        asked, most = limit.unit.say(limit.asked), limit.unit.say(value)
        if limit.asked > value:
            return Words(
                f"You asked for {asked}; each member may hold {most} in all workspaces together.",
                f"Ask for at most {most}." if value else "Ask the administrator.",
            )
        return Words(
            f"You hold {limit.unit.say(limit.used)} in all workspaces ({_names(mine)}); {asked} more would be over the "
            f"{most} each member may hold in all of them together.",
            _make_room(limit),
        )

    for key, unit, asked, counted in _with_held(request, mine):
        bound = _bound_everywhere(settings, key)
        days = settings.per_member.changes()
        yield Limit(f"hub.per_member.{key}", unit, asked, bound, words, days, counted)


def _bound_everywhere(settings: Settings, key: str) -> Callable[[date], Bound]:
    return lambda day: Bound(*settings.per_member.limit(key, day))


def gpus_of(count: float, gpu_class: str, settings: Settings) -> str:
    """``"12 Medium GPUs"``; a title of several words is quoted."""
    title = settings.catalog.gpu_classes[gpu_class].title
    return f"{count:g} {title if title.isalnum() else f'“{title}”'} GPU{'' if count == 1 else 's'}"


def _amounts(request: LaunchRequest) -> tuple[tuple[str, Unit, float], ...]:
    return (
        ("gpus", Unit.GPUS, request.gpus),
        ("cpu", Unit.CORES, request.cpu),
        ("memory", Unit.BYTES, request.memory),
    )


def _bound_of(workspace: Workspace, part: str, key: str) -> Callable[[date], Bound]:
    def bound(day: date) -> Bound:
        limits: Limits = workspace.limits(day)
        return Bound(getattr(getattr(limits, part), key), f"{place_of(workspace)}.{limits.rule(f'{part}.{key}')}")

    return bound


def _names(mine: Iterable[Held]) -> str:
    return ", ".join(f"the server {held.server!r}" if held.server else "your default server" for held in mine)


def _make_room(limit: Limit) -> str:
    return "Stop one of them first." if limit.unit is Unit.SERVERS else "Stop one of them, or ask for less."


def _exactly(amount: float) -> float:
    """In whole thousandths, so that 0.1 + 0.2 is 0.3."""
    return round(amount, 3)
