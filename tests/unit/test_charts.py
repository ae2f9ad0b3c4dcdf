"""Charts are drawn on the server: where each mark goes, and the table of the same numbers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.web.charts import BAR_HEIGHT, Chart, Column, Series, Steps, colours, scale, stacked_bars, step_lines

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
amounts = st.floats(0, 1e9, allow_nan=False).map(lambda value: round(value, 4))


def say(value: float) -> str:
    return f"{value:g} SU"


def bars(*columns: tuple[float, ...]) -> Chart:
    series = [Series("Small", 1), Series("Medium", 2)][: len(columns[0])]
    return stacked_bars("Use", series, [Column(f"{n}", f"Day {n}", values) for n, values in enumerate(columns)], say)


def free(*values: float, hours: int = 12) -> Chart:
    changes = [(NOON + number * HOUR, value) for number, value in enumerate(values)]
    steps = [Steps(Series("Free", 1), changes, filled=True)]
    return step_lines("Free", steps, NOON, NOON + hours * HOUR, say, tick=lambda at: f"{at:%H:%M}", ticks=[NOON])


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 0.25, 0.5, 0.75, 1]),
        (7, [0, 2, 4, 6, 8]),
        (100, [0, 25, 50, 75, 100]),
        (11, [0, 5, 10, 15]),
    ],
)
def test_the_scale_has_round_numbers(highest: float, expected: list[float]) -> None:
    assert scale(highest) == expected


@given(st.floats(1e-6, 1e12))
def test_every_value_is_within_the_scale(highest: float) -> None:
    ticks = scale(highest)
    assert ticks[0] == 0
    assert ticks[-1] >= highest * (1 - 1e-6)
    assert 2 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))


def test_the_parts_of_a_bar_stand_on_each_other() -> None:
    chart = bars((1, 3), (0, 2))
    lower, upper, other = chart.marks
    assert (lower.colour, upper.colour, other.colour) == (1, 2, 2)
    assert upper.y < lower.y
    assert lower.x == upper.x != other.x
    assert chart.grid[-1].label == "4 SU"


@given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=40))
def test_no_bar_leaves_the_chart_and_its_table_has_every_number(columns: list[tuple[float, float]]) -> None:
    chart = bars(*columns)
    for mark in chart.marks:
        assert mark.y > 0
        assert mark.y + mark.height <= chart.base + 1
        assert mark.height <= BAR_HEIGHT
    assert [row[0] for row in chart.table.rows] == [f"Day {n}" for n, values in enumerate(columns) if any(values)]
    assert len(chart.hovers) == len(columns)
    assert len(chart.labels) <= 5


def test_the_last_day_always_has_its_label() -> None:
    chart = bars(*[(1.0, 0.0)] * 30)
    assert chart.labels[-1].text == "29"


def test_a_step_stays_until_the_next_one() -> None:
    chart = free(2, 0, 4)
    assert list(chart.table.rows) == [["12:00", "2 SU"], ["13:00", "0 SU"], ["14:00", "4 SU"]]
    flat = [line for line in chart.lines if line.y1 == line.y2]
    assert [line.x1 for line in flat] == ["0%", "8.333%", "16.667%"]
    assert flat[-1].x2 == "100%"
    assert len([line for line in chart.lines if line.x1 == line.x2]) == 2


def test_what_was_before_the_first_time_is_the_value_it_begins_with() -> None:
    steps = [Steps(Series("Quota", 1), [(NOON - 5 * HOUR, 3), (NOON - HOUR, 7), (NOON + 20 * HOUR, 9)], dashed=True)]
    chart = step_lines("Q", steps, NOON, NOON + HOUR, say, tick=lambda at: f"{at:%H:%M}", ticks=[])
    assert list(chart.table.rows) == [["12:00", "7 SU"]]
    assert [(line.x1, line.x2, line.dashed) for line in chart.lines] == [("0%", "100%", True)]


@given(st.lists(st.integers(0, 500), min_size=1, max_size=30), st.integers(1, 40))
def test_no_step_leaves_the_chart(values: list[int], hours: int) -> None:
    chart = free(*values, hours=hours)
    for line in chart.lines:
        assert 0 <= line.y1 <= chart.base
        assert 0 <= float(line.x1[:-1]) <= float(line.x2[:-1]) <= 100


def test_a_class_has_one_colour_on_every_page() -> None:
    names = [f"class-{number}" for number in range(9)]
    assert list(colours(names).values()) == [1, 2, 3, 4, 5, 6, 7, 8, 1]
