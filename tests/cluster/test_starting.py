"""Waiting for a pod to be ready: what is told, what ends it, and how long which problem is borne."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fake_cluster import FakeCluster, node, pod, ready

from gpuspawner.catalog import Catalog, GPUClass, Offer
from gpuspawner.cluster import failures
from gpuspawner.cluster.deadlines import Stage, Stopwatch, TooSlowError
from gpuspawner.cluster.event_feed import Follower
from gpuspawner.cluster.events import EventRecord, Phase, Progress
from gpuspawner.cluster.kueue import Kueue
from gpuspawner.cluster.outlook import Outlook
from gpuspawner.cluster.pulls import Pulls
from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.starting import until_ready
from gpuspawner.cluster.view import View
from gpuspawner.cluster.wire import ApiError

CATALOG = Catalog(
    gpu_classes={
        "small": GPUClass(
            name="small", display_name="Small", accepts=(Offer(resource="nvidia.com/gpu", product=("Tesla-T4",)),)
        )
    },
    profiles={},
)
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: none",
}

GATED = "Scheduling is blocked due to non-empty scheduling gates"


class Launch:
    """A launch under way, its steps, its events, and a clock that a test moves."""

    def __init__(self, cluster: FakeCluster, view: View) -> None:
        self.follower = Follower(lambda: self.wake.set())
        self.stopwatch = Stopwatch({Stage.IMAGE: 1800, Stage.SETUP: 300})
        self.pulls = Pulls()
        self.cluster, self.view = cluster, view
        self.steps: asyncio.Queue[Progress] = asyncio.Queue()
        self.now = 0.0
        self.wake = asyncio.Event()

    def begin(self, raw: dict[str, Any]) -> "asyncio.Task[PodRecord]":
        record = self.view.observe(self.cluster.set("pods", raw))
        return asyncio.create_task(
            until_ready(
                self.view,
                self.cluster,  # type: ignore[arg-type]
                record,
                catalog=CATALOG,
                gpu_classes=("small",),
                tell=self.steps.put_nowait,
                wake=self.wake,
                clock=lambda: self.now,
                follower=self.follower,
                stopwatch=self.stopwatch,
                pulls=self.pulls,
                kueue=Kueue(self.cluster, lambda: self.now),  # type: ignore[arg-type]
            )
        )

    def happened(self, reason: str, message: str) -> None:
        at = f"2026-11-21T05:00:{len(self.follower.events):02}Z"
        self.follower.add(EventRecord(f"a.{reason}", "uid-a", "Normal", reason, message, 1, at))

    async def later(self, seconds: float) -> Progress:
        """What is told next once so much time has passed."""
        while not self.steps.empty():
            self.steps.get_nowait()
        self.now += seconds
        self.wake.set()
        return await asyncio.wait_for(self.steps.get(), 10)

    async def told(self, phase: Phase) -> Progress:
        async with asyncio.timeout(10):
            while (step := await self.steps.get()).phase is not phase:
                pass
        return step


@pytest.fixture
async def launch() -> AsyncIterator[Launch]:
    cluster = FakeCluster()
    cluster.set("nodes", node("t4-0", gpus=1), tell=False)
    view = View(cluster, "hub", {"gpuspawner/hub": "test"})  # type: ignore[arg-type]
    view.start()
    await view.started()
    yield Launch(cluster, view)
    await view.close()


async def outcome(task: "asyncio.Task[PodRecord]") -> Any:
    async with asyncio.timeout(10):
        return (await asyncio.gather(task, return_exceptions=True))[0]


async def test_a_pod_that_becomes_ready_is_returned_and_told_of_on_the_way(launch: Launch) -> None:
    task = launch.begin(pod("a", gpus=1))
    assert (await launch.told(Phase.ACCEPTED)).percent == 5
    launch.cluster.set("pods", pod("a", gpus=1, node="t4-0", phase="Pending"))
    await launch.told(Phase.SCHEDULED)
    launch.cluster.set("pods", ready("a", gpus=1))
    assert (await outcome(task)).ip == "127.1.2.3"
    assert not launch.view._listeners


async def test_a_taken_gpu_is_waited_for_however_long(launch: Launch) -> None:
    launch.cluster.set("pods", pod("other", node="t4-0", gpus=1))
    await launch.cluster.quiet()
    task = launch.begin(pod("a", gpus=1, conditions=[UNSCHEDULABLE]))
    assert (await launch.told(Phase.WAITING)).message == "The only Small GPU is taken."
    launch.now = 1e6
    launch.wake.set()
    await asyncio.sleep(0)
    launch.cluster.set("pods", ready("a", gpus=1))
    assert (await outcome(task)).ready


async def test_in_a_queue_of_kueues_who_is_ahead_is_told_and_no_other_deadline_runs(launch: Launch) -> None:
    gated = pod("a", gpus=1, conditions=[{**UNSCHEDULABLE, "reason": "SchedulingGated", "message": GATED}])
    gated["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "teaching"
    launch.cluster.ahead = {"uid-other": 0, "uid-b": 1, "uid-a": 2}
    task = launch.begin(gated)
    step = await launch.told(Phase.WAITING)
    assert step.message == "The server waits in the cluster's queue. 2 launches are ahead of you."
    assert step.outlook == Outlook(2)
    launch.cluster.ahead = {"uid-a": 0}
    step = await launch.later(1e6)
    assert step.message == "The server waits in the cluster's queue. It is next."
    launch.cluster.ahead = {}  # admitted, or Kueue does not tell
    assert (await launch.later(60)).message == "The server waits in the cluster's queue."
    launch.cluster.set("pods", ready("a", gpus=1))
    assert (await outcome(task)).ready


async def test_what_no_node_can_satisfy_ends_the_launch_after_a_while(launch: Launch) -> None:
    task = launch.begin(pod("a", gpus=4, conditions=[UNSCHEDULABLE]))
    assert "no node has more than 1" in (await launch.told(Phase.WAITING)).message
    launch.now = 21.0
    launch.wake.set()
    problem = await outcome(task)
    assert type(problem) is failures.TooManyGPUsError
    assert problem.remedy == "Ask for at most 1."


async def test_a_problem_that_passes_in_time_is_forgiven(launch: Launch) -> None:
    task = launch.begin(pod("a", gpus=4, conditions=[UNSCHEDULABLE]))
    await launch.told(Phase.WAITING)
    launch.now = 19.0
    launch.cluster.set("nodes", node("t4-1", gpus=8))
    launch.cluster.set(
        "pods", pod("a", gpus=4, conditions=[{**UNSCHEDULABLE, "message": "0/2 nodes are available: busy"}])
    )
    await launch.cluster.quiet()
    launch.now = 39.0
    launch.cluster.set("pods", ready("a", gpus=4, node="t4-1"))
    assert (await outcome(task)).node == "t4-1"


def dies(cluster: FakeCluster) -> None:
    state = {"terminated": {"exitCode": 1, "reason": "Error"}}
    cluster.set("pods", pod("a", node="t4-0", phase="Failed", containerStatuses=[{"name": "notebook", "state": state}]))


def is_deleted(cluster: FakeCluster) -> None:
    cluster.remove("pods", "hub", "a")


def is_preempted(cluster: FakeCluster) -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "m"}
    cluster.set("pods", pod("a", node="t4-0", conditions=[condition]))
    cluster.remove("pods", "hub", "a")


def has_no_image(cluster: FakeCluster) -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": 'failed to pull image "nb:1": not found'}}
    statuses = [{"name": "notebook", "state": waiting}]
    cluster.set("pods", pod("a", node="t4-0", phase="Pending", containerStatuses=statuses))


@pytest.mark.parametrize(
    ("happens", "kind"),
    [
        (dies, failures.ExitedError),
        (is_deleted, failures.DeletedError),
        (is_preempted, failures.PreemptedError),
        (has_no_image, failures.ImageMissingError),
    ],
)
async def test_a_pod_that_cannot_become_ready_ends_the_launch_at_once(
    launch: Launch, happens: Callable[[FakeCluster], None], kind: type[failures.PodError]
) -> None:
    launch.cluster.logs["a"] = "starting\nImportError: no jupyterhub\n"
    task = launch.begin(pod("a"))
    await launch.told(Phase.ACCEPTED)
    happens(launch.cluster)
    problem = await outcome(task)
    assert type(problem) is kind
    if kind is failures.ExitedError:
        assert '"ImportError: no jupyterhub"' in problem.reason
        assert problem.detail == "starting\nImportError: no jupyterhub"


async def test_a_relist_in_the_middle_of_a_launch_changes_nothing(launch: Launch) -> None:
    task = launch.begin(pod("a"))
    await launch.told(Phase.ACCEPTED)
    launch.cluster.set("pods", pod("a", node="t4-0", phase="Pending"), tell=False)
    launch.cluster.frame("pods", ApiError(410, "Expired", "too old"))
    await launch.told(Phase.SCHEDULED)
    launch.cluster.set("pods", ready("a"))
    assert (await outcome(task)).ready


async def pulling(launch: Launch) -> "asyncio.Task[PodRecord]":
    task = launch.begin(pod("a", node="t4-0", phase="Pending"))
    await launch.told(Phase.SCHEDULED)
    launch.happened("Pulling", 'Pulling image "nb:1"')
    return task


async def test_a_pull_is_told_with_the_time_it_has_taken_so_far(launch: Launch) -> None:
    task = await pulling(launch)
    assert (await launch.told(Phase.PULLING)).message == (
        "Node t4-0 is pulling the image nb:1; the first time this takes minutes."
    )
    assert (await launch.later(29)).message.endswith("; the first time this takes minutes.")
    assert (await launch.later(16)).message == "Node t4-0 is pulling the image nb:1, for 30 s so far."
    assert (await launch.later(135)).message == "Node t4-0 is pulling the image nb:1, for 3 min so far."
    launch.happened(
        "Pulled", 'Successfully pulled image "nb:1" in 3m1s (3m1s including waiting). Image size: 8123456789 bytes.'
    )
    assert (await launch.told(Phase.PULLED)).message == (
        "Node t4-0 has the image (8.1 GB, pulled in 3 min 1 s); the server is being set up."
    )
    launch.cluster.set("pods", ready("a"))
    assert (await outcome(task)).ready


async def test_an_image_that_was_pulled_before_is_told_with_its_size_and_the_time_that_took(launch: Launch) -> None:
    said = 'Successfully pulled image "nb:1" in 3m0s (3m0s including waiting). Image size: 8123456789 bytes.'
    launch.pulls.note([EventRecord("e", "u", "Normal", "Pulled", said, 1, "")])
    task = await pulling(launch)
    assert (await launch.told(Phase.PULLING)).message == (
        "Node t4-0 is pulling the image nb:1 (8.1 GB, pulled in 3 min the last time)."
    )
    assert (await launch.later(60)).message == (
        "Node t4-0 is pulling the image nb:1 (8.1 GB, pulled in 3 min the last time), for 1 min so far."
    )
    task.cancel()


async def test_a_pull_that_takes_longer_than_its_deadline_ends_the_launch(launch: Launch) -> None:
    task = await pulling(launch)
    await launch.told(Phase.PULLING)
    await launch.later(1799)
    launch.now += 1
    launch.wake.set()
    problem = await outcome(task)
    assert type(problem) is TooSlowError
    assert problem.reason.startswith("The image was not there after 30 min, and the launch is withdrawn.")


async def test_a_node_that_does_not_set_the_server_up_in_time_ends_the_launch(launch: Launch) -> None:
    task = launch.begin(pod("a", node="t4-0", phase="Pending"))
    await launch.told(Phase.SCHEDULED)
    launch.now = 300.0
    launch.wake.set()
    problem = await outcome(task)
    assert type(problem) is TooSlowError
    assert problem.stage is Stage.SETUP


async def test_time_without_an_answer_of_the_api_counts_for_no_deadline(launch: Launch) -> None:
    launch.stopwatch.enter(Stage.SETUP, 0.0)
    launch.stopwatch.pause(10.0)
    launch.stopwatch.enter(Stage.SETUP, 400.0)
    launch.stopwatch.enter(Stage.IMAGE, 405.0)
    assert launch.stopwatch.spent(Stage.SETUP) == 15
