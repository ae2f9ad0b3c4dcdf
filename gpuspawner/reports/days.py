"""Whole days in the hub's time zone, which reports count use by. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from gpuspawner.budgets.period import midnight

__all__ = ["Days", "day_begins"]


def day_begins(day: date | None, timezone: ZoneInfo, *, after: int = 0) -> datetime | None:
    """When a day, or the day so many after it, begins; None for none, and for those before and after all times."""
    try:
        return None if day is None else midnight(day + timedelta(days=after), timezone)
    except OverflowError:
        return None


@dataclass(frozen=True, slots=True)
class Days:
    """From ``first`` to ``last``, both included."""

    first: date
    last: date
    timezone: ZoneInfo

    @classmethod
    def up_to(cls, now: datetime, count: int, timezone: ZoneInfo) -> Self:
        """So many days, of which today is the last."""
        today = now.astimezone(timezone).date()
        return cls(today - timedelta(days=count - 1), today, timezone)

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=ahead) for ahead in range(len(self)))

    @property
    def begins(self) -> datetime:
        """The first instant, in UTC."""
        return midnight(self.first, self.timezone)

    @property
    def ends(self) -> datetime:
        """The instant after the last one, in UTC."""
        return midnight(self.last + timedelta(days=1), self.timezone)

    def midnights(self) -> list[datetime]:
        """When each day begins, and when the last one is over; in UTC."""
        return [midnight(day, self.timezone) for day in self] + [self.ends]

    def index(self, at: datetime) -> int | None:
        """Which of them a time belongs to, from 0; None where none."""
        place = (at.astimezone(self.timezone).date() - self.first).days
        return place if 0 <= place < len(self) else None
