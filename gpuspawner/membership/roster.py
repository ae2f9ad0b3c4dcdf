"""A roster: a registrar's list of people, one line a person, with role and dates, as CSV or JSON. Pure."""

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime

from gpuspawner.membership.roles import Role
from gpuspawner.schema import closest

__all__ = ["COLUMNS", "Line", "Roster", "RosterError", "parse_roster"]

COLUMNS = ("user", "email", "role", "from", "to")
_MOST_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One person on one line: a user name or an e-mail address (or both), the role, and the first and the last day.

    Without ``role`` the line counts for whatever list the roster stands in.
    """

    user: str = ""
    email: str = ""
    role: Role | None = None
    from_: date | None = None
    to: date | None = None

    def is_current(self, day: date) -> bool:
        """Whether it counts on this day."""
        return (self.from_ is None or self.from_ <= day) and (self.to is None or day <= self.to)


class RosterError(ValueError):
    """A file that is no roster: ``problems`` are one line each, each with the line of the file."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@dataclass(frozen=True)
class Roster:
    """The lines of a file, found by user name and by e-mail address; ``notes``: columns that are hardly meant."""

    lines: frozenset[Line]
    notes: tuple[str, ...] = ()
    by_user: Mapping[str, tuple[Line, ...]] = field(init=False, repr=False, compare=False)
    by_email: Mapping[str, tuple[Line, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_user", _index((line.user, line) for line in self.lines))
        object.__setattr__(self, "by_email", _index((line.email, line) for line in self.lines))

    def of(self, user: str, addresses: Collection[str] = ()) -> Iterator[Line]:
        """The lines of a login of this name and these e-mail addresses (in lower case)."""
        yield from self.by_user.get(user, ())
        for address in addresses:
            yield from self.by_email.get(address, ())


def _index(pairs: Iterator[tuple[str, Line]]) -> dict[str, tuple[Line, ...]]:
    found: dict[str, list[Line]] = {}
    for key, line in pairs:
        if key:
            found.setdefault(key, []).append(line)
    return {key: tuple(lines) for key, lines in found.items()}


def parse_roster(content: bytes, normalize: Callable[[str], str] = str) -> Roster:
    """Read a roster: CSV with a header, a JSON list of objects, or one JSON object a line; in UTF-8.

    The columns are ``user`` or ``email`` or both, and if need be ``role``, ``from`` and ``to`` (days such as
    2026-09-21, both included). Further columns are passed over. CSV may have commas, semicolons or tabs between its
    columns. ``normalize`` makes a name on the list into that of a login.

    Raises
    ------
    RosterError
        The file as a whole is refused, as one with a mistake would silently end memberships.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RosterError([f"line {line}: not in UTF-8; save the file in that encoding"]) from None
    if not text.strip():
        raise RosterError(["the file is empty; not even a header names its columns"])
    rows = _json_rows(text) if text.lstrip()[0] in "[{" else _csv_rows(text)
    lines: set[Line] = set()
    problems: list[str] = []
    columns: dict[str, None] = {}
    for where, row in rows:
        columns.update(dict.fromkeys(row))
        try:
            lines.add(_line(row, normalize))
        except ValueError as error:
            problems.append(f"{where}: {error}")
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"and {len(problems) - _MOST_PROBLEMS} lines more"]
    if problems:
        raise RosterError(problems)
    return Roster(frozenset(lines), tuple(_notes(columns)))


def _csv_rows(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    delimiter = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise RosterError([f"line {reader.line_num}: {error}"]) from None
        where = f"line {reader.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip().lower() for cell in cells]
            _check_header(header, where)
        elif len(cells) != len(header):
            raise RosterError([f"{where}: found {len(cells)} columns, allowed: the {len(header)} of the header"])
        else:
            yield where, dict(zip(header, cells, strict=True))


def _check_header(header: list[str], where: str) -> None:
    twice = sorted({name for name in header if name in COLUMNS and header.count(name) > 1})
    if twice:
        raise RosterError([f"{where}: the column {twice[0]!r} is there twice"])
    if not {"user", "email"} & set(header):
        meant = next((f"; is {name!r} meant?" for name in header if closest(name, ("user", "email"))), "")
        raise RosterError([f"{where}: no column is called 'user' or 'email'{meant}"])


def _json_rows(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    if text.lstrip().startswith("["):
        try:
            items = [(f"entry {number}", item) for number, item in enumerate(json.loads(text), 1)]
        except ValueError as error:
            raise RosterError([f"no JSON: {error}"]) from None
    else:
        items = []
        for number, line in enumerate(text.split("\n"), 1):
            try:
                items += [(f"line {number}", json.loads(line))] if line.strip() else []
            except ValueError as error:
                raise RosterError([f"line {number}: no JSON: {error}"]) from None
    for where, item in items:
        if not isinstance(item, Mapping):
            raise RosterError([f'{where}: found {item!r}, allowed: an object such as {{"user": "ada"}}'])
        for key in COLUMNS:
            if not isinstance(item.get(key), str | None):
                raise RosterError([f"{where}: found {item[key]!r} as {key}, allowed: text"])
        yield where, {str(key).lower(): value if isinstance(value, str) else "" for key, value in item.items()}


def _line(row: Mapping[str, str], normalize: Callable[[str], str]) -> Line:
    user, email, role, first, last = (row.get(name, "").strip() for name in COLUMNS)
    if not user and not email:
        raise ValueError("neither user nor email")
    if email and (email.count("@") != 1 or not all(email.split("@"))):
        raise ValueError(f"found {email!r} as email, allowed: an address such as ada@example.edu")
    if role and role.lower() not in list(Role):
        raise ValueError(f"found {role!r} as role, allowed: {', '.join(Role)}")
    line = Line(
        normalize(user) if user else "",
        email.lower(),
        Role(role.lower()) if role else None,
        _day(first, "from"),
        _day(last, "to"),
    )
    if line.from_ and line.to and line.to < line.from_:
        raise ValueError("the day in to is before the day in from")
    return line


def _day(text: str, column: str) -> date | None:
    if not text:
        return None
    with suppress(ValueError):
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007  # a day of the calendar
    raise ValueError(f"found {text!r} as {column}, allowed: a day such as 2026-09-21")


def _notes(columns: Collection[str]) -> Iterator[str]:
    """Columns that are probably meant to be one of ours that is not there."""
    absent = [name for name in COLUMNS if name not in columns]
    for name in columns:
        if name not in COLUMNS and (close := closest(name, absent)):
            yield f"the column {name!r} is not read; is {close!r} meant?"
