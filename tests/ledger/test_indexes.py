"""Every query of a page that people wait for finds its rows by an index, however long the history is."""

from datetime import timedelta

import pytest
from recorded import HOUR, NOON, UNIT, denial, session
from sqlalchemy import event, text

from gpuspawner.ledger import capacity, rows
from gpuspawner.ledger.database import Database
from gpuspawner.ledger.records import AuditFilter, GrantFilter, SessionFilter
from gpuspawner.ledger.store import Store

ROWS = 20_000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def long_history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ledger of many sessions and entries, of which the database has statistics."""
    url = f"sqlite:///{tmp_path_factory.mktemp('long') / 'ledger.sqlite'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database()
    ledger = Database(url)
    ledger.migrate()
    with ledger.write() as connection:
        written = [
            rows._row(
                session(f"{n:05}", user=f"user{n % 500}", workspace=f"space{n % 50}", opened=NOON + n * HOUR / 60)
            )
            for n in range(ROWS)
        ]
        ended = {"ended": NOON, "charged": UNIT, "gpu_class": "small", "seconds": 60}
        connection.execute(rows.SESSIONS.insert(), [{**row, **ended} for row in written[:-20]])
        connection.execute(rows.SESSIONS.insert(), written[-20:])
        entries = [
            denial(f"{n:05}", actor=f"user{n % 500}", user=f"user{n % 500}", workspace=f"space{n % 50}", hub="hub")
            for n in range(ROWS)
        ]
        connection.execute(
            rows.AUDIT.insert(),
            [{**rows._row(entry), "at": NOON + timedelta(minutes=n)} for n, entry in enumerate(entries)],
        )
    with ledger.write() as connection:
        connection.execute(text("ANALYZE"))
    ledger.dispose()
    return url


LATE = NOON + timedelta(minutes=ROWS - 500)
QUERIES = {
    "held": lambda store: store.unsettled(),
    "charges of a period": lambda store: store.settled_since(LATE),
    "history": lambda store: store.sessions(),
    "history of a user": lambda store: store.sessions(SessionFilter(user="user7")),
    "history of a workspace": lambda store: store.sessions(SessionFilter(workspace="space7")),
    "history of a member of a workspace": lambda store: store.sessions(SessionFilter(user="user7", workspace="space7")),
    "history of a period": lambda store: store.sessions(SessionFilter(since=LATE, until=LATE + HOUR)),
    "next page": lambda store: store.sessions(after=f"{LATE.isoformat()}~x"),
    "next page of a user": lambda store: store.sessions(SessionFilter(user="user7"), after=f"{LATE.isoformat()}~x"),
    "use of a user": lambda store: store.usage(SessionFilter(user="user7"), by="workspace"),
    "use of a workspace": lambda store: store.usage(SessionFilter(workspace="space7", since=LATE)),
    "use in a period": lambda store: store.usage(SessionFilter(since=LATE), by="workspace"),
    "use of a user by day": lambda store: store.usage_between(
        SessionFilter(user="user7"), [LATE, LATE + HOUR, LATE + 2 * HOUR], by="gpu_class"
    ),
    "use of a workspace by day": lambda store: store.usage_between(
        SessionFilter(workspace="space7"), [LATE, LATE + HOUR], by="gpu_class"
    ),
    "GPUs in use in a period": lambda store: store._read(
        lambda connection: capacity.gpu_runs(connection, "hub", LATE + capacity.LONGEST_RUN, LATE + timedelta(days=99))
    ),
    "grants": lambda store: store.grants(at=NOON),
    "grants to a member": lambda store: store.grants(workspace="space7", user="user7"),
    "grants in pages": lambda store: store.granted(GrantFilter(seen_in=frozenset({"space7"}), seen_by="user7")),
    "audit": lambda store: store.audit(),
    "audit of a user": lambda store: store.audit(AuditFilter(user="user7")),
    "audit of a workspace": lambda store: store.audit(AuditFilter(workspace="space7")),
    "audit of an actor": lambda store: store.audit(AuditFilter(actor="user7")),
    "audit of an action": lambda store: store.audit(AuditFilter(action="denial")),
    "audit of a period": lambda store: store.audit(AuditFilter(since=LATE, until=LATE + HOUR)),
    "next page of the audit": lambda store: store.audit(AuditFilter(user="user7"), after=f"{LATE.isoformat()}~99999"),
}


@pytest.mark.parametrize("query", QUERIES)
async def test_it_is_found_by_an_index(long_history: str, query: str) -> None:
    store = Store(long_history, "hub")
    await store.open()
    asked: list[tuple[str, object]] = []
    event.listen(
        store.database._engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, parameters, _context, _many: asked.append((statement, parameters)),
    )
    await QUERIES[query](store)
    statement, parameters = next(one for one in asked if "gpuspawner_" in one[0])
    explain = "EXPLAIN QUERY PLAN " if store.database.is_sqlite else "EXPLAIN "
    with store.database.read() as connection:
        plan = [str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters)]  # type: ignore[arg-type]
    await store.close()
    if store.database.is_sqlite:
        assert all("INDEX" in line for line in plan if line.startswith(("SCAN", "SEARCH"))), plan
        sorted_afterwards = any("FOR ORDER BY" in line for line in plan)
        assert not sorted_afterwards or query.startswith(("use", "held", "grants")), plan
    elif "grants" not in query:  # the table is empty here, and reading all of nothing is quicker
        assert not any("Seq Scan" in line for line in plan), plan
