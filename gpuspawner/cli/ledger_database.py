"""Which ledger a command means, and reading it without changing it."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gpuspawner.cli.check import load_config
from gpuspawner.cli.errors import CommandError
from gpuspawner.config import LEDGER_URL, section_of
from gpuspawner.errors import ConfigurationError
from gpuspawner.ledger.database import Database
from gpuspawner.ledger.records import EVERY_HUB

__all__ = ["Ledger", "instant", "ledger_of", "reading"]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Which ledger is meant, whose rows of it, and where its days begin."""

    database: Database
    hub: str
    timezone: tzinfo


def ledger_of(options: argparse.Namespace) -> Ledger:
    """The ledger of ``--url``, else of ``--config``. Raises ``CommandError``, exit status 2."""
    try:
        if options.url:
            return Ledger(Database(options.url), options.hub or EVERY_HUB, UTC)
        section = section_of(load_config(Path(options.config)))
        database = Database(section.get("ledger_url", LEDGER_URL))
    except ConfigurationError as error:
        raise CommandError("\n".join(error.problems), status=2) from error
    hub = options.hub or section.get("hub_name", "jupyterhub")
    return Ledger(database, hub, ZoneInfo(section.get("timezone", "UTC")))


@contextmanager
def reading(ledger: Ledger) -> Iterator[Connection]:
    """A ledger that is there and of the newest version; nothing is made or migrated to look at it."""
    database = ledger.database
    if database.is_sqlite and not (database.url.database and Path(database.url.database).is_file()):
        raise CommandError(f"there is no file {database.url.database}. The hub makes it when it first starts.")
    versions = database.versions()
    if versions.found is None:
        raise CommandError(f"{database.name} holds no ledger. The hub makes it when it first starts.")
    if versions.found != versions.newest:
        raise CommandError(
            f"{database.name} is of version {versions.found}, and this gpuspawner reads {versions.newest}. "
            "Run: gpuspawner ledger migrate"
        )
    with database.read() as connection:
        yield connection


def instant(written: str | None, timezone: tzinfo) -> datetime | None:
    """A day begins at midnight of the hub's time zone; so does a time that names no zone belong to it."""
    if written is None:
        return None
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        raise CommandError(f"{written!r} is no day and no time. Write 2026-09-21 or 2026-09-21T13:00.") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone)
