"""Pages of the ledger's history, newest first; each page begins after the last row of the one before."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, case, false, func, literal, or_, select, tuple_

from gpuspawner.errors import BadRequestError
from gpuspawner.ledger.models import Words
from gpuspawner.ledger.records import (
    EVERY_HUB,
    AuditEntry,
    AuditFilter,
    Grant,
    GrantFilter,
    Page,
    Session,
    SessionFilter,
    Usage,
    UsedBy,
)
from gpuspawner.ledger.rows import AUDIT, GRANTS, SESSIONS, columns, named, not_over, session_of

__all__ = ["LONGEST_PAGE", "audit", "grants", "sessions", "usage", "usage_between"]

LONGEST_PAGE = 1000
"""Rows."""
_CHARGED = 3
"""Of the columns of ``_sums``."""
_ALIKE = ("user", "workspace", "profile", "gpu_class", "actor", "action")


def sessions(connection: Connection, where: SessionFilter, after: str | None, limit: int) -> Page[Session]:
    """The sessions of a filter, the last opened first.

    Raises
    ------
    BadRequestError
        Where ``after`` is not the ``next`` of a page.
    """
    conditions = _of_sessions(where)
    rows, following = _page(connection, SESSIONS, Session, conditions, (SESSIONS.c.opened, SESSIONS.c.id), after, limit)
    return Page(tuple(map(session_of, rows)), following)


def audit(connection: Connection, where: AuditFilter, after: str | None, limit: int) -> Page[AuditEntry]:
    """The entries of a filter, the newest first; raises as :func:`sessions`."""
    conditions = _conditions(AUDIT, AUDIT.c.at, where)
    rows, following = _page(connection, AUDIT, AuditEntry, conditions, (AUDIT.c.at, AUDIT.c.seq), after, limit)
    return Page(tuple(AuditEntry(**named(row, AuditEntry)) for row in rows), following)


def grants(connection: Connection, where: GrantFilter, after: str | None, limit: int) -> Page[Grant]:
    """The grants of a filter, the newest first; raises as :func:`sessions`."""
    wanted = {"id": where.id, "workspace": where.workspace, "user": where.user}
    conditions = [GRANTS.c[name] == value for name, value in wanted.items() if value is not None]
    if where.hub != EVERY_HUB:
        conditions.append(GRANTS.c.hub == where.hub)
    if where.at is not None:
        conditions += not_over(where.at)
    if where.seen_in is not None:
        own = GRANTS.c.user == where.seen_by if where.seen_by is not None else false()
        conditions.append(or_(GRANTS.c.workspace.in_(where.seen_in), own))
    rows, following = _page(connection, GRANTS, Grant, conditions, (GRANTS.c.at, GRANTS.c.id), after, limit)
    return Page(tuple(Grant(**named(row, Grant)) for row in rows), following)


def usage(connection: Connection, where: SessionFilter, by: UsedBy) -> list[Usage]:
    """What the sessions of a filter used, by what they have in common; the dearest first."""
    name, sums = SESSIONS.c[by], _sums(SESSIONS.c)
    found = select(name, *sums).where(*_of_sessions(where)).group_by(name)
    return [_usage(row) for row in connection.execute(found.order_by(sums[_CHARGED].desc(), name))]


def usage_between(
    connection: Connection, where: SessionFilter, times: Sequence[datetime], by: UsedBy
) -> list[list[Usage]]:
    """As :func:`usage`, from each of these times to the next, in one query."""
    opened = SESSIONS.c.opened
    place = case(*((opened < literal(until, opened.type), index) for index, until in enumerate(times[1:])))
    amounts = (SESSIONS.c[name] for name in ("seconds", "gpus", "charged", "held"))
    within = replace(where, since=times[0], until=times[-1])
    rows = select(place.label("place"), SESSIONS.c[by].label("name"), *amounts).where(*_of_sessions(within)).subquery()
    sums = _sums(rows.c)
    found = select(rows.c.place, rows.c.name, *sums).group_by(rows.c.place, rows.c.name)
    days: list[list[Usage]] = [[] for _ in times[1:]]
    for at, *row in connection.execute(found.order_by(rows.c.place, sums[_CHARGED].desc(), rows.c.name)):
        days[at].append(_usage(row))
    return days


def _sums(of: Any) -> list[ColumnElement[Any]]:
    """The columns of :class:`Usage` but its name."""
    held = case((of.charged.is_(None), of.held), else_=0)
    sums = (of.seconds, of.gpus * of.seconds, of.charged, held)
    return [func.count(), *(func.coalesce(func.sum(one), 0) for one in sums)]


def _usage(row: Sequence[Any]) -> Usage:
    name, *numbers = row
    return Usage(name, *map(int, numbers))


def _of_sessions(where: SessionFilter) -> list[ColumnElement[bool]]:
    conditions = _conditions(SESSIONS, SESSIONS.c.opened, where)
    if where.settled is not None:
        conditions.append(SESSIONS.c.charged.is_not(None) if where.settled else SESSIONS.c.charged.is_(None))
    return conditions


def _conditions(table: Table, time: Column[datetime], where: SessionFilter | AuditFilter) -> list[ColumnElement[bool]]:
    wanted = {name: getattr(where, name, None) for name in _ALIKE}
    conditions = [table.c[name] == value for name, value in wanted.items() if value is not None]
    if where.hub != EVERY_HUB:
        conditions.append(table.c.hub == where.hub)
    if where.since is not None:
        conditions.append(time >= where.since)
    if where.until is not None:
        conditions.append(time < where.until)
    return conditions


def _page(
    connection: Connection,
    table: Table,
    record: type,
    conditions: list[ColumnElement[bool]],
    order: tuple[Column[Any], Column[Any]],
    after: str | None,
    limit: int,
) -> tuple[list[Any], str | None]:
    """The rows of a page, and the place of its last one if more follow: its time and what tells it from others then."""
    limit = max(1, min(limit, LONGEST_PAGE))
    time, key = order
    if after is not None:
        at, mark = _place(after, key)
        conditions = [*conditions, tuple_(time, key) < tuple_(literal(at, time.type), literal(mark, key.type))]
    found = select(*columns(table, record), time.label("place_time"), key.label("place_key")).where(*conditions)
    rows = list(connection.execute(found.order_by(time.desc(), key.desc()).limit(limit + 1)))
    following = f"{rows[limit - 1].place_time.isoformat()}~{rows[limit - 1].place_key}" if len(rows) > limit else None
    return rows[:limit], following


def _place(after: str, key: Column[Any]) -> tuple[datetime, Any]:
    at, _, mark = after.partition("~")
    try:
        time = datetime.fromisoformat(at)
        if time.tzinfo is not None:
            return time, mark if isinstance(key.type, Words) else int(mark)
    except ValueError:
        pass
    raise BadRequestError(f"{after!r} is not where a page begins.", "Begin with the first page.")
