"""Who may have what: workspaces with their members, what is on offer there, and their limits."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gpuspawner.limits.limits import LimitException, Limits, PerLaunch, PerMember, changed_by, changes_of
from gpuspawner.membership.roles import Role
from gpuspawner.membership.rules import Login, Rules, Verdict, any_of, counting, holds, rosters_in
from gpuspawner.pod_patch import PodPatch
from gpuspawner.schema import Count, Day, Name, NameList, Order, Schema

__all__ = ["Budget", "CarryOver", "Workspace"]

DEFAULT_WORKSPACE = "everyone"
_ROLLING = 7


def _ascending(days: tuple[date, ...]) -> tuple[date, ...]:
    if any(later <= earlier for earlier, later in pairwise(days)):
        raise ValueError("days in ascending order")
    return days


class CarryOver(Schema):
    """What is left of one period is added to the next, up to an amount; without an amount nothing is."""

    per_member: float | None = Field(default=None, ge=0, description="The most a member takes along, service units.")
    pool: float | None = Field(default=None, ge=0, description="The most the pool takes along, service units.")


class Budget(Schema):
    """Service units (SU) that may be spent. A server is paid from the period in which it was launched, also where it
    runs on into the next one."""

    per_member: float | None = Field(default=None, ge=0, description="Of each member, in each period.")
    pool: float | None = Field(default=None, ge=0, description="Of all members together, in each period.")
    renews: Literal["weekly", "monthly", "quarterly", "terms", "rolling", "never"] = Field(
        default="weekly",
        description="When a new period begins, at midnight in the hub's time zone: on Mondays; on the first of a "
        "month; of January, April, July and October; on the days named by `terms`; `rolling`: what was spent on the "
        "last `days` days counts, today included; or never.",
    )
    terms: Annotated[tuple[Day, ...], AfterValidator(_ascending)] = Field(
        default=(), description="The first days of the terms, where it renews by terms; each lasts until the next."
    )
    days: int | None = Field(
        default=None, ge=1, le=366, description="How many days count, where it is rolling; 7 without it."
    )
    carry_over: CarryOver | None = Field(default=None, description="What of a period is taken along into the next.")
    when_used_up: Literal["refuse", "end"] = Field(
        default="refuse",
        description="A launch that costs more than is left is refused; or it may start all the same and ends when the "
        "budget is used up.",
    )

    @property
    def bounds(self) -> bool:
        """Whether it bounds anything."""
        return self.per_member is not None or self.pool is not None

    @property
    def window(self) -> int:
        """How many days count, today included, where it is rolling."""
        return self.days or _ROLLING

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if bool(self.terms) is not (self.renews == "terms"):
            raise ValueError('terms, the first days of the terms, together with renews "terms", and only then')
        if self.days is not None and self.renews != "rolling":
            raise ValueError('days only together with renews "rolling"')
        if self.carry_over is not None and self.renews in ("rolling", "never"):
            raise ValueError(f"no carry_over: with renews {self.renews!r} there is no next period")
        for key in CarryOver.model_fields:
            if getattr(self, key) is None and self.carry_over is not None and getattr(self.carry_over, key) is not None:
                raise ValueError(f"carry_over.{key} only together with {key}")
        return self


class Workspace(Schema):
    """One per course, lab or catch-all population; a JupyterHub group of the same name holds its members."""

    name: Name
    display_name: str = Field(default="", description="What members read.")
    order: Order = 0
    starts: Day | None = Field(default=None, description="First day, in the hub's time zone.")
    ends: Day | None = Field(default=None, description="Last day, included.")
    members: Rules = Field(default=(), description='"*" for everyone, user names, and membership rules.')
    managers: Rules = Field(
        default=(),
        description="Who steers it, by user names and rules, such as its instructors; they are members, too.",
    )
    auditors: Rules = Field(
        default=(), description="Who may see its members and their use without being a member, by names and rules."
    )
    leavers: Literal["keep", "stop"] = Field(
        default="keep",
        description="What becomes of the running servers of whoever is no longer a member: they run on to the end of "
        "their runtime, or are stopped. In either case nothing new can be started.",
    )
    profiles: NameList | None = Field(default=None, description="Profiles on offer here; without it all.")
    gpu_classes: NameList | None = Field(
        default=None, description="GPU classes on offer here; without it those of quota, or all."
    )
    images: NameList = Field(
        default=(),
        description="Images that members may name instead of their profile's, as globs such as "
        "quay.io/cse151a/*; a profile's own `images` count as well.",
    )
    quota: Mapping[str, Count] | None = Field(
        default=None,
        description="GPUs of each class it may hold at once; a class not named is not granted. Without quota every "
        "class is granted and unlimited.",
    )
    borrowing_limit: Mapping[str, Count] = Field(
        default_factory=dict,
        description="GPUs of each class it may hold beyond its quota, where its cohort lends; of a class not named, "
        "all that is idle.",
    )
    per_member: PerMember = Field(default=PerMember(), description="The most one member may hold here at once.")
    per_launch: PerLaunch = Field(default=PerLaunch(), description="The most one launch may ask for.")
    idle_gpu: Literal["end", "downgrade", "keep"] = Field(
        default="end",
        description="What happens to a server whose GPU is idle, after its member was warned: it ends, it is started "
        "again without its GPU on the same home (downgrade), or nothing (keep).",
    )
    pod: PodPatch = Field(default_factory=dict, description="Patch of the pod for launches in this workspace.")
    budget: Budget | None = Field(default=None, description="Service units it may spend.")
    exceptions: tuple[LimitException, ...] = Field(default=(), description="Dated exceptions from the limits.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.starts and self.ends and self.ends < self.starts:
            raise ValueError("a day ends that is not before the day starts")
        return self

    @property
    def title(self) -> str:
        """The name for people."""
        return self.display_name or self.name

    def is_open(self, day: date) -> bool:
        """Whether launches are possible on this day."""
        return (self.starts is None or self.starts <= day) and (self.ends is None or day <= self.ends)

    def stands(self, role: Role, login: Login) -> Verdict:
        """Whether a login has a role here; None where that cannot be told now. Managers are members, too."""
        match role:
            case Role.MEMBER:
                return any_of((holds(self.members, role, login), self.stands(Role.MANAGER, login)))
            case Role.MANAGER:
                return any_of((holds(self.managers, role, login), counting(self.members, role, login)))
            case Role.AUDITOR:
                return any_of((holds(self.auditors, role, login), counting(self.members, role, login)))
            case Role.ADMINISTRATOR:  # of all workspaces, and by no workspace's roster
                return False

    def has(self, role: Role) -> bool:
        """Whether anybody could have a role here."""
        if role is Role.MEMBER:
            return True
        return bool(self.managers if role is Role.MANAGER else self.auditors) or any(rosters_in(self.members))

    def limits(self, day: date) -> Limits:
        """The limits in force on this day; of several exceptions the last one named wins."""
        if day not in self._limits:
            self._limits.clear()  # it is asked for one day at a time, and often
            self._limits[day] = self._limits_by(self.exceptions, day)
        return self._limits[day]

    def ordinary_limits(self) -> Limits:
        """The limits as they are on days without an exception."""
        return self._limits_by((), date.min)

    @cached_property
    def _limits(self) -> dict[date, Limits]:
        return {}

    def _limits_by(self, exceptions: Iterable[LimitException], day: date) -> Limits:
        return changed_by(
            exceptions,
            day,
            quota=self.quota or {},
            open=self.quota is None,
            per_member=self.per_member,
            per_launch=self.per_launch,
            profiles=self.profiles,
            gpu_classes=self.gpu_classes,
            images=self.images,
            borrowing_limit=self.borrowing_limit,
        )

    def ever_offered(self) -> tuple[str, ...] | None:
        """The profiles on offer here on any day; None where that is all."""
        if self.profiles is None:
            return None
        more = (name for exception in self.exceptions for name in exception.profiles or ())
        return tuple(dict.fromkeys((*self.profiles, *more)))

    def changes(self) -> frozenset[date]:
        """The days on which limits may change, or on which it opens or has closed."""
        return self._changes

    @cached_property
    def _changes(self) -> frozenset[date]:
        bounds = {self.starts, self.ends + timedelta(days=1) if self.ends else None}
        return frozenset(changes_of(self.exceptions) | {day for day in bounds if day is not None})
