"""What is free of each GPU class, and what is left of each workspace's quota, for every page that shows it. Pure."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gpuspawner.catalog import GPUClass
from gpuspawner.cluster.outlook import Outlook, about
from gpuspawner.config import Settings
from gpuspawner.limits.class_checks import ClassRoom
from gpuspawner.limits.usage import Availability, Capacity, Held, State
from gpuspawner.request import profiles_of

__all__ = [
    "AvailabilityReport",
    "ChoiceNow",
    "ClassNow",
    "QuotaNow",
    "WorkspaceNow",
    "availability_report",
    "say_free",
    "say_room",
]

_MINUTE = 60


def say_free(free: int | None, total: int | None, *, exact: bool, known: Availability | None) -> str:
    """How many GPUs of a class are free now: ``"3 of 8 free now"``; empty where that is not known.

    Unless ``exact``, ``free`` is an upper estimate. ``known`` is what is known of a launch on them.
    """
    if free is None or total is None:
        return ""
    if known is not None and known.state is State.MISCONFIGURED:
        return "not available here: no node can run it"
    if known is not None and known.state is State.NEEDS_NODE:
        return "a node is added when you start, which takes minutes"
    if known is not None and known.state is State.BUSY and free:
        return f"{free} of {total} free, but no node has room for this now"
    if not total:
        return "none in the cluster now"
    if not free:
        turn = f", your turn in {about(known.wait)}" if known is not None and known.wait else ""
        ahead = f", {known.ahead} ahead" if known is not None and known.ahead else ""
        return f"{f'all {total} taken' if total > 1 else 'taken'}{turn}{ahead}"
    return f"{'' if exact else 'up to '}{free} of {total} free now"


@dataclass(frozen=True, slots=True)
class ClassNow:
    """A GPU class as it is now, whoever asks.

    ``free`` of ``total`` GPUs on nodes that take servers, ``together`` of them on one node; None where the nodes cannot
    be read. Where none is free, ``wait`` are the seconds, in whole minutes, until one is expected back, and ``ahead``
    the launches that wait for it already. ``state`` is None where nothing is known.
    """

    name: str
    title: str
    free: int | None
    total: int | None
    together: int | None
    state: State | None
    wait: int | None
    ahead: int
    sentence: str

    @property
    def used(self) -> int | None:
        """GPUs that are taken, by whomever."""
        return None if self.free is None or self.total is None else self.total - self.free

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "title": self.title,
            "free": self.free,
            "total": self.total,
            "used": self.used,
            "together": self.together,
            "state": None if self.state is None else self.state.value,
            "wait": self.wait,
            "ahead": self.ahead,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True)
class QuotaNow:
    """What a workspace holds of a GPU class, of its ``quota``; None: no limit.

    ``left`` is for how many more there is room, by quota and cohort, None without limit, and ``why`` what bounds it.
    """

    gpu_class: str
    held: int
    quota: int | None
    left: int | None
    why: str

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {"held": self.held, "quota": self.quota, "left": self.left, "why": self.why}


@dataclass(frozen=True, slots=True)
class ChoiceNow:
    """Whether a launch of a profile on a GPU class, empty for none, could start now, as far as the nodes go."""

    profile: str
    gpu_class: str
    state: State
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {"state": self.state.value, "sentence": self.sentence}


@dataclass(frozen=True, slots=True)
class WorkspaceNow:
    """A workspace's quotas, and the ``choices`` there that stand otherwise than their GPU class, or, without a GPU,
    that could not start now."""

    name: str
    title: str
    quotas: tuple[QuotaNow, ...]
    choices: tuple[ChoiceNow, ...]

    def as_json(self) -> dict[str, Any]:
        """For the API; a launch without GPU is that of the class ``""``."""
        profiles: dict[str, dict[str, Any]] = {}
        for choice in self.choices:
            profiles.setdefault(choice.profile, {})[choice.gpu_class] = choice.as_json()
        return {
            "title": self.title,
            "classes": {quota.gpu_class: quota.as_json() for quota in self.quotas},
            "profiles": profiles,
        }


@dataclass(frozen=True, slots=True)
class AvailabilityReport:
    """What is free and what is held, at ``at``, in the hub's time zone.

    ``exact`` unless others may have taken what is called free: then only the pods of this hub are seen.
    """

    at: datetime = field(compare=False)
    exact: bool
    classes: tuple[ClassNow, ...]
    workspaces: tuple[WorkspaceNow, ...]

    def as_json(self, workspaces: Collection[str] | None = None) -> dict[str, Any]:
        """For the API, with these workspaces only."""
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "exact": self.exact,
            "classes": {one.name: one.as_json() for one in self.classes},
            "workspaces": {
                one.name: one.as_json() for one in self.workspaces if workspaces is None or one.name in workspaces
            },
        }


def availability_report(
    settings: Settings,
    capacity: Capacity,
    usage: Iterable[Held],
    now: datetime,
    *,
    workspaces: Collection[str],
    choices: Mapping[tuple[str, str, str], Availability],
    expected: Callable[[GPUClass, int], Outlook | None],
) -> AvailabilityReport:
    """What is free and held now, with the quotas of ``workspaces``.

    ``choices`` go by workspace, profile and GPU class; ``expected`` says when so many GPUs of a class are back.
    """
    taken = defaultdict[str, list[Held]](list)
    for held in usage:
        taken[held.workspace].append(held)
    classes = tuple(_class(one, capacity, expected) for one in settings.catalog.gpu_classes.values())
    by_name = {one.name: one for one in classes}
    unlike = defaultdict[str, list[ChoiceNow]](list)
    for (space, profile, gpu_class), known in choices.items():
        found = _unlike(by_name.get(gpu_class), profile, known, capacity)
        if found is not None:
            unlike[space].append(found)
    spaces = []
    for name, workspace in settings.workspaces.items():
        if name not in workspaces:
            continue
        cohort = settings.cohort_of(name)
        near = [held for space in (cohort.workspaces if cohort else (name,)) for held in taken.get(space, ())]
        offered = dict.fromkeys(
            gpu_class for profile in profiles_of(workspace, settings).values() for gpu_class in profile.gpu_classes
        )
        rooms = (ClassRoom(gpu_class, workspace, settings, near, capacity, now) for gpu_class in offered)
        quotas = tuple(_quota(room) for room in rooms)
        spaces.append(WorkspaceNow(name, workspace.title, quotas, tuple(unlike[name])))
    return AvailabilityReport(now, capacity.cluster_wide, classes, tuple(spaces))


def _class(gpu_class: GPUClass, capacity: Capacity, expected: Callable[[GPUClass, int], Outlook | None]) -> ClassNow:
    if not capacity.live:
        return ClassNow(gpu_class.name, gpu_class.title, None, None, None, None, None, 0, "")
    free, total = capacity.free(gpu_class), capacity.total(gpu_class)
    together = max(capacity.of(offer).most_free_on_a_node for offer in gpu_class.accepts)
    state = State.FREE if free else State.BUSY if total else State.MISCONFIGURED
    if state is not State.FREE and gpu_class.autoscaled:
        state = State.NEEDS_NODE
    outlook = expected(gpu_class, 1) if state is State.BUSY else None
    seconds = outlook.seconds if outlook else None
    wait = None if seconds is None else max(1, math.ceil(seconds / _MINUTE)) * _MINUTE
    ahead = outlook.ahead if outlook else 0
    known = None if state is State.MISCONFIGURED else Availability(state, "", wait=wait, ahead=ahead)
    sentence = say_free(free, total, exact=capacity.cluster_wide, known=known)
    return ClassNow(gpu_class.name, gpu_class.title, free, total, together, state, wait, ahead, sentence)


def _quota(room: ClassRoom) -> QuotaNow:
    left, why = room.left()
    most = None if left == math.inf else max(0, int(left))
    return QuotaNow(room.gpu_class, room.held, room.limits.quota_of(room.gpu_class), most, why)


def _unlike(gpu_class: ClassNow | None, profile: str, known: Availability, capacity: Capacity) -> ChoiceNow | None:
    """What is to be said of a choice; None where its class says it all, or nothing is to be said."""
    if gpu_class is None:
        return None if known.state is State.FREE else ChoiceNow(profile, "", known.state, say_room(known))
    if known.state is gpu_class.state:
        return None
    sentence = say_free(gpu_class.free, gpu_class.total, exact=capacity.cluster_wide, known=known)
    return ChoiceNow(profile, gpu_class.name, known.state, sentence)


def say_room(known: Availability) -> str:
    """Where a launch without GPU could not start now: why; else empty."""
    return {
        State.BUSY: "no room now: your server waits for some",
        State.NEEDS_NODE: "a node is added when you start, which takes minutes",
        State.MISCONFIGURED: "not available here: no node can run it",
        State.FREE: "",
    }[known.state]
