"""Records to rows and back: what a hub writes into the ledger, and what it begins with; on a connection."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gpuspawner.ledger.errors import UnknownSessionError
from gpuspawner.ledger.models import AuditRow, GrantRow, SessionRow
from gpuspawner.ledger.records import EVERY_HUB, Action, AuditEntry, Charge, Grant, Session
from gpuspawner.quantity import MICRO

__all__ = [
    "AUDIT",
    "GRANTS",
    "HUB",
    "SESSIONS",
    "add_entries",
    "charges",
    "columns",
    "extend",
    "grant",
    "grants",
    "hold",
    "named",
    "not_over",
    "revoke",
    "session",
    "session_of",
    "settle",
    "started",
    "unsettled",
]

SESSIONS: Table = SessionRow.__table__  # type: ignore[assignment]
GRANTS: Table = GrantRow.__table__  # type: ignore[assignment]
AUDIT: Table = AuditRow.__table__  # type: ignore[assignment]
HUB = "gpuspawner"
"""The actor of what the hub does by itself."""


def hold(connection: Connection, session: Session) -> bool:
    """Write a session; whether it was not there yet."""
    return _insert_once(connection, SESSIONS, session)


def started(connection: Connection, session_id: str, at: datetime, gpu_class: str | None) -> None:
    """Note when the container of a session that is held began, and the class it landed on."""
    _change(connection, session_id, started=at, gpu_class=_kept("gpu_class", gpu_class))


def extend(connection: Connection, session_id: str, runtime: int, held: int, by: str, at: datetime) -> bool:
    """Give a session another runtime, and a hold for it; whether it was still held."""
    before = select(SESSIONS.c.runtime, SESSIONS.c.held).where(SESSIONS.c.id == session_id).with_for_update()
    had = connection.execute(before).first()
    session = _change(connection, session_id, runtime=runtime, held=held)
    if session is None:
        return False
    if had is not None and (had.runtime, had.held) != (runtime, held):
        entry = AuditEntry(
            at=at,
            actor=by,
            action=Action.EXTENSION,
            user=session.user,
            workspace=session.workspace,
            details={"session": session_id, "from": had.runtime, "runtime": runtime, "held": held / MICRO},
            hub=session.hub,
        )
        add_entries(connection, [entry])
    return True


def settle(
    connection: Connection,
    session_id: str,
    *,
    started: datetime | None,
    ended: datetime,
    gpu_class: str | None,
    charged: int,
    cause: str,
    at: datetime,
) -> bool:
    """Write how a session ended, its charge, and the charge's entry in the audit log; whether it was still held."""
    session = _change(
        connection,
        session_id,
        started=_kept("started", started),
        ended=ended,
        gpu_class=_kept("gpu_class", gpu_class),
        charged=charged,
        cause=cause,
    )
    if session is None:
        return False
    ran = max(0, round((ended - session.started).total_seconds())) if session.started else 0
    connection.execute(update(SESSIONS).where(SESSIONS.c.id == session_id).values(seconds=ran))
    if session.held or charged:
        entry = AuditEntry(
            id=f"{session_id}-{Action.CHARGE}",
            at=at,
            actor=HUB,
            action=Action.CHARGE,
            user=session.user,
            workspace=session.workspace,
            details={
                "session": session_id,
                "units": charged / MICRO,
                "held": session.held / MICRO,
                "gpu_class": session.gpu_class,
                "started": session.started and session.started.isoformat(),
                "ended": ended.isoformat(),
                "cause": cause,
            },
            hub=session.hub,
        )
        add_entries(connection, [entry])
    return True


def session(connection: Connection, session_id: str) -> Session | None:
    """One session; None where it was never held."""
    row = connection.execute(select(*columns(SESSIONS, Session)).where(SESSIONS.c.id == session_id)).first()
    return None if row is None else session_of(row)


def unsettled(connection: Connection, hub: str) -> list[Session]:
    """The sessions of a hub that are held, oldest first."""
    found = select(*columns(SESSIONS, Session)).where(SESSIONS.c.charged.is_(None), SESSIONS.c.hub == hub)
    return [session_of(row) for row in connection.execute(found.order_by(SESSIONS.c.opened, SESSIONS.c.id))]


def charges(connection: Connection, hub: str, since: datetime) -> list[Charge]:
    """What the sessions of a hub that were opened since then have cost, oldest first; free ones are left out."""
    found = (
        select(*columns(SESSIONS, Charge))
        .where(SESSIONS.c.opened >= since, SESSIONS.c.charged > 0, SESSIONS.c.hub == hub)
        .order_by(SESSIONS.c.opened, SESSIONS.c.id)
    )
    return [Charge(*row) for row in connection.execute(found)]


def grant(connection: Connection, given: Grant) -> bool:
    """Write a grant and its entry in the audit log; whether it was not there yet."""
    if not _insert_once(connection, GRANTS, given):
        return False
    details = {"grant": given.id, "units": given.units / MICRO, "reason": given.reason}
    if given.until:
        details["until"] = given.until.isoformat()
    add_entries(connection, [_about(given, Action.GRANT, given.by, given.at, details)])
    return True


def revoke(connection: Connection, grant_id: str, by: str, at: datetime) -> bool:
    """End a grant; whether it was in force."""
    changed = update(GRANTS).where(GRANTS.c.id == grant_id, GRANTS.c.revoked.is_(None)).values(revoked=at)
    row = connection.execute(changed.returning(*columns(GRANTS, Grant))).first()
    if row is None:
        return False
    given = Grant(**named(row, Grant))
    details = {"grant": grant_id, "units": given.units / MICRO}
    add_entries(connection, [_about(given, Action.REVOCATION, by, at, details)])
    return True


def grants(
    connection: Connection,
    hub: str | None,
    *,
    workspace: str | None = None,
    user: str | None = None,
    at: datetime | None = None,
) -> list[Grant]:
    """The grants of a hub or of ``EVERY_HUB``, oldest first; ``at``: only those not over by then."""
    conditions: list[ColumnElement[bool]] = [] if hub == EVERY_HUB else [GRANTS.c.hub == hub]
    if workspace is not None:
        conditions.append(GRANTS.c.workspace == workspace)
    if user is not None:
        conditions.append(GRANTS.c.user == user)
    if at is not None:
        conditions += not_over(at)
    found = select(*columns(GRANTS, Grant)).where(*conditions).order_by(GRANTS.c.at, GRANTS.c.id)
    return [Grant(**named(row, Grant)) for row in connection.execute(found)]


def not_over(at: datetime) -> list[ColumnElement[bool]]:
    """The grants that something is left of at a time, unless it has been used."""
    return [or_(time.is_(None), time > at) for time in (GRANTS.c.until, GRANTS.c.revoked)]


def add_entries(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Write the entries that are not there yet."""
    if entries:
        connection.execute(_once(connection, AUDIT), [_row(entry) for entry in entries])


def columns(table: Table, record: type) -> list[ColumnElement[Any]]:
    """The columns of a record's fields, in their order."""
    return [table.c[field.name] for field in fields(record)]


def session_of(row: Sequence[Any]) -> Session:
    """The session in a row of :func:`columns`."""
    session = Session(**named(row, Session))
    return replace(session, gpu_classes=tuple(session.gpu_classes))


def named(row: Sequence[Any], record: type) -> dict[str, Any]:
    """The fields of a record in a row that begins with :func:`columns`."""
    return {field.name: value for field, value in zip(fields(record), row, strict=False)}


def _row(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _once(connection: Connection, table: Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing(index_elements=[table.c.id])


def _insert_once(connection: Connection, table: Table, record: Any) -> bool:
    return connection.execute(_once(connection, table).returning(table.c.id), _row(record)).first() is not None


def _kept(name: str, value: Any) -> Any:
    """``value``, or where it is None what is known already."""
    return SESSIONS.c[name] if value is None else value


def _change(connection: Connection, session_id: str, **values: Any) -> Session | None:
    """Change a session that is held; None where it has been settled, and stays as it is."""
    held = update(SESSIONS).where(SESSIONS.c.id == session_id, SESSIONS.c.charged.is_(None)).values(**values)
    row = connection.execute(held.returning(*columns(SESSIONS, Session))).first()
    if row is not None:
        return session_of(row)
    if connection.execute(select(SESSIONS.c.id).where(SESSIONS.c.id == session_id)).first() is None:
        raise UnknownSessionError(f"session {session_id} was never held")
    return None


def _about(given: Grant, action: Action, actor: str, at: datetime, details: dict[str, Any]) -> AuditEntry:
    return AuditEntry(
        id=f"{given.id}-{action}",
        at=at,
        actor=actor,
        action=action,
        user=given.user,
        workspace=given.workspace,
        details=details,
        hub=given.hub,
    )
