"""What is free now and what is left of the quotas, as JSON or as an event stream, from one source for all."""

from collections.abc import Iterable
from typing import Annotated, ClassVar

from jupyterhub.user import User
from pydantic import AwareDatetime, Field

from gpuspawner.authenticator import current_workspaces
from gpuspawner.limits.usage import State
from gpuspawner.membership.roles import Action, allowed_workspaces
from gpuspawner.web.api.base import ForbiddenError
from gpuspawner.web.api.operations import EVENTS, JSON, OWN, Answer, Operation, Operations
from gpuspawner.web.api.stream import StreamHandler, event

__all__ = ["AvailabilityHandler"]

_FIRST_SYNC = 5.0
_Count = Annotated[int | None, Field(description="GPUs; null where the nodes cannot be read.")]


class ClassNow(Answer):
    """A GPU class as it is now, whoever asks."""

    title: str
    free: _Count
    total: Annotated[int | None, Field(description="GPUs on nodes that take servers; null where they cannot be read.")]
    used: _Count
    together: Annotated[int | None, Field(description="The most that are free on one node.")]
    state: State | None
    wait: Annotated[int | None, Field(description="Seconds until one is expected back, where none is free.")]
    ahead: int = Field(description="Launches that wait for one already.")
    sentence: str


class QuotaNow(Answer):
    """What a workspace holds of a GPU class."""

    held: int
    quota: int | None
    left: Annotated[int | None, Field(description="For how many more there is room; null: no limit.")]
    why: str = Field(description="What bounds it.")


class ChoiceNow(Answer):
    """Whether a launch could start now, as far as the nodes go."""

    state: State
    sentence: str


class WorkspaceNow(Answer):
    """A workspace's quotas, and what its profiles could start now."""

    title: str
    classes: dict[str, QuotaNow]
    profiles: dict[str, dict[str, ChoiceNow]] = Field(
        description="By profile and GPU class, where it is otherwise than with the class in general; a launch without "
        "GPU is that of the class of no name, where it could not start now."
    )


class AvailableNow(Answer):
    """What is free and what is held."""

    at: AwareDatetime
    exact: bool = Field(description="False where others may hold what is called free: only this hub's pods are seen.")
    classes: dict[str, ClassNow]
    workspaces: dict[str, WorkspaceNow] = Field(description="Those in which you may launch, or which you may read.")


class AvailabilityHandler(StreamHandler):
    """``GET /availability``: with ``Accept: text/event-stream`` as server-sent events, each with all that holds now.

    GPU classes are told to every user of the hub; quotas of the workspaces in which they may launch, or read.
    """

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="What is free now, and what is left of the quotas of your workspaces.",
            description="With `Accept: text/event-stream` as server-sent events without end: each is all of it again, "
            "sent when something has changed, once a second at most.",
            scopes=(*OWN, Action.READ),
            answer=AvailableNow,
            errors=(503,),
            media=(JSON, EVENTS),
        )
    }

    async def get(self) -> None:
        """What is free now."""
        launcher = self.launcher
        workspaces = self._workspaces(launcher.settings.workspaces)
        await launcher.synced(_FIRST_SYNC)
        if self.wants_stream:
            await self.stream(launcher.live.listen(workspaces), event)
        else:
            self.answer(launcher.live.now(workspaces).as_json())

    def _workspaces(self, known: Iterable[str]) -> frozenset[str]:
        """Those that whoever asks may know of."""
        user = self.current_user
        found = allowed_workspaces(self.expanded_scopes, Action.READ, known)
        if isinstance(user, User) and self.reads_own(user.name):
            return found | current_workspaces(user, self.launcher.now())
        if not found:
            raise ForbiddenError(
                "This token may not see what is free.",
                f"It takes the scope read:servers!user, or {Action.READ} for a workspace.",
            )
        return found
