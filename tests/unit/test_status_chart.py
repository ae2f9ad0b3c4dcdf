"""The chart of the next hours when very many servers end in them."""

from datetime import UTC, datetime, timedelta

from gpuspawner.web.pages.status import _at_most

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_few_changes_are_drawn_as_they_are() -> None:
    changes = [(NOW, 0), (NOW + timedelta(seconds=7), 1), (NOW + timedelta(hours=3), 2)]
    assert _at_most(changes, 48) == changes


def test_of_a_thousand_ends_each_quarter_of_an_hour_is_one_step_which_promises_nothing_too_early() -> None:
    changes = [(NOW, 0), *((NOW + timedelta(seconds=40 * number + 1), number) for number in range(1, 1000))]
    drawn = _at_most(changes, 48)
    assert len(drawn) <= 48
    assert drawn == sorted(drawn)
    assert drawn[1] == (NOW + timedelta(minutes=15), 22)
    for at, free in drawn:
        assert free == max(number for moment, number in changes if moment <= at)
