"""What one login may choose now: admission's limits, less what is held, as ranges and reasons for the form. Pure."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.purse import Purse
from gpuspawner.catalog import GPUClass, Profile
from gpuspawner.config import Settings
from gpuspawner.limits.checks import day_of
from gpuspawner.limits.class_checks import ClassRoom
from gpuspawner.limits.limits import Limits
from gpuspawner.limits.usage import Availability, Capacity, Held, State
from gpuspawner.quantity import format_bytes, format_cores, format_duration, say_gpus, say_servers
from gpuspawner.request import profiles_of
from gpuspawner.schema import Range
from gpuspawner.workspace import DEFAULT_WORKSPACE, Workspace

__all__ = ["Bounds", "ClassOffer", "ProfileOffer", "WorkspaceOffer", "entitlements"]

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class Bounds(Generic[N]):
    """An amount to choose, and ``why`` it ends at ``max``, as one sentence."""

    default: N
    min: N
    max: N
    why: str


@dataclass(frozen=True, slots=True)
class ClassOffer:
    """A GPU class of a profile in a workspace.

    ``memory`` is in bytes. ``held`` and ``quota`` are the workspace's. ``free``, ``total`` and the most that are free
    on a single node, ``free_together``, are None where the nodes cannot be read, and an upper estimate of what is
    free unless ``exact``. ``availability`` says whether a launch could start now, if that is known. ``reason`` says why
    it cannot be had now; it is empty if it can. ``own`` is the most whatever the workspace holds, and ``own_why``.
    """

    name: str
    title: str
    description: str
    memory: int | None
    gpus: Bounds[int]
    held: int
    quota: int | None
    free: int | None
    total: int | None
    free_together: int | None
    exact: bool
    reason: str
    availability: Availability | None = None
    own: int = 0
    own_why: str = ""


@dataclass(frozen=True, slots=True)
class ProfileOffer:
    """A profile in a workspace: ``cpu`` in cores, ``memory`` in bytes, ``runtime`` in seconds.

    ``wait``, in seconds, is how long the launch may wait for a GPU or for room.

    ``gpus`` is what any one of the classes allows, 0 included where the profile runs without a GPU. ``gpu_class`` is
    the class to begin with, empty for none. ``reason`` says why not even the smallest launch is possible now.
    ``availability`` is that of a launch without GPU, where the profile has one. ``images`` are the patterns of images
    that may be named instead of ``image``; empty where there is no choice. ``icon`` is its picture, ``includes`` what
    is inside in short words. ``other_reason`` is that part of ``reason`` which does not depend on GPUs; the profile
    itself asks for ``usual_gpus`` and no fewer than ``least_gpus``.
    """

    name: str
    title: str
    description: str
    cpu: Bounds[float]
    memory: Bounds[int]
    gpus: Bounds[int]
    runtime: Bounds[int]
    wait: Bounds[int]
    gpu_classes: tuple[ClassOffer, ...]
    gpu_class: str
    reason: str
    availability: Availability | None = None
    image: str = ""
    images: tuple[str, ...] = ()
    icon: str = ""
    includes: tuple[str, ...] = ()
    other_reason: str = ""
    usual_gpus: int = 0
    least_gpus: int = 0


@dataclass(frozen=True, slots=True)
class WorkspaceOffer:
    """A workspace of this login, ``until`` its last day; ``default`` for a launch that names none."""

    name: str
    title: str
    until: date | None
    default: bool
    profiles: tuple[ProfileOffer, ...]
    reason: str


def entitlements(
    user: str,
    workspaces: Collection[str],
    settings: Settings,
    usage: Iterable[Held],
    capacity: Capacity,
    now: datetime,
    *,
    server: str = "",
    availability: Mapping[tuple[str, str, str], Availability] = MappingProxyType({}),
    accounts: Accounts | None = None,
) -> tuple[WorkspaceOffer, ...]:
    """What a launch of ``server`` by this login may choose, in the order of the configuration.

    ``workspaces`` are the open workspaces of the login; ``availability`` goes by workspace, profile and GPU class, the
    last empty for none. What has no ``reason`` is admitted by
    :func:`gpuspawner.admission.admit` within its bounds, as far as its budgets in ``accounts`` cover all of it
    together; what has one is refused.
    """
    taken, mine = defaultdict[str, list[Held]](list), list[Held]()
    for held in usage:
        if held.key != (user, server):
            taken[held.workspace].append(held)
            if held.user == user:
                mine.append(held)
    names = [name for name in settings.workspaces if name in workspaces]
    default = DEFAULT_WORKSPACE if DEFAULT_WORKSPACE in names else next(iter(names), "")
    return tuple(
        _Desk(
            user,
            settings.workspaces[name],
            settings,
            mine,
            taken,
            capacity,
            now,
            availability,
            Purse.of(user, settings.workspaces[name], settings, accounts, now),
        ).offer(default=name == default)
        for name in names
    )


def _cores(cores: float) -> str:
    return f"{format_cores(cores)} core{'' if cores == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class _Unit(Generic[N]):
    show: Callable[[N], str]
    number: Callable[[N], str]
    name: str
    exact: Callable[[float], N]
    """What is left, as an amount of this unit: cores in whole thousandths, as admission counts them."""

    def left(self, allowed: N, held: N) -> N:
        """What of the first amount is left by the second."""
        return self.exact(allowed - held)


def _thousandths(cores: float) -> float:
    return max(0.0, math.floor(cores * 1000 + 1e-6) / 1000)


_CORES: _Unit[float] = _Unit(_cores, format_cores, "CPU", _thousandths)
_GPUS: _Unit[int] = _Unit(say_gpus, str, "GPU", int)
_BYTES: _Unit[int] = _Unit(format_bytes, format_bytes, "Memory", int)


class _Cap(NamedTuple):
    """How much of an amount a limit leaves, and the sentence that says so."""

    left: float
    why: str


class _Desk:
    """One member at one workspace on one day."""

    def __init__(
        self,
        user: str,
        workspace: Workspace,
        settings: Settings,
        mine: list[Held],
        taken: Mapping[str, list[Held]],
        capacity: Capacity,
        now: datetime,
        availability: Mapping[tuple[str, str, str], Availability],
        purse: Purse | None,
    ) -> None:
        self.purse = purse
        self.all_mine = mine
        self.mine = [held for held in mine if held.workspace == workspace.name]
        cohort = settings.cohort_of(workspace.name)
        spaces = cohort.workspaces if cohort else (workspace.name,)
        near = [held for space in spaces for held in taken.get(space, ())]
        self.rooms = {
            name: ClassRoom(name, workspace, settings, near, capacity, now) for name in settings.catalog.gpu_classes
        }
        self.workspace = workspace
        self.settings = settings
        self.capacity = capacity
        self.availability = availability
        self.day = day_of(now, settings)
        self.limits: Limits = workspace.limits(self.day)

    def offer(self, *, default: bool) -> WorkspaceOffer:
        space = self.workspace
        profiles = tuple(self._profile(profile) for profile in profiles_of(space, self.settings, self.day).values())
        reason = "" if profiles else f"{space.title} offers no profile."
        allowed, mine = self.limits.per_member.servers, len(self.mine)
        if allowed is not None and mine >= allowed:
            reason = f"You have {mine} of your {say_servers(allowed)} in {space.title}: stop one to start another."
            if not allowed:
                reason = f"{space.title} allows its members no server."
        everywhere, all_mine = self._everywhere("servers"), len(self.all_mine)
        if not reason and everywhere is not None and all_mine >= everywhere:
            servers = say_servers(everywhere)
            reason = f"You have {all_mine} of your {servers} in all workspaces: stop one to start another."
        return WorkspaceOffer(space.name, space.title, space.ends, default, profiles, reason)

    def _profile(self, profile: Profile) -> ProfileOffer:
        cpu, no_cpu = self._share(profile, profile.cpu, self._caps("cpu", _CORES), _CORES)
        memory, no_memory = self._share(profile, profile.memory, self._caps("memory", _BYTES), _BYTES)
        runtime, no_runtime = self._runtime(profile)
        classes = self._classes(profile, runtime.min)
        gpus, no_gpus = self._gpus(profile, classes)
        gpu_class = _first_choice(classes, gpus.default) if gpus.default else ""
        if self.purse is not None and not no_runtime:
            lasts = self.purse.lasts(gpu_class, gpus.default, cpu.default, runtime.default)
            runtime = replace(runtime, default=max(runtime.min, lasts))
        patience = f"A launch of {profile.title} waits for at most {format_duration(profile.wait.max)}."
        return ProfileOffer(
            name=profile.name,
            title=profile.title,
            description=profile.description,
            cpu=cpu,
            memory=memory,
            gpus=gpus,
            runtime=runtime,
            wait=Bounds(profile.wait.default, profile.wait.min, profile.wait.max, patience),
            gpu_classes=classes,
            gpu_class=gpu_class,
            reason=no_gpus or no_cpu or no_memory or no_runtime,
            availability=self.availability.get((self.workspace.name, profile.name, "")),
            image=profile.image,
            images=tuple(dict.fromkeys((*profile.images, *self.limits.images))),
            icon=profile.icon,
            includes=(*profile.includes, *(app.display_name for app in profile.apps)),
            usual_gpus=profile.gpus.default,
            least_gpus=profile.gpus.min,
            other_reason=no_cpu or no_memory or no_runtime,
        )

    def _caps(self, key: str, unit: "_Unit[N]") -> list[_Cap]:
        """What a launch and the member may have of an amount here, less what their other servers hold."""
        caps, title = [], self.workspace.title
        most: N | None = getattr(self.limits.per_launch, key)
        if most is not None:
            caps.append(_Cap(most, f"A launch in {title} may have {unit.show(most)} at most."))
        allowed: N | None = getattr(self.limits.per_member, key)
        if allowed is not None:
            held = sum(getattr(one, key) for one in self.mine)
            why = f"Your limit in {title} is {unit.show(allowed)}."
            if held:
                why = f"You hold {unit.number(held)} of your {unit.show(allowed)} in {title}."
            caps.append(_Cap(unit.left(allowed, held), why))
        everywhere: N | None = self._everywhere(key)
        if everywhere is not None:
            held = sum(getattr(one, key) for one in self.all_mine)
            why = f"You hold {unit.number(held)} of your {unit.show(everywhere)} in all workspaces."
            if not held:
                why = f"Your limit in all workspaces together is {unit.show(everywhere)}."
            caps.append(_Cap(unit.left(everywhere, held), why))
        return caps

    def _everywhere(self, key: str) -> Any:
        """What the member may hold in all workspaces together."""
        return self.settings.per_member.limit(key, self.day)[0]

    def _share(
        self, profile: Profile, wanted: Range[N], caps: Iterable[_Cap], unit: "_Unit[N]"
    ) -> tuple[Bounds[N], str]:
        """What the profile offers, less what the member holds, and why not even the least can be had."""
        most = f"{profile.title} offers at most {unit.show(wanted.max)}."
        if wanted.min == wanted.max:
            most = f"{profile.title} comes with this."
        offered = Bounds(wanted.default, wanted.min, wanted.max, most)
        tightest = min(caps, key=lambda cap: cap.left, default=None)
        if tightest is None or wanted.max <= tightest.left:
            return offered, ""
        if wanted.min and wanted.min > tightest.left:
            return offered, f"{unit.name}: {tightest.why} {profile.title} needs {unit.show(wanted.min)}."
        left = unit.exact(tightest.left)
        return Bounds(min(wanted.default, left), wanted.min, left, tightest.why), ""

    def _runtime(self, profile: Profile) -> tuple[Bounds[int], str]:
        """How long a launch may run, and why not even the shortest may."""
        wanted, most = profile.runtime, self.limits.per_launch.runtime
        if most is None or most >= wanted.max:
            longest = f"{profile.title} runs for at most {format_duration(wanted.max)}."
            return Bounds(wanted.default, wanted.min, wanted.max, longest), ""
        why = f"A launch in {self.workspace.title} runs for at most {format_duration(most)}."
        if most < wanted.min:
            needs = f"{profile.title} runs for at least {format_duration(wanted.min)}."
            return Bounds(wanted.default, wanted.min, wanted.max, why), f"{why} {needs}"
        return Bounds(min(wanted.default, most), wanted.min, most, why), ""

    def _classes(self, profile: Profile, shortest: int) -> tuple[ClassOffer, ...]:
        if not profile.gpus.max:
            return ()
        classes = self.settings.catalog.gpu_classes
        return tuple(self._class(profile, classes[name], shortest) for name in profile.gpu_classes)

    def _gpus(self, profile: Profile, classes: tuple[ClassOffer, ...]) -> tuple[Bounds[int], str]:
        """GPUs of any class, and why not even the fewest can be had."""
        if not profile.gpus.max:
            return Bounds(0, 0, 0, f"{profile.title} runs without a GPU."), ""
        possible = [offer for offer in classes if not offer.reason]
        if possible:
            best = max(possible, key=lambda offer: offer.gpus.max)
            default = min(profile.gpus.default, best.gpus.max)
            return Bounds(default, profile.gpus.min, best.gpus.max, best.gpus.why), ""
        granted = [offer for offer in classes if offer.quota != 0]
        if not granted:
            why = f"{self.workspace.title} grants no GPU for {profile.title}."
        elif len(granted) > 1 and len({offer.reason for offer in granted}) == 1:
            why = granted[0].reason
        else:
            why = " ".join(f"{offer.title}: {offer.reason}" for offer in granted)
        if profile.gpus.min:
            return Bounds(profile.gpus.default, profile.gpus.min, profile.gpus.max, why), why
        return Bounds(0, 0, 0, why), ""

    def _class(self, profile: Profile, gpu_class: GPUClass, shortest: int) -> ClassOffer:
        least = max(1, profile.gpus.min)
        offered = _Cap(profile.gpus.max, f"{profile.title} offers at most {say_gpus(profile.gpus.max)}.")
        own = [offered, *self._caps("gpus", _GPUS)]
        if self.purse is not None:
            own.append(_Cap(*self.purse.gpus(gpu_class.name, profile.gpus.max, shortest)))
        tightest = min(own, key=lambda cap: cap.left)
        caps = [offered, _Cap(*self.rooms[gpu_class.name].left()), *own[1:]]
        most, why = min(caps, key=lambda cap: cap.left)
        refusing = [cap for cap in caps if cap.left < least]
        reason = ""
        if refusing:
            needs = f" {profile.title} needs {say_gpus(least)}." if least > 1 else ""
            reason = refusing[-1].why + needs
            most, why = least, reason
        live = self.capacity.live
        return ClassOffer(
            name=gpu_class.name,
            title=gpu_class.title,
            description=gpu_class.description,
            memory=gpu_class.memory,
            gpus=Bounds(min(max(profile.gpus.default, least), int(most)), least, int(most), why),
            held=self.rooms[gpu_class.name].held,
            quota=self.limits.quota_of(gpu_class.name),
            free=self.capacity.free(gpu_class) if live else None,
            total=self.capacity.total(gpu_class) if live else None,
            free_together=max(self.capacity.of(offer).most_free_on_a_node for offer in gpu_class.accepts)
            if live
            else None,
            exact=self.capacity.cluster_wide,
            reason=reason,
            availability=self.availability.get((self.workspace.name, profile.name, gpu_class.name)),
            own=max(0, int(tightest.left)),
            own_why=tightest.why,
        )


def _first_choice(classes: tuple[ClassOffer, ...], gpus: int) -> str:
    """The first class that can be had and is free; else the first that can be had."""
    possible = [offer for offer in classes if not offer.reason]
    startable = [o for o in possible if o.availability is None or o.availability.state is not State.MISCONFIGURED]
    possible = startable or possible
    free = [offer for offer in possible if offer.free_together is None or offer.free_together >= gpus]
    return next((offer.name for offer in free or possible), "")
