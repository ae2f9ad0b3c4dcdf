"""Charts as inline SVG, drawn on the server: where each mark goes. Pure; charts.html draws them.

Across, everything is in percent of the width, so that a chart fills whatever room it has and its texts keep their size.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

__all__ = ["BAR_HEIGHT", "Chart", "Column", "Series", "Steps", "colours", "stacked_bars", "step_lines"]

BAR_HEIGHT = 168
"""Pixels from the base line to the top of the scale."""
_TOP, _BELOW = 12, 24
_COLOURS = 8
_GRID = 4
_LABELS = 5

Say = Callable[[float], str]


def colours(names: Sequence[str]) -> dict[str, int]:
    """Which of the colours 1 to 8 each name gets, by its place, so that a class has one colour on every page.

    What is in no list, such as a launch without GPU, is 0, which is grey.
    """
    return {name: place % _COLOURS + 1 for place, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Series:
    """What the legend tells: a title, and its colour of :func:`colours`."""

    title: str
    colour: int


@dataclass(frozen=True, slots=True)
class Column:
    """One bar: ``label`` below it, ``title`` in full, and a value for each series from the base line up."""

    label: str
    title: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Steps:
    """A value that stays until the next change: ``changes`` are times, ascending, and the value from then on.

    ``filled`` draws the area below it, ``dashed`` its line as dashes, as for a limit.
    """

    series: Series
    changes: Sequence[tuple[datetime, float]]
    filled: bool = False
    dashed: bool = False

    def at(self, moment: datetime) -> float | None:
        """The value at a time; None before the first change."""
        return next((value for time, value in reversed(self.changes) if time <= moment), None)


@dataclass(frozen=True, slots=True)
class GridLine:
    """A line across, ``y`` pixels from the top."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Label:
    """A label below the base line, at ``x`` percent."""

    x: str
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A rectangle: ``x`` and ``width`` in percent, ``y`` and ``height`` in pixels; a ``wash`` lies below a line."""

    x: str
    y: float
    width: str
    height: float
    colour: int
    wash: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line between two points: ``x`` in percent, ``y`` in pixels."""

    x1: str
    y1: float
    x2: str
    y2: float
    colour: int
    dashed: bool


@dataclass(frozen=True, slots=True)
class Hover:
    """A strip over the whole height that tells the values at its time."""

    x: str
    width: str
    title: str


@dataclass(frozen=True, slots=True)
class Table:
    """The same numbers: the first of ``head`` names the rows, the first cell of each row is its name."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars or lines of steps, ready to draw. ``summary`` tells in a sentence what there is to see."""

    caption: str
    summary: str
    series: Sequence[Series]
    grid: Sequence[GridLine]
    labels: Sequence[Label]
    marks: Sequence[Mark]
    hovers: Sequence[Hover]
    table: Table
    lines: Sequence[Line] = ()
    height: int = _TOP + BAR_HEIGHT + _BELOW
    base: int = _TOP + BAR_HEIGHT
    dashed: Sequence[int] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see."""
        return not self.marks and not self.lines


def stacked_bars(
    caption: str,
    series: Sequence[Series],
    columns: Sequence[Column],
    say: Say,
    *,
    top: float = 0,
    first: str = "Day",
    summary: str = "",
) -> Chart:
    """A bar for each column, its series on top of each other.

    ``say`` tells a value with its unit; the scale reaches to ``top`` at least; ``first`` is the table's head over the
    columns' titles.
    """
    ticks = scale(max((top, *(sum(column.values) for column in columns))))
    whole, width = ticks[-1], 100 / max(1, len(columns))
    marks, hovers = [], []
    for place, column in enumerate(columns):
        height = 0.0
        parts = [f"{one.title}: {say(value)}" for one, value in zip(series, column.values, strict=True) if value]
        for one, value in zip(series, column.values, strict=True):
            if value <= 0:
                continue
            tall = value / whole * BAR_HEIGHT
            y = _TOP + BAR_HEIGHT - height - tall
            x, wide = percent(place * width + width * 0.12), percent(width * 0.76)
            marks.append(Mark(x, round(y, 2), wide, round(max(tall - 1, 0.6), 2), one.colour))
            height += tall
        told = "\n".join([column.title, *parts]) if parts else f"{column.title}: {say(0)}"
        hovers.append(Hover(percent(place * width), percent(width), told))
    labels = _labels([((place + 0.5) * width, column.label) for place, column in enumerate(columns)])
    rows = [
        [column.title, *(say(value) for value in column.values), say(sum(column.values))]
        for column in columns
        if any(column.values)
    ]
    table = Table([first, *(one.title for one in series), "Together"], rows)
    return Chart(caption, summary, series, _grid(ticks, say), labels, marks, hovers, table)


def step_lines(
    caption: str,
    steps: Sequence[Steps],
    since: datetime,
    until: datetime,
    say: Say,
    *,
    tick: Callable[[datetime], str],
    ticks: Sequence[datetime],
    top: float = 0,
    whole: bool = False,
    height: int = BAR_HEIGHT,
    scale_label: Say | None = None,
    first: str = "From",
    summary: str = "",
) -> Chart:
    """Values over time, each as a line of steps from ``since`` to ``until``.

    ``ticks`` are the times with a label below, which ``tick`` tells; the scale reaches to ``top`` at least, in
    ``whole`` numbers where the values are, over ``height`` pixels; ``scale_label`` tells its values instead of ``say``.
    """
    highest = max((value for one in steps for _, value in one.changes), default=0)
    scaled = scale(max(highest, top), whole=whole)
    length = (until - since).total_seconds() or 1

    def across(moment: datetime) -> float:
        return min(100.0, max(0.0, (moment - since).total_seconds() / length * 100))

    def down(value: float) -> float:
        return round(_TOP + height * (1 - value / scaled[-1]), 2)

    marks: list[Mark] = []
    lines: list[Line] = []
    for one in steps:
        seen = [(max(time, since), value) for time, value in _seen(one, since, until)]
        ends = [*(time for time, _ in seen[1:]), until]
        before: float | None = None
        for (time, value), end in zip(seen, ends, strict=True):
            x1, x2, y, colour = percent(across(time)), percent(across(end)), down(value), one.series.colour
            if one.filled and value > 0:
                wide = percent(across(end) - across(time))
                marks.append(Mark(x1, y, wide, round(_TOP + height - y, 2), colour, wash=True))
            if before is not None and before != value:
                lines.append(Line(x1, down(before), x1, y, colour, one.dashed))
            lines.append(Line(x1, y, x2, y, colour, one.dashed))
            before = value
    times = sorted({since, *(time for one in steps for time, _ in one.changes if since < time < until)})
    hovers, rows = [], []
    for time, end in zip(times, [*times[1:], until], strict=True):
        values = [one.at(time) for one in steps]
        told = [
            f"{one.series.title}: {say(value)}" for one, value in zip(steps, values, strict=True) if value is not None
        ]
        hovers.append(Hover(percent(across(time)), percent(across(end) - across(time)), "\n".join([tick(time), *told])))
        rows.append([tick(time), *("" if value is None else say(value) for value in values)])
    table = Table([first, *(one.series.title for one in steps)], rows)
    labels = _labels([(across(time), tick(time)) for time in ticks])
    dashed = [place for place, one in enumerate(steps) if one.dashed]
    series = [one.series for one in steps]
    return Chart(
        caption,
        summary,
        series,
        _grid(scaled, scale_label or say, height),
        labels,
        marks,
        hovers,
        table,
        lines,
        height=_TOP + height + _BELOW,
        base=_TOP + height,
        dashed=dashed,
    )


def scale(highest: float, *, whole: bool = False) -> list[float]:
    """Round numbers from 0 to the first one that is not below ``highest``, four steps of them at most.

    ``whole``: of things that cannot be divided.
    """
    if highest <= 0:
        return [0.0, 1.0]
    rough = max(highest / _GRID, 1 if whole else 0)
    power = 10.0 ** math.floor(math.log10(rough))
    steps = (power * nice for nice in (1, 2, 2.5, 5, 10) if not whole or (power * nice).is_integer())
    step = next(step for step in steps if step >= rough * (1 - 1e-9))
    return [round(step * count, 10) for count in range(math.ceil(highest / step - 1e-9) + 1)]


def percent(value: float) -> str:
    """A place across, as SVG writes it."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


def _seen(one: Steps, since: datetime, until: datetime) -> list[tuple[datetime, float]]:
    """The changes that a chart from ``since`` to ``until`` shows, with the value it begins with."""
    begin = one.at(since)
    inside = [(time, value) for time, value in one.changes if since < time < until]
    return [*([(since, begin)] if begin is not None else []), *inside]


def _grid(ticks: Sequence[float], say: Say, height: int = BAR_HEIGHT) -> list[GridLine]:
    return [GridLine(round(_TOP + height * (1 - value / ticks[-1]), 2), say(value)) for value in ticks]


def _labels(places: Sequence[tuple[float, str]]) -> list[Label]:
    """Some of the labels, as many as there is room for; those at the edges stay inside."""
    step = max(1, math.ceil(len(places) / _LABELS))
    chosen = [one for number, one in enumerate(places) if (len(places) - 1 - number) % step == 0]
    return [Label(percent(x), text, "start" if x < 5 else "end" if x > 95 else "middle") for x, text in chosen]
