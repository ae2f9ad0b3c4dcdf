"""One database of the ledger, synchronous: how it is reached, its transactions, its version, its failures."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    InterfaceError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.pool import StaticPool

from gpuspawner.errors import ConfigurationError
from gpuspawner.ledger.errors import StoreUnavailableError, WrongVersionError

__all__ = ["VERSION_TABLE", "Database", "Versions"]

VERSION_TABLE = "gpuspawner_version"
_CONNECTS_WITHIN = 5
"""Seconds."""
_ANSWERS_WITHIN = 10
"""Seconds, for one statement."""
_MIGRATION_LOCK = 0x677075_73706177
"""Of all hubs that share a PostgreSQL database, one migrates."""
_READS = {"gpuspawner_reads": True}


@dataclass(frozen=True, slots=True)
class Versions:
    """The version a database has (None: no tables yet), and the newest one that is known here."""

    found: str | None
    newest: str


class Database:
    """Connections to the database of one URL; made when they are needed, and from any thread.

    Raises
    ------
    ConfigurationError
        Where the URL cannot be one of a ledger.
    """

    def __init__(self, url: str) -> None:
        self.url = _url(url)
        self._engine = _sqlite(self.url) if self.is_sqlite else _postgresql(self.url)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file, or in memory."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def in_memory(self) -> bool:
        """Whether it is gone with the process; it has but one connection."""
        return self.is_sqlite and self.url.database in (None, "", ":memory:")

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is durable once the block is left.

        Raises
        ------
        StoreUnavailableError
            Where the database cannot do it now.
        """
        with self._failures(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that writes nothing, and waits for nobody who does; raises as :meth:`write`."""
        with self._failures(), self._engine.connect().execution_options(**_READS) as connection:
            yield connection

    def versions(self) -> Versions:
        """The version of the tables; raises as :meth:`write`."""
        with self.read() as connection:
            return Versions(_version(connection), _newest())

    def migrate(self) -> Versions:
        """Bring the tables to the newest version; returns what was found. Of hubs that start together one does it.

        A new SQLite file is readable by its owner only. One that has tables already is copied first, to a file with its
        version in the name.

        Raises
        ------
        StoreUnavailableError
            Where the database cannot do it now.
        WrongVersionError
            Where a newer gpuspawner wrote it.
        """
        if self.is_sqlite and not self.in_memory:
            with suppress(OSError):  # which connecting then tells
                _make_private(Path(str(self.url.database)))
        before = self.versions()
        if before.found == before.newest:
            return before
        if before.found is not None and not _is_known(before.found):
            raise WrongVersionError(before.found, before.newest)
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            found = _version(connection)
            if found != before.newest:
                if found is not None and self.is_sqlite and not self.in_memory:
                    self._keep_copy(found)
                config = _scripts()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        return before

    def dispose(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _keep_copy(self, version: str) -> None:
        """Under another name first, so that what has the name is whole."""
        copy = Path(f"{self.url.database}.version-{version}")
        unfinished = copy.with_name(f"{copy.name}.unfinished")
        try:
            unfinished.unlink(missing_ok=True)
            _make_private(unfinished)
            with closing(sqlite3.connect(str(self.url.database))) as connection:
                connection.execute("VACUUM INTO ?", (str(unfinished),))
            unfinished.replace(copy)
        except (OSError, sqlite3.Error) as error:
            unfinished.unlink(missing_ok=True)
            raise StoreUnavailableError(
                f"{self.name}: the copy {copy} cannot be made before the migration: {error}"
            ) from error

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """What a repeat may cure becomes ``StoreUnavailableError``; what it cannot is a mistake of ours."""
        try:
            yield
        except (DataError, IntegrityError):
            raise
        except (DatabaseError, InterfaceError, DisconnectionError, NoConnectionError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            unavailable = StoreUnavailableError(f"{self.name}: {cause}")
            unavailable.connection_lost = isinstance(error, DBAPIError) and error.connection_invalidated
            raise unavailable from error


def _make_private(path: Path) -> None:
    """A file of one's own, where there is none: who used what is nobody else's business on a machine of many."""
    path.touch(mode=0o600)


def _url(written: str) -> URL:
    try:
        url = make_url(written)
    except ArgumentError:
        raise _wrong("is no URL") from None
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        raise _wrong(f"begins with {url.drivername}://")
    return url.set(drivername="sqlite")


def _wrong(found: str) -> ConfigurationError:
    return ConfigurationError(
        [f"c.GPUSpawner.ledger_url: {found}, allowed: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"]
    )


def _sqlite(url: URL) -> Engine:
    """SQLite in WAL mode: who reads waits for nobody, who writes waits for one other, and a commit is on the disk.

    The driver's own BEGIN comes late and not before DDL; ours comes first
    (https://docs.sqlalchemy.org/dialects/sqlite.html, on transactions of pysqlite).
    """
    in_memory = url.database in (None, "", ":memory:")
    engine = create_engine(
        url,
        connect_args={"timeout": _CONNECTS_WITHIN, "check_same_thread": False, "isolation_level": None},
        **({"poolclass": StaticPool} if in_memory else {}),
    )

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _: object) -> None:
        for pragma in ("synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        # The file keeps its mode; where another connection has it locked, that one has just changed it.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("gpuspawner_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL) -> Engine:
    """PostgreSQL through psycopg 3. No statement is prepared, so that a pooler such as PgBouncer may stand between."""
    waits = {
        "connect_timeout": _CONNECTS_WITHIN,
        "tcp_user_timeout": 1000 * _ANSWERS_WITHIN,
        "application_name": "gpuspawner",
    }
    arguments = {key: value for key, value in waits.items() if key not in url.query}
    try:
        engine = create_engine(
            url, connect_args={**arguments, "prepare_threshold": None}, pool_size=2, max_overflow=1, pool_timeout=5
        )
    except ModuleNotFoundError as error:
        problem = f"c.GPUSpawner.ledger_url: PostgreSQL needs {error.name}; run: pip install 'gpuspawner[postgresql]'"
        raise ConfigurationError([problem]) from None

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _: object) -> None:
        connection.autocommit = True
        connection.execute(f"SET statement_timeout = '{_ANSWERS_WITHIN}s'")
        connection.execute("SET TIME ZONE 'UTC'")
        connection.autocommit = False

    return engine


def _scripts() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _newest() -> str:
    newest = ScriptDirectory.from_config(_scripts()).get_current_head()
    assert newest is not None  # noqa: S101
    return newest


def _is_known(version: str) -> bool:
    return version in {script.revision for script in ScriptDirectory.from_config(_scripts()).walk_revisions()}


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
