"""What is known of one session until it is charged; what it costs, and what is told where it cannot be held."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from gpuspawner.bookkeeping.runs import Run
from gpuspawner.budgets.pricing import Price, say_units
from gpuspawner.cluster.records import PodRecord
from gpuspawner.errors import LaunchError
from gpuspawner.ledger.errors import StoreUnavailableError
from gpuspawner.ledger.records import Session

__all__ = ["PATIENCE", "Book", "HoldError", "Pods", "UnchargedError", "cost_of", "first_of", "is_another"]

PATIENCE = 5.0
"""Seconds in which the database has to note what a launch costs."""


class HoldError(LaunchError):
    """What a launch or an extension costs cannot be held: the ledger does not answer."""

    code = "ledger_unavailable"
    status = 503

    def __init__(self, held: int, cause: Exception) -> None:
        super().__init__(
            f"It costs up to {say_units(held, up=True)}, and the ledger, which must note that first, does not answer.",
            "Try again in a few minutes; what costs nothing starts without it.",
            cause.detail if isinstance(cause, StoreUnavailableError) else f"no answer within {PATIENCE:g} s",
        )


class UnchargedError(LaunchError):
    """The pod of a server's last session is kept until that is charged, and so is the pod's name."""

    code = "ledger_unavailable"
    status = 503

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            "The last session of this server is not charged yet, since the ledger does not answer.",
            "Try again in a few minutes, or start a server of another name.",
            detail,
        )


class Pods(Protocol):
    """What the bookkeeper asks of pods, and does with them."""

    def landed(self, pod: PodRecord, among: Sequence[str]) -> str | None:
        """The GPU class whose card a pod got; None where that is not known (any more)."""

    def cause(self, pod: PodRecord) -> str:
        """Why a pod is over, in a word."""

    async def read(self, pod: PodRecord) -> PodRecord | None:
        """The pod as Kubernetes has it now, None if it is gone. Raises ``ApiError``, ``UnreachableError``."""

    async def let_go(self, pod: PodRecord) -> None:
        """Take the finalizer off a pod. Raises ``ApiError``, ``UnreachableError``."""


@dataclass(slots=True)
class Book:
    """A session until it is charged, and as long as a pod of it is there.

    Attributes
    ----------
    ours
        Whether the accounts held it before the ledger knew of it: its launch was admitted here.
    launching
        Whether its launch is under way: another pod may follow one that did not run.
    past
        As the ledger has it with its charge.
    pods
        The uids of those that run, or may.
    closing
        Whether its charge is about to be written.
    """

    session: Session
    paid: bool
    ours: bool = False
    launching: bool = False
    noted: bool = False
    past: Session | None = None
    started: datetime | None = None
    gpu_class: str | None = None
    pods: set[str] = field(default_factory=set)
    closing: bool = False
    charged: int | None = None

    @property
    def closed(self) -> bool:
        """Whether it has its charge, or is about to get it."""
        return self.closing or self.past is not None


def cost_of(session: Session, gpu_class: str | None, run: Run) -> int:
    """What a run costs, in micro-units: never more than was approved."""
    if run.started is None:
        return 0
    price = Price.from_json(session.price)
    return price.charge(gpu_class, session.gpus, session.cpu, run.started, run.ended, session.held)


def first_of(*times: datetime | None) -> datetime | None:
    """The earliest of those that are known."""
    return min((at for at in times if at is not None), default=None)


def is_another(run: Run, past: Session) -> bool:
    """Whether a run is not the one that a session was charged for."""
    if run.started is None or (run.started, run.ended) == (past.started, past.ended):
        return False
    return past.started is None or past.ended is None or run.started >= past.ended
