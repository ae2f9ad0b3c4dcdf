"""Whatever happens to the hub and in whichever order, no server ends early or late, and nobody is warned twice."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gpuspawner.cluster.client import UnreachableError
from gpuspawner.cluster.records import PodRecord, pod_record
from gpuspawner.config import load_settings
from gpuspawner.errors import LaunchError
from gpuspawner.pod import pod_name
from gpuspawner.sessions.lease import ExtensionError, PlannedEnd
from gpuspawner.sessions.notices import Notice, Notices
from gpuspawner.sessions.sessions import Sessions

START = datetime(2026, 11, 21, 9, tzinfo=UTC)
HOUR = 3600
SETTINGS = load_settings(
    {
        "profiles": {"p": {"image": "i", "runtime": {"default": "1h", "max": "2h"}, "extend_to": "5h"}},
        "workspaces": {"everyone": {"members": "*"}},
    }
)
HELD = '{"workspace": "everyone", "gpu_classes": [], "gpus": 0, "cpu": 1.0, "memory": 1}'


class Cluster:
    """One pod in Kubernetes, as the hub's view and its client know it."""

    def __init__(self, runtime: int, deadline: int) -> None:
        annotations = {
            "hub.jupyter.org/username": "ada",
            "hub.jupyter.org/servername": "",
            "gpuspawner/held": HELD,
            "gpuspawner/runtime": str(runtime),
        }
        name, labels = pod_name("ada", ""), {"gpuspawner/profile": "p"}
        self.raw: dict[str, Any] = {
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": "1",
                "annotations": annotations,
                "labels": labels,
            },
            "spec": {"nodeName": "n", "activeDeadlineSeconds": deadline, "containers": []},
            "status": {"phase": "Running", "startTime": START.isoformat()},
        }
        self.away = False
        self.gone = False

    @property
    def record(self) -> PodRecord:
        return pod_record(self.raw, own=True)

    # The client, and the view.

    async def patch(self, resource: str, namespace: str, name: str, change: dict[str, Any]) -> dict[str, Any]:
        if self.away:
            raise UnreachableError("no route to host")
        self.raw["metadata"]["annotations"].update(change["metadata"]["annotations"])
        return self.raw

    def observe(self, raw: dict[str, Any]) -> PodRecord:
        return pod_record(raw, own=True)

    def pod(self, namespace: str, name: str) -> PodRecord | None:
        return None if self.gone else self.record

    def on_pod(self, listener: Any) -> Any:
        return lambda: None


class AnyOrder(RuleBasedStateMachine):
    """Time that passes, extensions, restarts of the hub, outages of Kubernetes, and stops that do not succeed."""

    @initialize(runtime=st.integers(60, 2 * HOUR), more=st.integers(0, 3 * HOUR))
    def launch(self, runtime: int, more: int) -> None:
        self.runner = asyncio.Runner()
        self.cluster = Cluster(runtime, runtime + more)
        self.now = START
        self.sent: list[Notice] = []
        self.lost_notes = False
        self.refuses_to_stop = False
        self.ended: datetime | None = None
        self.hub()

    def hub(self) -> None:
        async def collect(notice: Notice) -> None:
            self.sent.append(notice)

        async def stop(user: str, server: str, cause: LaunchError) -> bool:
            if self.refuses_to_stop:
                return False
            self.cluster.gone, self.ended = True, self.now
            return True

        view: Any = self.cluster
        self.sessions = Sessions(
            SETTINGS, view, view, clock=lambda: self.now, stop=stop, notices=Notices(collect, lambda: self.now)
        )
        self.sessions.follow("ada", "")

    def do(self, work: Coroutine[Any, Any, Any] | None = None) -> Any:
        async def all_of_it() -> Any:
            answer = await work if work is not None else self.sessions.look()
            while pending := self.sessions._tasks | self.sessions.notices._tasks:
                await asyncio.wait(pending)
            return answer

        return self.runner.run(all_of_it())

    def runs(self) -> bool:
        return not self.cluster.gone

    @rule(seconds=st.integers(1, 2 * HOUR))
    def time_passes_and_the_hub_looks(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.do()

    @rule()
    def time_passes_to_the_next_moment(self) -> None:
        moment = self.do()
        if moment is not None and moment > self.now:
            self.now = moment
            self.do()

    @rule(seconds=st.integers(1, 4 * HOUR))
    @precondition(runs)
    def somebody_extends_it(self, seconds: int) -> None:
        lease = self.sessions.lease("ada", "")
        assert lease is not None
        try:
            extended = self.do(self.sessions.extend("ada", "", seconds))
        except ExtensionError:
            now = self.sessions.lease("ada", "")
            assert now is not None
            assert now.ends == lease.ends
        else:
            assert extended.ends == lease.ends + timedelta(seconds=seconds)

    @rule(down=st.integers(0, HOUR))
    def the_hub_restarts(self, down: int) -> None:
        self.now += timedelta(seconds=down)
        self.hub()
        self.do()

    @rule()
    def the_hub_restarts_right_after_what_was_due(self) -> None:
        self.time_passes_to_the_next_moment()
        self.the_hub_restarts(0)

    @rule(away=st.booleans())
    def kubernetes_comes_and_goes(self, away: bool) -> None:
        self.cluster.away = away
        self.lost_notes = self.lost_notes or away

    @rule(refuses=st.booleans())
    def jupyterhub_cannot_stop_it_now(self, refuses: bool) -> None:
        self.refuses_to_stop = refuses

    @rule()
    @precondition(runs)
    def idleness_ends_it_soon_and_then_does_not(self) -> None:
        cause: Any = SimpleNamespace(code="idle", reason="", remedy="")
        end = PlannedEnd("idle", self.now + timedelta(minutes=20), cause, "idle")
        self.sessions.plan_end("ada", "", end)
        self.do()
        self.sessions.cancel_end("ada", "", "idle")
        self.do()

    @invariant()
    def it_ends_neither_early_nor_never(self) -> None:
        lease = self.sessions._lease(self.cluster.record) if hasattr(self, "sessions") else None
        if lease is None:
            return
        if self.ended is not None:
            assert self.ended >= lease.ends
        elif self.now > lease.ends + timedelta(seconds=10) and lease.extendable and not self.refuses_to_stop:
            self.do()
            assert self.ended is not None or self.sessions._not_before["ada", ""] > self.now

    @invariant()
    def nobody_is_warned_twice_of_one_end(self) -> None:
        if not hasattr(self, "sessions") or self.lost_notes:
            return
        soon = [notice for notice in self.sent if notice.kind == "ends-soon" and notice.data["cause"] == "runtime"]
        told = [(notice.data["ends"], notice.level) for notice in soon]
        assert len(told) == len(set(told))

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.close()


AnyOrder.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=25, deadline=None)
TestSessionsInAnyOrder = AnyOrder.TestCase
