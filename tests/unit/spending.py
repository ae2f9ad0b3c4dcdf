"""Sessions, grants and workspaces with budgets, for the tests of what is left."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from gpuspawner.budgets.pricing import MICRO, Price
from gpuspawner.workspace import Workspace

HOUR = Price({"small": MICRO}).to_json()
NEVER: datetime | None = None
WEDNESDAY = datetime(2026, 11, 25, 20, tzinfo=UTC)
"""Noon in Los Angeles."""
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Launch:
    """A session as the ledger keeps it, of one small GPU at 1 SU an hour; amounts in SU."""

    id: str
    units: float = 1
    opened: datetime = WEDNESDAY
    user: str = "ada"
    workspace: str = "course"
    started: datetime | None = None
    gpu_class: str | None = None
    charged: int | None = None
    gpus: int = 1
    cpu: float = 2
    price: Mapping[str, Any] = field(default_factory=lambda: HOUR)

    @property
    def held(self) -> int:
        return round(self.units * MICRO)


@dataclass(frozen=True)
class Gift:
    """A grant as the ledger keeps it."""

    id: str
    units: int
    user: str | None = "ada"
    workspace: str = "course"
    at: datetime = WEDNESDAY
    until: datetime | None = None
    revoked: datetime | None = None


def course(name: str = "course", **budget: Any) -> dict[str, Workspace]:
    """One workspace with this budget; ``starts`` and ``ends`` are the workspace's."""
    days = {key: budget.pop(key) for key in ("starts", "ends") if key in budget}
    return {name: Workspace.model_validate({"name": name, "display_name": "Course", "budget": budget, **days})}
