"""Administration: every limit of a workspace on a day, and what somebody may start now, and if not, why."""

from typing import Any

from pydantic import Field
from tornado.web import authenticated

from gpuspawner.reports.effective_limits import Scope, effective_limits, title_of
from gpuspawner.request import OPTIONS
from gpuspawner.schema import Day, Schema
from gpuspawner.web.asking import ApiError
from gpuspawner.web.explaining import explained
from gpuspawner.web.pages.admin import AdminPage

__all__ = ["ExplainPage", "LimitsPage"]


class WhichLimits(Schema):
    """Of which workspace, and on which day."""

    workspace: str = Field(default="", max_length=200)
    date: Day | None = None


class LimitsPage(AdminPage):
    """``GET /hub/gpuspawner/admin/limits``: each limit, its value, and the rule that sets it."""

    @authenticated
    async def get(self) -> None:
        """Of the workspace and the day chosen; of the first and of today without."""
        asked = self.query(WhichLimits)
        launcher = self.launcher
        spaces = launcher.settings.workspaces
        today = launcher.now().date()
        space = spaces.get(asked.workspace) or next(iter(spaces.values()), None)
        day = asked.date or today
        found = effective_limits(launcher.settings, space, day) if space is not None else None
        await self.show_tab("limits", launcher, limits=found, scopes=list(Scope), day=day)


class Question(Schema):
    """For whom, and the options of a launch."""

    user: str = Field(default="", max_length=255)
    server: str = Field(default="", max_length=255)
    workspace: str = Field(default="", max_length=200)
    profile: str = Field(default="", max_length=200)
    gpu_class: str = Field(default="", max_length=200)
    gpus: str = Field(default="", max_length=20)
    runtime: str = Field(default="", max_length=20)


class ExplainPage(AdminPage):
    """``GET /hub/gpuspawner/admin/explain``: the same decision as of a launch, without one."""

    @authenticated
    async def get(self) -> None:
        """With a user: the trace; else the form alone. Nothing is started."""
        asked = self.query(Question)
        launcher = self.launcher
        told: Any = None
        wrong: ApiError | None = None
        if asked.user:
            options = {key: value for key, value in asked.model_dump().items() if key in OPTIONS and value}
            try:
                told = await explained(self, asked.user, asked.server, options)
            except ApiError as error:
                wrong = error
        await self.show_tab("explain", launcher, asked=asked, told=told, wrong=wrong, title_of=title_of)
