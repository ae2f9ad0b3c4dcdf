"""What members are told of their running servers: that one ends soon, was extended, or has ended. Pure."""

from datetime import datetime, timedelta

from gpuspawner.errors import LaunchError
from gpuspawner.quantity import format_duration
from gpuspawner.sessions.lease import RUNTIME_END, WARNINGS, Lease, PlannedEnd
from gpuspawner.sessions.notices import Level, Notice

__all__ = ["ENDS_SOON", "ends_soon", "has_ended", "was_extended"]

ENDS_SOON = "ends-soon"
_EXTENDED_FOR = timedelta(minutes=10)


def ends_soon(lease: Lease, end: PlannedEnd, ahead: int, now: datetime, more: int) -> Notice:
    """A server ends in ``ahead`` seconds, or sooner; it can be extended by ``more``. ``now`` is in the hub's zone."""
    at = end.at.astimezone(now.tzinfo)
    left = max(1, round((end.at - now).total_seconds()))
    minutes = f"{-(-left // 60)} min"
    return Notice(
        kind=ENDS_SOON,
        user=lease.user,
        server=lease.server,
        at=now,
        level=Level.DANGER if ahead <= WARNINGS[-1] else Level.WARNING,
        sentence=f"{_named(lease.server)} ends in {minutes}, at {at:%H:%M}: {end.warning}. {end.avert}".rstrip(),
        data={
            "ends": at.isoformat(timespec="seconds"),
            "seconds": left,
            "cause": end.kind,
            "extendable_by": more if end.kind == RUNTIME_END else 0,
        },
        until=end.at,
    )


def was_extended(lease: Lease, seconds: int, by: str, now: datetime) -> Notice:
    """A server was given so many seconds more, by whom."""
    at = lease.ends.astimezone(now.tzinfo)
    who = f" {by} has extended it." if by not in ("", lease.user) else ""
    return Notice(
        kind="extended",
        user=lease.user,
        server=lease.server,
        at=now,
        sentence=f"{_named(lease.server)} now runs until {at:%H:%M}, {format_duration(seconds)} longer.{who}",
        data={"ends": at.isoformat(timespec="seconds"), "seconds": seconds, "by": by or lease.user},
        until=now + _EXTENDED_FOR,
    )


def has_ended(user: str, server: str, cause: LaunchError, now: datetime) -> Notice:
    """A server has ended, which pages tell by themselves until it is started again."""
    return Notice(
        kind="ended",
        user=user,
        server=server,
        at=now,
        level=Level.WARNING,
        sentence=f"{_named(server)} ended. {cause.reason} {cause.remedy}".rstrip(),
        data={"cause": cause.code},
        until=now,
    )


def _named(server: str) -> str:
    return f"Your server {server}" if server else "Your server"
