"""What in a workspace its managers should look at: who waits for long, what is idle, whose budget runs out. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from gpuspawner.quantity import format_duration, say_units
from gpuspawner.reports.members import MemberLine
from gpuspawner.reports.workspace_servers import ServerLine

__all__ = ["Attention", "attention"]

_LONG_WAIT = timedelta(minutes=10)
_LITTLE = 0.1
"""Of a budget."""


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing to look at: of which ``kind`` (``waits``, ``idle``, ``budget``), about whom, as a sentence."""

    kind: str
    user: str
    sentence: str


def attention(
    starting: Iterable[ServerLine], running: Iterable[ServerLine], members: Iterable[MemberLine], now: datetime
) -> list[Attention]:
    """All of it, what waits first. Only members whose accounts are filled in are looked at."""
    return [*_waiting(starting, now), *_idle(running, now), *_used_up(members)]


def _waiting(starting: Iterable[ServerLine], now: datetime) -> Iterator[Attention]:
    for line in starting:
        if line.since is not None and now - line.since >= _LONG_WAIT:
            waited = format_duration(round((now - line.since).total_seconds()) // 60 * 60)
            yield Attention("waits", line.user, f"{line.user} has waited {waited} for {line.what}. {line.why}".rstrip())


def _idle(running: Iterable[ServerLine], now: datetime) -> Iterator[Attention]:
    for line in running:
        if line.idle is not None and line.gpus:
            idle = format_duration(max(60, round((now - line.idle).total_seconds()) // 60 * 60))
            which = f"the server {line.server}" if line.server else "the server"
            yield Attention("idle", line.user, f"Nothing has used {which} of {line.user} for {idle}: {line.what}.")


def _used_up(members: Iterable[MemberLine]) -> Iterator[Attention]:
    for line in members:
        account = line.account
        if account is not None and account.total and account.left <= _LITTLE * account.total:
            left = "nothing" if not account.left else say_units(account.left)
            yield Attention("budget", line.user, f"{line.user} has {left} left of {say_units(account.total)}.")
