"""What it costs to extend a running server, whether its budgets cover that, and holding it before the server has it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gpuspawner.bookkeeping.book import HoldError
from gpuspawner.bookkeeping.bookkeeper import Bookkeeper
from gpuspawner.bookkeeping.runs import carried
from gpuspawner.budgets.pricing import Price
from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.view import View
from gpuspawner.config import Settings
from gpuspawner.ledger.records import Session
from gpuspawner.quantity import format_duration, say_units
from gpuspawner.sessions.lease import SHORTEST_EXTENSION, ExtensionError, Lease

__all__ = ["Extensions", "Held", "Spending"]

_MINUTE, _HOUR = 60, 3600
_LATER = "Try again in a few minutes; until then the end stays as it was."


@dataclass(frozen=True, slots=True)
class Held:
    """What an extension has changed: the session, and what was held for it before, in micro-units."""

    session: str
    before: int


@dataclass(frozen=True, slots=True)
class Spending:
    """Micro-units: what a server has cost ``so_far``, costs ``at_most``, and costs in the next hour (``hourly``)."""

    so_far: int = 0
    at_most: int = 0
    hourly: int = 0


class Extensions:
    """The extensions of a hub's running servers, at its bookkeeper."""

    def __init__(self, books: Bookkeeper, view: View, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._books = books
        self._view = view
        self._settings = settings
        self._clock = clock

    def cost(self, pod: PodRecord, lease: Lease, seconds: int) -> int:
        """Micro-units that so many seconds more cost at most, by the tariff that was approved at the launch."""
        session = carried(pod.annotations)
        return 0 if session is None else self._cost(session, self._classes(pod, session), lease.ends, seconds)

    def spending(self, pod: PodRecord) -> Spending:
        """What a server has cost and will cost; nothing where no budget pays."""
        session = carried(pod.annotations)
        space = self._settings.workspaces.get(session.workspace) if session is not None else None
        if session is None or space is None or space.budget is None:
            return Spending()
        now, accounts = self._clock(), self._books.accounts
        hourly = self._cost(session, self._classes(pod, session), now, _HOUR)
        return Spending(accounts.accrued(session.id, now), accounts.held(session.id), hourly)

    def affordable(self, pod: PodRecord, lease: Lease, seconds: int) -> int:
        """Of so many seconds those that the budgets cover, in whole minutes where not all."""
        session = carried(pod.annotations)
        if session is None:
            return seconds
        left = self._books.accounts.left_for(session.id, self._clock())
        classes = self._classes(pod, session)
        if left is None or self._cost(session, classes, lease.ends, seconds) <= left:
            return seconds
        price = Price.from_json(session.price)
        lasts = price.lasts(classes, session.gpus, session.cpu, lease.ends, seconds, left)
        return lasts // _MINUTE * _MINUTE

    async def hold(self, pod: PodRecord, lease: Lease, seconds: int, by: str) -> Held | None:
        """Hold what so many seconds more cost; None where nobody keeps account of the server.

        Raises
        ------
        ExtensionError
            Where the budgets do not cover it, with what fits, or where the ledger does not answer.
        """
        session = carried(pod.annotations)
        if session is None:
            return None
        if not self._books.is_open(session.id):
            space = self._settings.workspaces.get(session.workspace)
            if space is None or space.budget is None:
                return None
            raise ExtensionError("What it costs cannot be noted, since the ledger does not answer.", _LATER)
        cost = self._cost(session, self._classes(pod, session), lease.ends, seconds)
        left = self._books.accounts.left_for(session.id, self._clock())
        if left is not None and cost > left:
            raise self._too_dear(session, seconds, cost, left, self.affordable(pod, lease, seconds))
        before = self._books.accounts.held(session.id)
        try:
            await self._books.extend(session.id, lease.runtime + seconds, before + cost, by)
        except HoldError as error:
            raise ExtensionError(error.reason, _LATER, error.detail) from error
        except LookupError:
            raise ExtensionError("The server has ended.", "Start it again.") from None
        return Held(session.id, before)

    async def give_back(self, held: Held, lease: Lease, by: str) -> None:
        """The server did not get its extension after all."""
        try:
            await self._books.extend(held.session, lease.runtime, held.before, by)
        except (HoldError, LookupError):
            return  # only what is used is charged, and the rest of the hold ends with the session

    def _classes(self, pod: PodRecord, session: Session) -> tuple[str, ...]:
        got = self._view.class_of(pod, self._settings.catalog, session.gpu_classes) if session.gpu_classes else None
        return session.gpu_classes if got is None else (got,)

    @staticmethod
    def _cost(session: Session, classes: tuple[str, ...], since: datetime, seconds: int) -> int:
        return Price.from_json(session.price).ceiling(classes, session.gpus, session.cpu, since, seconds)

    def _too_dear(self, session: Session, seconds: int, cost: int, left: int, fits: int) -> ExtensionError:
        title = self._settings.workspace_title(session.workspace)
        rest = say_units(left)
        return ExtensionError(
            f"{format_duration(seconds)} more cost {say_units(cost, up=True)}; of the budget in {title} "
            f"{rest} {'is' if rest == '1 SU' else 'are'} left.",
            f"Ask for at most {format_duration(fits)}."
            if fits >= SHORTEST_EXTENSION
            else "Save your work, and ask the managers of the workspace or the administrator for more.",
        )
