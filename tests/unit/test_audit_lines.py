"""Entries of the audit log, as sentences, and what is searched for."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from small_hub import PACIFIC, section

from gpuspawner.config import load_settings
from gpuspawner.ledger.records import Action, AuditEntry
from gpuspawner.reports.audit import ACTIONS, audit_filter, audit_lines

SETTINGS = load_settings({**section(), "timezone": "America/Los_Angeles"})
AT = datetime(2026, 11, 21, 20, 30, tzinfo=UTC)


def sentence(action: str, details: dict[str, Any]) -> str:
    (line,) = audit_lines([AuditEntry(at=AT, actor="root", action=action, details=details)], SETTINGS)
    assert line.at.tzinfo is SETTINGS.timezone
    return line.sentence


@pytest.mark.parametrize(
    ("action", "details", "words"),
    [
        (Action.GRANT, {"units": 5, "reason": "Thesis"}, "5 SU: Thesis"),
        (
            Action.GRANT,
            {"units": 2.5, "reason": "Project week", "until": "2026-12-19T08:00:00+00:00"},
            "2.5 SU, until the end of 18 December 2026: Project week",
        ),
        (Action.REVOCATION, {"units": 5}, "The grant of 5 SU ended"),
        (
            Action.CHARGE,
            {"units": 0.5, "held": 2, "gpu_class": "small", "cause": "stopped"},
            "0.5 SU of the 2 SU held, on Small, 16 GB. Stopped",
        ),
        (Action.CHARGE, {"units": 0, "held": 0, "gpu_class": None, "cause": "idle"}, "0 SU. Its GPU was idle"),
        (Action.EXTENSION, {"from": 3600, "runtime": 7200, "held": 2}, "From 1 h to 2 h; 2 SU are held"),
        (Action.DENIAL, {"reason": "The Lab holds 2 of 2."}, "The Lab holds 2 of 2."),
        (Action.STOP, {"server": "", "message": "Maintenance"}, "The default server was stopped: “Maintenance”"),
        (Action.STOP, {"server": "two", "message": ""}, "The server “two” was stopped, without a message"),
        (
            Action.STOP,
            {"server": "two", "message": "Sorry", "session": None},
            "The launch of the server “two” was called off: “Sorry”",
        ),
        (Action.WARNING, {"percent": 90}, "90 % of the budget are used"),
        (Action.JOIN, {"cause": "login"}, "Because of: login"),
        (Action.ROLE, {"cause": "login", "role": "manager", "given": True}, "The role manager was given: login"),
        (Action.ROLE, {"cause": "start", "role": "auditor", "given": False}, "The role auditor was taken away: start"),
    ],
)
def test_an_entry_reads_as_a_sentence(action: str, details: dict[str, Any], words: str) -> None:
    assert sentence(action, details) == words


@pytest.mark.parametrize("action", [*Action, "of-a-newer-version"])
@pytest.mark.parametrize("details", [{}, {"units": "many", "until": "x", "from": None, "percent": [], "server": 1}])
def test_what_another_version_wrote_breaks_nothing(action: str, details: dict[str, Any]) -> None:
    assert isinstance(sentence(action, details), str)
    assert action in ACTIONS or action == "of-a-newer-version"


def test_days_are_those_of_the_hub_and_the_last_one_is_included() -> None:
    found = audit_filter(user="ada", since=date(2026, 11, 1), until=date(2026, 11, 2), timezone=PACIFIC)
    assert (found.user, found.actor, found.action) == ("ada", None, None)
    assert found.since == datetime(2026, 11, 1, tzinfo=PACIFIC)
    assert found.until == datetime(2026, 11, 3, tzinfo=PACIFIC)
    assert audit_filter(since=AT, timezone=PACIFIC).since == AT
    assert audit_filter(until=date.max, timezone=PACIFIC).until is None
