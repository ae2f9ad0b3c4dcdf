"""What the ledger keeps, as plain values: sessions, charges, grants, and the entries of the audit log.

Service units are counted in millionths of a unit, as whole numbers; times are aware.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Literal, Self, TypeVar
from uuid import uuid4

__all__ = [
    "EVERY_HUB",
    "Action",
    "AuditEntry",
    "AuditFilter",
    "CapacityChange",
    "Charge",
    "GPURun",
    "Grant",
    "GrantFilter",
    "Page",
    "Session",
    "SessionFilter",
    "Usage",
    "UsedBy",
    "new_id",
]

R = TypeVar("R")

EVERY_HUB = "*"
"""In a filter: all hubs that share the database, and not only the own one."""
_TIMES = ("opened", "started", "ended")


def new_id() -> str:
    """An id of its own for a session, a grant or an entry."""
    return uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One launch, from its hold to its charge.

    Parameters
    ----------
    id
        Of the launch; what makes each write happen once.
    options
        What was asked for, as in ``user_options``; what was left to its default is absent.
    gpu_classes
        The classes it may land on, in order of preference; empty without GPU.
    cpu, memory, runtime
        In cores, bytes and seconds.
    price
        The tariff as it was approved at the launch (``Price`` in JSON), which a later change of rates does not touch.
    held
        Millionths of a unit that it may cost at most; they are taken from the budget until it is settled.
    opened
        When it was held: the instant whose budget pays.
    started, ended
        When its container ran; None before that, and ``started`` of a launch that never ran.
    gpu_class
        The class it landed on.
    charged
        Millionths of a unit; None until it is settled.
    cause
        Why it ended.
    """

    id: str
    hub: str
    user: str
    server: str
    workspace: str
    profile: str
    options: Mapping[str, Any]
    gpu_classes: tuple[str, ...]
    gpus: int
    cpu: float
    memory: int
    image: str
    runtime: int
    price: Mapping[str, Any]
    held: int
    opened: datetime
    started: datetime | None = None
    ended: datetime | None = None
    gpu_class: str | None = None
    charged: int | None = None
    cause: str | None = None

    @property
    def settled(self) -> bool:
        """Whether it has its charge, which never changes again."""
        return self.charged is not None

    def dump(self) -> dict[str, Any]:
        """As JSON; :meth:`load` makes the same session of it."""
        found = asdict(self)
        found.update({name: value.isoformat() for name in _TIMES if (value := found[name]) is not None})
        return {**found, "gpu_classes": list(self.gpu_classes)}

    @classmethod
    def load(cls, written: Mapping[str, Any]) -> Self:
        """The session of what :meth:`dump` wrote; keys that a newer version added are passed over.

        Raises
        ------
        KeyError, TypeError, ValueError
            Where a key is missing or is not what ``dump`` writes.
        """
        known = {one.name: written[one.name] for one in fields(cls) if one.name in written}
        known.update({name: datetime.fromisoformat(known[name]) for name in _TIMES if known.get(name) is not None})
        return cls(**{**known, "gpu_classes": tuple(written["gpu_classes"])})


@dataclass(frozen=True, slots=True)
class Charge:
    """What a settled session took from the budget of the instant it was ``opened``, in millionths of a unit."""

    id: str
    user: str
    workspace: str
    opened: datetime
    charged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Units that an administrator gave to a member of a workspace, or to its pool (``user`` is None).

    ``units`` are millionths of a unit. It counts from ``at`` until ``until`` (None: until it is used) or until it was
    ``revoked``. ``hub`` is filled in by the store.
    """

    id: str = field(default_factory=new_id)
    workspace: str
    user: str | None
    units: int
    until: datetime | None = None
    reason: str
    by: str
    at: datetime
    revoked: datetime | None = None
    hub: str = ""


class Action(StrEnum):
    """What the entries of the audit log are about."""

    CHARGE = "charge"
    EXTENSION = "extension"
    GRANT = "grant"
    REVOCATION = "revocation"
    DENIAL = "denial"
    WARNING = "warning"
    STOP = "stop"
    JOIN = "join"
    LEAVE = "leave"
    ROLE = "role"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what, when, and to whom. ``details`` are JSON; ``hub`` is filled in by the store."""

    id: str = field(default_factory=new_id)
    at: datetime
    actor: str
    action: str
    user: str | None = None
    workspace: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    hub: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions: all that were opened from ``since`` on and before ``until``, and are alike in what is named.

    ``hub`` None is the store's own. ``settled`` None is both those that run and those that have ended.
    """

    hub: str | None = None
    user: str | None = None
    workspace: str | None = None
    profile: str | None = None
    gpu_class: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    settled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries: all from ``since`` on and before ``until`` that are alike in what is named."""

    hub: str | None = None
    actor: str | None = None
    action: str | None = None
    user: str | None = None
    workspace: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFilter:
    """Which grants: all that are alike in what is named and, with ``at``, are not over by then.

    ``seen_in`` None is everything; else only those in these workspaces, and those to ``seen_by``.
    """

    hub: str | None = None
    id: str | None = None
    workspace: str | None = None
    user: str | None = None
    at: datetime | None = None
    seen_in: frozenset[str] | None = None
    seen_by: str | None = None


@dataclass(frozen=True, slots=True)
class CapacityChange:
    """From ``at`` on a hub's cluster had so many GPUs of a class on nodes that take launches, until the next change."""

    at: datetime
    gpu_class: str
    total: int


@dataclass(frozen=True, slots=True)
class GPURun:
    """GPUs of a class that a session had from ``started`` to ``ended`` (None: it runs still)."""

    gpu_class: str
    gpus: int
    started: datetime
    ended: datetime | None


UsedBy = Literal["user", "workspace", "profile", "gpu_class", "hub"]
"""What sessions may be summed up by."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What some sessions used in all: ``name`` is what they have in common, None for sessions without GPU class.

    ``charged`` is of those that are settled, ``held`` of those that are not, in millionths of a unit; ``seconds`` and
    ``gpu_seconds`` of those that are settled.
    """

    name: str | None
    sessions: int
    seconds: int
    gpu_seconds: int
    charged: int
    held: int


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some rows, and where the next page begins; None on the last one."""

    rows: tuple[R, ...]
    next: str | None
