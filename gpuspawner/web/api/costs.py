"""``/hub/api/gpuspawner/estimate`` and ``/balance``: what a launch would cost, and what is left to pay it."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from gpuspawner.authenticator import current_workspaces
from gpuspawner.budgets.estimate import balance_as_json, estimate
from gpuspawner.membership.roles import Action
from gpuspawner.schema import Schema
from gpuspawner.web.api import answers
from gpuspawner.web.api.base import ApiHandler, BadBodyError, ForbiddenError
from gpuspawner.web.api.launch_options import LaunchOptions
from gpuspawner.web.api.operations import OWN, Answer, Operation, Operations

__all__ = ["BalanceHandler", "EstimateHandler"]


class Estimate(Answer):
    """What a launch would cost if it began now; amounts in service units."""

    cost: float = Field(description="At most.")
    runtime: int = Field(description="Seconds; less than was asked for where the budget ends the session.")
    by_class: dict[str, float] = Field(description="What it would cost on each GPU class.")
    left: float | None = Field(description="What the budgets leave before it; null without budget.")
    covered: bool
    sentence: str
    remedy: str
    checks: list[answers.Check] = Field(description="The limits that refuse it; empty where it is covered.")


class Purse(Answer):
    """What is left in one workspace; null where it has no such budget."""

    workspace: str
    title: str
    member: answers.Account | None
    pool: answers.Account | None
    sentence: str


class Balance(Answer):
    """What is left of the budgets of a member."""

    user: str
    at: AwareDatetime
    workspaces: list[Purse]


class WhoseBalance(Schema):
    """Whose."""

    user: str | None = Field(default=None, description="The name of a member; without it, yourself.")


class EstimateHandler(ApiHandler):
    """What a launch of whoever asks would cost if it began now."""

    operations: ClassVar[Operations] = {
        "POST": Operation(
            summary="What a launch of yours would cost, and whether your budget covers it.",
            description="Nothing is started or held.",
            scopes=OWN,
            body=LaunchOptions,
            example={"workspace": "cse151a", "profile": "pytorch", "gpu_class": "small", "runtime": "1h"},
            answer=Estimate,
            errors=(503,),
        )
    }

    async def post(self) -> None:
        """The body are the options of a launch; absent ones take the defaults. Nothing is started or held."""
        spawner = getattr(self.current_user, "spawner", None)
        if spawner is None:
            raise ForbiddenError("Only members launch servers.", "Ask with the token of a user.")
        if not self.is_self(self.current_user.name):
            raise ForbiddenError("This token may not do this.", f"It takes the scope {OWN[0]}.")
        found = self.get_json_body()
        if found is not None and not isinstance(found, dict):
            raise BadBodyError("The body must be a JSON object.", "Send the options of a launch, or {}.")
        launcher = await self.ready_launcher()
        request, settings = await spawner.request_for(found or {})
        self.answer(estimate(request, settings, launcher.accounts, launcher.now()).as_json())


class BalanceHandler(ApiHandler):
    """What is left of the budgets of a member."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="What is left of a member's budgets.",
            description="Your own in each of your workspaces; of another member in those that you may read.",
            scopes=(*OWN, Action.READ),
            query=WhoseBalance,
            example={"user": "ada"},
            answer=Balance,
            errors=(404, 503),
        )
    }

    async def get(self) -> None:
        """One's own balance in each of one's workspaces; of another member (``?user=``) in those one may read."""
        name = self.query(WhoseBalance).user
        launcher = await self.ready_launcher()
        if name is None:
            if not hasattr(self.current_user, "spawner"):
                raise ForbiddenError("A service has no budget of its own.", "Name a member: ?user=NAME.")
            name = self.current_user.name
        spaces = launcher.settings.workspaces
        readable = [space for space in spaces if self.is_self(name) or self.may(Action.READ, space)]
        if not readable:
            raise ForbiddenError(f"{self.asker} may not do this.", f"It takes the scope {Action.READ}.")
        now = launcher.now()
        mine = current_workspaces(self.user_named(name), now)
        shown = [spaces[space] for space in readable if space in mine]
        balances = balance_as_json(name, shown, launcher.settings, launcher.accounts, now)
        self.answer({"user": name, "at": now.isoformat(timespec="seconds"), "workspaces": balances})
