"""Client, view, events and the wait for a pod against the embedded engine: its API, scheduler and kubelet."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gpuspawner.catalog import Catalog, GPUClass, Offer
from gpuspawner.cluster import failures, refusals
from gpuspawner.cluster.client import ApiError, Client, Connection
from gpuspawner.cluster.event_feed import EventFeed
from gpuspawner.cluster.events import Phase, Progress
from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.starting import until_ready
from gpuspawner.cluster.view import View
from gpuspawner.local.engine import Engine
from gpuspawner.local.kubelet.runtime import Backoff

PATIENCE = 30
SMALL = Offer(resource="nvidia.com/gpu", product=("Tesla-T4",))
CATALOG = Catalog(
    gpu_classes={"small": GPUClass(name="small", display_name="Small", accepts=(SMALL,))},
    profiles={},
)
IMAGES = {"example.org/server:1": ("sleep", "1000"), "example.org/broken:1": ("sh", "-c", "echo no module; exit 3")}


class Hub:
    """What a hub has: a client, a view and a feed, and launches as a spawner makes them."""

    def __init__(self, kubeconfig: Path) -> None:
        async def short(seconds: float) -> None:
            await asyncio.sleep(min(seconds, 0.02))

        self.client = Client(Connection(kubeconfig=str(kubeconfig)))
        self.view = View(self.client, "hub", {"gpuspawner/hub": "test"}, sleep=short)
        self.feed = EventFeed(self.client)

    async def launch(
        self,
        name: str,
        *,
        image: str = "example.org/server:1",
        gpus: int = 1,
        tell: Callable[[Progress], None] = lambda step: None,
    ) -> PodRecord:
        wake = asyncio.Event()
        async with asyncio.timeout(PATIENCE):
            with self.feed.follow("hub", name, wake.set) as follower:
                pod = self.view.observe(await self.client.create("pods", "hub", manifest(name, image, gpus)))
                return await until_ready(
                    self.view,
                    self.client,
                    pod,
                    catalog=CATALOG,
                    gpu_classes=("small",),
                    tell=tell,
                    follower=follower,
                    wake=wake,
                )

    async def stop(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.client.delete("pods", "hub", name, grace_seconds=1)
            assert await self.view.wait_for("hub", name, lambda pod: False) is None

    def free(self) -> int:
        return self.view.capacity(CATALOG).of(SMALL).free

    async def close(self) -> None:
        await self.feed.close()
        await self.view.close()
        await self.client.close()


def manifest(name: str, image: str, gpus: int) -> dict[str, Any]:
    amounts = {"cpu": "100m", "memory": "64Mi", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    term = {"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": ["Tesla-T4"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    container: dict[str, Any] = {
        "name": "notebook",
        "image": image,
        "resources": {"requests": amounts, "limits": amounts},
    }
    if "broken" in image:  # without a probe a container counts as ready the moment it runs
        container["readinessProbe"] = {"tcpSocket": {"port": 8888}}
    return {
        "metadata": {"name": name, "labels": {"gpuspawner/hub": "test"}},
        "spec": {
            "restartPolicy": "Never",
            "affinity": affinity if gpus else {},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [container],
        },
    }


def make_engine(folder: Path, port: int = 0) -> Engine:
    return Engine("t4=1x2 cpu=1", IMAGES, data_dir=folder, port=port, namespaces=["hub"], backoff=Backoff(0.05, 0.1))


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = make_engine(tmp_path / "engine")
    await engine.start()
    engine.write_kubeconfig(tmp_path / "kubeconfig", namespace="hub")
    yield engine
    await engine.stop()


@pytest.fixture
async def hub(engine: Engine, tmp_path: Path) -> AsyncIterator[Hub]:
    hub = Hub(tmp_path / "kubeconfig")
    hub.view.start()
    async with asyncio.timeout(PATIENCE):
        await hub.view.started()
    yield hub
    await hub.close()


async def test_a_launch_takes_a_gpu_and_its_end_gives_it_back(hub: Hub) -> None:
    steps: list[Progress] = []
    assert hub.free() == 2
    pod = await hub.launch("jupyter-a", tell=steps.append)
    assert (pod.node, pod.phase) == ("t4-0", "Running")
    assert pod.ip.startswith("127.")
    assert hub.view.class_of(pod, CATALOG) == "small"
    assert hub.free() == 1
    assert steps[0].phase is Phase.ACCEPTED
    assert [step.percent for step in steps] == sorted(step.percent for step in steps)
    await hub.stop("jupyter-a")
    assert hub.free() == 2


async def test_a_launch_waits_for_a_taken_gpu_and_starts_when_it_is_free(hub: Hub) -> None:
    steps: asyncio.Queue[Progress] = asyncio.Queue()
    await hub.launch("jupyter-a", gpus=2)
    second = asyncio.create_task(hub.launch("jupyter-b", tell=steps.put_nowait))
    async with asyncio.timeout(PATIENCE):
        while (step := await steps.get()).phase is not Phase.WAITING:
            pass
    assert step.message == "All 2 Small GPUs are taken."
    assert "Insufficient nvidia.com/gpu" in step.raw
    assert hub.view.inventory.waiting("nvidia.com/gpu") == 1
    await hub.stop("jupyter-a")
    assert (await second).ready


async def test_a_server_that_ends_at_once_is_told_with_the_last_line_of_its_log(hub: Hub) -> None:
    with pytest.raises(failures.ExitedError) as caught:
        await hub.launch("jupyter-a", image="example.org/broken:1")
    assert caught.value.reason == (
        'The server ended before it was ready (exit code 3). The last line of its log: "no module"'
    )


async def test_an_image_that_is_not_there_ends_the_launch_within_seconds(hub: Hub) -> None:
    with pytest.raises(failures.ImageMissingError) as caught:
        await hub.launch("jupyter-a", image="example.org/missing:9")
    assert "example.org/missing:9 does not exist" in caught.value.reason
    assert caught.value.detail


async def test_more_gpus_than_a_node_has_is_told_apart_from_busy(hub: Hub) -> None:
    steps: asyncio.Queue[Progress] = asyncio.Queue()
    launch = asyncio.create_task(hub.launch("jupyter-a", gpus=4, tell=steps.put_nowait))
    async with asyncio.timeout(PATIENCE):
        while (step := await steps.get()).phase is not Phase.WAITING:
            pass
    launch.cancel()
    assert step.message == "You asked for 4 Small GPUs; no node has more than 2."


async def test_a_resource_quota_is_told_in_numbers(hub: Hub) -> None:
    quota = {"metadata": {"name": "students"}, "spec": {"hard": {"requests.nvidia.com/gpu": "1"}}}
    await hub.client.create("resourcequotas", "hub", quota)
    await hub.launch("jupyter-a")
    with pytest.raises(ApiError) as caught:
        await hub.launch("jupyter-b")
    problem = refusals.refused(caught.value, "hub")
    assert type(problem) is refusals.ResourceQuotaError
    assert "1 of 1 GPUs in use, and this server needs 1 more (ResourceQuota students)" in problem.reason


async def test_twenty_launches_at_once_share_one_watch_and_make_one_request_each(hub: Hub) -> None:
    pods = await asyncio.gather(*[hub.launch(f"jupyter-{number}", gpus=0) for number in range(20)])
    assert len({pod.ip for pod in pods}) == 20
    assert hub.feed.open == 1


async def test_an_engine_that_restarts_is_found_again_and_its_lost_pods_are_told(
    engine: Engine, hub: Hub, tmp_path: Path
) -> None:
    gone = asyncio.Event()
    await hub.launch("jupyter-a")
    hub.view.on_pod(lambda pod, is_gone: gone.set() if is_gone else None, namespace="hub", name="jupyter-a")
    await engine.stop()
    again = make_engine(tmp_path / "engine", port=int(engine.url.rpartition(":")[2]))
    await again.start()
    try:
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
        assert (await hub.launch("jupyter-b")).ready
        assert hub.free() == 1
        assert hub.view.unreachable is None
    finally:
        await again.stop()


async def test_thirty_five_thousand_events_of_others_do_not_reach_the_hub(
    engine: Engine, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KubeSpawner lists all events of the namespace; with 35,000 of them a hub once ran out of memory."""
    for number in range(35_000):
        involved = {"kind": "Pod", "namespace": "hub", "name": f"crawler-{number}", "uid": f"u{number}"}
        event = {"metadata": {"name": f"crawler-{number}.1", "namespace": "hub"}, "involvedObject": involved}
        engine.store.create(
            "events", {**event, "reason": "BackOff", "message": "Back-off restarting", "type": "Warning"}
        )
    listed: list[int] = []
    watched: list[str] = []
    list_page, take = Client.list, EventFeed._take

    async def counted(self: Client, resource: str, *args: Any, **options: Any) -> Any:
        page = await list_page(self, resource, *args, **options)
        if resource == "events":
            listed.append(len(page["items"]))
        return page

    def taken(self: EventFeed, namespace: str, frame: Any) -> str:
        watched.append(frame["object"].get("reason", ""))
        return take(self, namespace, frame)

    monkeypatch.setattr(Client, "list", counted)
    monkeypatch.setattr(EventFeed, "_take", taken)
    told: list[str] = []
    assert (await hub.launch("jupyter-a", tell=lambda step: told.append(step.message))).ready
    assert listed == [1], "one object, for the version to begin at"
    assert "BackOff" not in watched
    assert told
