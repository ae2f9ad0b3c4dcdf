"""Who leaves a workspace, for the running servers there: they go on to their end, or stop (``leavers``)."""

from collections.abc import Mapping
from typing import Any

from gpuspawner.authenticator import WorkspaceAuthenticator, current_workspaces
from gpuspawner.sessions import Sessions

__all__ = ["follow_members", "still_belongs"]


def still_belongs(hub: Mapping[str, Any], user: str, workspace: str) -> bool:
    """Whether a user may still launch in a workspace; ``hub`` are the settings of JupyterHub's web application.

    True for whom JupyterHub does not know any more: it stops the servers of users it deletes itself.
    """
    try:
        known = hub["users"][user]
    except KeyError:
        return True
    return workspace in current_workspaces(known)


def follow_members(authenticator: Any, sessions: Sessions) -> None:
    """Have every change of membership looked at."""
    if isinstance(authenticator, WorkspaceAuthenticator):
        authenticator.workspace_log.subscribe(lambda change: sessions.members_changed(change.user))
