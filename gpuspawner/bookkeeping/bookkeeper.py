"""Between launcher, accounts and store: a session is held before its pod is made, and charged once when it is over.

At every step what is known suffices to go on after a crash:

1. The hold is in memory (admission) and then, where a budget pays, in the database; only then the pod is made. A row
   without a pod has cost nothing.
2. The pod carries its session, and the finalizer: deleted or ended, by whom or when ever, it stays with its times.
3. The charge is written, once for each session; only then the finalizer is taken off. A pod with a session that has
   its charge needs nothing but that.

What is written while the database is away is tried again, in its order, until it succeeds.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from gpuspawner.bookkeeping.book import PATIENCE, Book, HoldError, Pods, cost_of, first_of, is_another
from gpuspawner.bookkeeping.runs import FINALIZER, Run, carried, run_of
from gpuspawner.bookkeeping.writes import Background, Writes, patiently
from gpuspawner.budgets.accounts import Accounts
from gpuspawner.cluster.records import PodRecord
from gpuspawner.ledger.records import AuditEntry, Session
from gpuspawner.ledger.store import Store, StoreUnavailableError, UnknownSessionError

__all__ = ["Bookkeeper"]

logger = logging.getLogger(__name__)

NEVER_RAN, UNSEEN = "never_ran", "unseen_end"
_UNTOLD = timedelta(minutes=5)
"""How long after a forced deletion the node may take to tell when the pod ended."""
_EVER = datetime.min.replace(tzinfo=UTC)


class Bookkeeper:
    """One for the hub, on its event loop.

    Parameters
    ----------
    accounts
        The balances. They begin with what the ledger knows, as soon as the database has answered.
    clock
        Now, in the hub's time zone.
    """

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        pods: Pods,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience: float = PATIENCE,
    ) -> None:
        self.accounts = accounts
        self.settled: Callable[[Session, str | None, int, str], None] = lambda *_: None
        """Called once for each session that has its charge: with its GPU class, the charge, and why it ended."""
        self._store = store
        self._pods = pods
        self._clock = clock
        self._sleep = sleep
        self._patience = patience
        self._books: dict[str, Book] = {}
        self._of_pod: dict[str, Book] = {}
        self._early: dict[str, tuple[PodRecord, bool]] = {}
        self._over: set[str] = set()
        self._untold: dict[str, asyncio.TimerHandle] = {}
        self._cluster_known = False
        self._loaded = asyncio.Event()
        self._writes = Writes(sleep)
        self._releases = Background()

    @property
    def unavailable(self) -> StoreUnavailableError | None:
        """Why the database does not take what is to be written; None while it does."""
        return self._writes.outage

    @property
    def pending(self) -> int:
        """How many writes wait for the database."""
        return len(self._writes)

    def begin(self) -> None:
        """Read the ledger, and write what comes; needs a running loop."""
        self._writes.add(self._load)
        self._writes.begin()

    async def close(self) -> None:
        """Write what can be written within 5 s. What cannot is found again by the next hub, from the pods."""
        for timer in self._untold.values():
            timer.cancel()
        await self._writes.close(self._patience)
        await self._releases.close()

    async def quiet(self) -> None:
        """Wait until nothing is left to be written."""
        await self._writes.done()
        await self._releases.done()

    @property
    def known(self) -> bool:
        """Whether the balances are known."""
        return self._loaded.is_set()

    async def ready(self) -> bool:
        """Wait, at most 5 s, until the balances are known; whether they are."""
        try:
            async with asyncio.timeout(self._patience):
                await self._loaded.wait()
        except TimeoutError:
            return False
        return True

    # Launches

    async def hold(self, session: Session, *, paid: bool) -> None:
        """Write the session of a launch, whose cost the accounts hold already, before its pod is made.

        Where a budget pays (``paid``) it is durable when this returns; else it is written when the database can.

        Raises
        ------
        HoldError
            Where the database does not answer within 5 s. As after any other failure the launch must then be
            :meth:`withdrawn`: it may have been written all the same.
        """
        book = self._books[session.id] = Book(session, paid, ours=True, launching=True)
        if not paid:
            self._writes.add(lambda: self._note(book))
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._loaded.wait()
                await self._note(book)
        except (TimeoutError, StoreUnavailableError) as error:
            raise HoldError(session.held, error) from error

    def is_open(self, session_id: str) -> bool:
        """Whether a session is held, and neither has its charge nor is about to get it."""
        book = self._books.get(session_id)
        return book is not None and not book.closed

    def launched(self, session_id: str) -> None:
        """A launch has succeeded: the end of its pod is the end of its session."""
        book = self._books.get(session_id)
        if book is not None:
            book.launching = False

    def withdrawn(self, session_id: str, cause: str) -> None:
        """A launch has failed, and no pod of it is there. If none has run, it has cost nothing."""
        book = self._books.get(session_id)
        if book is not None:
            book.launching = False
            if not book.closed and not book.pods:
                self._close(book, Run(None, self._clock()), cause)

    async def extend(self, session_id: str, runtime: int, held: int, by: str) -> None:
        """Let a running session take ``runtime`` seconds and cost ``held`` micro-units in all.

        Whether its budgets cover that is for the caller to see, with no ``await`` in between: the accounts hold it from
        this call on.

        Raises
        ------
        HoldError
            Where the database does not answer within 5 s; then the hold is what it was.
        LookupError
            Where the session is over.
        """
        book = self._books.get(session_id)
        if book is None or book.closed:
            raise LookupError(session_id)
        before = book.session
        self._change(book, replace(before, runtime=runtime, held=held))
        if not book.paid:
            self._writes.add(lambda: self._store.extend(session_id, runtime, held, by))
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._store.extend(session_id, runtime, held, by)
        except BaseException as error:
            if not book.closed:
                self._change(book, before)
                # It may have been written all the same.
                self._writes.add(lambda: self._store.extend(session_id, before.runtime, before.held, by))
            if isinstance(error, TimeoutError | StoreUnavailableError):
                raise HoldError(held, error) from error
            raise

    def note(self, *entries: AuditEntry) -> None:
        """Append to the audit log, as soon as the database takes it."""
        self._writes.add(lambda: self._store.write_audit(entries))

    def note_capacity(self, at: datetime, totals: Mapping[str, int]) -> None:
        """Note how many GPUs of each class there are from now on, as soon as the database takes it."""
        self._writes.add(lambda: self._store.note_capacity(at, totals))

    # Pods

    def pod_changed(self, pod: PodRecord, gone: bool) -> None:
        """A pod of the hub has changed, or is gone. Told again it does no harm."""
        if not self._cluster_known:
            self._early[pod.uid] = pod, gone
            return
        book = self._book_of(pod)
        if book is not None and pod.uid not in self._over:
            self._follow(book, pod, gone)
        elif book is None and pod.over and FINALIZER in pod.finalizers:
            logger.error("Pod %s/%s has the ledger's finalizer, but no session", pod.namespace, pod.name)
            self._releases.begin(self._release(pod))
        if gone:
            self._over.discard(pod.uid)
            self._of_pod.pop(pod.uid, None)

    def all_known(self) -> None:
        """All pods of the hub have been told, and their nodes are known: a session without one is over."""
        if not self._cluster_known:
            self._cluster_known = True
            early, self._early = self._early, {}
            for pod, gone in early.values():
                self.pod_changed(pod, gone)
            self._writes.add(self._close_those_without_pod)

    def _book_of(self, pod: PodRecord) -> Book | None:
        """The book of a pod's session, begun with what the pod carries where nothing is known of it."""
        book = self._of_pod.get(pod.uid)
        if book is None and (session := carried(pod.annotations)) is not None:
            book = self._books.get(session.id)
            if book is None:
                book = self._books[session.id] = Book(session, FINALIZER in pod.finalizers)
                self._writes.add(partial(self._take_up, book))
            self._of_pod[pod.uid] = book
        return book

    def _follow(self, book: Book, pod: PodRecord, gone: bool) -> None:
        if not book.closed and pod.ran_from:
            self._began(book, pod)
        if gone or pod.over:
            self._ended(book, pod, gone)
            return
        book.pods.add(pod.uid)
        if pod.forced and pod.uid not in self._untold:
            left = datetime.fromisoformat(pod.deleted_at) + _UNTOLD - self._clock()
            loop = asyncio.get_running_loop()
            self._untold[pod.uid] = loop.call_later(max(0.0, left.total_seconds()), self._untold_end, book, pod)

    def _began(self, book: Book, pod: PodRecord) -> None:
        """Its server runs, or ran; on which class may be known only later."""
        gpu_class = self._pods.landed(pod, book.session.gpu_classes) or book.gpu_class
        began = run_of(pod, self._clock(), started=book.started).started
        if began is not None and (began, gpu_class) != (book.started, book.gpu_class):
            book.started, book.gpu_class = began, gpu_class
            self.accounts.started(book.session.id, began, gpu_class)
            self._writes.add(lambda: self._note_start(book, began, gpu_class))

    def _ended(self, book: Book, pod: PodRecord, gone: bool) -> None:
        """A pod will not run any more. Its session is charged, unless its launch goes on with another one."""
        self._over.add(pod.uid)
        book.pods.discard(pod.uid)
        timer = self._untold.pop(pod.uid, None)
        if timer is not None:
            timer.cancel()
        run = run_of(pod, self._clock(), started=book.started)
        leave = not gone and FINALIZER in pod.finalizers
        if run.started is not None or not (book.launching or book.closed):
            self._close(book, run, self._pods.cause(pod), pod)
        if leave and run.started is None and self._loaded.is_set():
            self._releases.begin(self._release(pod))  # whatever becomes of its row: there is nothing to be charged
        elif leave:
            self._writes.add(lambda: self._release_later(pod))

    def _untold_end(self, book: Book, pod: PodRecord) -> None:
        """Of a pod whose deletion is forced only the finalizer is left, and a node that is lost never tells its end."""
        del self._untold[pod.uid]
        self._releases.begin(self._look_again(book, pod))

    async def _look_again(self, book: Book, pod: PodRecord) -> None:
        found = await patiently(
            lambda: self._pods.read(pod), self._sleep, f"Pod {pod.namespace}/{pod.name} is not read"
        )
        if found is not None and found.uid == pod.uid and not found.over and pod.uid not in self._over:
            logger.warning("The node of pod %s/%s does not tell that it has ended", pod.namespace, pod.name)
            self._ended(book, found, gone=False)

    async def _release(self, pod: PodRecord) -> None:
        """Take the finalizer off a pod, for as long as that takes."""
        await patiently(
            lambda: self._pods.let_go(pod), self._sleep, f"Pod {pod.namespace}/{pod.name} is not let go yet"
        )

    async def _release_later(self, pod: PodRecord) -> None:
        self._releases.begin(self._release(pod))

    # Charges

    def _change(self, book: Book, session: Session) -> None:
        book.session = session
        self.accounts.extend(session.id, session.held)

    def _close(self, book: Book, run: Run, cause: str, pod: PodRecord | None = None) -> None:
        first = not book.closed
        book.closing = True
        if first and self._loaded.is_set() and (book.ours or book.noted):
            self._account(book, run)
        self._writes.add(lambda: self._finish(book, run, cause, pod))

    def _account(self, book: Book, run: Run) -> int:
        """Charge a session in memory: once, whatever comes later."""
        if book.charged is None:
            book.charged = cost_of(book.session, book.gpu_class, run)
            self.accounts.settle(book.session.id, book.charged)
        return book.charged

    async def _finish(self, book: Book, run: Run, cause: str, pod: PodRecord | None) -> None:
        """Write the charge of a run."""
        if pod is not None and book.past is None:
            run = run_of(pod, run.ended, started=first_of(run.started, book.started))
        if book.past is not None:
            if pod is not None and is_another(run, book.past):
                await self._charge_apart(book, run, cause, pod)
            return
        charged = self._account(book, run)
        await self._settle(book.session, run, book.gpu_class, charged, cause)
        book.past = replace(book.session, started=run.started, ended=run.ended, charged=charged)
        self._books.pop(book.session.id, None)

    async def _charge_apart(self, book: Book, run: Run, cause: str, pod: PodRecord) -> None:
        """A pod ran although its session had its charge already, as one whose creation came through after its launch
        had been given up: its run is a session of its own, named by the pod."""
        gpu_class = self._pods.landed(pod, book.session.gpu_classes)
        apart = replace(book.session, id=pod.uid.replace("-", ""), started=None, ended=None, charged=None)
        self.accounts.hold(apart)
        charged = cost_of(apart, gpu_class, run)
        await self._settle(apart, run, gpu_class, charged, cause)
        self.accounts.settle(apart.id, charged)

    async def _settle(self, session: Session, run: Run, gpu_class: str | None, charged: int, cause: str) -> None:
        written = {"started": run.started, "ended": run.ended, "gpu_class": gpu_class}
        try:
            first = await self._store.settle(session.id, **written, charged=charged, cause=cause)  # type: ignore[arg-type]
        except UnknownSessionError:
            await self._store.hold(session)
            first = await self._store.settle(session.id, **written, charged=charged, cause=cause)  # type: ignore[arg-type]
        if first:
            self.settled(session, gpu_class, charged, cause)

    async def _close_those_without_pod(self) -> None:
        """The sessions of a hub before this one that have no pod: none was made, or the finalizer was taken off it.

        The end of one that ran is not known any more; it is charged until now at most.
        """
        now = self._clock()
        for book in tuple(self._books.values()):
            if book.ours or book.closed or book.pods:
                continue
            if book.started is None:
                self._close(book, Run(None, now), NEVER_RAN)
            else:
                ended = min(now, book.started + timedelta(seconds=book.session.runtime))
                self._close(book, Run(book.started, max(book.started, ended)), UNSEEN)

    # The ledger

    async def _load(self) -> None:
        """Begin with what the ledger knows."""
        grants = await self._store.grants()
        since = self.accounts.since(grants, self._clock())
        charges = await self._store.settled_since(since or _EVER)
        rows = await self._store.unsettled()
        self.accounts.load(rows, charges, grants)
        for row in rows:
            book = self._books.setdefault(row.id, Book(row, paid=bool(row.held)))
            self._take_from(book, row)
        for book in self._books.values():
            if book.ours:
                self.accounts.hold(book.session)
                if book.started is not None:
                    self.accounts.started(book.session.id, book.started, book.gpu_class)
        self._loaded.set()

    async def _take_up(self, book: Book) -> None:
        """Find the row of a session that a pod told of; write it where there is none."""
        row = await self._store.session(book.session.id)
        if row is not None and row.settled:
            book.past, book.noted = row, True
            self._books.pop(row.id, None)
            return
        if row is None:
            await self._store.hold(book.session)
        self._take_from(book, row or book.session)
        self.accounts.hold(book.session)
        if book.started is not None:
            self.accounts.started(book.session.id, book.started, book.gpu_class)

    @staticmethod
    def _take_from(book: Book, row: Session) -> None:
        book.session, book.noted = row, True
        book.started = first_of(book.started, row.started)
        book.gpu_class = book.gpu_class or row.gpu_class

    async def _note(self, book: Book) -> None:
        await self._store.hold(book.session)
        book.noted = True

    async def _note_start(self, book: Book, at: datetime, gpu_class: str | None) -> None:
        if book.past is None:
            try:
                await self._store.started(book.session.id, at, gpu_class)
            except UnknownSessionError:
                await self._store.hold(book.session)
                await self._store.started(book.session.id, at, gpu_class)
