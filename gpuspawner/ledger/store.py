"""The ledger's store for the hub's event loop, which never waits: the database has threads of its own."""

import logging
from asyncio import get_running_loop
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection

from gpuspawner.ledger import capacity, rows, search
from gpuspawner.ledger.database import Database, Versions
from gpuspawner.ledger.errors import StoreUnavailableError, UnknownSessionError, WrongVersionError
from gpuspawner.ledger.records import (
    AuditEntry,
    AuditFilter,
    CapacityChange,
    Charge,
    GPURun,
    Grant,
    GrantFilter,
    Page,
    Session,
    SessionFilter,
    Usage,
    UsedBy,
)

__all__ = ["Store", "StoreUnavailableError", "UnknownSessionError", "WrongVersionError"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
_ALL_SESSIONS, _ALL_ENTRIES, _ALL_GRANTS = SessionFilter(), AuditFilter(), GrantFilter()


class Store:
    """What a hub writes into its ledger and reads from it.

    Every write is durable when its call returns, and written once however often it is repeated. Every call may raise
    ``StoreUnavailableError``; a repeat is then safe, and the first one that gets through finds the tables made or
    migrated. Writes happen in the order of their calls, on one thread; reads on another, so that no launch waits for
    a report. A call that is cancelled before its turn is not written; later it may be.

    Parameters
    ----------
    url
        ``sqlite:///FILE``, relative to the working directory, or ``postgresql://USER:PASSWORD@HOST/DATABASE``.
    hub
        The name of the hub (``hub_name``): several share a database, and each has rows of its own.

    Raises
    ------
    ConfigurationError
        Where the URL cannot be one of a ledger, or needs a driver that is not installed.
    """

    def __init__(self, url: str, hub: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.hub = hub
        self.database = Database(url)
        self._clock = clock
        self._ready = self._closed = False
        self._writer = ThreadPoolExecutor(1, "ledger-writes")
        # A database in memory has one connection, and so one thread.
        self._reader = self._writer if self.database.in_memory else ThreadPoolExecutor(1, "ledger-reads")

    async def open(self) -> None:
        """Make or migrate the tables. Without it the first call does."""
        await self._on(self._writer, self._prepare)

    async def close(self) -> None:
        """Wait for the writes under way and close all connections."""
        self._closed = True
        await get_running_loop().run_in_executor(None, self._shut)

    async def hold(self, session: Session) -> bool:
        """Write a session at its launch; whether it was not there yet. One that is there stays as it is."""
        return await self._write(lambda connection: rows.hold(connection, session))

    async def started(self, session_id: str, at: datetime, gpu_class: str | None = None) -> None:
        """Note when the container of a session began, and the class it landed on; nothing where it is settled.

        Raises
        ------
        UnknownSessionError
            Where it was never held.
        """
        await self._write(lambda connection: rows.started(connection, session_id, at, gpu_class))

    async def extend(self, session_id: str, runtime: int, held: int, by: str = rows.HUB) -> bool:
        """Give a session this runtime (seconds) and hold (millionths of a unit) in place of what it had.

        Returns whether it could: False where it has been settled. Raises as :meth:`started`.
        """
        at = self._clock()
        return await self._write(lambda connection: rows.extend(connection, session_id, runtime, held, by, at))

    async def settle(
        self,
        session_id: str,
        *,
        started: datetime | None,
        ended: datetime,
        gpu_class: str | None,
        charged: int,
        cause: str,
    ) -> bool:
        """Write how a session ended and its charge, in millionths of a unit; that never changes again.

        ``started`` and ``gpu_class`` None leave what is known. Returns False where it had been settled, which may have
        been by a call like this one whose answer was lost. Raises as :meth:`started`.
        """
        at = self._clock()
        return await self._write(
            lambda connection: rows.settle(
                connection,
                session_id,
                started=started,
                ended=ended,
                gpu_class=gpu_class,
                charged=charged,
                cause=cause,
                at=at,
            )
        )

    async def session(self, session_id: str) -> Session | None:
        """One session, of whichever hub; None where it was never held."""
        return await self._read(lambda connection: rows.session(connection, session_id))

    async def unsettled(self, hub: str | None = None) -> list[Session]:
        """The sessions that are held, oldest first; of this hub, or of another one."""
        return await self._read(lambda connection: rows.unsettled(connection, hub or self.hub))

    async def settled_since(self, at: datetime) -> list[Charge]:
        """What this hub's sessions that were opened from then on have cost, oldest first, without free ones."""
        return await self._read(lambda connection: rows.charges(connection, self.hub, at))

    async def sessions(
        self, where: SessionFilter = _ALL_SESSIONS, *, after: str | None = None, limit: int = 100
    ) -> Page[Session]:
        """A page of the sessions of a filter, the last opened first; ``after`` is the ``next`` of the page before.

        Raises
        ------
        BadRequestError
            Where ``after`` is no such place.
        """
        mine = replace(where, hub=where.hub or self.hub)
        return await self._read(lambda connection: search.sessions(connection, mine, after, limit))

    async def usage(self, where: SessionFilter = _ALL_SESSIONS, by: UsedBy = "user") -> list[Usage]:
        """What the sessions of a filter used, summed up by what they have in common; the dearest first."""
        mine = replace(where, hub=where.hub or self.hub)
        return await self._read(lambda connection: search.usage(connection, mine, by))

    async def usage_between(
        self, where: SessionFilter, times: Sequence[datetime], by: UsedBy = "user"
    ) -> list[list[Usage]]:
        """As :meth:`usage`, for the sessions opened from each of these times on and before the next one."""
        mine = replace(where, hub=where.hub or self.hub)
        return await self._read(lambda connection: search.usage_between(connection, mine, times, by))

    async def grant(self, grant: Grant) -> bool:
        """Write a grant and its entry in the audit log; whether it was not there yet."""
        mine = replace(grant, hub=grant.hub or self.hub)
        return await self._write(lambda connection: rows.grant(connection, mine))

    async def revoke(self, grant_id: str, by: str, at: datetime | None = None) -> bool:
        """End a grant now, or at a time; whether it had not been revoked."""
        when = at or self._clock()
        return await self._write(lambda connection: rows.revoke(connection, grant_id, by, when))

    async def grants(
        self, *, workspace: str | None = None, user: str | None = None, at: datetime | None = None
    ) -> list[Grant]:
        """This hub's grants, oldest first; ``at``: only those that are not over by then."""
        return await self._read(
            lambda connection: rows.grants(connection, self.hub, workspace=workspace, user=user, at=at)
        )

    async def granted(
        self, where: GrantFilter = _ALL_GRANTS, *, after: str | None = None, limit: int = 100
    ) -> Page[Grant]:
        """A page of the grants of a filter, the newest first; as :meth:`sessions`."""
        mine = replace(where, hub=where.hub or self.hub)
        return await self._read(lambda connection: search.grants(connection, mine, after, limit))

    async def write_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Append to the audit log; an entry whose id is there stays as it is."""
        mine = [replace(entry, hub=entry.hub or self.hub) for entry in entries]
        await self._write(lambda connection: rows.add_entries(connection, mine))

    async def audit(
        self, where: AuditFilter = _ALL_ENTRIES, *, after: str | None = None, limit: int = 100
    ) -> Page[AuditEntry]:
        """A page of the entries of a filter, the newest first; as :meth:`sessions`."""
        mine = replace(where, hub=where.hub or self.hub)
        return await self._read(lambda connection: search.audit(connection, mine, after, limit))

    async def note_capacity(self, at: datetime, totals: Mapping[str, int]) -> int:
        """Note how many GPUs of each class there are from now on; returns of how many classes that is news."""
        return await self._write(lambda connection: capacity.note(connection, self.hub, at, totals))

    async def capacity(self, since: datetime, until: datetime) -> tuple[list[CapacityChange], list[GPURun]]:
        """What this hub's cluster had, in the order of the changes, and what its sessions had of it in a period."""

        def read(connection: Connection) -> tuple[list[CapacityChange], list[GPURun]]:
            changes = capacity.changes(connection, self.hub, since, until)
            return changes, capacity.gpu_runs(connection, self.hub, since, until)

        return await self._read(read)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._on(self._writer, lambda: self._do(self.database.write, work))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        if not self._ready:
            await self.open()
        return await self._on(self._reader, lambda: self._do(self.database.read, work))

    async def _on(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        return await get_running_loop().run_in_executor(thread, work)

    def _do(self, transaction: Callable[[], AbstractContextManager[Connection]], work: Callable[[Connection], T]) -> T:
        """Work in a transaction, and once more where its connection was lost: all of it happens once in any case."""
        self._prepare()
        try:
            with transaction() as connection:
                return work(connection)
        except StoreUnavailableError as error:
            if not error.connection_lost:
                raise
        with transaction() as connection:
            return work(connection)

    def _prepare(self) -> Versions | None:
        """Make or migrate the tables, until that has succeeded once."""
        if self._ready:
            return None
        found = self.database.migrate()
        self._ready = True
        if found.found not in (None, found.newest):
            logger.info("The ledger's tables are now of version %s (before: %s).", found.newest, found.found)
        return found

    def _shut(self) -> None:
        self._writer.shutdown()
        self._reader.shutdown(cancel_futures=True)
        self.database.dispose()
