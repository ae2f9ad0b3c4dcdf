"""The audit log for whoever reads it: what was searched for, and each entry as a sentence. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gpuspawner.config import Settings
from gpuspawner.ledger.records import Action, AuditEntry, AuditFilter
from gpuspawner.limits.trace import say_time
from gpuspawner.quantity import format_duration, micro_of, say_units
from gpuspawner.reports.causes import why_ended
from gpuspawner.reports.days import day_begins

__all__ = ["ACTIONS", "COLUMNS", "AuditLine", "audit_filter", "audit_lines"]

ACTIONS: Mapping[str, str] = {
    Action.GRANT: "Grant",
    Action.REVOCATION: "Grant revoked",
    Action.CHARGE: "Charge",
    Action.EXTENSION: "Extension",
    Action.DENIAL: "Launch refused",
    Action.STOP: "Server stopped",
    Action.WARNING: "Budget warning",
    Action.JOIN: "Joined",
    Action.LEAVE: "Left",
    Action.ROLE: "Role",
}
"""What entries are about, as headings."""
COLUMNS = ("at", "actor", "action", "user", "workspace", "sentence", "details", "id")
"""Of the CSV; the keys of :meth:`AuditLine.as_json`."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """An entry of the audit log: ``title`` and ``sentence`` for people, the rest as it is kept."""

    id: str
    at: datetime
    actor: str
    action: str
    title: str
    user: str | None
    workspace: str | None
    sentence: str
    details: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "id": self.id,
            "at": self.at.isoformat(timespec="seconds"),
            "actor": self.actor,
            "action": self.action,
            "user": self.user,
            "workspace": self.workspace,
            "sentence": self.sentence,
            "details": dict(self.details),
        }


def audit_filter(
    *,
    actor: str = "",
    action: str = "",
    user: str = "",
    workspace: str = "",
    since: date | datetime | None = None,
    until: date | datetime | None = None,
    timezone: ZoneInfo,
) -> AuditFilter:
    """What is searched for; empty words are not. Days are the hub's, and ``until`` is included where it is a day."""
    return AuditFilter(
        actor=actor or None,
        action=action or None,
        user=user or None,
        workspace=workspace or None,
        since=_instant(since, timezone, 0),
        until=_instant(until, timezone, 1),
    )


def _instant(at: date | datetime | None, timezone: ZoneInfo, days: int) -> datetime | None:
    return at if isinstance(at, datetime) else day_begins(at, timezone, after=days)


def audit_lines(entries: Iterable[AuditEntry], settings: Settings) -> list[AuditLine]:
    """Entries as lines, in the same order; times in the hub's time zone."""
    return [_line(entry, settings) for entry in entries]


def _line(entry: AuditEntry, settings: Settings) -> AuditLine:
    say = _SENTENCES.get(entry.action)
    at = entry.at.astimezone(settings.timezone)
    return AuditLine(
        id=entry.id,
        at=at,
        actor=entry.actor,
        action=entry.action,
        title=ACTIONS.get(entry.action, entry.action),
        user=entry.user,
        workspace=entry.workspace,
        sentence=say(_Details(entry.details, at, settings)) if say is not None else "",
        details=entry.details,
    )


class _Details:
    """What an entry keeps beside its columns, which an older or newer version may have written otherwise."""

    def __init__(self, found: Mapping[str, Any], at: datetime, settings: Settings) -> None:
        self._found = found
        self._at = at
        self._catalog = settings.catalog

    def text(self, key: str) -> str:
        value = self._found.get(key)
        return "" if value is None else str(value)

    def number(self, key: str) -> float | None:
        value = self._found.get(key)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def units(self, key: str) -> str:
        value = self.number(key)
        return "an amount" if value is None else say_units(micro_of(value))

    def duration(self, key: str) -> str:
        value = self.number(key)
        return "" if value is None else format_duration(int(value))

    def moment(self, key: str) -> str:
        try:
            found = datetime.fromisoformat(self.text(key)).astimezone(self._at.tzinfo)
        except ValueError:
            return ""
        if found.time() == time.min:
            return f"the end of {found - timedelta(days=1):%-d %B %Y}"
        return say_time(found, self._at)

    def server(self) -> str:
        name = self.text("server")
        return f"the server “{name}”" if name else "the default server"

    @property
    def launching(self) -> bool:
        """Whether a server that was stopped had not run yet."""
        return "session" in self._found and self._found["session"] is None

    def gpu_class(self) -> str:
        return self._catalog.class_title(self.text("gpu_class"))


def _grant(told: _Details) -> str:
    until = f", until {told.moment('until')}" if told.text("until") else ""
    return f"{told.units('units')}{until}: {told.text('reason')}"


def _charge(told: _Details) -> str:
    of = f" of the {told.units('held')} held" if told.number("held") else ""
    on = f", on {told.gpu_class()}" if told.gpu_class() else ""
    return f"{told.units('units')}{of}{on}. {why_ended(told.text('cause') or None)}".rstrip(" .")


def _extension(told: _Details) -> str:
    return f"From {told.duration('from')} to {told.duration('runtime')}; {told.units('held')} are held"


def _warning(told: _Details) -> str:
    used = told.number("percent")
    return f"{used:g} % of the budget are used" if used is not None else ""


def _stop(told: _Details) -> str:
    message = told.text("message")
    what = f"The launch of {told.server()} was called off" if told.launching else f"{told.server()} was stopped"
    what = what[0].upper() + what[1:]
    return f"{what}: “{message}”" if message else f"{what}, without a message"


def _membership(told: _Details) -> str:
    return f"Because of: {told.text('cause')}"


def _role(told: _Details) -> str:
    given = "was given" if told.text("given") == "True" else "was taken away"
    return f"The role {told.text('role')} {given}: {told.text('cause')}"


_SENTENCES: Mapping[str, Callable[[_Details], str]] = {
    Action.GRANT: _grant,
    Action.REVOCATION: lambda told: f"The grant of {told.units('units')} ended",
    Action.CHARGE: _charge,
    Action.EXTENSION: _extension,
    Action.DENIAL: lambda told: told.text("reason"),
    Action.STOP: _stop,
    Action.WARNING: _warning,
    Action.JOIN: _membership,
    Action.LEAVE: _membership,
    Action.ROLE: _role,
}
