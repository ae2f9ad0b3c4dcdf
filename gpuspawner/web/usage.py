"""Whose use a page or a request is about, and who may see it; the same for both."""

from dataclasses import dataclass

from gpuspawner.authenticator import current_workspaces
from gpuspawner.ledger.records import SessionFilter
from gpuspawner.membership.roles import Action
from gpuspawner.web.asking import Asking, ForbiddenError
from gpuspawner.workspace import Workspace

__all__ = ["Subject", "subject_of"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A member, the sessions of theirs that may be seen, and the workspaces whose budgets may."""

    user: str
    own: bool
    sessions: SessionFilter
    workspaces: tuple[Workspace, ...]


def subject_of(handler: Asking, user: str | None, workspace: str | None) -> Subject:
    """Whoever asks, or ``user`` in the workspaces that whoever asks may read; ``workspace``: only there.

    Raises
    ------
    ForbiddenError
        Where they may not, and for users and workspaces that do not exist.
    NotFoundError
        For a user that does not exist, to those who may see every one.
    """
    if user is None and not hasattr(handler.current_user, "spawner"):
        raise ForbiddenError("A service uses nothing itself.", "Name a member: ?user=NAME.")
    name = handler.current_user.name if user is None else user
    entrusted = handler.reads_own(name)
    if not entrusted and workspace is None and not handler.may(Action.READ):
        raise ForbiddenError(
            f"{handler.asker} may not see all that somebody else has used.",
            f"Name a workspace that you may read, ?workspace=NAME; without it, it takes the scope {Action.READ}.",
        )
    if not entrusted:
        handler.require(Action.READ, workspace)
    launcher = handler.launcher
    theirs = current_workspaces(handler.user_named(name), launcher.now())
    spaces = [space for space in launcher.settings.workspaces.values() if space.name in theirs]
    shown = tuple(space for space in spaces if workspace in (None, space.name))
    return Subject(name, handler.is_self(name), SessionFilter(user=name, workspace=workspace), shown)
