"""When a CronJob is due, by its schedule and time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

__all__ = ["due_times", "schedule_problem", "zone_problem"]

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def schedule_problem(schedule: str) -> str | None:
    """Say what is wrong with a schedule; None if nothing is."""
    try:
        CronSim(_MACROS.get(schedule, schedule), datetime.now(UTC))
    except CronSimError as error:
        return str(error)
    return None


def zone_problem(zone: str) -> str | None:
    """Say what is wrong with a time zone; None if nothing is."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"unknown time zone {zone}"
    return None


def due_times(schedule: str, zone: str | None, since: datetime, now: datetime) -> tuple[datetime | None, datetime]:
    """Return the last time after ``since`` that is not after ``now`` (None if there is none), and the next one."""
    times = CronSim(_MACROS.get(schedule, schedule), since.astimezone(ZoneInfo(zone) if zone else UTC))
    last = None
    for moment in times:
        if moment > now:
            return last, moment
        last = moment
    raise ValueError(f"{schedule}: never")
