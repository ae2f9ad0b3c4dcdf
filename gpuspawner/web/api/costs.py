"""``/hub/api/gpuspawner/estimate`` and ``/balance``: what a launch would cost, and what is left to pay it."""

from gpuspawner.authenticator import current_workspaces
from gpuspawner.budgets.estimate import balance_as_json, estimate
from gpuspawner.membership.roles import Action
from gpuspawner.web.api.base import ApiHandler, BadBodyError, ForbiddenError

__all__ = ["BalanceHandler", "EstimateHandler"]


class EstimateHandler(ApiHandler):
    """What a launch of whoever asks would cost if it began now."""

    async def post(self) -> None:
        """The body are the options of a launch; absent ones take the defaults. Nothing is started or held."""
        spawner = getattr(self.current_user, "spawner", None)
        if spawner is None:
            raise ForbiddenError("Only members launch servers.", "Ask with the token of a user.")
        found = self.get_json_body()
        if found is not None and not isinstance(found, dict):
            raise BadBodyError("The body must be a JSON object.", "Send the options of a launch, or {}.")
        launcher = await self.ready_launcher()
        request, settings = await spawner.request_for(found or {})
        self.answer(estimate(request, settings, launcher.accounts, launcher.now()).as_json())


class BalanceHandler(ApiHandler):
    """What is left of the budgets of a member."""

    async def get(self) -> None:
        """One's own balance in each of one's workspaces; of another member (``?user=``) in those one may read."""
        name = self.get_argument("user", None)
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
