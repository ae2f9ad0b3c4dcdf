"""One limit as one launch meets it; every decision keeps the list of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from gpuspawner.quantity import format_duration, micro_of, say_cores, say_gpus, say_memory, say_servers, say_units

__all__ = ["Check", "Unit", "midnight", "say_time"]


class Unit(StrEnum):
    """What the numbers of a limit count."""

    SERVERS = "servers"
    GPUS = "gpus"
    CORES = "cores"
    BYTES = "bytes"
    SECONDS = "seconds"
    UNITS = "service units"
    NAMES = "names"
    DAY = "day"

    def say(self, amount: "Amount") -> str:
        """An amount of this unit in words: ``"2 GPUs"``; names and days as they are."""
        if isinstance(amount, str):
            return amount
        if isinstance(amount, tuple):
            return ", ".join(amount)
        return _WORDS[self](amount)


Amount = float | str | tuple[str, ...]
"""A number, or what is allowed by name."""

_WORDS: Mapping[Unit, Callable[[float], str]] = {
    Unit.SERVERS: say_servers,
    Unit.GPUS: say_gpus,
    Unit.CORES: say_cores,
    Unit.BYTES: say_memory,
    Unit.SECONDS: lambda seconds: format_duration(int(seconds)),
    Unit.UNITS: lambda units: say_units(micro_of(units)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Whether one limit allows one launch.

    ``limit`` names the kind (``"workspace.per_member.gpus"``), ``rule`` is the place in the configuration that set
    ``value``. ``used`` is what others, or other servers of the member, take of it; ``asked`` what the launch adds.
    ``allowed_from`` is when it would be allowed as far as the calendar and the runtimes of others say, None where
    nobody can know or it is allowed now. Where it is refused, ``reason`` and ``remedy`` are for the member to read.
    """

    limit: str
    unit: Unit
    value: Amount
    asked: Amount
    allowed: bool
    rule: str
    used: float = 0
    gpu_class: str = ""
    allowed_from: datetime | None = None
    reason: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        """For the log: ``"workspace.quota medium 3 of 12, 1 asked"``."""
        taken = "" if isinstance(self.value, str | tuple) else f"{self.used:g} of "
        value, asked = (
            f"{one:g}" if isinstance(one, int | float) else self.unit.say(one) for one in (self.value, self.asked)
        )
        return f"{' '.join(filter(None, (self.limit, self.gpu_class)))} {taken}{value}, {asked} asked"

    def as_json(self) -> dict[str, Any]:
        """For the API and the audit log: numbers as they are, and ``said`` in words."""
        found: dict[str, Any] = {
            "limit": self.limit,
            "rule": self.rule,
            "unit": str(self.unit),
            "value": list(self.value) if isinstance(self.value, tuple) else self.value,
            "used": self.used,
            "asked": list(self.asked) if isinstance(self.asked, tuple) else self.asked,
            "allowed": self.allowed,
            "allowed_from": self.allowed_from.isoformat() if self.allowed_from else None,
            "said": {"value": self.unit.say(self.value), "asked": self.unit.say(self.asked)},
        }
        if not isinstance(self.value, str | tuple):
            found["said"]["used"] = self.unit.say(self.used)
        if self.gpu_class:
            found["gpu_class"] = self.gpu_class
        if not self.allowed:
            found |= {"reason": self.reason, "remedy": self.remedy}
        return found


def midnight(day: date, timezone: ZoneInfo) -> datetime:
    """When a day begins."""
    return datetime.combine(day, time.min, timezone)


def say_time(at: datetime, now: datetime) -> str:
    """A time to come as people say it: ``"18:30"`` today, ``"24 November, 18:30"``, ``"30 November"`` at midnight."""
    at = at.astimezone(now.tzinfo)
    if at.date() == now.date():
        return f"{at:%H:%M}"
    day = f"{at:%-d %B}" if at.year == now.year else f"{at:%-d %B %Y}"
    return day if at.time() == time.min else f"{day}, {at:%H:%M}"
