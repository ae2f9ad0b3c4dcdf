"""Whether a ledger is whole: its file, its tables, and each charge against the audit log."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, func, inspect, or_, select, text

from gpuspawner.ledger.models import Base
from gpuspawner.ledger.records import Action
from gpuspawner.ledger.rows import AUDIT, SESSIONS
from gpuspawner.quantity import MICRO, format_duration, micro_of

__all__ = ["problems"]

_TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'gpuspawner_audit'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgrelid = 'gpuspawner_audit'::regclass AND tgenabled <> 'D'",
}
_GUARDS = {
    "sqlite": {"gpuspawner_audit_no_update", "gpuspawner_audit_no_delete", "gpuspawner_audit_no_replace"},
    "postgresql": {"gpuspawner_audit_no_change", "gpuspawner_audit_no_truncate"},
}
_OVERDUE = timedelta(days=1)


def problems(connection: Connection, now: datetime) -> Iterator[str]:
    """What is wrong with a ledger of the newest version, a sentence each; nothing where it is whole."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        said = [row[0] for row in connection.execute(text("PRAGMA integrity_check"))]
        yield from (f"The file is damaged: {one}." for one in said if one != "ok")
    missing = set(Base.metadata.tables) - set(inspect(connection).get_table_names())
    if missing:
        yield f"Tables are missing: {', '.join(sorted(missing))}."
        return
    unguarded = _GUARDS[dialect] - {row[0] for row in connection.execute(text(_TRIGGERS[dialect]))}
    if unguarded:
        yield f"Entries of the audit log can be changed: the triggers {', '.join(sorted(unguarded))} are gone."
    yield from _charges(connection)
    yield from _overdue(connection, now)


def _charges(connection: Connection) -> Iterator[str]:
    """Each charge, and each hold that was given back, has one entry in the audit log, which says the same."""
    entry_id = SESSIONS.c.id + f"-{Action.CHARGE}"
    found = (
        select(SESSIONS.c.id, SESSIONS.c.user, SESSIONS.c.charged, AUDIT.c.id.label("entry"), AUDIT.c.details)
        .outerjoin(AUDIT, AUDIT.c.id == entry_id)
        .where(SESSIONS.c.charged.is_not(None), or_(SESSIONS.c.held > 0, SESSIONS.c.charged > 0))
        .order_by(SESSIONS.c.opened)
        .execution_options(yield_per=1000)
    )
    for row in connection.execute(found):
        charged = f"The session {row.id} of {row.user} was charged {row.charged / MICRO:g} SU"
        if row.entry is None:
            yield f"{charged}, and the audit log says nothing of it."
        elif micro_of(row.details["units"]) != row.charged:
            yield f"{charged}, and {row.details['units']:g} SU by the audit log."
    sessions = select(SESSIONS.c.id).where(SESSIONS.c.charged.is_not(None), entry_id == AUDIT.c.id).exists()
    orphans = select(AUDIT.c.id, AUDIT.c.user).where(and_(AUDIT.c.action == Action.CHARGE, ~sessions))
    for entry, user in connection.execute(orphans):
        session_id = entry.removesuffix(f"-{Action.CHARGE}")
        yield f"By the audit log {user} was charged for the session {session_id}, and by the ledger not."


def _overdue(connection: Connection, now: datetime) -> Iterator[str]:
    """A hub that runs settles each session soon after its runtime."""
    held = select(
        SESSIONS.c.hub, func.coalesce(SESSIONS.c.started, SESSIONS.c.opened), SESSIONS.c.id, SESSIONS.c.runtime
    ).where(SESSIONS.c.charged.is_(None))
    for hub, since, session_id, runtime in connection.execute(held):
        if since + timedelta(seconds=runtime) + _OVERDUE < now:
            yield (
                f"The session {session_id} of the hub {hub} is held since {since:%Y-%m-%d %H:%M} UTC, although its "
                f"runtime is {format_duration(runtime)}; the hub settles it when it runs and reaches its cluster."
            )
