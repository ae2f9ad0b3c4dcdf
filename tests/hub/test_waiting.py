"""Waiting for a GPU on the engine: who is ahead, whose turn comes when, another class, an autoscaler, and its end.

Time is passed in: nothing here waits for a minute to pass.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cluster import IMAGES, SECTION, section
from test_launcher import SERVER, pods, request, settled

from gpuspawner.bookkeeping.runs import SESSION
from gpuspawner.cluster.events import Phase, Progress
from gpuspawner.cluster.failures import NoSuchGPUError
from gpuspawner.config import load_settings
from gpuspawner.errors import LaunchError
from gpuspawner.labels import LIMITED_BY
from gpuspawner.launcher import Launcher
from gpuspawner.local.apiserver.events import record_event
from gpuspawner.local.engine import Engine

PATIENCE = 20
MIG = {"display_name": "Slice", "accepts": [{"resource": "nvidia.com/mig-3g.40gb"}]}


class Hall:
    """A launcher on an engine, launches under way on it, and a clock that a test moves."""

    def __init__(self, engine: Engine, folder: Path, changes: dict[str, Any]) -> None:
        self.engine = engine
        self.monotonic = 0.0
        options = section(engine, folder, **changes)
        options.pop("start_timeout")
        options["gpu_classes"]["slice"] = MIG
        for profile in options["profiles"].values():
            if "gpu_classes" in profile:
                profile["gpu_classes"] = ["small", "medium", "slice"]
        options["workspaces"]["everyone"] = {"members": "*"}
        self.launcher = Launcher(
            load_settings(options),
            owned=lambda user, server: False,
            sleep=lambda seconds: asyncio.sleep(0),
            monotonic=lambda: self.monotonic,
        )
        self.tasks: list[asyncio.Task[Any]] = []

    def begin(self, user: str, **asked: Any) -> tuple["asyncio.Task[Any]", "asyncio.Queue[Progress]"]:
        steps: asyncio.Queue[Progress] = asyncio.Queue()
        task = asyncio.create_task(self.launcher.launch(request(user, **asked), SERVER, steps.put_nowait, 1e6))
        self.tasks.append(task)
        return task, steps

    def touch(self, user: str) -> None:
        """Have the pod change, so that its launch looks at the clock again."""

        def change(pod: dict[str, Any]) -> None:
            pod["metadata"].setdefault("annotations", {})["touched"] = str(self.monotonic)

        self.engine.store.modify("pods", "default", f"jupyter-{user}", change)

    def event(self, user: str, reason: str, message: str, source: str = "cluster-autoscaler") -> None:
        pod = self.engine.store.get("pods", "default", f"jupyter-{user}")
        record_event(self.engine.store, pod, "Normal", reason, message, source)


async def told(steps: "asyncio.Queue[Progress]", matches: Callable[[Progress], bool]) -> Progress:
    async with asyncio.timeout(PATIENCE):
        while not matches(step := await steps.get()):
            pass
    return step


def says(words: str) -> Callable[[Progress], bool]:
    return lambda step: words in step.message


@pytest.fixture
def nodes() -> str:
    return "t4=1x1 a100-mig-3g.40gb=1x1 cpu=1"


@pytest.fixture
def changes() -> dict[str, Any]:
    return {}


@pytest.fixture
async def hall(nodes: str, changes: dict[str, Any], tmp_path: Path) -> AsyncIterator[Hall]:
    engine = Engine(nodes=nodes, images=IMAGES, data_dir=tmp_path / "engine", stop_grace=1.0)
    await engine.start()
    hall = Hall(engine, tmp_path, changes)
    hall.launcher.begin()
    await hall.launcher.view.started()
    yield hall
    for task in hall.tasks:
        task.cancel()
    await asyncio.gather(*hall.tasks, return_exceptions=True)
    await hall.launcher.close()
    await engine.stop()


async def test_a_launch_is_told_how_many_are_ahead_and_when_its_turn_comes(hall: Hall) -> None:
    first = await hall.begin("ada", runtime=3600)[0]
    began = datetime.fromisoformat(first.started_at)
    hall.launcher._clock = hall.launcher._room._clock = lambda: began.astimezone(UTC)
    _, second = hall.begin("bob", runtime=1800)
    step = await told(second, lambda step: step.phase is Phase.WAITING)
    at = datetime.fromtimestamp(began.timestamp() + 3600, UTC)
    assert step.message == (
        "The only Small GPU is taken. "
        f"Your turn comes in about 1 h, by {at:%H:%M} at the latest unless someone extends."
    )
    assert "Insufficient nvidia.com/gpu" in step.raw
    _, third = hall.begin("eve")
    step = await told(third, says("ahead"))
    at = datetime.fromtimestamp(began.timestamp() + 5400, UTC)
    assert step.message == (
        "The only Small GPU is taken; 1 launch is ahead of you. "
        f"Your turn comes in about 1 h 30 min, by {at:%H:%M} at the latest unless someone extends."
    )
    hall.tasks[1].cancel()
    await settled(hall.launcher)
    hall.touch("eve")
    step = await told(third, lambda step: "ahead" not in step.message)
    assert "in about 1 h, by" in step.message


@pytest.mark.parametrize(
    "changes",
    [
        {
            "profiles": {
                "pytorch": {
                    **SECTION["profiles"]["pytorch"],
                    "runtime": {"default": "1h", "max": "2h"},
                    "extend_to": "6h",
                }
            }
        }
    ],
)
async def test_the_turn_comes_when_the_granted_time_is_over_and_moves_with_an_extension(hall: Hall) -> None:
    first = await hall.begin("ada", runtime=3600)[0]
    assert first.runtime == 6 * 3600
    began = datetime.fromisoformat(first.started_at)
    hall.launcher._clock = hall.launcher._room._clock = lambda: began.astimezone(UTC)
    _, second = hall.begin("bob", runtime=1800)
    assert "in about 1 h, by" in (await told(second, lambda step: step.phase is Phase.WAITING)).message

    def extend(pod: dict[str, Any]) -> None:
        pod["metadata"]["annotations"]["gpuspawner/ends"] = (began + timedelta(hours=3)).isoformat()

    hall.engine.store.modify("pods", "default", "jupyter-ada", extend)
    await hall.launcher.view.wait_for("default", "jupyter-ada", lambda pod: "gpuspawner/ends" in pod.annotations)
    hall.touch("bob")
    assert "in about 3 h, by" in (await told(second, says("about 3 h"))).message


async def test_pods_of_others_that_wait_too_are_told_and_make_the_estimate_less_certain(hall: Hall) -> None:
    await hall.begin("ada", runtime=3600)[0]
    foreign = {
        "metadata": {"name": "theirs", "namespace": "default"},
        "spec": {
            "containers": [
                {"name": "main", "image": "example.org/silent:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
            ],
            "tolerations": [{"operator": "Exists"}],
        },
    }
    await hall.launcher.client.create("pods", "default", foreign)
    _, steps = hall.begin("bob")
    step = await told(steps, says("other pod"))
    assert "taken; 1 other pod waits, too. Your turn comes in about 1 h" in step.message
    assert "at the latest" not in step.message


async def test_a_launch_moves_to_its_next_class_when_the_first_had_none_free_for_a_while(hall: Hall) -> None:
    await hall.begin("ada")[0]
    task, steps = hall.begin("bob", gpu_classes=("small", "slice"))
    # Admission sees that the first choice is taken and the next one free, and takes that without a wait.
    assert (await task).requests["nvidia.com/mig-3g.40gb"] == 1
    task, steps = hall.begin("eve", gpu_classes=("small", "slice"))
    await told(steps, says("The only Small GPU is taken"))
    await hall.launcher.stop("bob", "", grace_seconds=2)
    hall.monotonic = 59.0
    hall.touch("eve")
    await told(steps, lambda step: step.phase is Phase.WAITING)
    assert not task.done()
    hall.monotonic = 61.0
    hall.touch("eve")
    step = await told(steps, says("next choice"))
    assert step.message == "No Small GPU was free for 1 min 1 s; the launch goes on with Slice, your next choice."
    pod = await asyncio.wait_for(task, PATIENCE)
    assert pod.node.startswith("a100-mig")
    held = next(held for held in hall.launcher.usage() if held.user == "eve")
    assert held.gpu_classes == ("slice",)
    assert len(pods(hall.engine)) == 2


async def test_two_that_wait_do_not_both_move_to_the_one_that_is_free(hall: Hall) -> None:
    await hall.begin("ada")[0]
    await hall.begin("bob", gpu_classes=("slice",))[0]
    waiting = {name: hall.begin(name, gpu_classes=("small", "slice")) for name in ("eve", "zoe")}
    for _, steps in waiting.values():
        await told(steps, says("The only Small GPU is taken"))
    await hall.launcher.stop("bob", "", grace_seconds=2)
    hall.monotonic = 61.0
    for name in waiting:
        hall.touch(name)
    done, _ = await asyncio.wait(
        [task for task, _ in waiting.values()], timeout=PATIENCE, return_when="FIRST_COMPLETED"
    )
    assert len(done) == 1
    (late,) = [name for name, (task, _) in waiting.items() if not task.done()]
    hall.touch(late)
    step = await told(waiting[late][1], says("Your turn"))
    assert "The only Small GPU is taken" in step.message


async def test_launches_at_the_same_instant_share_out_the_classes_that_are_free(hall: Hall) -> None:
    both = [hall.begin(name, gpu_classes=("small", "slice"))[0] for name in ("ada", "bob")]
    nodes = {(await asyncio.wait_for(task, PATIENCE)).node for task in both}
    assert nodes == {"t4-0", "a100-mig-3g.40gb-0"}


@pytest.mark.parametrize("changes", [{"fallback_after": None}])
async def test_where_the_site_wants_no_fallback_a_launch_stays_with_its_first_class(hall: Hall) -> None:
    await hall.begin("ada")[0]
    await hall.begin("bob", gpu_classes=("slice",))[0]
    task, steps = hall.begin("eve", gpu_classes=("small", "slice"))
    await told(steps, says("The only Small GPU is taken"))
    await hall.launcher.stop("bob", "", grace_seconds=2)
    hall.monotonic = 1e4
    hall.touch("eve")
    with pytest.raises(LaunchError, match="as long as this launch may wait"):
        await asyncio.wait_for(task, PATIENCE)


BUDGETS = {
    "gpu_classes": {name: {**found, "rate": 0.1} for name, found in SECTION["gpu_classes"].items()},
    "workspaces": {
        "lab": {"members": "*", "budget": {"per_member": 0.5, "renews": "never"}},
        "rich": {"members": "*", "budget": {"per_member": 0.19, "renews": "never", "when_used_up": "end"}},
    },
}


@pytest.mark.parametrize("changes", [BUDGETS])
async def test_a_launch_moves_only_to_what_its_budget_covers(hall: Hall) -> None:
    """An hour of a small GPU costs 0.1 SU, one of a slice 1 SU."""
    await hall.begin("ada")[0]
    task, steps = hall.begin("bob", workspace="lab", gpu_classes=("small", "slice"), runtime=3600)
    await told(steps, says("The only Small GPU is taken"))
    assert hall.launcher.accounts.left("lab", "bob", hall.launcher.now()) == 400_000
    hall.monotonic = 61.0
    hall.touch("bob")
    await told(steps, lambda step: step.phase is Phase.WAITING)
    await hall.launcher.stop("ada", "", grace_seconds=2)
    assert (await asyncio.wait_for(task, PATIENCE)).node == "t4-0"


@pytest.mark.parametrize("changes", [BUDGETS])
async def test_a_launch_that_moves_keeps_what_it_holds_and_how_long_it_may_run(hall: Hall) -> None:
    await hall.begin("ada")[0]
    await hall.begin("bob", gpu_classes=("slice",))[0]
    task, steps = hall.begin("eve", workspace="rich", gpu_classes=("small", "slice"), runtime=7200)
    await told(steps, says("The only Small GPU is taken"))
    await hall.launcher.stop("bob", "", grace_seconds=2)
    hall.monotonic = 61.0
    hall.touch("eve")
    pod = await asyncio.wait_for(task, PATIENCE)
    assert pod.node.startswith("a100-mig")
    assert pod.runtime == 660
    assert pod.annotations[LIMITED_BY] == "budget"
    account = hall.launcher.accounts.member("rich", "eve", hall.launcher.now())
    assert account is not None
    assert (account.held, account.left) == (183_333, 6_667)


@pytest.mark.parametrize("changes", [BUDGETS])
async def test_a_launch_that_moves_is_one_session_and_leaves_no_pod_behind(hall: Hall) -> None:
    await hall.begin("ada")[0]
    await hall.begin("bob", gpu_classes=("slice",))[0]
    task, steps = hall.begin("eve", workspace="rich", gpu_classes=("small", "slice"), runtime=600)
    await told(steps, says("The only Small GPU is taken"))
    await hall.launcher.stop("bob", "", grace_seconds=2)
    hall.monotonic = 61.0
    hall.touch("eve")
    pod = await asyncio.wait_for(task, PATIENCE)
    await hall.launcher.books.quiet()
    (held,) = [session for session in await hall.launcher.store.unsettled() if session.user == "eve"]
    assert (held.gpu_classes, held.gpu_class, held.charged) == (("small", "slice"), "slice", None)
    assert f'"id":"{held.id}"' in pod.annotations[SESSION]
    assert len(pods(hall.engine)) == 2
    await hall.launcher.stop("eve", "", grace_seconds=2)
    await hall.launcher.books.quiet()
    assert [session.user for session in await hall.launcher.store.unsettled()] == ["ada"]
    assert len(pods(hall.engine)) == 1


@pytest.mark.parametrize("nodes", ["a100-mig-3g.40gb=1x1 cpu=1"])
async def test_from_a_class_that_no_node_has_a_launch_moves_on_even_to_one_that_is_taken(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hall.begin("bob", gpu_classes=("slice",))[0]
    task, steps = hall.begin("eve", gpu_classes=("small", "slice"))
    await told(steps, says("No node of the cluster has a Small GPU"))
    hall.monotonic = 21.0
    hall.touch("eve")
    step = await told(steps, says("next choice"))
    assert step.message == "No node can give the server a Small GPU; the launch goes on with Slice, your next choice."
    await told(steps, says("The only Slice GPU is taken"))
    await hall.launcher.stop("bob", "", grace_seconds=2)
    assert (await asyncio.wait_for(task, PATIENCE)).node.startswith("a100-mig")


async def test_a_launch_that_waits_longer_than_its_member_agreed_to_is_withdrawn(hall: Hall) -> None:
    await hall.begin("ada")[0]
    task, steps = hall.begin("bob", wait=600)
    await told(steps, lambda step: step.phase is Phase.WAITING)
    hall.monotonic = 599.0
    hall.touch("bob")
    await told(steps, lambda step: step.phase is Phase.WAITING)
    hall.monotonic = 600.0
    hall.touch("bob")
    with pytest.raises(LaunchError) as raised:
        await asyncio.wait_for(task, PATIENCE)
    assert raised.value.code == "too_slow"
    assert raised.value.reason.startswith(
        "Nothing was free for the server within 10 min, as long as this launch may wait, and the launch is withdrawn. "
        "The only Small GPU is taken."
    )
    await settled(hall.launcher)
    assert len(pods(hall.engine)) == 1
    assert [held.user for held in hall.launcher.usage()] == ["ada"]


async def test_a_node_that_an_autoscaler_adds_is_told_and_waited_for_with_a_deadline_of_its_own(hall: Hall) -> None:
    await hall.begin("ada")[0]
    task, steps = hall.begin("bob", wait=600)
    await told(steps, lambda step: step.phase is Phase.WAITING)
    hall.event("bob", "TriggeredScaleUp", "pod triggered scale-up: [{projects/p/gpu-pool 1->2 (max: 5)}]")
    step = await told(steps, lambda step: step.phase is Phase.NODE_COMING)
    assert step.message == (
        "No node has room yet; the cluster is adding one (gpu-pool grows from 1 to 2), which takes minutes."
    )
    hall.monotonic = 1100.0
    hall.touch("bob")
    await told(steps, lambda step: step.phase is Phase.NODE_COMING)
    assert not task.done()
    hall.monotonic = 1300.0
    hall.touch("bob")
    with pytest.raises(LaunchError, match="The node that was to be added did not come within"):
        await asyncio.wait_for(task, PATIENCE)


async def test_an_autoscaler_that_adds_no_node_says_why(hall: Hall) -> None:
    await hall.begin("ada")[0]
    _, steps = hall.begin("bob")
    await told(steps, lambda step: step.phase is Phase.WAITING)
    hall.event("bob", "NotTriggerScaleUp", "pod didn't trigger scale-up: 2 max node group size reached")
    step = await told(steps, says("autoscaler"))
    assert "The autoscaler adds no node for it (2 max node group size reached)." in step.message
    assert step.phase is Phase.WAITING


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Pod should schedule on: nodeclaim/gpu-x7k2p", "the cluster is adding one (gpu-x7k2p)"),
        ("Pod should schedule on: node/ip-10-0-0-1", "Node ip-10-0-0-1 will probably take the server"),
    ],
)
async def test_karpenter_s_word_is_told_as_likely_and_not_as_certain(hall: Hall, message: str, words: str) -> None:
    await hall.begin("ada")[0]
    _, steps = hall.begin("bob")
    await told(steps, lambda step: step.phase is Phase.WAITING)
    hall.event("bob", "Nominated", message, "karpenter")
    step = await told(steps, lambda step: step.phase is Phase.NODE_COMING)
    assert words in step.message
    assert step.raw == message


async def test_a_launch_that_no_node_can_ever_satisfy_ends_after_its_profile_s_patience(hall: Hall) -> None:
    task, steps = hall.begin("bob", gpu_classes=("medium",))
    await told(steps, says("No node of the cluster has a Medium GPU"))
    hall.monotonic = 20.0
    hall.touch("bob")
    with pytest.raises(NoSuchGPUError):
        await asyncio.wait_for(task, PATIENCE)


def test_a_request_says_how_long_it_waits() -> None:
    assert replace(request(), wait=60).wait == 60
