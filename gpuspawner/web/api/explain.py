"""``/hub/api/gpuspawner/explain``: what may this person start now, and if not, why."""

from typing import Any, ClassVar

from pydantic import AwareDatetime, Field

from gpuspawner.errors import BadRequestError
from gpuspawner.membership.roles import Action
from gpuspawner.request import OPTIONS
from gpuspawner.schema import Schema
from gpuspawner.web.api import answers
from gpuspawner.web.api.base import ApiHandler
from gpuspawner.web.api.launch_options import LaunchOptions, Options
from gpuspawner.web.api.offers import WorkspaceOffer
from gpuspawner.web.api.operations import OWN, Answer, Operation, Operations
from gpuspawner.web.explaining import explained

__all__ = ["ExplainHandler"]


class Question(Schema):
    """For whom, for which of their servers, and the options of a launch."""

    user: str = Field(default="", description="The name of a member; without it, yourself.")
    server: str = Field(default="", description="Empty for the default server.")
    options: Options = Field(default_factory=dict)


class QuestionInQuery(LaunchOptions):
    """The same as query parameters; only ``gpu_class`` may be there several times."""

    user: str = Field(default="", description="The name of a member; without it, yourself.")
    server: str = Field(default="", description="Empty for the default server.")


class Request(Answer):
    """A launch with everything that was left to its default."""

    workspace: str
    profile: str
    gpu_classes: list[str]
    gpus: int
    cpu: float
    memory: int
    runtime: int
    image: str
    wait: int


class Explained(Answer):
    """What would be decided on a launch, and what else may be started."""

    user: str
    server: str
    at: AwareDatetime
    allowed: bool
    options: dict[str, Any]
    request: Request | None = Field(description="Null where the options cannot be understood or are not on offer.")
    summary: str = Field(description="The request in words.")
    allowed_from: AwareDatetime | None = Field(description="When it would be allowed, where that is known and not now.")
    checks: list[answers.Check]
    offers: list[WorkspaceOffer]
    budgets_known: bool
    room: list[str] = Field(default=[], description="The GPU classes of the request that have room for it.")
    cost: float | None = Field(default=None, description="Service units, where it is allowed.")
    code: str = Field(default="", description="Where it is refused, as in a refusal.")
    reason: str = ""
    remedy: str = ""


class ExplainHandler(ApiHandler):
    """Of oneself in all of one's workspaces; of others in the workspaces that one may read. Nothing is started."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="Whether a launch would start now, and if not, why.",
            description="Every limit that applies, what is used of it, and which line of the configuration set it. "
            "Nothing is started.",
            scopes=(*OWN, Action.READ),
            query=QuestionInQuery,
            example={"user": "ada", "gpu_class": "medium", "gpus": "2"},
            answer=Explained,
            errors=(404, 500, 503),
        ),
        "POST": Operation(
            summary="The same, with the options as for a launch.",
            scopes=(*OWN, Action.READ),
            body=Question,
            example={
                "user": "ada",
                "options": {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "small", "runtime": "1h"},
            },
            answer=Explained,
            errors=(404, 500, 503),
        ),
    }

    async def get(self) -> None:
        """``?user=ada&server=two&workspace=...&gpu_class=...``, with the options of a launch; several GPU classes make
        a list."""
        given = {key: self.get_arguments(key) for key in self.request.query_arguments}
        for key, found in given.items():
            if len(found) > 1 and key != "gpu_class":
                raise BadRequestError(
                    f"{key} is there {len(found)} times.", "Say it once; only gpu_class makes a list."
                )
        options = {key: found[0] if len(found) == 1 else found for key, found in given.items() if key in OPTIONS}
        rest = {key: found[0] for key, found in given.items() if key not in OPTIONS and key != "_xsrf"}
        await self._explain(self.checked(Question, {**rest, "options": options}))

    async def post(self) -> None:
        """``{"user": "ada", "server": "", "options": {...}}``, with ``user_options`` as for a launch."""
        await self._explain(self.body(Question))

    async def _explain(self, asked: Question) -> None:
        name = asked.user or getattr(self.current_user, "name", "")
        told = await explained(self, name, asked.server, asked.options)
        self.answer({**told.found.as_json(), "summary": told.summary, "budgets_known": told.budgets_known})
