"""The usage page: what is left of one's budgets, what was used by day and GPU class, and every session."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field
from tornado.httputil import url_concat
from tornado.web import authenticated

from gpuspawner.authenticator import current_workspaces
from gpuspawner.quantity import MICRO, format_duration, say_units
from gpuspawner.reports.days import Days
from gpuspawner.reports.sessions import SessionLine, sessions_page
from gpuspawner.reports.usage import usage_report
from gpuspawner.reports.use import NO_GPU, Use, UseOverDays, launched_on
from gpuspawner.schema import Schema
from gpuspawner.web.charts import Chart, Column, Series, colours, stacked_bars
from gpuspawner.web.pages.base import PageHandler
from gpuspawner.web.usage import Subject, subject_of

__all__ = ["UsagePage", "cost_of", "gpus_of", "say_hours", "say_moment", "use_chart"]

_PERIODS = (7, 30, 90)
_PAGE = 20


class Shown(Schema):
    """What the page shows."""

    user: str | None = None
    workspace: str | None = None
    days: int = Field(default=30, ge=1, le=366)
    by: Literal["units", "hours"] | None = None
    after: str | None = Field(default=None, max_length=500)


class UsagePage(PageHandler):
    """``GET /hub/gpuspawner/usage``; with ``?user=`` that of a member, for those who may read their workspace."""

    @authenticated
    async def get(self) -> None:
        """The page; a table's later pages are the same page with ``?after=``."""
        shown = self.query(Shown)
        launcher = await self.ready_launcher()
        settings, accounts, now = launcher.settings, launcher.accounts, launcher.now()
        about = subject_of(self, shown.user, shown.workspace)
        days = Days.up_to(now, shown.days, settings.timezone)
        report = await usage_report(
            about.user,
            about.workspaces,
            about.sessions,
            days,
            store=launcher.store,
            settings=settings,
            accounts=accounts,
            now=now,
        )
        sessions = await sessions_page(
            launcher.store,
            launched_on(about.sessions, days),
            settings,
            accounts,
            now,
            after=shown.after,
            limit=_PAGE,
        )
        by = shown.by or ("units" if report.use.total.micro else "hours")
        await self.show(
            "usage.html",
            report=report,
            own=about.own,
            chart=use_chart(report.use, by, list(settings.catalog.gpu_classes)),
            by=by,
            days=shown.days,
            periods=[(count, self._here(shown, days=count, after=None)) for count in _periods(shown.days)],
            measures=[(name, self._here(shown, by=name)) for name in ("units", "hours")],
            spaces=self._spaces(shown, about),
            sessions=sessions,
            first=self._here(shown, after=None) if shown.after else "",
            next=self._here(shown, after=sessions.next) if sessions.next else "",
            download=self._download(shown, days),
            say_units=say_units,
            say_hours=say_hours,
            say_moment=say_moment,
            cost_of=cost_of,
            gpus_of=gpus_of,
            format_duration=format_duration,
        )

    def _spaces(self, shown: Shown, about: Subject) -> list[tuple[str, str, bool]]:
        """Title, link and whether it is shown, of each workspace and of all; empty where there is no choice."""
        mine = current_workspaces(self.current_user, self.launcher.now()) if about.own else ()
        if len(mine) < 2:
            return []
        spaces = [space for space in self.launcher.settings.workspaces.values() if space.name in mine]
        choices = [("All workspaces", None), *((space.title, space.name) for space in spaces)]
        return [
            (title, self._here(shown, workspace=name, after=None), name == shown.workspace) for title, name in choices
        ]

    def _here(self, shown: Shown, **changes: Any) -> str:
        """This page with something changed."""
        return self._with(self.url("gpuspawner", "usage"), {**shown.model_dump(exclude_defaults=True), **changes})

    def _download(self, shown: Shown, days: Days) -> str:
        """All sessions of these days as CSV, by the REST API."""
        found = {"format": "csv", "user": shown.user, "workspace": shown.workspace, "since": days.first.isoformat()}
        if shown.workspace is not None:
            found["user"] = shown.user or self.current_user.name
        return self._with(self.url("api", "gpuspawner", "usage", "sessions"), found)

    @staticmethod
    def _with(path: str, query: dict[str, Any]) -> str:
        return str(url_concat(path, {name: str(value) for name, value in query.items() if value is not None}))


def use_chart(use: UseOverDays, by: str, classes: Sequence[str]) -> Chart:
    """Use by day as stacked bars: service units, or hours of GPUs, where those without GPU are left out."""
    colour = {**colours(classes), NO_GPU: 0}
    amount = _in_units if by == "units" else _in_hours
    names = [name for name in use.titles if amount(use.of_class(name))]
    series = [Series(use.titles[name], colour.get(name, 0)) for name in names]
    columns = [
        Column(f"{day:%-d %b}", f"{day:%a %-d %B}", [amount(found.get(name, Use())) for name in names])
        for day, found in zip(use.days, use.by_day, strict=True)
    ]
    say = _say_units if by == "units" else say_hours
    caption = "Service units by day of launch" if by == "units" else "GPU hours by day of launch"
    most = max(columns, key=lambda column: sum(column.values))
    summary = f"Most on {most.title}: {say(sum(most.values))}." if any(most.values) else ""
    return stacked_bars(caption, series, columns, say, top=1, summary=summary)


def say_hours(hours: float) -> str:
    """``"3.5 h"``, ``"0.25 h"``, ``"1,240 h"``."""
    digits = 0 if hours >= 100 or not hours % 1 else 1 if hours >= 10 else 2
    said = f"{hours:,.{digits}f}"
    return f"{said.rstrip('0').rstrip('.') if digits else said} h"


def say_moment(moment: datetime, today: date) -> str:
    """A time in the past: ``"14:05"`` today, ``"Tue 24 Nov, 14:05"``, with its year where that is another."""
    if moment.date() == today:
        return f"Today, {moment:%H:%M}"
    year = "" if moment.year == today.year else f" {moment:%Y}"
    return f"{moment:%a %-d %b}{year}, {moment:%H:%M}"


def gpus_of(line: SessionLine) -> str:
    """What a session had: ``"2 × Small, 16 GB"``; ``"No GPU"``."""
    return f"{line.session.gpus} × {line.gpu_title}" if line.session.gpus else "No GPU"


def cost_of(line: SessionLine) -> str:
    """What it cost; of one that is not over, until now."""
    return say_units(line.micro, up=True)


def _in_units(use: Use) -> float:
    return use.units


def _in_hours(use: Use) -> float:
    return use.gpu_hours


def _say_units(units: float) -> str:
    return say_units(round(units * MICRO), up=True)


def _periods(chosen: int) -> list[int]:
    return sorted({*_PERIODS, chosen})
