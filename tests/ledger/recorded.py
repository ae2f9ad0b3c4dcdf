"""Sessions, grants and entries to write."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gpuspawner.ledger.records import AuditEntry, Grant, Session

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
UNIT = 1_000_000

_SESSION = Session(
    id="one",
    hub="hub",
    user="ada",
    server="",
    workspace="cse151a",
    profile="pytorch",
    options={"gpu_class": ["small", "medium"], "gpus": 1},
    gpu_classes=("small", "medium"),
    gpus=1,
    cpu=2.5,
    memory=8 * 10**9,
    image="quay.io/jupyter/pytorch-notebook:cuda12",
    runtime=6 * 3600,
    price={"rates": {"small": 500_000, "medium": UNIT}},
    held=6 * UNIT,
    opened=NOON,
)


def session(session_id: str = "one", **changes: Any) -> Session:
    return replace(_SESSION, id=session_id, **changes)


def grant(**changes: Any) -> Grant:
    given = Grant(workspace="cse151a", user="ada", units=5 * UNIT, reason="Thesis", by="root", at=NOON)
    return replace(given, **changes)


def denial(entry_id: str, **changes: Any) -> AuditEntry:
    entry = AuditEntry(id=entry_id, at=NOON, actor="ada", action="denial", user="ada", workspace="cse151a")
    return replace(entry, **changes)


def ending(**changes: Any) -> dict[str, Any]:
    """What ``settle`` is given for an hour on a small GPU."""
    end: dict[str, Any] = {"started": NOON, "ended": NOON + HOUR, "gpu_class": "small", "charged": UNIT // 2}
    return {**end, "cause": "stopped", **changes}
