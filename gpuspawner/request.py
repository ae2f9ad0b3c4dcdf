"""What one user asks for: a ``LaunchRequest``, parsed and checked from ``user_options``, which are never trusted."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from fnmatch import fnmatchcase
from re import ASCII
from re import compile as pattern
from typing import Any, Generic, TypeVar

from gpuspawner.catalog import Profile
from gpuspawner.config import SECTION, Settings
from gpuspawner.errors import BadRequestError, DeniedError
from gpuspawner.limits.limits import Limits
from gpuspawner.limits.trace import Check, Unit
from gpuspawner.quantity import format_bytes, format_cores, format_duration, say_cores, say_gpus, say_memory
from gpuspawner.schema import Range, closest, read_bytes, read_cores, read_seconds
from gpuspawner.workspace import DEFAULT_WORKSPACE, Workspace

__all__ = ["OPTIONS", "LaunchRequest", "grants", "matches_image", "parse_request", "profiles_of"]

OPTIONS = ("workspace", "profile", "gpu_class", "gpus", "cpu", "memory", "runtime", "wait", "image")
"""The keys of ``user_options``."""
ANY = "any"
# https://github.com/distribution/reference: [domain/]path[:tag][@digest]
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = pattern(
    "(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?/)?"
    f"{_PART}(?:/{_PART})*(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?P<digest>@[a-z0-9]+:[0-9a-f]{{32,128}})?",
    ASCII,
)
_LONGEST_IMAGE = 500

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A checked request: every name exists, is on offer in the workspace, and every amount is within the profile.

    ``gpu_classes`` are in order of preference and empty exactly when ``gpus`` is 0. ``cpu`` is in cores, ``memory``
    in bytes, ``runtime`` in seconds; ``wait`` are the seconds it may wait for a GPU or for room.
    """

    user: str
    server: str
    workspace: str
    profile: str
    gpu_classes: tuple[str, ...]
    gpus: int
    cpu: float
    memory: int
    runtime: int
    image: str
    wait: int = 30 * 60
    asked: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The options as they were given, without those that were left to their defaults."""


def profiles_of(workspace: Workspace, settings: Settings, day: date | None = None) -> dict[str, Profile]:
    """The profiles on offer in a workspace on a day, or on any day, in its order; a user's own may lack some."""
    profiles = settings.catalog.profiles
    names = workspace.ever_offered() if day is None else workspace.limits(day).profiles
    return {name: profiles[name] for name in (profiles if names is None else names) if name in profiles}


def grants(workspace: Workspace, profile: Profile, settings: Settings, day: date) -> tuple[str, ...]:
    """The GPU classes of a profile that a workspace grants, or may borrow, on a day, in the profile's order."""
    limits, cohort = workspace.limits(day), settings.cohort_of(workspace.name)
    lent = limits.quota if cohort is not None and cohort.limits(day).borrowing else {}
    return tuple(
        name for name in profile.gpu_classes if limits.quota_of(name) != 0 or (name in lent and limits.offers(name))
    )


def parse_request(
    options: Mapping[str, Any],
    *,
    user: str,
    server: str,
    workspaces: Collection[str],
    settings: Settings,
    now: datetime,
) -> LaunchRequest:
    """Check what a member asked for, by form, REST API or command line, against what this login may ask for.

    ``workspaces`` are the open workspaces of the login. Absent and empty options take the profile's defaults, or what
    the workspace allows a launch if that is less; where they ask for a GPU that the workspace does not grant, the
    launch is one without GPU. To name a ``gpu_class`` and no number is to ask for a GPU.

    Raises
    ------
    BadRequestError
        Naming the option, what was found and what is allowed; its trace names the rule.
    DeniedError
        Where the login belongs to no open workspace, or its workspace offers no profile.
    """
    _check_keys(options)
    given = {key: value.strip() if isinstance(value, str) else value for key, value in options.items()}
    given = {key: value for key, value in given.items() if value not in (None, "", [], ())}
    workspace = _workspace(given.get("workspace"), workspaces, settings)
    day = now.astimezone(settings.timezone).date()
    limits, offered = workspace.limits(day), profiles_of(workspace, settings, day)
    if not offered:
        raise DeniedError(f"{workspace.title} offers no profile.", "Ask its managers or the administrator.")
    rule = f"{SECTION}.workspaces[{workspace.name!r}].{limits.rule('profiles')}"
    profile = offered[_choice("profile", given.get("profile"), offered, next(iter(offered)), workspace.title, rule)]
    granted, most = grants(workspace, profile, settings, day), limits.per_launch
    gpus = _gpus(given, profile, granted, most.gpus)
    return LaunchRequest(
        user=user,
        server=server,
        workspace=workspace.name,
        profile=profile.name,
        gpu_classes=_gpu_classes(given.get("gpu_class"), profile, granted, workspace, settings, limits) if gpus else (),
        gpus=gpus,
        cpu=_CPU.read(given.get("cpu"), profile.cpu, profile, most.cpu),
        memory=_MEMORY.read(given.get("memory"), profile.memory, profile, most.memory),
        runtime=_RUNTIME.read(given.get("runtime"), profile.runtime, profile, most.runtime),
        image=_image(given.get("image"), profile, workspace, limits),
        wait=_WAIT.read(given.get("wait"), profile.wait, profile),
        asked=given,
    )


def _check_keys(options: Mapping[str, Any]) -> None:
    for key in options:
        if key not in OPTIONS:
            raise BadRequestError(
                f"{_show(key)} is not an option of a launch.", _did_you_mean(str(key), OPTIONS, "The options are")
            )


def _did_you_mean(name: str, known: Collection[str], otherwise: str) -> str:
    close = closest(name, known)
    return f"Did you mean {close!r}?" if close is not None else f"{otherwise} {', '.join(known)}."


def _workspace(found: Any, mine: Collection[str], settings: Settings) -> Workspace:
    open_to_me = {name: settings.workspaces[name] for name in settings.workspaces if name in mine}
    if not open_to_me:
        raise DeniedError(
            "You do not belong to any workspace that is open today.",
            "Ask your instructor, your lab or the administrator to add you to one.",
        )
    default = DEFAULT_WORKSPACE if DEFAULT_WORKSPACE in open_to_me else next(iter(open_to_me))
    return open_to_me[_choice("workspace", found, open_to_me, default, "your login")]


def _choice(option: str, found: Any, known: Collection[str], default: str, where: str, rule: str = "") -> str:
    if found is None:
        return default
    if not isinstance(found, str):
        raise BadRequestError(f"{option} must be one name, not {_show(found)}.", f"Choose from {', '.join(known)}.")
    if found not in known:
        raise _not_on_offer(
            f"workspace.{option}s" if rule else option,
            found,
            known,
            rule or f"{SECTION}.{option}s",
            f"The {option} {_show(found)} is not on offer to {where}.",
            _did_you_mean(found, known, "Choose from"),
        )
    return found


def _not_on_offer(
    limit: str, found: str, known: Collection[str], rule: str, reason: str, remedy: str
) -> BadRequestError:
    check = Check(
        limit=limit,
        unit=Unit.NAMES,
        value=tuple(known),
        asked=found[:200],
        allowed=False,
        rule=rule,
        reason=reason,
        remedy=remedy,
    )
    return BadRequestError(reason, remedy, checks=(check,))


def _gpus(given: Mapping[str, Any], profile: Profile, granted: tuple[str, ...], most: int | None) -> int:
    found = given.get("gpus")
    if found is None and "gpu_class" in given:
        found = max(1, _default(profile.gpus, most))
    gpus = _GPUS.read(found, profile.gpus, profile, most)
    return gpus if found is not None or granted or profile.gpus.min else 0


def _gpu_classes(
    found: Any, profile: Profile, granted: tuple[str, ...], workspace: Workspace, settings: Settings, limits: Limits
) -> tuple[str, ...]:
    if not granted:
        rule = limits.rule_of_quota(profile.gpu_classes[0])
        raise _not_on_offer(
            "workspace.gpu_classes",
            ", ".join(profile.gpu_classes),
            (),
            f"{SECTION}.workspaces[{workspace.name!r}].{rule}",
            f"{workspace.title} grants no GPU for the profile {profile.title}.",
            "Choose another profile." if profile.gpus.min else "Ask for 0 GPUs, or choose another profile.",
        )
    if found is None:
        return granted[:1]
    names = [found] if isinstance(found, str) else found
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise BadRequestError(
            f"gpu_class must be a name, a list of names or {ANY!r}, not {_show(found)}.",
            f"Choose from {', '.join(granted)}.",
        )
    if ANY in names:
        if len(names) > 1:
            raise BadRequestError(f"gpu_class {ANY!r} stands alone, not in a list.", "Leave the other names out.")
        return granted
    for name in names:
        if name not in granted:
            in_profile = name in profile.gpu_classes
            where = workspace.title if in_profile else f"the profile {profile.title}"
            title = settings.catalog.gpu_classes[name].title if in_profile else _show(name)
            place = f"workspaces[{workspace.name!r}].{limits.rule_of_quota(name)}"
            raise _not_on_offer(
                "workspace.gpu_classes" if in_profile else "profile.gpu_classes",
                name,
                granted,
                f"{SECTION}.{place if in_profile else f'profiles[{profile.name!r}].gpu_classes'}",
                f"The GPU class {title} is not on offer in {where}.",
                _did_you_mean(name, granted, "Choose from"),
            )
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class _Amount(Generic[N]):
    """How an amount is parsed, and said: bare in a range, and as what somebody asked for."""

    option: str
    unit: Unit
    parse: Callable[[Any], N]
    show: Callable[[N], str]
    say: Callable[[N], str]

    def read(self, found: Any, allowed: Range[N], profile: Profile, most: N | None = None) -> N:
        """The amount asked for, or the default, ``most`` if that is less; BadRequestError beyond the range."""
        if found is None:
            return _default(allowed, most)
        least, most_said = self.show(allowed.min), self.show(allowed.max)
        bounds = f"only {most_said}" if allowed.min == allowed.max else f"{least} to {most_said}"
        try:
            value = self.parse(found)
        except ValueError:
            raise BadRequestError(
                f"{self.option} {_show(found)} cannot be understood.", f"The profile {profile.title} allows {bounds}."
            ) from None
        if allowed.min <= value <= allowed.max:
            return value
        reason = f"You asked for {self.say(value)}; the profile {profile.title} allows {bounds}."
        remedy = f"Ask for {f'at most {most_said}' if value > allowed.max else f'at least {least}'}."
        if value > allowed.max and not allowed.max:
            reason = f"You asked for {self.say(value)}; the profile {profile.title} offers none."
            remedy = "Choose another profile."
        end = "max" if value > allowed.max else "min"
        check = Check(
            limit=f"profile.{self.option}",
            unit=self.unit,
            value=getattr(allowed, end),
            asked=value,
            allowed=False,
            rule=f"{SECTION}.profiles[{profile.name!r}].{self.option}.{end}",
            reason=reason,
            remedy=remedy,
        )
        raise BadRequestError(reason, remedy, checks=(check,))


def _default(allowed: Range[N], most: N | None) -> N:
    return allowed.default if most is None else max(allowed.min, min(allowed.default, most))


def _whole(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**9 and value == int(value):
        return int(value)
    raise ValueError("not a whole number")


_GPUS: _Amount[int] = _Amount("gpus", Unit.GPUS, _whole, str, say_gpus)
_CPU: _Amount[float] = _Amount("cpu", Unit.CORES, read_cores, format_cores, say_cores)
_MEMORY: _Amount[int] = _Amount("memory", Unit.BYTES, read_bytes, format_bytes, say_memory)
_RUNTIME: _Amount[int] = _Amount(
    "runtime", Unit.SECONDS, read_seconds, format_duration, lambda s: f"{format_duration(s)} of runtime"
)
_WAIT: _Amount[int] = _Amount(
    "wait", Unit.SECONDS, read_seconds, format_duration, lambda s: f"a wait of {format_duration(s)}"
)


def _image(found: Any, profile: Profile, workspace: Workspace, limits: Limits) -> str:
    if found is None or found == profile.image:
        return profile.image
    patterns = (*profile.images, *limits.images)
    if not patterns:
        raise _not_on_offer(
            "profile.images",
            str(found),
            (profile.image,),
            f"{SECTION}.profiles[{profile.name!r}].image",
            f"The profile {profile.title} offers no choice of image.",
            "Leave image out, or choose a profile with that image.",
        )
    if not isinstance(found, str) or len(found) > _LONGEST_IMAGE or _IMAGE.fullmatch(found) is None:
        raise BadRequestError(
            f"{_show(found)} is not the name of an image.", "Write it as a registry does: quay.io/lab/image:tag."
        )
    if not any(matches_image(found, one) for one in patterns):
        place = f"workspaces[{workspace.name!r}].{limits.rule('images')}"
        raise _not_on_offer(
            "workspace.images" if limits.images else "profile.images",
            found,
            patterns,
            f"{SECTION}.{place if limits.images else f'profiles[{profile.name!r}].images'}",
            f"The image {_show(found)} is not on offer with {profile.title} in {workspace.title}.",
            f"Name one like {' or '.join(patterns)}, or leave image out.",
        )
    return found


def matches_image(image: str, glob: str) -> bool:
    """Whether an image's name fits a pattern such as ``"quay.io/lab/*"``; ``*`` stands for any text.

    The name is taken as written, so that ``python`` fits no pattern of ``docker.io``; without a tag it is ``:latest``.
    """
    parts = _IMAGE.fullmatch(image)
    tagged = parts is None or bool(parts["tag"] or parts["digest"])
    return fnmatchcase(image, glob) or (not tagged and fnmatchcase(f"{image}:latest", glob))


def _show(value: Any) -> str:
    """A value from outside, short enough for a sentence."""
    text = repr(value[:100]) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
