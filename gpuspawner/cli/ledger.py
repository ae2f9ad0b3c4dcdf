"""`gpuspawner ledger`: history as CSV or JSON, the audit log, and the care of the ledger's database."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from gpuspawner.cli.check import table
from gpuspawner.cli.errors import CommandError
from gpuspawner.cli.ledger_database import Ledger, instant, ledger_of, reading
from gpuspawner.cli.ledger_export import WRITERS, every, rows_of
from gpuspawner.ledger import search
from gpuspawner.ledger.errors import StoreUnavailableError
from gpuspawner.ledger.records import EVERY_HUB, AuditEntry, AuditFilter, SessionFilter, Usage
from gpuspawner.ledger.soundness import problems
from gpuspawner.quantity import say_units

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Do what `options.ledger_command` says with the ledger of a hub's configuration, or of a URL."""
    ledger = ledger_of(options)
    try:
        status: int = globals()[f"_{options.ledger_command}"](ledger, options)
    except StoreUnavailableError as error:
        raise CommandError(f"{error.reason} {error.detail}") from error
    finally:
        ledger.database.dispose()
    return status


def _export(ledger: Ledger, options: argparse.Namespace) -> int:
    """Every row of a kind, newest first, in CSV or JSON."""
    with reading(ledger) as connection, _output(options.output) as file:
        found = rows_of(connection, options.what, _filters(ledger, options))
        count = WRITERS[options.format](file, options.what, found)
    if options.output:
        print(f"{options.output}: {count} {options.what}.", file=sys.stderr)
    return 0


def _usage(ledger: Ledger, options: argparse.Namespace) -> int:
    """What was used, summed up by user, workspace, profile, GPU class or hub."""
    with reading(ledger) as connection:
        found = search.usage(connection, _filters(ledger, options), options.by)
    header = (options.by.upper().replace("_", " "), "SESSIONS", "HOURS", "GPU-HOURS", "CHARGED", "HELD")
    print(table(header, [_summed(one) for one in found]))
    return 0


def _summed(one: Usage) -> tuple[str, ...]:
    hours, gpu_hours = f"{one.seconds / 3600:.1f}", f"{one.gpu_seconds / 3600:.1f}"
    return one.name or "none", str(one.sessions), hours, gpu_hours, say_units(one.charged), say_units(one.held)


def _audit(ledger: Ledger, options: argparse.Namespace) -> int:
    """Who did what and when, the newest first."""
    with reading(ledger) as connection:
        found = every(search.audit, connection, _audit_filters(ledger, options), options.limit)
        print(table(("TIME", "WHO", "WHAT", "WHOM", "WORKSPACE", "DETAILS"), [_told(one, ledger) for one in found]))
    return 0


def _told(entry: AuditEntry, ledger: Ledger) -> tuple[str, ...]:
    details = ", ".join(f"{key}: {value}" for key, value in entry.details.items() if value is not None)
    when = entry.at.astimezone(ledger.timezone).isoformat(" ", "seconds")
    return when, entry.actor, entry.action, entry.user or "", entry.workspace or "", details


def _migrate(ledger: Ledger, options: argparse.Namespace) -> int:
    """Make the tables, or bring them to the newest version; a running hub does so, too, when it starts."""
    versions = ledger.database.migrate()
    if versions.found == versions.newest:
        print(f"{ledger.database.name}: version {versions.newest}, which is the newest.")
    else:
        print(f"{ledger.database.name}: from {versions.found or 'nothing'} to version {versions.newest}.")
    return 0


def _check(ledger: Ledger, options: argparse.Namespace) -> int:
    """Exit status 1 where the ledger is not whole."""
    with reading(ledger) as connection:
        found = list(problems(connection, datetime.now(UTC)))
        hubs = search.usage(connection, SessionFilter(hub=EVERY_HUB), "hub") if not found else []
    for one in hubs:
        held = f", {say_units(one.held)} held" if one.held else ""
        print(f"Hub {one.name}: {one.sessions} sessions, {say_units(one.charged)} charged{held}.")
    print(*(found or [f"{ledger.database.name}: whole."]), sep="\n")
    return 1 if found else 0


@contextmanager
def _output(path: str | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error


def _filters(ledger: Ledger, options: argparse.Namespace) -> SessionFilter:
    return SessionFilter(hub=ledger.hub, user=options.user, workspace=options.workspace, **_period(ledger, options))


def _audit_filters(ledger: Ledger, options: argparse.Namespace) -> AuditFilter:
    who = {"actor": options.actor, "action": options.action, "user": options.user, "workspace": options.workspace}
    return AuditFilter(hub=ledger.hub, **who, **_period(ledger, options))


def _period(ledger: Ledger, options: argparse.Namespace) -> dict[str, Any]:
    return {name: instant(getattr(options, name), ledger.timezone) for name in ("since", "until")}
