"""What several handlers of the REST API answer: checks of limits, refusals, running servers, notices, grants."""

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from gpuspawner.errors import Way
from gpuspawner.sessions.idle import IdleState
from gpuspawner.sessions.notices import Level
from gpuspawner.web.api.operations import Answer

__all__ = ["Account", "Check", "Error", "Grant", "Notice", "Remedy", "Session"]

Units = Annotated[float, Field(description="Service units.")]


class Said(Answer):
    """The numbers of a check in words."""

    value: str
    asked: str
    used: str = ""


class Check(Answer):
    """One limit as one launch meets it."""

    limit: str = Field(description="Its kind, such as `workspace.per_member.gpus`.")
    rule: str = Field(description="The place in the configuration that set it.")
    unit: str
    value: float | str | list[str] = Field(description="What is allowed: a number, a day, or names.")
    used: float = Field(description="What others, or other servers of the member, take of it.")
    asked: float | str | list[str] = Field(description="What the launch adds.")
    allowed: bool
    allowed_from: AwareDatetime | None = Field(description="When it would be allowed, where that is known and not now.")
    said: Said
    gpu_class: str = ""
    reason: str = Field(default="", description="Where it is refused.")
    remedy: str = ""


class Remedy(Answer):
    """A launch that would start instead."""

    way: Way
    label: str = Field(description="For a button.")
    note: str
    options: dict[str, Any] = Field(description="All of its `user_options`.")


class Error(Answer):
    """A refusal."""

    code: str = Field(description="The kind of refusal, for programs.")
    reason: str = Field(description="What happened, as one sentence.")
    remedy: str = Field(description="What to do next; may be empty.")
    status: int = Field(description="The HTTP status.")
    message: str = Field(description="Reason and remedy together, as JupyterHub's own API has it.")
    checks: list[Check] = Field(default=[], description="Where a launch is refused, the limits that were looked at.")
    remedies: list[Remedy] = Field(default=[], description="Where a launch is refused, what would start instead.")


class End(Answer):
    """An end that awaits a running server."""

    cause: str = Field(description="`runtime`, `idle`, `left`, or what else plans it.")
    at: AwareDatetime
    why: str


class Idle(Answer):
    """What is known of a server's idleness."""

    state: IdleState
    why: str
    since: AwareDatetime | None
    ends: AwareDatetime | None = Field(description="When it ends if that goes on.")


class Extension(Answer):
    """More time for a running server."""

    by: int = Field(description="Seconds.")
    cost: Annotated[float, Field(description="Service units that it costs at most.")]


class Cost(Answer):
    """What a running server costs; all zero where no budget pays."""

    so_far: Units
    at_most: Units
    hourly: Annotated[float, Field(description="Service units that the next hour costs at most.")]


class App(Answer):
    """A web application of a profile, as jupyter-server-proxy or an extension of the server has it."""

    title: str
    path: str = Field(description="Below the server's own URL, such as `proxy/6006/`.")


class Session(Answer):
    """A running server."""

    user: str
    server: str = Field(description="Empty for the default server.")
    workspace: str
    workspace_title: str
    profile: str
    profile_title: str
    gpus: int
    gpu_classes: list[str] = Field(description="One, except while it is not known on which of several it landed.")
    gpus_title: str = Field(description="Its GPUs in words; empty without any.")
    cpu: float | None = Field(description="Cores.")
    memory: int | None = Field(description="Bytes.")
    started: AwareDatetime
    ends: AwareDatetime
    runtime: int = Field(description="Seconds that were granted so far.")
    left: int = Field(description="Seconds until the first of its ends.")
    extendable_by: int = Field(description="Seconds by which it can be extended now.")
    extensions: list[Extension] = Field(description="Some of those that are possible.")
    ends_by: list[End] = Field(description="The ends that await it, the first one first.")
    cost: Cost
    apps: list[App]
    idle: Idle | None = Field(description="Null where servers do not end for being idle.")


class Notice(Answer):
    """What a member should know of their servers and budgets."""

    id: str
    kind: str = Field(description="`ends-soon`, `extended`, `ended`, `budget`, `idle`, `grant` ...")
    user: str
    server: str = Field(description="Empty for the default server, and where it concerns none.")
    about: str = Field(description="What else it concerns, such as a workspace.")
    at: AwareDatetime
    level: Level
    sentence: str
    data: dict[str, Any] = Field(description="The same for programs; the keys depend on `kind`.")


class Account(Answer):
    """A balance of a member or of the pool of a workspace in the present period."""

    allowance: Units
    carried: Units
    granted: Units
    total: Units
    spent: Units
    held: Annotated[float, Field(description="Service units that what runs may cost at most.")]
    used: Annotated[float, Field(description="Service units that have really been used, running servers included.")]
    left: Units
    begins: AwareDatetime | None
    ends: AwareDatetime | None
    renews: AwareDatetime | None


class Grant(Answer):
    """Service units that an administrator gave to a member of a workspace, or to its pool."""

    id: str
    workspace: str
    user: str | None = Field(description="Null: to the pool.")
    units: Units
    at: AwareDatetime
    until: AwareDatetime | None = Field(description="Null: until it is used.")
    reason: str
    by: str
    revoked: AwareDatetime | None
