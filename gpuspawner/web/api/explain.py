"""``/hub/api/gpuspawner/explain``: what may this person start now, and if not, why."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from gpuspawner.authenticator import current_workspaces
from gpuspawner.limits.explain import explain, times_of_membership
from gpuspawner.membership.roles import Action
from gpuspawner.request import OPTIONS
from gpuspawner.schema import Schema
from gpuspawner.web.api.base import ApiHandler, ForbiddenError, UnavailableError
from gpuspawner.web.form import describe_launch

__all__ = ["ExplainHandler"]

_FIRST_SYNC = 5.0
_NO_OPTIONS = ("user", "server", "_xsrf")


class _Asked(Schema):
    """The body: for whom, for which of their servers, and the options of a launch."""

    user: str = ""
    server: str = ""
    options: Mapping[str, Any] = Field(default_factory=dict)


class ExplainHandler(ApiHandler):
    """Of oneself in all of one's workspaces; of others in the workspaces that one may read. Nothing is started."""

    async def get(self) -> None:
        """``?user=ada&server=two&workspace=...&gpu_class=...``, with the options of a launch; several of one make a
        list."""
        given = {key: self.get_arguments(key) for key in self.request.query_arguments}
        options = {key: found[0] if len(found) == 1 else found for key, found in given.items() if key in OPTIONS}
        rest = {key: found[0] for key, found in given.items() if key not in OPTIONS and key != "_xsrf"}
        await self._explain(self.checked(_Asked, {**rest, "options": options}))

    async def post(self) -> None:
        """``{"user": "ada", "server": "", "options": {...}}``, with ``user_options`` as for a launch."""
        await self._explain(self.body(_Asked))

    async def _explain(self, asked: _Asked) -> None:
        name = asked.user or getattr(self.current_user, "name", "")
        launcher = self.launcher
        settings, own = launcher.settings, self.is_self(name)
        readable = [space for space in settings.workspaces if own or self.may(Action.READ, space)]
        user = self.user_named(name) if self.may(Action.READ) or own else self.find_user(name)
        spaces = set() if user is None else self._workspaces_of(user) & set(readable)
        if not spaces and not own and not self.may(Action.READ):
            raise ForbiddenError(f"{self.asker} may not do this.", f"It takes the scope {Action.READ} of a workspace.")
        if asked.options.get("workspace") in settings.workspaces.keys() - set(readable):
            self.require(Action.READ, asked.options["workspace"])
        if not await launcher.synced(_FIRST_SYNC):
            raise UnavailableError("The hub has not read the cluster yet.", "Ask again in a few seconds.")
        known = await launcher.books.ready()
        mine, now = await user.spawner.my_settings(), launcher.now()
        found = explain(
            asked.options,
            user=name,
            server=asked.server,
            workspaces=spaces,
            open_now=current_workspaces(user, now) & spaces,
            settings=mine,
            usage=launcher.usage(),
            capacity=launcher.capacity(),
            now=now,
            accounts=launcher.accounts if known else None,
        )
        summary = describe_launch(found.request, mine.catalog) if found.request is not None else ""
        self.answer({**found.as_json(), "summary": summary, "budgets_known": known})

    def _workspaces_of(self, user: Any) -> set[str]:
        """Also those that are not open yet, or no more."""
        times = times_of_membership(self.launcher.settings, self.launcher.now())
        return {name for name, at in times.items() if name in current_workspaces(user, at)}
