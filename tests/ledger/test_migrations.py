"""The tables' versions: what the first one wrote is read by the newest, and nothing is lost on the way."""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from recorded import HOUR, NOON, UNIT, denial, ending, grant, session
from running_postgres import RunningPostgres
from sqlalchemy import Connection, inspect, text

from gpuspawner.errors import ConfigurationError
from gpuspawner.ledger import database
from gpuspawner.ledger.database import VERSION_TABLE, Database
from gpuspawner.ledger.models import Base
from gpuspawner.ledger.records import EVERY_HUB, AuditFilter, Charge, SessionFilter, Usage
from gpuspawner.ledger.store import Store, WrongVersionError

DUMPS = Path(__file__).parents[1] / "data" / "ledger"


@pytest.fixture
def first_version(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A ledger that the first version filled."""
    if url.startswith("sqlite"):
        with sqlite3.connect(tmp_path / "gpuspawner.sqlite") as connection:
            connection.executescript((DUMPS / "version-0001.sqlite.sql").read_text())
        connection.close()
    else:
        server: RunningPostgres = request.getfixturevalue("postgres")
        url = server.database()
        server.sql(url, (DUMPS / "version-0001.postgresql.sql").read_text())
    return url


def schema(url: str) -> dict[str, object]:
    """Tables, columns, indexes and triggers, as the database itself tells them."""
    ledger = Database(url)
    with ledger.read() as connection:
        found = inspect(connection)
        tables: dict[str, object] = {
            table: (
                [(one["name"], str(one["type"]), one["nullable"]) for one in found.get_columns(table)],
                sorted(str(one["name"]) for one in found.get_indexes(table)),
                sorted(str(one["name"]) for one in found.get_check_constraints(table)),
            )
            for table in sorted(found.get_table_names())
        }
        own = "NOT tgisinternal AND tgrelid = 'gpuspawner_audit'::regclass"
        triggers = (
            "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
            if ledger.is_sqlite
            else f"SELECT tgname FROM pg_trigger WHERE {own} ORDER BY tgname"  # noqa: S608 - of a constant
        )
        tables["triggers"] = [row[0] for row in connection.execute(text(triggers))]
    ledger.dispose()
    return tables


async def test_what_the_first_version_wrote_is_read_by_the_newest(first_version: str) -> None:
    hub = Store(first_version, "hub")
    await hub.open()
    held = await hub.unsettled()
    assert [(one.id, one.user, one.server, one.gpu_class) for one in held] == [
        ("running", "grace", "lab", "medium"),
        ("waiting", "λ", "", None),
    ]
    assert held[1].options == {"note": "naïve \"quotes\" 'single' ; -- 🚀"}
    assert await hub.settled_since(NOON) == [Charge("settled", "ada", "cse151a", NOON, UNIT // 2)]
    sessions = {one.id: one for one in (await hub.sessions()).rows}
    ended = ending(ended=NOON + HOUR + timedelta(microseconds=1))
    assert sessions["settled"] == session("settled", runtime=8 * 3600, held=8 * UNIT, **ended)
    assert sessions["never"].cause == "No node."
    assert [one.id for one in await hub.grants(at=NOON + HOUR)] == ["given"]
    entries = (await hub.audit(AuditFilter(hub=EVERY_HUB))).rows
    assert {entry.id for entry in entries} == {
        *("settled-extension-28800", "settled-charge", "never-charge", "theirs-charge"),
        *("given-grant", "pool-grant", "pool-revocation", "denied", "joined"),
    }
    assert await hub.usage(by="gpu_class", where=SessionFilter(settled=True)) == [
        Usage("small", sessions=1, seconds=3600, gpu_seconds=3600, charged=UNIT // 2, held=0),
        Usage(None, sessions=2, seconds=3600, gpu_seconds=0, charged=0, held=0),
    ]
    assert len((await hub.sessions(SessionFilter(hub=EVERY_HUB))).rows) == 6
    await hub.close()


async def test_a_migrated_ledger_goes_on_as_before(first_version: str) -> None:
    hub = Store(first_version, "hub")
    assert not await hub.hold(session("running"))
    assert await hub.settle("running", **ending())
    assert not await hub.settle("settled", **ending(charged=0))
    assert await hub.grant(grant())
    await hub.write_audit([denial("denied", actor="mallory"), denial("another")])
    newest = (await hub.audit(AuditFilter(action="denial"))).rows
    assert [(entry.id, entry.actor) for entry in newest] == [("another", "ada"), ("denied", "ada")]
    await hub.close()


def test_a_migrated_ledger_has_the_tables_of_a_new_one(
    first_version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    Database(first_version).migrate()
    new = f"sqlite:///{tmp_path / 'new.sqlite'}"
    if first_version.startswith("postgresql"):
        new = request.getfixturevalue("postgres").database()
    Database(new).migrate()
    assert schema(first_version) == schema(new)


def test_the_migrations_make_the_tables_of_the_models(url: str) -> None:
    ledger = Database(url)
    ledger.migrate()
    with ledger.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    ledger.dispose()


def test_each_version_follows_one_other() -> None:
    scripts = ScriptDirectory.from_config(database._scripts())
    versions = [script.revision for script in scripts.walk_revisions()]
    assert versions == [f"{number:04}" for number in range(len(versions), 0, -1)]
    assert len(scripts.get_heads()) == 1


def test_a_file_is_copied_before_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "100% ledger.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript((DUMPS / "version-0001.sqlite.sql").read_text())
    connection.close()
    found = Database(f"sqlite:///{path}").migrate()
    assert (found.found, found.newest != "0001") == ("0001", True)
    with sqlite3.connect(f"{path}.version-0001") as copy:
        assert copy.execute("SELECT version_num FROM gpuspawner_version").fetchall() == [("0001",)]
        assert copy.execute("SELECT count(*) FROM gpuspawner_sessions").fetchall() == [(6,)]
    copy.close()


def test_a_new_file_and_its_copies_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "gpuspawner.sqlite"
    Database(f"sqlite:///{path}").migrate()
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    path.chmod(0o640)
    Database(f"sqlite:///{path}")._keep_copy("0001")
    Database(f"sqlite:///{path}").migrate()
    assert path.stat().st_mode & 0o777 == 0o640, "what an administrator has set stays"
    assert (tmp_path / "gpuspawner.sqlite.version-0001").stat().st_mode & 0o777 == 0o600


def test_a_new_ledger_leaves_no_copy(tmp_path: Path) -> None:
    ledger = Database(f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert ledger.migrate().found is None
    ledger.dispose()
    assert [path.name for path in tmp_path.iterdir()] == ["new.sqlite"]


async def test_the_ledger_of_a_newer_gpuspawner_is_left_alone(url: str) -> None:
    ledger = Database(url)
    ledger.migrate()
    with ledger.write() as connection:
        connection.execute(text("UPDATE gpuspawner_version SET version_num = '9999'"))
    ledger.dispose()
    store = Store(url, "hub")
    with pytest.raises(WrongVersionError) as caught:
        await store.hold(session())
    assert "9999" in caught.value.reason
    assert "newer" in caught.value.remedy
    await store.close()


async def test_hubs_that_start_together_migrate_once(first_version: str) -> None:
    hubs = [Store(first_version, f"hub{number}") for number in range(5)]
    await asyncio.gather(*(hub.open() for hub in hubs))
    await asyncio.gather(*(hub.hold(session(hub.hub, hub=hub.hub)) for hub in hubs))
    assert len((await hubs[0].sessions(SessionFilter(hub=EVERY_HUB))).rows) == 11
    await asyncio.gather(*(hub.close() for hub in hubs))


async def test_hubs_that_start_together_make_the_tables_once(url: str) -> None:
    hubs = [Store(url, f"hub{number}") for number in range(5)]
    assert all(await asyncio.gather(*(hub.hold(session(hub.hub, hub=hub.hub)) for hub in hubs)))
    assert [len(await hub.unsettled()) for hub in hubs] == [1] * 5
    await asyncio.gather(*(hub.close() for hub in hubs))


def test_a_migration_that_fails_changes_nothing(first_version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema(first_version)
    upgrade: Callable[..., None] = database.command.upgrade

    def halfway(config: object, revision: str) -> None:
        upgrade(config, revision)
        raise RuntimeError("power cut")

    monkeypatch.setattr(database.command, "upgrade", halfway)
    with pytest.raises(RuntimeError, match="power cut"):
        Database(first_version).migrate()
    assert schema(first_version) == before


@pytest.mark.parametrize("url", ["mysql://hub:secret@db/x", "nonsense", "oracle://x"])
def test_a_url_that_can_be_no_ledger_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    assert "postgresql://" in str(caught.value)
    assert "secret" not in str(caught.value)


def version_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def test_a_ledger_may_share_a_database_with_jupyterhub(url: str) -> None:
    ledger = Database(url)
    with ledger.write() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('3c2384c5aae1')"))
        connection.execute(text("CREATE TABLE users (id INTEGER)"))
    ledger.migrate()
    with ledger.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "3c2384c5aae1"
        assert version_of(connection) == ledger.versions().newest
    ledger.dispose()
