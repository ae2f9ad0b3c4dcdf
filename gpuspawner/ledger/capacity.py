"""How many GPUs of each class there were and were in use, in the ledger; on a connection."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, Table, and_, func, select

from gpuspawner.ledger.models import CapacityRow
from gpuspawner.ledger.records import CapacityChange, GPURun
from gpuspawner.ledger.rows import SESSIONS

__all__ = ["LONGEST_RUN", "changes", "gpu_runs", "note"]

_CAPACITY: Table = CapacityRow.__table__  # type: ignore[assignment]
LONGEST_RUN = timedelta(days=31)
"""A session that was opened longer before a period, and has ended, is not looked for in it."""


def note(connection: Connection, hub: str, at: datetime, totals: Mapping[str, int]) -> int:
    """Write the totals that differ from those known last; a class that is not named any more has none.

    Returns how many have changed.
    """
    known = {change.gpu_class: change.total for change in _last(connection, hub, None)}
    now = {**dict.fromkeys(known, 0), **totals}
    changed = [
        {"hub": hub, "at": at, "gpu_class": name, "total": total}
        for name, total in now.items()
        if known.get(name) != total
    ]
    if changed:
        connection.execute(_CAPACITY.insert(), changed)
    return len(changed)


def changes(connection: Connection, hub: str, since: datetime, until: datetime) -> list[CapacityChange]:
    """The changes of a period, the first one first, after those by which the period begins."""
    found = (
        select(_CAPACITY.c.at, _CAPACITY.c.gpu_class, _CAPACITY.c.total)
        .where(_CAPACITY.c.hub == hub, _CAPACITY.c.at >= since, _CAPACITY.c.at < until)
        .order_by(_CAPACITY.c.at, _CAPACITY.c.seq)
    )
    return [*_last(connection, hub, since), *(CapacityChange(*row) for row in connection.execute(found))]


def gpu_runs(connection: Connection, hub: str, since: datetime, until: datetime) -> list[GPURun]:
    """The GPUs that a hub's sessions had at any time of a period."""
    one = SESSIONS.c
    columns = (one.gpu_class, one.gpus, one.started, one.ended)
    had = and_(one.hub == hub, one.gpus > 0, one.gpu_class.is_not(None), one.started < until)
    over = and_(one.opened >= since - LONGEST_RUN, one.opened < until, one.ended > since, one.charged.is_not(None))
    runs = [select(*columns).where(had, over), select(*columns).where(had, one.charged.is_(None))]
    return [GPURun(*row) for run in runs for row in connection.execute(run)]


def _last(connection: Connection, hub: str, before: datetime | None) -> list[CapacityChange]:
    """The newest row of each class, or (``before``) the newest before then."""
    one = _CAPACITY.c
    conditions = [one.hub == hub] if before is None else [one.hub == hub, one.at < before]
    newest = select(func.max(one.seq)).where(*conditions).group_by(one.gpu_class)
    found = select(one.at, one.gpu_class, one.total).where(one.seq.in_(newest)).order_by(one.gpu_class)
    return [CapacityChange(*row) for row in connection.execute(found)]
