"""What the pages of one workspace share: the frame with its tabs, and who may see it."""

from typing import TYPE_CHECKING, Any

from tornado.httputil import url_concat

from gpuspawner.membership.roles import Action
from gpuspawner.quantity import format_duration, say_gpus, say_units
from gpuspawner.reports.workspaces import WorkspaceLine
from gpuspawner.web.pages.base import PageHandler
from gpuspawner.web.pages.usage import say_hours, say_moment
from gpuspawner.web.steering import LONGEST_MESSAGE
from gpuspawner.web.workspaces import AskingOfWorkspaces
from gpuspawner.workspace import Workspace

if TYPE_CHECKING:
    from gpuspawner.launcher import Launcher

__all__ = ["WorkspaceTab"]

_TABS = (("Overview", ""), ("Members", "members"), ("Servers", "servers"), ("Limits", "limits"))


class WorkspaceTab(AskingOfWorkspaces, PageHandler):
    """A page about one workspace."""

    def here(self, space: Workspace, *path: str, **query: Any) -> str:
        """Another page about the same workspace."""
        found = self.url("gpuspawner", "workspaces", space.name, *path)
        return str(url_concat(found, {name: str(value) for name, value in query.items() if value not in (None, "")}))

    def usage_of(self, space: Workspace, user: str) -> str:
        """The page of what a member has used here."""
        return str(url_concat(self.url("gpuspawner", "usage"), {"user": user, "workspace": space.name}))

    async def show_tab(
        self, launcher: "Launcher", space: Workspace, line: WorkspaceLine, tab: str, **variables: Any
    ) -> None:
        """Answer with one of the pages, in the frame that they share."""
        await self.show(
            f"workspace_{tab or 'overview'}.html",
            space=space,
            line=line,
            tabs=[(title, self.here(space, path) if path else self.here(space), path == tab) for title, path in _TABS],
            several=len(self.readable(launcher)) > 1,
            manages=self.may(Action.MANAGE, space.name),
            now=launcher.now(),
            to=self.here,
            usage_of=self.usage_of,
            say_units=say_units,
            say_hours=say_hours,
            say_gpus=say_gpus,
            say_moment=say_moment,
            format_duration=format_duration,
            longest_message=LONGEST_MESSAGE,
            **variables,
        )

    async def asked_for(self, name: str, action: Action = Action.READ) -> "tuple[Launcher, Workspace]":
        """The workspace of this page. Raises ``ForbiddenError``, ``NotFoundError``, ``UnavailableError``."""
        self.require(action, name)
        launcher = await self.ready_launcher()
        return launcher, self.space(launcher, name, action)
