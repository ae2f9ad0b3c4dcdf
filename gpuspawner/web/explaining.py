"""What may somebody start now, and if not, why: asked of the running hub, for the page and for the REST API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpuspawner.authenticator import current_workspaces
from gpuspawner.limits.explain import Explanation, explain, times_of_membership
from gpuspawner.membership.roles import Action
from gpuspawner.web.asking import Asking, ForbiddenError, UnavailableError
from gpuspawner.web.form import describe_launch

__all__ = ["Explained", "explained"]

_FIRST_SYNC = 5.0


@dataclass(frozen=True, slots=True)
class Explained:
    """``summary`` says the launch in words; ``budgets_known``: the ledger has told what is left."""

    found: Explanation
    summary: str
    budgets_known: bool


async def explained(handler: Asking, user_name: str, server: str, options: Mapping[str, Any]) -> Explained:
    """Of oneself in all of one's workspaces; of others in the workspaces that one may read. Nothing is started.

    Raises
    ------
    ForbiddenError, NotFoundError, UnavailableError
    """
    launcher = handler.launcher
    settings, own = launcher.settings, handler.is_self(user_name)
    readable = [space for space in settings.workspaces if own or handler.may(Action.READ, space)]
    user = handler.user_named(user_name) if handler.may(Action.READ) or own else handler.find_user(user_name)
    spaces = set() if user is None else _workspaces_of(user, handler) & set(readable)
    if not spaces and not own and not handler.may(Action.READ):
        raise ForbiddenError(f"{handler.asker} may not do this.", f"It takes the scope {Action.READ} of a workspace.")
    if options.get("workspace") in settings.workspaces.keys() - set(readable):
        handler.require(Action.READ, options["workspace"])
    if not await launcher.synced(_FIRST_SYNC):
        raise UnavailableError("The hub has not read the cluster yet.", "Ask again in a few seconds.")
    known = await launcher.books.ready()
    mine, now = await user.spawner.my_settings(), launcher.now()
    found = explain(
        options,
        user=user_name,
        server=server,
        workspaces=spaces,
        open_now=current_workspaces(user, now) & spaces,
        settings=mine,
        usage=launcher.usage(),
        capacity=launcher.capacity(),
        now=now,
        accounts=launcher.accounts if known else None,
    )
    summary = describe_launch(found.request, mine.catalog) if found.request is not None else ""
    return Explained(found, summary, known)


def _workspaces_of(user: Any, handler: Asking) -> set[str]:
    """Also those that are not open yet, or no more."""
    times = times_of_membership(handler.launcher.settings, handler.launcher.now())
    return {name for name, at in times.items() if name in current_workspaces(user, at)}
