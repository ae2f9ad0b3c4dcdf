"""``/limits``, ``/queue``, ``/capacity`` and ``/configuration`` of the REST API: what administrators look at."""

from datetime import date
from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from gpuspawner.membership.roles import Action
from gpuspawner.reports.capacity import capacity_over_time
from gpuspawner.reports.effective_limits import effective_limits
from gpuspawner.schema import Day, Schema, nearest
from gpuspawner.web.administration import configuration_of, queue_of
from gpuspawner.web.api.base import ApiHandler, ForbiddenError, NotFoundError
from gpuspawner.web.api.operations import Answer, Operation, Operations

__all__ = ["CapacityHandler", "ConfigurationHandler", "LimitsHandler", "QueueHandler"]


class WhichLimits(Schema):
    """Of which workspace, and on which day."""

    workspace: str = Field(description="Its name.")
    date: Day | None = Field(default=None, description="In the hub's time zone; without it today.")


class ExceptionInForce(Answer):
    """The dated exception that sets a limit."""

    from_: date = Field(alias="from")
    to: date = Field(description="The last day, included.")
    ordinarily: str = Field(description="What holds without it.")


class EffectiveLimit(Answer):
    """One limit on one day."""

    limit: str
    title: str
    scope: str = Field(description="Whom it is about: offer, workspace, cohort, member, everywhere, launch, budget.")
    value: float | bool | list[str] | None = Field(description="Null: nothing bounds it.")
    said: str = Field(description="The value in words.")
    rule: str = Field(description="The place in the configuration that sets it.")
    exception: ExceptionInForce | None


class EffectiveLimits(Answer):
    """Every limit of a workspace on one day."""

    workspace: str
    title: str
    date: Day
    open: bool = Field(description="Whether launches are possible on this day.")
    changes_before: Day | None = Field(description="The last day on which anything was another way.")
    changes_after: Day | None = Field(description="The next day on which anything may change.")
    limits: list[EffectiveLimit]


class LimitsHandler(ApiHandler):
    """The limits of a workspace by date."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="Every limit of a workspace on a day, and the rule of the configuration that sets it.",
            scopes=(Action.READ,),
            query=WhichLimits,
            example={"workspace": "cse151a", "date": "2026-12-01"},
            answer=EffectiveLimits,
            errors=(404, 503),
        )
    }

    def get(self) -> None:
        """Of ``?workspace=``, on ``?date=``."""
        asked = self.query(WhichLimits)
        self.require(Action.READ, asked.workspace)
        launcher = self.launcher
        spaces = launcher.settings.workspaces
        if asked.workspace not in spaces:
            hint = nearest(asked.workspace, spaces)
            raise NotFoundError(f"There is no workspace {asked.workspace[:100]!r}{hint}.", "Correct the name.")
        day = asked.date or launcher.now().date()
        self.answer(effective_limits(launcher.settings, spaces[asked.workspace], day).as_json())


class WhichLaunches(Schema):
    """Which launches under way."""

    workspace: str | None = Field(default=None, description="Those in this workspace.")


class QueuedLaunch(Answer):
    """A launch under way."""

    user: str
    server: str = Field(description="Empty for the default server.")
    workspace: str
    profile: str
    gpu_classes: list[str] = Field(description="In order of preference; empty without GPU.")
    gpus: int
    since: AwareDatetime = Field(description="When it was admitted.")
    seconds: int = Field(description="Since then.")
    phase: str
    waits: bool = Field(description="Whether it has no node yet.")
    why: str = Field(description="What its member reads.")
    position: int | None = Field(description="Its place among those that wait for the same GPUs, from 1.")
    by: AwareDatetime | None = Field(description="When its turn comes at the latest, where that is known.")


class Queue(Answer):
    """The launches under way, those that wait first, and of those the one that came first."""

    launches: list[QueuedLaunch]


class QueueHandler(ApiHandler):
    """The launches under way."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="Who waits for what, since when, why, and whose turn comes when.",
            description="Of the workspaces that you may read. `POST /sessions/{user_name}/stop` calls a launch off.",
            scopes=(Action.READ,),
            query=WhichLaunches,
            example={"workspace": "cse151a"},
            answer=Queue,
            errors=(503,),
        )
    }

    def get(self) -> None:
        """Of all workspaces that one may read, or of ``?workspace=``."""
        asked = self.query(WhichLaunches).workspace
        launcher = self.launcher
        if asked is not None:
            self.require(Action.READ, asked)
        spaces = launcher.settings.workspaces if asked is None else [asked]
        readable = [name for name in spaces if self.may(Action.READ, name)]
        if not readable:
            raise ForbiddenError(f"{self.asker} may not do this.", f"It takes the scope {Action.READ}.")
        self.answer({"launches": [line.as_json() for line in queue_of(launcher, readable)]})


class WhichDays(Schema):
    """Of how many days."""

    days: Literal["1", "7", "30", "90"] = Field(default="7", description="Until now.")


class CapacitySlot(Answer):
    """GPUs for the length of a slot."""

    begins: AwareDatetime
    used: float = Field(description="In use, on average.")
    most: int = Field(description="In use at once, at most.")
    total: float | None = Field(description="That there were, on average; null where nobody has noted it.")


class ClassCapacity(Answer):
    """One GPU class over time."""

    gpu_class: str
    title: str
    gpu_seconds: int = Field(description="GPUs times seconds in use.")
    known_seconds: int = Field(description="Of them, those in which it was known how many GPUs there were.")
    of_seconds: int = Field(description="GPUs times seconds that there were, as far as that is known.")
    full_seconds: int = Field(description="Seconds in which all there were have been in use.")
    most: int = Field(description="In use at once, at most.")
    slots: list[CapacitySlot]


class Capacity(Answer):
    """GPUs over time."""

    since: AwareDatetime
    until: AwareDatetime
    step: int = Field(description="Seconds of a slot.")
    classes: list[ClassCapacity]


class CapacityHandler(ApiHandler):
    """GPUs over time."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="How many GPUs of each class there were, and how many were in use, over some days.",
            description="In use counts the sessions of this hub.",
            scopes=(Action.READ,),
            query=WhichDays,
            example={"days": "7"},
            answer=Capacity,
            errors=(503,),
        )
    }

    async def get(self) -> None:
        """The last ``?days=``."""
        asked = self.query(WhichDays)
        self.require(Action.READ)
        launcher = await self.ready_launcher()
        report = await capacity_over_time(launcher.store, launcher.settings, launcher.now(), int(asked.days))
        self.answer(report.as_json())


class Remark(Answer):
    """Something about one place of the configuration."""

    place: str = Field(description="Such as `c.GPUSpawner.workspaces['lab'].quota`; may be empty.")
    words: str
    mistake: bool = Field(description="Whether it keeps something from working; else it can hardly be meant.")


class ConfigurationTable(Answer):
    """A part of what the configuration offers."""

    title: str
    header: list[str]
    rows: list[list[str]]


class PossibleLaunch(Answer):
    """A profile on a GPU class, as the cluster is now."""

    profile: str
    gpu_class: str
    state: str
    why: str


class ClusterNow(Answer):
    """What the cluster has for the configuration."""

    scope: str
    launches: list[PossibleLaunch]
    misconfigured: int = Field(description="Of how many of them no node can ever hold one.")
    warnings: list[str]


class Configuration(Answer):
    """What `gpuspawner check --cluster` would say of the configuration that the hub runs with."""

    version: str = Field(description="Of gpuspawner.")
    remarks: list[Remark]
    tables: list[ConfigurationTable]
    cluster: ClusterNow | None = Field(description="Null while the hub does not see nodes.")
    cluster_unknown: str = Field(description="Why it does not; empty where it does.")


class ConfigurationHandler(ApiHandler):
    """The configuration that the hub runs with."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="What `gpuspawner check --cluster` would say of the configuration that the hub runs with.",
            scopes=(Action.ADMINISTER,),
            answer=Configuration,
            errors=(503,),
        )
    }

    def get(self) -> None:
        """The report."""
        self.require(Action.ADMINISTER)
        self.answer(configuration_of(self).as_json())
