"""Rows of the ledger as CSV, for spreadsheets, and as JSON, with amounts in service units."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any, TextIO, TypeVar

from sqlalchemy import Connection

from gpuspawner.ledger import rows, search
from gpuspawner.ledger.records import AuditFilter, Grant, Page, SessionFilter
from gpuspawner.quantity import MICRO
from gpuspawner.reports.spreadsheet import cell

__all__ = ["WRITERS", "every", "rows_of"]

R = TypeVar("R")
F = TypeVar("F")
Row = dict[str, Any]

_AMOUNTS = ("held", "charged", "units")
_COLUMNS = {
    "sessions": "id hub user server workspace profile options gpu_classes gpus cpu memory image runtime price held "
    "opened started ended gpu_class charged cause",
    "grants": "id workspace user units until reason by at revoked hub",
    "audit": "id at actor action user workspace details hub",
}


def every(
    search_for: Callable[[Connection, F, str | None, int], Page[R]], connection: Connection, where: F, limit: int | None
) -> Iterator[R]:
    """The rows of all pages, at most ``limit`` of them."""
    after = None
    while limit is None or limit > 0:
        page = search_for(connection, where, after, min(limit or search.LONGEST_PAGE, search.LONGEST_PAGE))
        yield from page.rows
        after = page.next
        limit = None if limit is None else limit - len(page.rows)
        if after is None:
            return


def rows_of(connection: Connection, what: str, where: SessionFilter) -> Iterator[Row]:
    """The sessions, grants or entries of the audit log that a filter means, the newest first."""
    if what == "sessions":
        found: Iterable[Any] = every(search.sessions, connection, where, None)
    elif what == "audit":
        entries = AuditFilter(
            hub=where.hub, user=where.user, workspace=where.workspace, since=where.since, until=where.until
        )
        found = every(search.audit, connection, entries, None)
    else:
        found = _grants(connection, where)
    return (_plain(asdict(one)) for one in found)


def _grants(connection: Connection, where: SessionFilter) -> Iterator[Grant]:
    for given in reversed(rows.grants(connection, where.hub, workspace=where.workspace, user=where.user)):
        if (where.since is None or given.at >= where.since) and (where.until is None or given.at < where.until):
            yield given


def _plain(row: Row) -> Row:
    amounts = {name: row[name] / MICRO for name in _AMOUNTS if row.get(name) is not None}
    times = {name: value.isoformat() for name, value in row.items() if isinstance(value, datetime)}
    return {**row, **amounts, **times}


def _write_csv(file: TextIO, what: str, found: Iterable[Row]) -> int:
    columns = _COLUMNS[what].split()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    count = 0
    for row in found:
        writer.writerow({name: cell(row[name]) for name in columns})
        count += 1
    return count


def _write_json(file: TextIO, what: str, found: Iterable[Row]) -> int:
    """An array with a row a line."""
    count = 0
    file.write("[")
    for row in found:
        count += 1
        file.write(("," if count > 1 else "") + "\n" + json.dumps(row, ensure_ascii=False))
    file.write("\n]\n" if count else "]\n")
    return count


WRITERS: dict[str, Callable[[TextIO, str, Iterable[Row]], int]] = {"csv": _write_csv, "json": _write_json}
