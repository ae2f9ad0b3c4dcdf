"""The running servers of a JupyterHub, and what looking after them needs of it: members, managers, stopping."""

from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

from jupyterhub import orm

from gpuspawner.authenticator import WorkspaceAuthenticator, current_workspaces
from gpuspawner.budgets.extensions import Extensions
from gpuspawner.budgets.warnings import BudgetWarnings
from gpuspawner.launcher import Launcher
from gpuspawner.membership.roles import Role, group_of
from gpuspawner.sessions.idle_servers import begin_watch, stop_or_downgrade
from gpuspawner.sessions.maintenance import Maintenance
from gpuspawner.sessions.notices import Notice, Notices
from gpuspawner.sessions.sessions import Sessions

__all__ = ["begin_sessions"]


def begin_sessions(
    hub: MutableMapping[str, Any], launcher: Launcher, notify: Callable[[Notice], Any] | None
) -> Sessions:
    """The sessions of a hub, looked after from now on; ``hub`` are the settings of its web application."""
    settings, now = launcher.settings, launcher.now
    sessions: Sessions = Sessions(
        settings,
        launcher.client,
        launcher.view,
        clock=now,
        stop=partial(stop_or_downgrade, hub, lambda: sessions),
        notices=Notices(notify, now),
        belongs=partial(_still_belongs, hub),
        extensions=Extensions(launcher.books, launcher.view, settings, now),
    )
    sessions.budgets = BudgetWarnings(
        settings,
        launcher.accounts,
        launcher.store,
        sessions.notices,
        note=launcher.books.note,
        clock=now,
        managers=partial(_managers_of, hub),
    )
    sessions.begin(sessions.budgets.run())
    _follow_members(hub["authenticator"], sessions)
    begin_watch(hub, launcher, sessions, hub["db"])
    Maintenance(launcher.view, sessions, now).begin()
    return sessions


def _still_belongs(hub: Mapping[str, Any], user: str, workspace: str) -> bool:
    """Whether a user may still launch in a workspace.

    True for whom JupyterHub does not know any more: it stops the servers of users it deletes itself.
    """
    try:
        known = hub["users"][user]
    except KeyError:
        return True
    return workspace in current_workspaces(known)


def _managers_of(hub: Mapping[str, Any], workspace: str) -> list[str]:
    """The user names of those who steer a workspace, as its group says."""
    group = orm.Group.find(hub["db"], group_of(workspace, Role.MANAGER))
    return [] if group is None else [user.name for user in group.users]


def _follow_members(authenticator: Any, sessions: Sessions) -> None:
    """Have every change of membership looked at."""
    if isinstance(authenticator, WorkspaceAuthenticator):
        authenticator.workspace_log.subscribe(lambda change: sessions.members_changed(change.user))
