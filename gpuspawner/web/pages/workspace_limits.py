"""The limits of a workspace: quotas over the next days with the dated exceptions, limits of today, budget, grants."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tornado.web import authenticated

from gpuspawner.config import Settings
from gpuspawner.limits.trace import midnight
from gpuspawner.quantity import MICRO, say_units
from gpuspawner.reports.ahead import LimitsAhead, limits_ahead
from gpuspawner.reports.effective_limits import Scope, effective_limits
from gpuspawner.reports.spending import Spending, SpentInPeriod
from gpuspawner.reports.use import NO_GPU
from gpuspawner.web.charts import Chart, Series, Steps, colours, stacked_bars, step_lines
from gpuspawner.web.charts import Column as Bar
from gpuspawner.web.pages.workspace_tab import WorkspaceTab

__all__ = ["LimitsPage"]


class LimitsPage(WorkspaceTab):
    """``GET /hub/gpuspawner/workspaces/NAME/limits``."""

    @authenticated
    async def get(self, workspace: str) -> None:
        """The quota over the next days with its dated exceptions, the limits of today, budget and grants."""
        launcher, space = await self.asked_for(workspace)
        settings, now = launcher.settings, launcher.now()
        grants = await launcher.store.grants(workspace=space.name, at=now)
        ahead = limits_ahead(space, settings, grants, now)
        today = effective_limits(settings, space, ahead.first)
        spent = await self.spending(launcher, space)
        await self.show_tab(
            launcher,
            space,
            self.line(launcher, space),
            "limits",
            ahead=ahead,
            chart=_quota_chart(ahead, settings.timezone, list(settings.catalog.gpu_classes)),
            limits=[(scope, found) for scope in Scope if (found := _said(today.of(scope)))],
            spent=_spending_chart(spent, list(settings.catalog.gpu_classes), settings) if spent is not None else None,
            timezone=settings.timezone,
        )


def _said(limits: Sequence[Any]) -> list[Any]:
    """Those that bound something."""
    return [limit for limit in limits if limit.value not in (None, False)]


def _quota_chart(ahead: LimitsAhead, timezone: ZoneInfo, classes: Sequence[str]) -> Chart | None:
    """The GPUs of each class that the workspace may hold, over the days; those without a limit are left out."""
    colour = colours(classes)
    steps = [
        Steps(
            Series(quota.title, colour[quota.gpu_class]),
            [(midnight(step.day, timezone), float(step.gpus or 0)) for step in quota.steps],
        )
        for quota in ahead.quotas
        if all(step.gpus is not None for step in quota.steps)
    ]
    if not steps:
        return None
    since, until = (midnight(day, timezone) for day in (ahead.first, ahead.last))
    ticks = [since + timedelta(days=7 * week) for week in range((ahead.last - ahead.first).days // 7 + 1)]
    return step_lines(
        "GPUs that may be held at once",
        steps,
        since,
        until,
        lambda value: f"{value:g}",
        tick=lambda moment: f"{moment:%-d %b}",
        ticks=ticks,
        first="From",
        summary="As far as the configuration says it, for the next 60 days.",
    )


def _spending_chart(spent: Spending, classes: Sequence[str], settings: Settings) -> Chart:
    """What was spent in each period, by GPU class."""
    colour = {**colours(classes), NO_GPU: 0}
    names = sorted(spent.classes, key=lambda name: (name == NO_GPU, [*classes, name].index(name)))
    series = [Series(settings.catalog.class_title(name) or "Without GPU", colour.get(name, 0)) for name in names]
    columns = [
        Bar(f"{one.first:%-d %b}", _period(one), [one.by_class.get(name, 0) / MICRO for name in names])
        for one in spent.periods
    ]
    of = "" if spent.pool is None else f" of the {say_units(spent.pool)} that all members share"
    return stacked_bars(
        "Service units spent in each period of the budget",
        series,
        columns,
        lambda units: say_units(round(units * MICRO), up=True),
        first="Period",
        summary=f"{say_units(spent.periods[-1].micro, up=True)}{of} in this one, by all members together.",
    )


def _period(one: SpentInPeriod) -> str:
    return f"{one.first:%-d %B} to {one.last:%-d %B}"
