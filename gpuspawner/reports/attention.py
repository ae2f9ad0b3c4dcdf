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
_SEVERAL = 3


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing to look at: of which ``kind`` (``waits``, ``idle``, ``budget``), as a sentence; ``user`` is empty where
    it is about several."""

    kind: str
    user: str
    sentence: str


def attention(
    starting: Iterable[ServerLine], running: Iterable[ServerLine], members: Iterable[MemberLine], now: datetime
) -> list[Attention]:
    """All of it, what waits first. Only members whose accounts are filled in are looked at."""
    return [
        *_in_short(list(_waiting(starting, now)), "{0} launches have waited for 10 min or more: of {1}."),
        *_in_short(list(_idle(running, now)), "{0} servers hold GPUs that nothing uses: of {1}."),
        *_in_short(list(_used_up(members)), "{0} members have next to nothing left of their budgets: {1}."),
    ]


def _in_short(found: list[Attention], together: str) -> list[Attention]:
    """Those of one kind, or one sentence about all of them where they are many."""
    if len(found) <= _SEVERAL:
        return found
    names = list(dict.fromkeys(one.user for one in found))
    told = ", ".join(names[:_SEVERAL]) + (f" and {len(names) - _SEVERAL} more" if len(names) > _SEVERAL else "")
    return [Attention(found[0].kind, "", together.format(len(found), told))]


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
