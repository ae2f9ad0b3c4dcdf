"""The servers of a workspace: who runs what until when; its managers stop and extend them there."""

from pydantic import Field
from tornado.httputil import url_concat
from tornado.web import authenticated

from gpuspawner.limits.trace import say_time
from gpuspawner.membership.roles import Action
from gpuspawner.schema import Schema, read_seconds
from gpuspawner.sessions.lease import ExtensionError
from gpuspawner.web.asking import BadBodyError
from gpuspawner.web.pages.workspace_tab import WorkspaceTab
from gpuspawner.web.sessions import extend_server
from gpuspawner.web.steering import LONGEST_MESSAGE, steered

__all__ = ["ExtendPage", "ServersPage", "StopPage"]

_PAGE = 25


class ServersShown(Schema):
    """Which of the running servers: those from place ``after`` on."""

    after: int = Field(default=0, ge=0, le=10_000_000)


class Steering(Schema):
    """A form about one server of a member."""

    user: str = Field(max_length=255)
    server: str = Field(default="", max_length=255)
    message: str = Field(default="", max_length=LONGEST_MESSAGE)
    by: str = Field(default="1h", max_length=20)


class ServersPage(WorkspaceTab):
    """``GET /hub/gpuspawner/workspaces/NAME/servers``."""

    @authenticated
    async def get(self, workspace: str) -> None:
        """Those that are starting, and those that run; managers may stop and extend them."""
        shown = self.query(ServersShown)
        launcher, space = await self.asked_for(workspace)
        running = self.running(launcher, space)
        download = {"format": "csv", "workspace": space.name}
        await self.show_tab(
            launcher,
            space,
            self.line(launcher, space),
            "servers",
            starting=self.starting(launcher, space),
            running=self.running_lines(launcher, running[shown.after : shown.after + _PAGE]),
            count=len(running),
            stop_at=self.here(space, "stop"),
            extend_at=self.here(space, "extend"),
            first=self.here(space, "servers") if shown.after else "",
            next=self.here(space, "servers", after=shown.after + _PAGE) if shown.after + _PAGE < len(running) else "",
            download=url_concat(self.url("api", "gpuspawner", "usage", "sessions"), download),
        )


class StopPage(WorkspaceTab):
    """``POST /hub/gpuspawner/workspaces/NAME/stop``: the form beside a server."""

    @authenticated
    async def post(self, workspace: str) -> None:
        """Stop a member's server, or call its launch off, and tell them why."""
        launcher, space = await self.asked_for(workspace, Action.MANAGE)
        form = self.form(Steering)
        found = steered(launcher, self.sessions, form.user, form.server)
        page, whose = self.here(space, "servers"), _whose(form)
        if found is None or found.workspace != space.name:
            self.back(page, f"{whose} does not run any more, so nothing was done.", kind="info")
            return
        if self.is_self(form.user):
            raise BadBodyError("It is your own server.", "Stop it on your home page.")
        stopped = await found.stop(launcher, self.sessions, self.asker, form.message)
        told = f" {form.user} reads your message." if form.message.strip() else ""
        if found.lease is None:
            self.back(page, f"The launch of {form.user} was called off.{told}")
        else:
            self.back(page, f"{whose} {'was stopped' if stopped else 'is being stopped'}.{told}")


class ExtendPage(WorkspaceTab):
    """``POST /hub/gpuspawner/workspaces/NAME/extend``: the form beside a server."""

    @authenticated
    async def post(self, workspace: str) -> None:
        """Give a member's server more time; its member's budget pays, and they are told."""
        launcher, space = await self.asked_for(workspace, Action.MANAGE)
        form = self.form(Steering)
        found = steered(launcher, self.sessions, form.user, form.server)
        page, whose = self.here(space, "servers"), _whose(form)
        if found is None or found.lease is None or found.workspace != space.name:
            self.back(page, f"{whose} does not run any more, so nothing was done.", kind="info")
            return
        try:
            seconds = read_seconds(form.by)
        except ValueError as error:
            raise BadBodyError("The time cannot be understood.", f"Give {error}.") from None
        try:
            lease = await extend_server(self.user_named(form.user), form.server, seconds, by=self.asker)
        except ExtensionError as error:
            self.back(page, error.sentence, kind="warning")
            return
        at = say_time(lease.ends, launcher.now())
        self.back(page, f"{whose} now runs until {at}. {form.user} has been told.")


def _whose(form: Steering) -> str:
    return f"The server {form.server} of {form.user}" if form.server else f"The server of {form.user}"
