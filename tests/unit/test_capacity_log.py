"""How many GPUs there are is noted when it changes, and only then."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from gpuspawner.bookkeeping import capacity_log
from gpuspawner.bookkeeping.capacity_log import CapacityLog

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Books:
    """A bookkeeper that remembers what it is told to note."""

    def __init__(self) -> None:
        self.noted: list[dict[str, int]] = []
        self.told = asyncio.Event()

    def note_capacity(self, at: datetime, totals: Mapping[str, int]) -> None:
        assert at == NOW
        self.noted.append(dict(totals))
        self.told.set()


def log_of(books: Books, totals: list[dict[str, int] | None]) -> CapacityLog:
    made: Any = books
    return CapacityLog(made, lambda: totals[-1], lambda: NOW)


async def test_what_stays_is_noted_once_and_what_is_not_known_never() -> None:
    books, totals = Books(), list[dict[str, int] | None]([None])
    log = log_of(books, totals)
    for now in (None, {"small": 4}, {"small": 4}, None, {"small": 4}, {"small": 3}):
        totals.append(now)
        log.look()
    assert books.noted == [{"small": 4}, {"small": 3}]


async def test_nodes_that_change_are_looked_at_after_a_moment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity_log, "SETTLES_IN", 0.01)
    books, totals = Books(), list[dict[str, int] | None]([{"small": 4}])
    log = log_of(books, totals)
    log.changed()
    log.changed()
    totals.append({"small": 2})
    async with asyncio.timeout(10):
        await books.told.wait()
    assert books.noted == [{"small": 2}], "what it was in between is not worth a note"


async def test_nothing_is_noted_after_the_end() -> None:
    books = Books()
    log = log_of(books, [{"small": 4}])
    log.changed()
    log.close()
    assert log._timer is None
    assert books.noted == []
