"""What managers do with the servers of members: stop one, or call off its launch, with a message and an audit entry."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from gpuspawner.ledger.records import Action, AuditEntry
from gpuspawner.sessions.lease import EndError, Lease
from gpuspawner.sessions.sessions import Sessions
from gpuspawner.under_way import CalledOffError, UnderWay

if TYPE_CHECKING:
    from gpuspawner.launcher import Launcher

__all__ = ["LONGEST_MESSAGE", "Steered", "steered"]

LONGEST_MESSAGE = 500
"""Characters."""
_PATIENCE = 10.0
"""Seconds in which a server usually stops."""


@dataclass(frozen=True, slots=True)
class Steered:
    """One server of a member: it runs (``lease``), or is being launched (``under_way``)."""

    workspace: str
    lease: Lease | None
    under_way: UnderWay | None

    async def stop(self, launcher: "Launcher", sessions: Sessions, by: str, message: str) -> bool:
        """Stop it, or call its launch off; its member reads by whom, and the message.

        Returns whether it has stopped; False where that takes longer, or JupyterHub cannot do it just now and will
        later. ``by`` is the name of who does it.
        """
        message = " ".join(message.split())[:LONGEST_MESSAGE]
        launcher.books.note(self._entry(by, message, launcher.now()))
        if self.lease is None:
            if self.under_way is not None:
                launcher.under_way.call_off(*self.under_way.key, CalledOffError(by, message))
            return False
        try:
            async with asyncio.timeout(_PATIENCE):
                return await sessions.end(*self.lease.key, _stopped_by(by, message))
        except TimeoutError:
            return False

    def _entry(self, by: str, message: str, at: datetime) -> AuditEntry:
        user, server, session = "", "", None
        if self.lease is not None:
            user, server, session = self.lease.user, self.lease.server, self.lease.launch
        elif self.under_way is not None:
            user, server = self.under_way.key
        return AuditEntry(
            at=at,
            actor=by,
            action=Action.STOP,
            user=user,
            workspace=self.workspace,
            details={"server": server, "session": session, "message": message},
        )


def steered(launcher: "Launcher", sessions: Sessions, user: str, server: str) -> Steered | None:
    """The server of a member that runs or is being launched; None where it is neither."""
    lease = sessions.lease(user, server)
    if lease is not None:
        return Steered(lease.workspace, lease, None)
    under_way = launcher.under_way.get(user, server)
    return None if under_way is None else Steered(under_way.request.workspace, None, under_way)


def _stopped_by(who: str, message: str) -> EndError:
    said = f"{who} stopped the server: “{message}”" if message else f"{who} stopped the server."
    return EndError("stopped", said, "Ask them before you start it again; your files are kept.")
