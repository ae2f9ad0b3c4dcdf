"""In whatever order servers start, land and stop over days, no launch exceeds a limit, and no denial is idle."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from small_hub import ask

from gpuspawner.admission import Capacity, Held, admit
from gpuspawner.config import load_settings
from gpuspawner.errors import BadRequestError, DeniedError
from gpuspawner.ledger.holds import Holds
from gpuspawner.request import LaunchRequest

NOTHING = Capacity()
GPU_CLASSES = ("small", "medium")
LIMITED: dict[str, Any] = {
    "gpu_classes": {name: {"accepts": [{"resource": "nvidia.com/gpu", "product": name}]} for name in GPU_CLASSES},
    "profiles": {
        "p": {
            "image": "x",
            "cpu": {"default": 1, "min": 0.1, "max": 4},
            "memory": {"default": "1G", "max": "4G"},
            "gpu_classes": list(GPU_CLASSES),
            "gpus": {"default": 1, "max": 3},
        }
    },
    "workspaces": {
        "everyone": {"members": "*", "quota": {"small": 2, "medium": 1}},
        "course": {
            "starts": "2026-11-01",
            "ends": "2026-11-10",
            "members": "*",
            "quota": {"small": 3, "medium": 2},
            "per_member": {"gpus": 2, "cpu": 4.3, "memory": "5G", "servers": 2},
            "exceptions": [
                {"from": "2026-11-03", "to": "2026-11-05", "quota": {"medium": 5}, "per_member": {"gpus": 3}},
                {"from": "2026-11-05", "to": "2026-11-07", "quota": {"small": 0}, "per_member": {"servers": 1}},
            ],
        },
    },
    "cohorts": {
        "all": {
            "workspaces": ["everyone", "course"],
            "quota": {"small": 4},
            "borrowing": True,
            "reserve": {"small": 1},
            "exceptions": [{"from": "2026-11-06", "to": "2026-11-08", "borrowing": False}],
        }
    },
    "per_member": {"servers": 3, "gpus": 4},
}


class Launches(RuleBasedStateMachine):
    """Servers start, land, stop, end and crash in any order over days, and the hub restarts."""

    @initialize()
    def begin(self) -> None:
        self.hub = load_settings(LIMITED)
        self.holds = Holds()
        self.day = date(2026, 11, 1)
        self.running: dict[tuple[str, str], Held] = {}

    @property
    def now(self) -> datetime:
        return datetime.combine(self.day, time(12), self.hub.timezone)

    @rule(
        user=st.sampled_from(["ada", "grace"]),
        server=st.sampled_from(["", "two", "three"]),
        workspace=st.sampled_from(["everyone", "course"]),
        gpus=st.integers(0, 3),
        classes=st.sampled_from(["any", "small", "medium", ["medium", "small"]]),
        cpu=st.sampled_from([0.1, 1, 2.1, 4]),
        memory=st.sampled_from(["1G", "2G", "4G"]),
    )
    def start(self, user: str, server: str, workspace: str, gpus: int, classes: Any, cpu: float, memory: str) -> None:
        if (user, server) in self.running:
            return
        options = {"workspace": workspace, "gpus": gpus, "gpu_class": classes, "cpu": cpu, "memory": memory}
        try:
            request = ask(self.hub, options, user=user, server=server, now=self.now)
        except BadRequestError:  # the class is not granted on this day
            return
        before = self.holds.usage()
        try:
            granted = self.holds.admit(lambda usage: admit(request, self.hub, usage, NOTHING, self.now))
        except DeniedError as error:
            self.check_denial(before, request, error)
            return
        self.running[user, server] = granted.held
        self.check(workspace)

    def check_denial(self, before: list[Held], request: LaunchRequest, error: DeniedError) -> None:
        assert self.holds.usage() == before, "a denial holds nothing"
        assert self.exceeds(before, request), error.sentence

    def exceeds(self, usage: list[Held], request: LaunchRequest) -> bool:
        """Whether with this launch a limit of its workspace would really be exceeded, in each class it may take."""
        space = self.hub.workspaces[request.workspace]
        limits = space.limits(self.day)
        here = [one for one in usage if one.workspace == space.name]
        mine = [one for one in here if one.user == request.user]
        most = limits.per_member
        over_member = [
            most.gpus is not None and request.gpus > 0 and sum(one.gpus for one in mine) + request.gpus > most.gpus,
            most.cpu is not None and sum(one.cpu for one in mine) + request.cpu > most.cpu + 1e-9,
            most.memory is not None and sum(one.memory for one in mine) + request.memory > most.memory,
            most.servers is not None and len(mine) + 1 > most.servers,
        ]
        everywhere = [one for one in usage if one.user == request.user]
        over_member += [
            len(everywhere) + 1 > 3,
            request.gpus > 0 and sum(one.gpus for one in everywhere) + request.gpus > 4,
        ]
        over_quota = [not self.fits(name, request.gpus, space.name, usage) for name in request.gpu_classes]
        return not space.is_open(self.day) or any(over_member) or (bool(over_quota) and all(over_quota))

    def fits(self, gpu_class: str, gpus: int, workspace: str, usage: list[Held]) -> bool:
        """Whether a workspace may hold so many more, of its own or lent by the other."""
        quotas = {name: space.limits(self.day).quota_of(gpu_class) or 0 for name, space in self.hub.workspaces.items()}
        taken = [one for one in usage if gpu_class in one.gpu_classes]
        own = sum(one.gpus for one in taken if one.workspace == workspace) + gpus
        together = sum(one.gpus for one in taken) + gpus
        most, reserve = (4, 1) if gpu_class == "small" else (sum(quotas.values()), 0)
        lent = not date(2026, 11, 6) <= self.day <= date(2026, 11, 8) and together <= most - reserve
        return together <= most and (own <= quotas[workspace] or lent)

    def check(self, workspace: str) -> None:
        """Right after a grant, nothing in its workspace exceeds a limit of the day unless it did before the day's
        limits shrank: so check what the grant added to."""
        space = self.hub.workspaces[workspace]
        limits = space.limits(self.day)
        held_here = [one for one in self.running.values() if one.workspace == workspace]
        newest = held_here[-1]
        before = [one for one in self.running.values() if one is not newest]
        for name in newest.gpu_classes:
            assert self.fits(name, newest.gpus, workspace, before)
        everywhere = [one for one in self.running.values() if one.user == newest.user]
        assert len(everywhere) <= 3
        assert not newest.gpus or sum(one.gpus for one in everywhere) <= 4
        mine = [one for one in held_here if one.user == newest.user]
        most = limits.per_member
        assert most.gpus is None or not newest.gpus or sum(one.gpus for one in mine) <= most.gpus
        assert most.cpu is None or sum(one.cpu for one in mine) <= most.cpu + 1e-9
        assert most.memory is None or sum(one.memory for one in mine) <= most.memory
        assert most.servers is None or len(mine) <= most.servers

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def land(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        one = self.running[key]
        landed = replace(one, gpu_classes=one.gpu_classes[-1:])
        self.running[key] = landed
        self.holds.pod_runs(landed)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), seen=st.booleans())
    def stop(self, data: st.DataObject, seen: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[key]
        if seen:
            self.holds.pod_ended(key)
        self.holds.release(key)
        self.holds.pod_ended(key)

    @rule(days=st.integers(1, 3))
    def days_pass(self, days: int) -> None:
        self.day = min(self.day + timedelta(days=days), date(2026, 11, 11))

    @rule()
    def restart_the_hub(self) -> None:
        """A new hub counts the pods that run."""
        self.holds = Holds()
        for one in self.running.values():
            self.holds.pod_runs(one)

    @invariant()
    def the_holds_count_what_runs(self) -> None:
        if hasattr(self, "running"):
            by_key = sorted(self.holds.usage(), key=lambda one: one.key)
            assert by_key == sorted(self.running.values(), key=lambda one: one.key)


Launches.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLaunches = Launches.TestCase
