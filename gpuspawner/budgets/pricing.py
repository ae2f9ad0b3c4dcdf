"""What a launch costs in service units, by GPU class, number and time, at the rates approved when it was launched."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from zoneinfo import ZoneInfo

from gpuspawner.config import Settings
from gpuspawner.quantity import MICRO, micro_of, say_units

__all__ = ["MICRO", "OffPeakHours", "Price", "micro_of", "price_of", "say_units"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MILLI = 1000


@dataclass(frozen=True, slots=True)
class OffPeakHours:
    """The time of day at which everything costs ``factor`` millionths of its price.

    A second is off-peak if the clock on the wall shows ``begins`` or later and not yet ``ends`` (minutes after
    midnight; past midnight where ``ends`` is the earlier one). So both passes of an hour that is repeated in autumn
    count, and one that is left out in spring does not.
    """

    begins: int
    ends: int
    factor: int
    timezone: str

    def seconds(self, start: int, end: int) -> int:
        """Off-peak seconds from ``start`` to ``end``, both in seconds since 1970 UTC."""
        zone = ZoneInfo(self.timezone)
        found = 0
        while start < end:
            offset = _offset(zone, start)
            until = _next_change(zone, start, min(end, start + _DAY))
            found += self._shown(start + offset, until + offset)
            start = until
        return found

    def changes(self, start: int, end: int) -> Iterator[tuple[int, bool]]:
        """From when on it is off-peak, or no longer, beginning with how it is at ``start``; in seconds since 1970."""
        zone, known = ZoneInfo(self.timezone), None
        while start < end:
            offset = _offset(zone, start)
            clock = (start + offset) % _DAY
            inside = bool(self._shown(clock, clock + 1))
            if inside is not known:
                yield start, inside
            known = inside
            to_come = [(minute * _MINUTE - clock - 1) % _DAY + 1 for minute in (self.begins, self.ends)]
            start = _next_change(zone, start, start + min(to_come))

    def _shown(self, start: int, end: int) -> int:
        """Seconds within the hours between two readings of a clock that is not changed in between."""
        if self.begins <= self.ends:
            return _until(end, self.begins, self.ends) - _until(start, self.begins, self.ends)
        between = _until(end, self.ends, self.begins) - _until(start, self.ends, self.begins)
        return end - start - between


def _until(clock: int, begins: int, ends: int) -> int:
    """Seconds between two times of day, given in minutes, on all days up to a reading of the clock."""
    length = (ends - begins) * _MINUTE
    days, today = divmod(clock, _DAY)
    return days * length + min(max(today - begins * _MINUTE, 0), length)


def _offset(zone: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _next_change(zone: ZoneInfo, start: int, end: int) -> int:
    """When the clocks are changed after ``start``, or ``end`` where that comes first; they are once a day at most."""
    offset = _offset(zone, start)
    if _offset(zone, end) == offset:
        return end
    before, after = start, end
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _offset(zone, middle) == offset else (before, middle)
    return after


@dataclass(frozen=True, slots=True)
class Price:
    """The tariff of one launch, as it stood when the launch was approved: a later change of rates never touches it.

    ``rates`` are micro-units per GPU and hour, of each class the launch may land on; ``cpu_rate`` micro-units per core
    and hour, for launches without GPU.
    """

    rates: Mapping[str, int] = field(default_factory=dict, hash=False)
    cpu_rate: int = 0
    off_peak: OffPeakHours | None = None

    def cost(self, gpu_class: str | None, gpus: int, cpu: float, start: datetime, end: datetime) -> int:
        """Micro-units for ``gpus`` of a class, or without any for ``cpu`` cores, from ``start`` to ``end``.

        To the second, as Kubernetes tells its times, and rounded down once: two parts of a time cost together as much
        as the whole, or one micro-unit less. A class that has no rate here, as None where nobody knows which one it
        was, counts as the cheapest of those that were approved.
        """
        begins, ends = int(start.timestamp()), int(end.timestamp())
        if ends <= begins:
            return 0
        hourly = self._hourly(gpu_class, gpus, cpu)
        weight = (ends - begins) * MICRO
        if self.off_peak is not None and hourly:
            weight -= self.off_peak.seconds(begins, ends) * (MICRO - self.off_peak.factor)
        return hourly * weight // (_HOUR * _MILLI * MICRO)

    def ceiling(self, gpu_classes: Collection[str], gpus: int, cpu: float, start: datetime, runtime: int) -> int:
        """Micro-units that a launch costs at most which begins at ``start`` and runs ``runtime`` seconds: on the
        dearest of its classes."""
        end = datetime.fromtimestamp(start.timestamp() + runtime, UTC)
        return max((self.cost(name, gpus, cpu, start, end) for name in gpu_classes or (None,)), default=0)

    def charge(
        self, gpu_class: str | None, gpus: int, cpu: float, started: datetime, ended: datetime, held: int
    ) -> int:
        """Micro-units to charge for the time used, on the class that was got: never more than was approved.

        A launch that had to wait may run in dearer hours than those it was approved for, and a server that is being
        stopped runs for some seconds after its end.
        """
        return min(held, self.cost(gpu_class, gpus, cpu, started, ended))

    def lasts(self, gpu_classes: Collection[str], gpus: int, cpu: float, start: datetime, most: int, micro: int) -> int:
        """The longest runtime in seconds, up to ``most``, whose ceiling is within ``micro``."""
        fits, too_long = 0, most + 1
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            within = self.ceiling(gpu_classes, gpus, cpu, start, middle) <= micro
            fits, too_long = (middle, too_long) if within else (fits, middle)
        return fits

    def to_json(self) -> dict[str, Any]:
        """As plain values, in micro-units, for the ledger and the pod's annotation."""
        window = self.off_peak
        hours = None if window is None else [window.begins, window.ends, window.factor, window.timezone]
        return {"rates": dict(self.rates), "cpu_rate": self.cpu_rate, "off_peak": hours}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` made. Raises ``ValueError``, ``KeyError`` or ``TypeError`` for anything else."""
        rates = {str(name): int(rate) for name, rate in dict(value["rates"]).items()}
        if value["off_peak"] is None:
            return cls(rates, int(value["cpu_rate"]))
        begins, ends, factor, timezone = value["off_peak"]
        return cls(rates, int(value["cpu_rate"]), OffPeakHours(int(begins), int(ends), int(factor), str(timezone)))

    def _hourly(self, gpu_class: str | None, gpus: int, cpu: float) -> int:
        """Thousandths of micro-units per hour at the full price."""
        if not gpus:
            return self.cpu_rate * round(cpu * _MILLI)
        cheapest = min(self.rates.values(), default=0)
        return (cheapest if gpu_class is None else self.rates.get(gpu_class, cheapest)) * gpus * _MILLI


def price_of(settings: Settings, gpu_classes: Collection[str]) -> Price:
    """Today's tariff for a launch that may land on these classes."""
    rates = {name: micro_of(settings.catalog.gpu_classes[name].rate) for name in gpu_classes}
    hours = settings.off_peak
    if hours is None:
        return Price(rates, micro_of(settings.cpu_rate))
    begins, ends = (int(time[:2]) * 60 + int(time[3:]) for time in hours.hours.split("-"))
    timezone = hours.timezone or settings.timezone.key
    return Price(rates, micro_of(settings.cpu_rate), OffPeakHours(begins, ends, micro_of(hours.rate), timezone))
