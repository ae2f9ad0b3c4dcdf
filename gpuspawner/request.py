"""What one user asks for: a ``LaunchRequest``, parsed and checked from ``user_options``, which are never trusted."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from gpuspawner.catalog import Profile
from gpuspawner.config import Settings
from gpuspawner.errors import BadRequestError, DeniedError
from gpuspawner.quantity import format_bytes, format_cores, format_duration
from gpuspawner.schema import Bytes, Cores, Range, Seconds, nearest
from gpuspawner.workspace import DEFAULT_WORKSPACE, Workspace

__all__ = ["OPTIONS", "LaunchRequest", "grants", "parse_request", "profiles_of"]

OPTIONS = ("workspace", "profile", "gpu_class", "gpus", "cpu", "memory", "runtime", "image")
"""The keys of ``user_options``."""
ANY = "any"

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A checked request: every name exists, is on offer in the workspace, and every amount is within the profile.

    ``gpu_classes`` are in order of preference and empty exactly when ``gpus`` is 0. ``cpu`` is in cores, ``memory``
    in bytes, ``runtime`` in seconds.
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


def profiles_of(workspace: Workspace, settings: Settings) -> dict[str, Profile]:
    """The profiles on offer in a workspace, in its order."""
    profiles = settings.catalog.profiles
    names = profiles if workspace.profiles is None else workspace.profiles
    return {name: profiles[name] for name in names}


def grants(workspace: Workspace, profile: Profile, day: date) -> tuple[str, ...]:
    """The GPU classes of a profile that a workspace grants on a day, in the profile's order."""
    limits = workspace.limits(day)
    return tuple(name for name in profile.gpu_classes if limits.quota_of(name) != 0)


def parse_request(
    options: Mapping[str, Any],
    *,
    user: str,
    server: str,
    workspaces: Collection[str],
    settings: Settings,
    day: date,
) -> LaunchRequest:
    """Check what a member asked for, by form, REST API or command line, against what this login may ask for.

    ``workspaces`` are the open workspaces of the login. Absent and empty options take the profile's defaults.

    Raises
    ------
    BadRequestError
        Naming the option, what was found and what is allowed.
    DeniedError
        Where the login belongs to no open workspace.
    """
    unknown = [key for key in options if key not in OPTIONS]
    if unknown:
        key = str(unknown[0])
        raise BadRequestError(
            f"{_show(key)} is not an option of a launch{nearest(key, OPTIONS)}.", "Leave it out or mend its name."
        )
    given = {key: value for key, value in options.items() if value not in (None, "", [])}
    workspace = _workspace(given.get("workspace"), workspaces, settings)
    offered = profiles_of(workspace, settings)
    if not offered:
        raise DeniedError(f"{workspace.title} offers no profile.", "Ask its managers or the administrator.")
    profile = offered[_choice("profile", given.get("profile"), offered, next(iter(offered)), workspace.title)]
    granted = grants(workspace, profile, day)
    gpus = _amount("gpus", given.get("gpus"), profile.gpus, _whole, str, profile)
    if gpus and not granted and "gpus" not in given:
        gpus = 0
    return LaunchRequest(
        user=user,
        server=server,
        workspace=workspace.name,
        profile=profile.name,
        gpu_classes=_gpu_classes(given.get("gpu_class"), profile, granted, workspace, settings) if gpus else (),
        gpus=gpus,
        cpu=_amount("cpu", given.get("cpu"), profile.cpu, TypeAdapter(Cores).validate_python, format_cores, profile),
        memory=_amount(
            "memory", given.get("memory"), profile.memory, TypeAdapter(Bytes).validate_python, format_bytes, profile
        ),
        runtime=_amount(
            "runtime",
            given.get("runtime"),
            profile.runtime,
            TypeAdapter(Seconds).validate_python,
            format_duration,
            profile,
        ),
        image=_image(given.get("image"), profile),
    )


def _workspace(found: Any, mine: Collection[str], settings: Settings) -> Workspace:
    open_to_me = {name: settings.workspaces[name] for name in settings.workspaces if name in mine}
    if not open_to_me:
        raise DeniedError(
            "You do not belong to any workspace that is open today.",
            "Ask your instructor, your lab or the administrator to add you to one.",
        )
    default = DEFAULT_WORKSPACE if DEFAULT_WORKSPACE in open_to_me else next(iter(open_to_me))
    return open_to_me[_choice("workspace", found, open_to_me, default, "your login")]


def _choice(option: str, found: Any, known: Collection[str], default: str, where: str) -> str:
    if found is None:
        return default
    if isinstance(found, str) and found in known:
        return found
    if isinstance(found, str):
        raise BadRequestError(
            f"{option} {_show(found)} is not on offer to {where}{nearest(found, known)}.", "Choose one that is."
        )
    raise BadRequestError(f"{option} must be one name, not {_show(found)}.", f"Known: {', '.join(known)}.")


def _gpu_classes(
    found: Any, profile: Profile, granted: tuple[str, ...], workspace: Workspace, settings: Settings
) -> tuple[str, ...]:
    if not granted:
        raise BadRequestError(
            f"{workspace.title} grants no GPU for the profile {profile.title}.", "Ask for 0 GPUs or another profile."
        )
    if found is None:
        return granted[:1]
    names = [found] if isinstance(found, str) else found
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise BadRequestError(
            f"gpu_class must be a name, a list of names or {ANY!r}, not {_show(found)}.",
            f"Known: {', '.join(granted)}.",
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
            raise BadRequestError(
                f"GPU class {title} is not granted in {where}{nearest(name, granted)}.", "Choose one that is."
            )
    return tuple(dict.fromkeys(names))


def _amount(
    option: str,
    found: Any,
    allowed: Range[N],
    parse: Callable[[Any], N],
    show: Callable[[N], str],
    profile: Profile,
) -> N:
    if found is None:
        return allowed.default
    bounds = show(allowed.min) if allowed.min == allowed.max else f"{show(allowed.min)} to {show(allowed.max)}"
    try:
        value = parse(found)
    except (ValidationError, ValueError):
        raise BadRequestError(
            f"{option} {_show(found)} cannot be understood.", f"The profile {profile.title} allows {bounds}."
        ) from None
    if not allowed.min <= value <= allowed.max:
        raise BadRequestError(
            f"You asked for {option} {show(value)}; the profile {profile.title} allows {bounds}.",
            f"Ask for {'at most ' + show(allowed.max) if value > allowed.max else 'at least ' + show(allowed.min)}.",
        )
    return value


def _whole(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9:
        return value
    raise ValueError("not a whole number")


def _image(found: Any, profile: Profile) -> str:
    if found is None or found == profile.image:
        return profile.image
    raise BadRequestError(
        f"The profile {profile.title} offers no choice of image.",
        "Leave image out, or choose a profile with that image.",
    )


def _show(value: Any) -> str:
    """A value from outside, short enough for a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
