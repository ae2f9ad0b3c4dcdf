"""Giving more and taking it back, for the REST API and the pages: checked, kept, counted, and told to the member."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gpuspawner.budgets.granting import GrantRequest, grant_as_json, grant_of, say_grant
from gpuspawner.ledger.records import Grant, GrantFilter
from gpuspawner.membership.roles import Action
from gpuspawner.sessions.notices import Notice
from gpuspawner.web.asking import Asking, NotFoundError
from gpuspawner.web.sessions import sessions_of

if TYPE_CHECKING:
    from gpuspawner.launcher import Launcher

__all__ = ["give", "take_back"]


async def give(handler: Asking, asked: GrantRequest) -> tuple[Grant, bool]:
    """Give what is asked for; returns the grant, and whether it is new: one with the id of another grants nothing.

    Raises
    ------
    ForbiddenError, NotFoundError, UnavailableError
    BadRequestError
        Where there is no such budget to add to, or it would be over already.
    """
    handler.require(Action.ADMINISTER, asked.workspace)
    launcher = await handler.ready_launcher()
    grant = grant_of(asked, launcher.settings, handler.asker, launcher.now())
    user = handler.user_named(grant.user) if grant.user is not None else None
    fresh = await launcher.store.grant(grant)
    known = grant if fresh else await _known(launcher, grant.id) or grant
    launcher.accounts.grant(known)
    if fresh:
        _tell(user, grant, launcher)
    return known, fresh


async def take_back(handler: Asking, grant_id: str) -> Grant:
    """Revoke a grant: what has been spent of it stays paid, the rest is gone. Repeating it changes nothing.

    Raises as :func:`give`.
    """
    launcher = await handler.ready_launcher()
    grant = await _known(launcher, grant_id)
    handler.require(Action.ADMINISTER, grant.workspace if grant is not None else None)
    if grant is None:
        raise NotFoundError("There is no such grant.", "See GET /hub/api/gpuspawner/grants.")
    now = launcher.now()
    if await launcher.store.revoke(grant_id, handler.asker, now):
        grant = replace(grant, revoked=now)
        launcher.accounts.grant(grant)
    return grant


async def _known(launcher: "Launcher", grant_id: str) -> Grant | None:
    return next(iter((await launcher.store.granted(GrantFilter(id=grant_id))).rows), None)


def _tell(user: Any, grant: Grant, launcher: "Launcher") -> None:
    sessions = sessions_of(user) if user is not None else None
    if sessions is not None and grant.user is not None:
        sentence = say_grant(grant, launcher.settings, grant.at)
        data = grant_as_json(grant)
        notice = Notice(kind="grant", user=grant.user, sentence=sentence, at=grant.at, data=data, until=grant.until)
        sessions.notices.tell(notice)
