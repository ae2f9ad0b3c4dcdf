"""``/hub/api/gpuspawner/status``: the GPUs by class and by node, for one login, and over the next hours."""

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field

from gpuspawner.cluster.gpus import NodeState
from gpuspawner.limits.usage import State
from gpuspawner.membership.roles import Action, allowed_workspaces
from gpuspawner.reports.standing import Can
from gpuspawner.web.api.base import ApiHandler, ForbiddenError
from gpuspawner.web.api.operations import OWN, Answer, Operation, Operations
from gpuspawner.web.status import status_for

__all__ = ["StatusHandler"]

_GPUs = Annotated[int | None, Field(description="GPUs; null where the nodes cannot be read.")]


class ForYou(Answer):
    """What whoever asks could start on a class now."""

    can: Can
    sentence: str
    gpus: int = Field(description="How many at most; 0 where none.")
    workspace: str | None
    profile: str | None


class FreeFrom(Answer):
    """How many GPUs are free from a time on, if nobody else comes or extends."""

    at: AwareDatetime
    free: int


class GPUClassStatus(Answer):
    """A GPU class."""

    name: str
    title: str
    memory: int | None = Field(description="Bytes.")
    rate: float = Field(description="Service units per GPU and hour.")
    free: _GPUs
    used: _GPUs
    total: int = Field(description="GPUs on all nodes, also on those that take no servers now.")
    closed: int = Field(description="GPUs on nodes that take no servers now.")
    waiting: int = Field(description="Launches that wait for one.")
    state: State | None
    sentence: str
    for_you: ForYou | None = Field(description="Null for services.")
    ahead: list[FreeFrom] = Field(description="The next 12 hours.")


class GPUNode(Answer):
    """GPUs of one class on one node."""

    node: str | None = Field(description="Null for devices that are on no node.")
    gpu_class: str
    product: str
    total: int
    used: int
    free: int
    state: NodeState
    sentence: str


class Status(Answer):
    """The GPUs of the cluster."""

    at: AwareDatetime
    known: bool = Field(description="False where the nodes cannot be read.")
    exact: bool = Field(description="False where others may hold what is called free: only this hub's pods are seen.")
    waiting: int = Field(description="Launches that wait for a GPU.")
    classes: list[GPUClassStatus]
    nodes: list[GPUNode]


class StatusHandler(ApiHandler):
    """``GET /status``: as the page of GPUs has it. Its short form, kept up to date, is ``GET /availability``."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="The GPUs by class and node, what of them you could start on now, and the next hours.",
            description="Every member of the hub sees all classes and nodes, as on the page of GPUs.",
            scopes=(*OWN, Action.READ),
            answer=Status,
            errors=(500, 503),
        )
    }

    async def get(self) -> None:
        """All of it."""
        report = await status_for(self)
        readable = allowed_workspaces(self.expanded_scopes, Action.READ, self.launcher.settings.workspaces)
        if all(one.mine is None for one in report.classes) and not readable:
            raise ForbiddenError(
                "This token may not see what is free.",
                f"It takes the scope read:servers!user, or {Action.READ} for a workspace.",
            )
        self.answer(report.as_json())
