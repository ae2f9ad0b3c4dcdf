"""Any history of launches, stops, deaths of the hub, outages, renewals, extensions and grants, in any order: in the end
every second that a pod ran is charged once, and nothing is held.

Balances, store and bookkeeper are the real ones, on a loop that the machine drives; the cluster keeps the rules of
Kubernetes.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from desk import PRICE, WORKSPACES, Desk, session
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gpuspawner.bookkeeping.book import HoldError
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.ledger.records import Grant, Session

USERS = st.sampled_from(["ada", "bob"])
CLASSES = st.sampled_from(["small", "medium"])
WHICH = st.integers(min_value=0, max_value=99)


class Launch:
    """A launch under way as the launcher knows it; a hub that dies forgets it."""

    def __init__(self, asked: Session, *, paid: bool) -> None:
        self.session = asked
        self.paid = paid
        self.uid = ""


class History(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.number = 0
        self.unpaid: set[str] = set()
        self.launches: list[Launch] = []
        self.cut_off: list[Launch] = []
        self.desk = Desk()
        self.loop.run_until_complete(self._start())

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let the hub do this, and then all it can. If its process dies meanwhile, its work is never finished."""

        async def until_done_or_dead() -> None:
            task = asyncio.ensure_future(work)
            await self.desk.done()
            if not task.done():
                assert self.desk.switch.dead
                task.cancel()
            await asyncio.gather(task, return_exceptions=self.desk.switch.dead)

        self.loop.run_until_complete(until_done_or_dead())
        if self.desk.switch.dead and self.desk.books is not None:
            self._die()

    def act(self, change: Callable[[], Any]) -> None:
        """Let this happen outside the hub."""

        async def happen() -> None:
            change()

        self.run(happen())

    def _die(self) -> None:
        self.loop.run_until_complete(self.desk.kill())
        self.cut_off += self.launches
        self.launches = []

    @property
    def up(self) -> bool:
        return self.desk.books is not None

    def pick(self, which: int, wanted: Callable[[Any], bool]) -> str | None:
        """One of the pods that are such."""
        found = [uid for uid, pod in self.desk.cluster.pods.items() if wanted(pod)]
        return found[which % len(found)] if found else None

    # The hub

    @precondition(lambda self: self.up)
    @rule(user=USERS, space=st.sampled_from(["course", "course", "open"]), runtime=st.sampled_from([600, 3600, 7200]))
    def launch(self, user: str, space: str, runtime: int) -> None:
        self.run(self._launch(user, space, runtime))

    async def _launch(self, user: str, space: str, runtime: int) -> None:
        desk, books = self.desk, self.desk.books
        assert books is not None
        self.number += 1
        cost = PRICE.ceiling(("small", "medium"), 1, 1.0, desk.now, runtime)
        asked = session(f"launch-{self.number}", desk.now, user=user, workspace=space, runtime=runtime, held=cost)
        paid = WORKSPACES[space].budget is not None
        left = desk.accounts.left(space, user, desk.now)
        if paid and (not await books.ready() or (left is not None and left < cost)):
            return
        if not paid:
            self.unpaid.add(asked.id)
        desk.accounts.hold(asked)
        launch = Launch(asked, paid=paid)
        self.launches.append(launch)
        try:
            await books.hold(asked, paid=paid)
        except HoldError:
            self.launches.remove(launch)
            books.withdrawn(asked.id, "ledger_unavailable")
            return
        launch.uid = desk.cluster.create(asked, paid=paid).uid

    @precondition(lambda self: self.up and self.launches)
    @rule(which=WHICH)
    def launch_succeeds(self, which: int) -> None:
        self.run(self._succeed(self.launches[which % len(self.launches)]))

    async def _succeed(self, launch: Launch) -> None:
        if launch.uid in self.desk.cluster.ran:
            self.launches.remove(launch)
            assert self.desk.books is not None
            self.desk.books.launched(launch.session.id)

    @precondition(lambda self: self.up and self.launches)
    @rule(which=WHICH, late=st.booleans())
    def launch_fails(self, which: int, late: bool) -> None:
        """Its pod is deleted, and when that is over the session is closed."""
        self.run(self._fail(self.launches[which % len(self.launches)], late))

    async def _fail(self, launch: Launch, late: bool) -> None:
        desk, books = self.desk, self.desk.books
        assert books is not None
        self.launches.remove(launch)
        if launch.uid in desk.cluster.pods:
            desk.cluster.delete(launch.uid)
            pod = desk.cluster.pods.get(launch.uid)
            if pod is not None and not pod.over:
                desk.cluster.end(launch.uid)
        books.withdrawn(launch.session.id, "cancelled")
        if late:  # a creation that was cut off, and comes through now
            desk.cluster.create(launch.session, paid=launch.paid)

    @precondition(lambda self: self.up and self.launches)
    @rule(which=WHICH)
    def launch_moves_on(self, which: int) -> None:
        """Its pod is replaced by another one, although it may just have begun to run."""
        self.run(self._move(self.launches[which % len(self.launches)]))

    async def _move(self, launch: Launch) -> None:
        desk, books = self.desk, self.desk.books
        assert books is not None
        if launch.uid in desk.cluster.pods:
            desk.cluster.delete(launch.uid)
            pod = desk.cluster.pods.get(launch.uid)
            if pod is not None and not pod.over:
                desk.cluster.end(launch.uid)
            for _ in range(100):
                await asyncio.sleep(0)
        if launch.uid in desk.cluster.pods:
            return  # it waits for the ledger, and so does the launch
        if not books.is_open(launch.session.id):
            self.number += 1
            asked = launch.session
            left = desk.accounts.left(asked.workspace, asked.user, desk.now)
            held = asked.held if left is None else min(left, asked.held)
            launch.session = replace(asked, id=f"launch-{self.number}", opened=desk.now, held=held)
            self.unpaid |= set() if launch.paid else {launch.session.id}
            desk.accounts.hold(launch.session)
            try:
                await books.hold(launch.session, paid=launch.paid)
            except HoldError:
                self.launches.remove(launch)
                books.withdrawn(launch.session.id, "ledger_unavailable")
                return
        launch.uid = desk.cluster.create(launch.session, paid=launch.paid).uid

    @precondition(lambda self: self.up)
    @rule(which=WHICH)
    def extend(self, which: int) -> None:
        self.run(self._extend(which))

    async def _extend(self, which: int) -> None:
        desk, books = self.desk, self.desk.books
        assert books is not None
        running = [row for row in desk.ledger.rows() if row.charged is None and books.is_open(row.id)]
        if not running or not await books.ready():
            return
        row = running[which % len(running)]
        held = desk.accounts.held(row.id) + 600 * MICRO
        left = desk.accounts.left_for(row.id, desk.now)
        if left is None or left >= 600 * MICRO:
            try:
                await books.extend(row.id, row.runtime + 600, held, row.user)
            except HoldError:
                assert desk.accounts.held(row.id) == held - 600 * MICRO

    @precondition(lambda self: self.up and not self.desk.switch.away)
    @rule(user=st.sampled_from(["ada", "bob", None]), units=st.integers(min_value=1, max_value=9000))
    def grant(self, user: str | None, units: int) -> None:
        self.run(self._grant(user, units))

    async def _grant(self, user: str | None, units: int) -> None:
        desk = self.desk
        assert desk.books is not None
        if await desk.books.ready() and not desk.switch.answers_lost:
            given = Grant(workspace="course", user=user, units=units * MICRO, reason="r", by="root", at=desk.now)
            await desk.ledger.grant(given)
            desk.accounts.grant(replace(given, hub="hub"))

    # The cluster, which asks nobody

    @rule(which=WHICH, gpu_class=CLASSES)
    def pod_starts(self, which: int, gpu_class: str) -> None:
        uid = self.pick(which, lambda pod: not pod.ran_from and not pod.over)
        if uid is not None:
            self.act(lambda: self.desk.cluster.start(uid, gpu_class))

    @rule(which=WHICH)
    def pod_ends(self, which: int) -> None:
        uid = self.pick(which, lambda pod: not pod.over)
        if uid is not None:
            self.act(lambda: self.desk.cluster.end(uid))
            if uid in self.desk.cluster.pods:  # the launcher clears away what has ended
                self.act(lambda: self.desk.cluster.delete(uid))

    @rule(which=WHICH)
    def pod_is_deleted(self, which: int) -> None:
        uid = self.pick(which, lambda pod: not pod.deleting)
        if uid is not None:
            self.act(lambda: self.desk.cluster.delete(uid))

    # Time and accidents

    @rule(seconds=st.sampled_from([1, 30, 600, 3600, 86400, 7 * 86400]))
    def time_passes(self, seconds: int) -> None:
        self.desk.pass_(seconds)

    @rule(away=st.booleans())
    def ledger_and_api_go_and_come(self, away: bool) -> None:
        self.desk.switch.away = away

    @rule(count=st.integers(min_value=1, max_value=3))
    def answers_are_lost(self, count: int) -> None:
        self.desk.switch.answers_lost = count

    @rule()
    def pauses_end(self) -> None:
        self.act(self.desk.pauses.end)

    @precondition(lambda self: self.up)
    @rule(calls=st.integers(min_value=0, max_value=4), after=st.booleans())
    def hub_will_die(self, calls: int, after: bool) -> None:
        """Killed in the middle of one of its next calls to the ledger or to Kubernetes, before or after its effect."""
        self.desk.switch.dies_in, self.desk.switch.dies_after = calls, after

    @precondition(lambda self: self.up)
    @rule(which=WHICH, calls=st.integers(min_value=0, max_value=2), after=st.booleans())
    def hub_dies_as_a_pod_ends(self, which: int, calls: int, after: bool) -> None:
        uid = self.pick(which, lambda pod: bool(pod.ran_from) and not pod.over)
        if uid is not None:
            self.hub_will_die(calls, after)
            self.act(lambda: self.desk.cluster.end(uid))

    @precondition(lambda self: self.up)
    @rule()
    def hub_dies(self) -> None:
        self._die()

    @precondition(lambda self: not self.up)
    @rule()
    def hub_starts(self) -> None:
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        """As a hub that starts does: launches that were cut off are cleared away, also one that came through late."""
        self.desk.begin()
        await self.desk.done()
        for launch in self.cut_off:
            if launch.uid in self.desk.cluster.pods:
                self.desk.cluster.delete(launch.uid)
        self.cut_off = []

    @invariant()
    def the_loop_has_done_what_it_can(self) -> None:
        self.run(asyncio.sleep(0))

    @invariant()
    def nobody_has_spent_or_holds_more_than_there_is(self) -> None:
        for user in ("ada", "bob", None):
            account = (
                self.desk.accounts.pool("course", self.desk.now)
                if user is None
                else self.desk.accounts.member("course", user, self.desk.now)
            )
            assert account is not None
            assert account.spent + account.held <= account.total

    def teardown(self) -> None:
        try:
            self.loop.run_until_complete(self._check())
        finally:
            self.loop.run_until_complete(self.desk.kill())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.desk.ledger.database.dispose()
            self.loop.close()

    async def _check(self) -> None:
        """All servers are stopped and the hub is started anew: every second is charged once, and nothing is held."""
        desk = self.desk
        if desk.books is not None:
            await desk.kill()
        desk.switch.away, desk.switch.answers_lost = False, 0
        for uid, pod in list(desk.cluster.pods.items()):
            desk.cluster.delete(uid)
            if uid in desk.cluster.pods and not pod.over:
                desk.cluster.end(uid)
        desk.begin()
        await desk.quiet()
        assert desk.cluster.pods == {}
        rows = {row.id: row for row in desk.ledger.rows()}
        assert [row.id for row in rows.values() if row.charged is None] == []
        owed = 0
        for uid, (of, gpu_class, began, ended) in desk.cluster.ran.items():
            assert ended is not None
            if of in self.unpaid:  # such pods wait for nobody, and may be gone before the hub has seen them
                continue
            held = rows.get(uid.replace("-", ""), rows[of]).held
            owed += min(held, PRICE.cost(gpu_class, 1, 1.0, began, ended))
        assert sum(row.charged or 0 for row in rows.values() if row.workspace == "course") == owed
        for user in ("ada", "bob"):
            account = desk.accounts.member("course", user, desk.now)
            assert account is not None
            charged = [row for row in rows.values() if row.workspace == "course" and row.user == user]
            spent = sum(row.charged or 0 for row in charged if account.period.begins <= row.opened)
            assert (account.held, account.spent) == (0, spent)


History.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestAnyHistory = History.TestCase
