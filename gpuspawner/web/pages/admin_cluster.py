"""Administration: launches that wait, GPUs over time, and the configuration that the hub runs with."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field
from tornado.web import authenticated

from gpuspawner.quantity import format_cores
from gpuspawner.reports.capacity import CapacityOverTime, ClassOverTime, capacity_over_time
from gpuspawner.schema import Schema
from gpuspawner.web.administration import configuration_of, queue_of
from gpuspawner.web.charts import Chart, Series, Steps, colours, step_lines
from gpuspawner.web.pages.admin import AdminPage
from gpuspawner.web.steering import LONGEST_MESSAGE, steered
from gpuspawner.web.workspaces import AskingOfWorkspaces

__all__ = ["CapacityPage", "ConfigurationPage", "QueuePage"]


class WhichLaunches(Schema):
    """Which launches under way."""

    workspace: str = Field(default="", max_length=200)


class QueuePage(AskingOfWorkspaces, AdminPage):
    """``/hub/gpuspawner/admin/queue``: who waits for what, and why."""

    @authenticated
    async def get(self) -> None:
        """Of all workspaces, or of one."""
        asked = self.query(WhichLaunches)
        launcher = self.launcher
        lines = queue_of(launcher, [asked.workspace] if asked.workspace else None)
        await self.show_tab("queue", launcher, asked=asked, lines=lines, longest_message=LONGEST_MESSAGE)

    @authenticated
    async def post(self) -> None:
        """Call one off; its member reads by whom, and the message."""
        user, server = self.get_body_argument("user"), self.get_body_argument("server", "")
        launcher = self.launcher
        found = steered(launcher, self.sessions, user, server)
        if found is None or found.under_way is None:
            self.back(self.here("queue"), "That launch is under way no more.", kind="info")
            return
        await found.stop(launcher, self.sessions, self.asker, self.get_body_argument("message", ""))
        self.back(self.here("queue"), f"The launch of {user} is called off.")


class WhichDays(Schema):
    """How many days."""

    days: Literal["1", "7", "30", "90"] = "7"


class CapacityPage(AdminPage):
    """``GET /hub/gpuspawner/admin/capacity``: GPUs of each class over time."""

    @authenticated
    async def get(self) -> None:
        """The last day, week, month or quarter."""
        days = int(self.query(WhichDays).days)
        launcher = await self.ready_launcher()
        report = await capacity_over_time(launcher.store, launcher.settings, launcher.now(), days)
        colour = colours(list(launcher.settings.catalog.gpu_classes))
        shown = [one for one in report.classes if one.total or one.gpu_seconds]
        await self.show_tab(
            "capacity",
            launcher,
            report=report,
            shown=[(one, capacity_chart(one, report, colour.get(one.gpu_class, 0), days)) for one in shown],
            days=days,
            periods=[(count, self.here("capacity", days=count)) for count in (1, 7, 30, 90)],
            live=launcher.totals(),
            say_share=say_share,
        )


def capacity_chart(one: ClassOverTime, report: CapacityOverTime, colour: int, days: int) -> Chart:
    """GPUs in use on average, below how many there were."""

    def tick(moment: datetime) -> str:
        return f"{moment:%a %H:%M}" if days <= 7 else f"{moment:%-d %b}"

    used = [(slot.begins, round(slot.used, 2)) for slot in one.slots]
    total = [(slot.begins, round(slot.total, 2)) for slot in one.slots if slot.total is not None]
    ticks = _every(report, 7 if days != 30 else 6)
    share = "" if one.share is None else f" {say_share(one.share)} of what there was."
    length = (report.until - report.since).total_seconds()
    full = f" Full for {say_share(one.full / length)} of the time." if one.full else ""
    return step_lines(
        one.title,
        [
            Steps(Series("In use, on average", colour), _steps(used), filled=True),
            Steps(Series("There were", 0), _steps(total), dashed=True),
        ],
        report.since,
        report.until,
        format_cores,
        tick=tick,
        ticks=ticks,
        top=1,
        first="From",
        summary=f"{one.gpu_seconds / 3600:,.0f} GPU hours.{share}{full}",
    )


def say_share(share: float) -> str:
    """``"12 %"``; what is not nothing, and less than 1 %, says so."""
    return "less than 1 %" if 0 < share < 0.01 else f"{round(100 * share)} %"


def _steps(values: Sequence[tuple[datetime, float]]) -> list[tuple[datetime, float]]:
    """Only the changes."""
    return [one for place, one in enumerate(values) if not place or values[place - 1][1] != one[1]]


def _every(report: CapacityOverTime, count: int) -> list[datetime]:
    length = report.until - report.since
    return [report.since + length * number / count for number in range(1, count)]


class ConfigurationPage(AdminPage):
    """``GET /hub/gpuspawner/admin/configuration``: what `gpuspawner check --cluster` would say of it."""

    @authenticated
    async def get(self) -> None:
        """The report."""
        await self.show_tab("configuration", self.launcher, report=configuration_of(self))
