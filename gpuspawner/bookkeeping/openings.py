"""How a session is opened: decided, and its GPUs and its cost held, at one instant."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from gpuspawner.admission import Capacity, Granted, Held, admit
from gpuspawner.bookkeeping.book import HoldError
from gpuspawner.bookkeeping.bookkeeper import Bookkeeper
from gpuspawner.bookkeeping.runs import denial_of, session_of
from gpuspawner.config import Settings
from gpuspawner.errors import DeniedError
from gpuspawner.ledger.holds import Holds
from gpuspawner.ledger.records import Session
from gpuspawner.request import LaunchRequest

__all__ = ["Openings"]


class Openings:
    """One for the hub."""

    def __init__(self, holds: Holds, books: Bookkeeper, clock: Callable[[], datetime]) -> None:
        self._holds = holds
        self._books = books
        self._clock = clock

    async def admit(
        self, request: LaunchRequest, settings: Settings, free: Callable[[], Capacity], launch: str
    ) -> tuple[Granted, Session]:
        """Decide on a launch; with no ``await`` between the decision and the holds of what it takes and may cost.

        ``free`` says what is free at that instant. A refusal by a limit goes into the audit log.

        Raises
        ------
        DeniedError
            Naming the limit that refuses it.
        HoldError
            Where it costs something and nobody knows the balances, since the ledger does not answer.
        """
        known = settings.workspaces[request.workspace].budget is None or await self._books.ready()
        capacity, opened = free(), self._clock()
        sessions: list[Session] = []

        def decide(usage: list[Held]) -> Granted:
            granted = admit(request, settings, usage, capacity, opened, self._books.accounts)
            if granted.cost and not known:
                raise HoldError(granted.cost, self._books.unavailable or TimeoutError())
            sessions.append(session_of(granted, launch, settings.hub_name, opened))
            self._books.accounts.hold(sessions[0])
            return granted

        try:
            return self._holds.admit(decide), sessions[0]
        except DeniedError as denial:
            self._books.note(denial_of(denial, request, opened))
            raise

    async def renewed(self, session: Session, *, paid: bool) -> Session:
        """The session for the next pod of a launch: the same, unless a pod of this launch has run and been charged."""
        if self._books.is_open(session.id):
            return session
        now = self._clock()
        left = self._books.accounts.left(session.workspace, session.user, now)
        held = session.held if left is None else min(left, session.held)
        another = replace(session, id=uuid4().hex, opened=now, held=held)
        self._books.accounts.hold(another)
        await self._books.hold(another, paid=paid)
        return another
