"""The page of GPUs: what is free by class and node, what this login could start, and the next hours."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tornado.httputil import url_concat
from tornado.web import authenticated

from gpuspawner.cluster.gpus import AHEAD
from gpuspawner.quantity import format_bytes, micro_of, say_gpus, say_units
from gpuspawner.reports.standing import Can, Standing
from gpuspawner.reports.status import ClassStatus, StatusReport
from gpuspawner.web.charts import Chart, Series, Steps, colours, step_lines
from gpuspawner.web.pages.base import PageHandler
from gpuspawner.web.status import status_for

__all__ = ["StatusPage", "ahead_chart"]

_HEIGHT = 88
_HOURS = 4
_STEPS = 48
"""As many changes as can be told apart in the chart, a quarter of an hour each."""
_ROOM = timedelta(hours=2)
"""What the label of now takes."""


class StatusPage(PageHandler):
    """``GET /hub/gpuspawner/status``."""

    @authenticated
    async def get(self) -> None:
        """The page; its module keeps it up to date."""
        report = await status_for(self)
        colour = colours([one.gpu_class.name for one in report.classes])
        await self.show(
            "status.html",
            report=report,
            charts={
                one.gpu_class.name: ahead_chart(one, report.at, colour[one.gpu_class.name]) for one in report.classes
            },
            links={name: link for one in report.classes if (link := self._start(name := one.gpu_class.name, one.mine))},
            can=Can,
            spawn=self.url("spawn"),
            words=_headline(report),
            rates=any(one.gpu_class.rate for one in report.classes),
            format_bytes=format_bytes,
            micro_of=micro_of,
            say_units=say_units,
        )

    def _start(self, gpu_class: str, mine: Standing | None) -> str:
        """The launch page, filled in with a class; empty where it would be refused, and while the server it is about is
        there already."""
        if mine is None or mine.can not in (Can.NOW, Can.NODE, Can.WAIT) or self.current_user.spawner.active:
            return ""
        chosen = {"workspace": mine.workspace, "profile": mine.profile, "gpu_class": gpu_class}
        return str(url_concat(self.url("spawn"), {f"opt-{key}": value for key, value in chosen.items()}))


def ahead_chart(status: ClassStatus, now: datetime, colour: int) -> Chart:
    """How many GPUs of a class are free over the next hours."""
    until = now + timedelta(seconds=AHEAD)
    steps = [Steps(Series("Free", colour), _at_most(status.ahead, _STEPS), filled=True)]
    first = (now + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    ticks = [now, *(tick for hour in range(12) if (tick := first + timedelta(hours=hour)).hour % _HOURS == 0)]
    return step_lines(
        "The next 12 hours",
        steps,
        now,
        until,
        lambda value: say_gpus(round(value, 2)),
        tick=lambda at: "now" if at == now else f"{at:%H:%M}",
        scale_label=lambda value: f"{value:g}",
        ticks=[tick for tick in ticks if tick == now or tick - now > _ROOM],
        top=status.now.total or 1,
        whole=True,
        height=_HEIGHT,
        summary=_outlook(status),
    )


def _at_most(changes: Sequence[tuple[datetime, int]], count: int) -> list[tuple[datetime, int]]:
    """Changes, where there are too many to be told apart: those of equal spells are drawn as one, at its end."""
    if len(changes) <= count:
        return list(changes)
    (first, free), spell = changes[0], timedelta(seconds=AHEAD) / count
    ends = {first + -(-(at - first) // spell) * spell: free for at, free in changes[1:]}
    return [(first, free), *ends.items()]


def _outlook(status: ClassStatus) -> str:
    """When more is free next, in a sentence."""
    if not status.ahead:
        return ""
    free = status.ahead[0][1]
    more = next(((at, number) for at, number in status.ahead[1:] if number > free), None)
    if more is None:
        return "Nothing more comes back for certain." if free < (status.now.total or 0) else "All of them are free."
    return f"{say_gpus(more[1])} free by {more[0]:%H:%M} at the latest, unless someone extends or comes first."


def _headline(report: StatusReport) -> str:
    """All of it in a sentence."""
    if report.unknown:
        return ""
    waiting = {0: "nobody waits for one", 1: "1 launch waits for one"}
    others = waiting.get(report.waiting, f"{report.waiting} launches wait for one")
    return f"{report.free} of {say_gpus(report.total)} free now; {others}."
