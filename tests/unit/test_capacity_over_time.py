"""GPUs over days: what was in use of what there was, against a count second by second."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from small_hub import small_hub

from gpuspawner.ledger.records import CapacityChange, GPURun
from gpuspawner.reports.capacity import ClassOverTime, classes_over_time

SINCE = datetime(2026, 11, 2, 12, tzinfo=UTC)
LENGTH = 60
"""Seconds, in which all of it happens."""
STEP = timedelta(seconds=15)
HUB = small_hub()

moments = st.integers(-10, LENGTH + 10)


def at(second: int) -> datetime:
    return SINCE + timedelta(seconds=second)


def small(changes: list[CapacityChange], runs: list[GPURun]) -> ClassOverTime:
    found = classes_over_time(changes, runs, HUB, SINCE, at(LENGTH), STEP)
    assert [one.gpu_class for one in found] == list(HUB.catalog.gpu_classes)
    return found[0]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[CapacityChange], list[GPURun]]:
    changes = [
        CapacityChange(at(second), "small", draw(st.integers(0, 4)))
        for second in sorted(draw(st.lists(moments, unique=True, max_size=4)))
    ]
    runs = []
    for started in draw(st.lists(st.integers(-10, LENGTH - 1), max_size=5)):
        ended = draw(st.one_of(st.none(), st.integers(max(started, 1), LENGTH + 20)))
        runs.append(GPURun("small", draw(st.integers(1, 3)), at(started), None if ended is None else at(ended)))
    return changes, runs


@given(histories())
def test_it_is_what_counting_second_by_second_finds(history: tuple[list[CapacityChange], list[GPURun]]) -> None:
    changes, runs = history
    found = small(changes, runs)
    used = [
        sum(run.gpus for run in runs if run.started <= at(second) and (run.ended is None or at(second) < run.ended))
        for second in range(LENGTH)
    ]
    totals = [
        next((change.total for change in reversed(changes) if change.at <= at(second)), None)
        for second in range(LENGTH)
    ]
    assert found.gpu_seconds == sum(used)
    assert found.of_seconds == sum(total or 0 for total in totals)
    assert found.known_seconds == sum(now for now, total in zip(used, totals, strict=True) if total is not None)
    assert found.full == sum(bool(total) and now >= (total or 0) for now, total in zip(used, totals, strict=True))
    assert found.most == max(used)
    step = int(STEP.total_seconds())
    for number, slot in enumerate(found.slots):
        here, there = used[number * step : (number + 1) * step], totals[number * step : (number + 1) * step]
        known = [total for total in there if total is not None]
        assert (slot.begins, slot.most) == (at(number * step), max(here))
        assert abs(slot.used - sum(here) / step) < 1e-9
        assert (slot.total is None) is (not known)
        assert slot.total is None or abs(slot.total - sum(known) / len(known)) < 1e-9
    assert len(found.slots) == LENGTH / step


def test_a_class_that_was_used_and_is_not_configured_any_more_is_told_last() -> None:
    runs = [GPURun("old", 1, SINCE, None)]
    found = classes_over_time([], runs, HUB, SINCE, at(LENGTH), STEP)
    assert (found[-1].gpu_class, found[-1].title, found[-1].gpu_seconds) == ("old", "old", LENGTH)
    assert found[-1].share is None, "nobody has noted how many there were"


def test_the_share_is_of_what_there_was() -> None:
    found = small([CapacityChange(SINCE, "small", 4)], [GPURun("small", 2, SINCE, None)])
    assert (found.share, found.total, found.full) == (0.5, 4, 0)
    assert found.as_json()["slots"][0] == {"begins": "2026-11-02T12:00:00+00:00", "used": 2, "most": 2, "total": 4}
