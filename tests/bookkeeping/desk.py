"""A bookkeeper without a cluster: pods that a test moves through their lives, a ledger that comes and goes, time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gpuspawner.bookkeeping.bookkeeper import Bookkeeper
from gpuspawner.bookkeeping.runs import carry
from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.pricing import MICRO, Price
from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.wire import UnreachableError
from gpuspawner.ledger.errors import StoreUnavailableError
from gpuspawner.ledger.records import Session
from gpuspawner.ledger.store import Store
from gpuspawner.workspace import Workspace

NOON = datetime(2026, 11, 4, 12, tzinfo=UTC)
RATES = {"small": 3600 * MICRO, "medium": 7200 * MICRO}
"""One and two units a second."""
PRICE = Price(RATES)
WORKSPACES = {
    "course": Workspace.model_validate(
        {"name": "course", "budget": {"per_member": 20_000, "pool": 60_000, "renews": "weekly"}}
    ),
    "open": Workspace.model_validate({"name": "open"}),
}


def written(at: datetime) -> str:
    """As Kubernetes writes a time."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def session(session_id: str, opened: datetime = NOON, **changes: Any) -> Session:
    asked: dict[str, Any] = {
        "id": session_id,
        "hub": "hub",
        "user": "ada",
        "server": "",
        "workspace": "course",
        "profile": "pytorch",
        "options": {},
        "gpu_classes": ("small", "medium"),
        "gpus": 1,
        "cpu": 1.0,
        "memory": 10**9,
        "image": "example.org/notebook:1",
        "runtime": 3600,
        "price": PRICE.to_json(),
        "held": 7200 * MICRO,
        "opened": opened,
    }
    return Session(**{**asked, **changes})


class Switch:
    """What keeps calls from their effect or from their answer: an outage, or the death of the hub's process."""

    def __init__(self) -> None:
        self.away = False
        self.answers_lost = 0
        self.dead = False
        self.dies_in: int | None = None
        self.dies_after = False

    async def pass_(self, effect: Callable[[], Awaitable[Any]], away: Exception) -> Any:
        if self._dies(before=True):
            await asyncio.Future()
        if self.away:
            raise away
        answer = await effect()
        if self._dies(before=False):
            await asyncio.Future()
        if self.answers_lost:
            self.answers_lost -= 1
            raise away
        return answer

    def _dies(self, *, before: bool) -> bool:
        if not self.dead and self.dies_in is not None:
            if self.dies_in == 0 and self.dies_after is not before:
                self.dead = True
            elif not before:
                self.dies_in -= 1
        return self.dead


class Ledger(Store):
    """A ledger in memory that outlives the hub, on the loop itself, so that nothing happens at another time."""

    def __init__(self, switch: Switch, clock: Callable[[], datetime]) -> None:
        super().__init__("sqlite://", "hub", clock)
        self.switch = switch

    async def _on(self, thread: Any, work: Callable[[], Any]) -> Any:
        async def effect() -> Any:
            return work()

        return await self.switch.pass_(effect, StoreUnavailableError("away"))

    def rows(self) -> list[Session]:
        """All sessions, whatever the switch says."""
        from gpuspawner.ledger import rows

        with self.database.read() as connection:
            found = connection.execute(rows.SESSIONS.select())
            return [rows.session_of(row) for row in found]


class Cluster:
    """Pods with Kubernetes' rules on finalizers; whoever is ``told`` hears of each change."""

    def __init__(self, switch: Switch, clock: Callable[[], datetime]) -> None:
        self.pods: dict[str, PodRecord] = {}
        self.classes: dict[str, str] = {}
        self.ran: dict[str, tuple[str, str, datetime, datetime | None]] = {}
        """By uid: session, class, start and end."""
        self.told: Callable[[PodRecord, bool], None] = lambda pod, gone: None
        self._switch = switch
        self._clock = clock
        self._made = 0

    def create(self, session: Session, *, paid: bool) -> PodRecord:
        self._made += 1
        manifest: dict[str, Any] = {"metadata": {"annotations": {}}}
        carry(manifest, session, until_charged=paid)
        metadata = manifest["metadata"]
        pod = PodRecord(
            namespace="hub",
            name=f"jupyter-{session.user}",
            uid=f"00000000-0000-0000-0000-{self._made:012}",
            version=str(self._made),
            own=True,
            node="",
            phase="Pending",
            deleting=False,
            requests={},
            annotations=metadata["annotations"],
            finalizers=tuple(metadata.get("finalizers", ())),
            runtime=session.runtime,
        )
        return self._put(pod)

    def start(self, uid: str, gpu_class: str = "small") -> None:
        pod, now = self.pods[uid], self._clock()
        self.classes[uid] = gpu_class
        self.ran[uid] = (self._session(pod), gpu_class, now, None)
        self._put(replace(pod, node="n1", phase="Running", started_at=written(now), ran_from=written(now)))

    def end(self, uid: str, **changes: Any) -> None:
        """Its process ends, by itself or because it was asked to."""
        pod, now = self.pods[uid], self._clock()
        if uid in self.ran:
            self.ran[uid] = (*self.ran[uid][:3], now)
            changes = {"ran_until": written(now), "exit_code": 0, **changes}
        self._put(replace(pod, phase="Failed", node=pod.node or "n1", **changes))

    def delete(self, uid: str, grace: int = 30) -> None:
        pod = self.pods[uid]
        if not pod.deleting:
            due = written(self._clock() + timedelta(seconds=grace))
            self._put(replace(pod, deleting=True, deleted_at=due, forced=grace == 0))

    def landed(self, pod: PodRecord, among: Sequence[str]) -> str | None:
        return self.classes.get(pod.uid)

    def cause(self, pod: PodRecord) -> str:
        return "deleted" if pod.deleting else "exited"

    async def read(self, pod: PodRecord) -> PodRecord | None:
        async def effect() -> PodRecord | None:
            return self.pods.get(pod.uid)

        return await self._switch.pass_(effect, UnreachableError("away"))

    async def let_go(self, pod: PodRecord) -> None:
        async def effect() -> None:
            if pod.uid in self.pods:
                self._put(replace(self.pods[pod.uid], finalizers=()))

        await self._switch.pass_(effect, UnreachableError("away"))

    def _put(self, pod: PodRecord) -> PodRecord:
        gone = pod.deleting and pod.over and not pod.finalizers
        if gone:
            self.pods.pop(pod.uid, None)
        else:
            self.pods[pod.uid] = pod
        self.told(pod, gone)
        return pod

    def _session(self, pod: PodRecord) -> str:
        from gpuspawner.bookkeeping.runs import carried

        found = carried(pod.annotations)
        assert found is not None
        return found.id


class Pauses:
    """Pauses that end when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def __call__(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        await future

    def end(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Desk:
    """A hub's bookkeeper that can be killed and started anew; ledger, pods and time go on."""

    def __init__(self) -> None:
        self.now = NOON
        self.switch = Switch()
        self.ledger = Ledger(self.switch, lambda: self.now)
        self.cluster = Cluster(self.switch, lambda: self.now)
        self.pauses = Pauses()
        self.accounts = self._accounts()
        self.books: Bookkeeper | None = None
        self._others: set[asyncio.Task[Any]] = set()

    def begin(self, *, all_known: bool = True) -> Bookkeeper:
        """Start the hub, which reads what is there."""
        self.switch.dead, self.switch.dies_in = False, None
        self._others = asyncio.all_tasks()
        self.accounts, self.pauses = self._accounts(), Pauses()
        self.books = books = Bookkeeper(
            self.ledger, self.accounts, self.cluster, clock=lambda: self.now, sleep=self.pauses, patience=0
        )
        self.cluster.told = books.pod_changed
        books.begin()
        for pod in list(self.cluster.pods.values()):
            books.pod_changed(pod, False)
        if all_known:
            books.all_known()
        return books

    async def kill(self) -> None:
        """The hub's process is no more: what it was about to do is not done."""
        self.switch.dead = True
        self.cluster.told = lambda pod, gone: None
        tasks = asyncio.all_tasks() - self._others - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for timer in self.books._untold.values() if self.books else ():
            timer.cancel()
        self.books = None

    async def done(self) -> None:
        """Let the loop do what it can: until nothing is left, or all that is left waits for somebody."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        for _ in range(10_000):
            await asyncio.sleep(0)
            if not ready:
                return
        raise AssertionError("something goes round in circles")

    async def quiet(self) -> None:
        """With everything in reach again: let all be written."""
        self.switch.away, self.switch.answers_lost = False, 0
        for _ in range(20):
            self.pauses.end()
            await self.done()
        assert not self.pauses.waiting

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def cost(self) -> int:
        """Micro-units of what pods ran, as the engine of the test knows it."""
        return sum(
            PRICE.cost(gpu_class, 1, 1.0, began, ended)
            for _, gpu_class, began, ended in self.cluster.ran.values()
            if ended
        )

    def charged(self) -> dict[str, int | None]:
        """The charge of each session of the ledger."""
        return {row.id: row.charged for row in self.ledger.rows()}

    @staticmethod
    def _accounts() -> Accounts:
        return Accounts(WORKSPACES, ZoneInfo("UTC"))
