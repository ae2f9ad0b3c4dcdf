"""The limits of a launch, a member and a workspace, and the days on which exceptions change them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Self

from pydantic import Field, model_validator

from gpuspawner.schema import Bytes, Cores, Count, Day, NameList, Schema, Seconds

__all__ = [
    "Dated",
    "HubMember",
    "HubMemberException",
    "LimitException",
    "Limits",
    "PerLaunch",
    "PerMember",
    "changed_by",
    "changes_of",
    "in_force",
]


class PerLaunch(Schema):
    """The most one launch may ask for; what is absent is bounded by its profile alone."""

    gpus: Count | None = None
    cpu: Cores | None = None
    memory: Bytes | None = None
    runtime: Seconds | None = None


class PerMember(Schema):
    """The most one member may hold at once, over all their servers; what is absent is unlimited."""

    gpus: Count | None = None
    cpu: Cores | None = None
    memory: Bytes | None = None
    servers: Count | None = None


class Dated(Schema):
    """From the day ``from`` to the day ``to``, both included, in the hub's time zone."""

    from_: Day = Field(alias="from", description="First day.")
    to: Day = Field(description="Last day, included.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.to < self.from_:
            raise ValueError("a day to that is not before the day from")
        return self


class HubMemberException(Dated, PerMember):
    """Limits of a member over all workspaces that differ from ``from`` to ``to``, both days included."""


class HubMember(PerMember):
    """The most one member may hold at once in all workspaces together; what is absent is unlimited."""

    exceptions: tuple[HubMemberException, ...] = Field(default=(), description="Dated exceptions from these limits.")

    def changes(self) -> set[date]:
        """The days on which these limits may change."""
        return changes_of(self.exceptions)

    def limit(self, key: str, day: date) -> tuple[float | None, str]:
        """How much a member may hold of ``gpus``, ``cpu``, ``memory`` or ``servers`` on a day, and what says so."""
        value, rule = getattr(self, key), key
        for index in in_force(self.exceptions, day):
            changed = getattr(self.exceptions[index], key)
            if changed is not None:
                value, rule = changed, f"exceptions[{index}].{key}"
        return value, f"per_member.{rule}"


class LimitException(Dated):
    """Limits of a workspace that differ from ``from`` to ``to``, both days included; what it does not name stays."""

    quota: Mapping[str, Count] = Field(default_factory=dict, description="Instead of the quota of these classes.")
    per_member: PerMember = Field(default=PerMember(), description="Instead of these limits of a member.")
    per_launch: PerLaunch = Field(default=PerLaunch(), description="Instead of these limits of a launch.")
    profiles: NameList | None = Field(default=None, description="Instead of the profiles on offer.")
    gpu_classes: NameList | None = Field(default=None, description="Instead of the GPU classes on offer.")
    images: NameList | None = Field(default=None, description="Instead of the images that may be named.")
    borrowing_limit: Mapping[str, Count] = Field(
        default_factory=dict, description="Instead of what may be borrowed of these classes."
    )


_AMOUNTS = ("quota", "borrowing_limit")


def in_force(exceptions: Iterable[Dated], day: date) -> list[int]:
    """Which of these exceptions hold on a day, by their place; the later ones win."""
    return [index for index, exception in enumerate(exceptions) if exception.from_ <= day <= exception.to]


def changes_of(exceptions: Iterable[Dated]) -> set[date]:
    """The days with which exceptions begin, and those with which they are over."""
    return {day for exception in exceptions for day in (exception.from_, exception.to + timedelta(days=1))}


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a workspace on one day. A class that ``quota`` does not name is granted if ``open``.

    ``profiles``, ``gpu_classes`` and ``images`` are what is on offer; the first two are None where they bound nothing.
    """

    quota: Mapping[str, int]
    open: bool
    per_member: PerMember
    per_launch: PerLaunch
    profiles: tuple[str, ...] | None
    gpu_classes: tuple[str, ...] | None
    images: tuple[str, ...]
    borrowing_limit: Mapping[str, int]
    set_by: Mapping[str, str]
    """Where an exception sets a limit: ``"per_member.gpus"`` to ``"exceptions[0].per_member.gpus"``."""

    def offers(self, gpu_class: str) -> bool:
        """Whether a class is among those on offer, whatever its quota."""
        return self.gpu_classes is None or gpu_class in self.gpu_classes

    def quota_of(self, gpu_class: str) -> int | None:
        """GPUs of a class the workspace may hold at once: None is unlimited, 0 where the class is not granted."""
        if not self.offers(gpu_class):
            return 0
        return self.quota.get(gpu_class, None if self.open else 0)

    def rule(self, key: str) -> str:
        """Where in the workspace a limit is set: ``"quota['medium']"``, or the exception that changes it."""
        return self.set_by.get(key, key)

    def rule_of_quota(self, gpu_class: str) -> str:
        """Where the quota of a class is set, or the list that leaves it out."""
        if not self.offers(gpu_class):
            return self.rule("gpu_classes")
        return self.rule(f"quota[{gpu_class!r}]") if gpu_class in self.quota else "quota"


def changed_by(exceptions: Iterable[LimitException], day: date, **limits: Any) -> Limits:
    """The limits that ``limits`` become on a day, with the place of the exception that set each."""
    found = {**limits, **{part: dict(limits[part]) for part in _AMOUNTS}}
    set_by: dict[str, str] = {}
    exceptions = tuple(exceptions)
    for index in in_force(exceptions, day):
        exception, path = exceptions[index], f"exceptions[{index}]"
        for part in _AMOUNTS:
            found[part].update(getattr(exception, part))
            set_by.update({(key := f"{part}[{name!r}]"): f"{path}.{key}" for name in getattr(exception, part)})
        for part in ("per_member", "per_launch"):
            given = getattr(exception, part).model_dump(exclude_none=True)
            found[part] = found[part].model_copy(update=given)
            set_by.update({(key := f"{part}.{name}"): f"{path}.{key}" for name in given})
        for part in ("profiles", "gpu_classes", "images"):
            if getattr(exception, part) is not None:
                found[part] = getattr(exception, part)
                set_by[part] = f"{path}.{part}"
    return Limits(**found, set_by=set_by)
