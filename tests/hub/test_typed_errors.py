"""Each cause that keeps a server from starting, brought about on the engine, ends in its own error with what next."""

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cluster import IMAGES, section
from test_launcher import SERVER, pods, request, settled

from gpuspawner.cluster import failures, refusals
from gpuspawner.cluster.client import Client
from gpuspawner.cluster.deadlines import TooSlowError
from gpuspawner.cluster.events import Phase, Progress
from gpuspawner.cluster.wire import ApiError
from gpuspawner.config import load_settings
from gpuspawner.errors import LaunchError
from gpuspawner.launcher import Launcher
from gpuspawner.local.engine import Engine
from gpuspawner.local.kubelet.runtime import Backoff

PATIENCE = 30
HOARDER = "import time; hoard = bytearray(300_000_000); time.sleep(1000)"
MORE_IMAGES = {
    **IMAGES,
    "example.org/hoarder:1": (sys.executable, "-c", HOARDER),
    "example.org/private:1": (),
}


class Site:
    """A launcher on an engine with short patience, and what a test does to the cluster below it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.launcher: Launcher
        self.steps: asyncio.Queue[Progress] = asyncio.Queue()

    async def open(self, **changes: Any) -> None:
        options = section(self.engine, self.folder, **changes)
        options.pop("start_timeout")
        options["workspaces"]["everyone"] = {"members": "*"}
        for profile in options["profiles"].values():
            profile["deadlines"] = {"impossible": 1, "storage": 1}
        self.launcher = Launcher(
            load_settings(options), owned=lambda user, server: False, sleep=lambda seconds: asyncio.sleep(0)
        )
        self.launcher.begin()
        await self.launcher.view.started()

    def begin(self, **asked: Any) -> "asyncio.Task[Any]":
        """Start a launch; the server is silent, so that it is still starting whatever happens to it."""
        asked = {"image": "example.org/silent:1", "profile": "cpu", "gpus": 0, "gpu_classes": (), **asked}
        if asked["gpus"]:
            asked |= {"profile": "pytorch", "gpu_classes": ("small",)}
        return asyncio.create_task(self.launcher.launch(request(**asked), SERVER, self.steps.put_nowait, 1e6))

    async def fails(self, task: "asyncio.Task[Any]") -> LaunchError:
        """The error a launch ends with; nothing of it is left."""
        with pytest.raises(LaunchError) as raised:
            await asyncio.wait_for(task, PATIENCE)
        await asyncio.wait_for(settled(self.launcher), PATIENCE)
        assert "jupyter-ada" not in {pod["metadata"]["name"] for pod in pods(self.engine)}
        assert not self.launcher.usage()
        error = raised.value
        assert error.reason.endswith((".", '"'))
        assert error.remedy.endswith(".")
        assert len(error.sentence) < 600
        return error

    async def runs(self) -> str:
        """Wait until the server's process runs; the name of its node."""
        async with asyncio.timeout(PATIENCE):
            while (step := await self.steps.get()).percent < 90:
                pass
        assert step.phase is Phase.STARTING
        node: str = self.engine.store.get("pods", "default", "jupyter-ada")["spec"]["nodeName"]
        return node

    def change(self, resource: str, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
        self.engine.store.modify(resource, None if resource == "nodes" else "default", name, change)

    async def post(self, path: str, body: Any) -> None:
        """A request to the API that the client of the hub does not make."""
        headers = {"Authorization": f"Bearer {self.engine.token}", "Content-Type": "application/json"}
        context = ssl.create_default_context(cadata=self.engine.ca)
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(self.engine.url + path, data=json.dumps(body), ssl=context) as answer,
        ):
            assert answer.status < 300, await answer.text()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    engine = Engine(
        nodes="t4=2x2 cpu=1",
        images=MORE_IMAGES,
        data_dir=tmp_path / "engine",
        stop_grace=1.0,
        memory_interval=0.05,
        backoff=Backoff(0.05, 0.1),
    )
    await engine.start()
    site = Site(engine, tmp_path)
    yield site
    await site.launcher.close()
    await engine.stop()


async def test_all_gpus_taken(site: Site) -> None:
    await site.open()
    for number in range(4):
        await site.launcher.launch(request(f"user{number}"), SERVER, lambda step: None, 60)
    task = site.begin(gpus=1, wait=1)
    with pytest.raises(TooSlowError) as raised:
        await asyncio.wait_for(task, PATIENCE)
    assert "All 4 Small GPUs are taken." in raised.value.reason
    assert "Insufficient nvidia.com/gpu" in raised.value.detail


async def test_no_such_gpu(site: Site) -> None:
    await site.open()
    for name in ("t4-0", "t4-1"):
        site.change("nodes", name, lambda node: node["metadata"]["labels"].update({"nvidia.com/gpu.product": "A-10"}))
    error = await site.fails(site.begin(gpus=1))
    assert type(error) is failures.NoSuchGPUError
    assert error.reason == "No node of the cluster has a Small GPU."


async def test_taints_that_servers_of_the_hub_do_not_tolerate(site: Site) -> None:
    await site.open()
    taint = {"key": "team", "value": "vision", "effect": "NoSchedule"}
    for name in ("t4-0", "t4-1"):
        site.change("nodes", name, lambda node: node["spec"].update(taints=[taint]))
    error = await site.fails(site.begin(gpus=1))
    assert type(error) is failures.RepelledError
    assert "do not take servers of this hub (taint team=vision:NoSchedule)" in error.reason


async def test_more_memory_than_any_node_has(site: Site) -> None:
    await site.open()
    error = await site.fails(site.begin(memory=2 * 10**12))
    assert type(error) is failures.TooLargeError
    assert error.reason == "You asked for 2 TB of memory; no node has more than 512 GiB."


async def test_more_gpus_than_any_single_node_has(site: Site) -> None:
    await site.open()
    error = await site.fails(site.begin(gpus=4))
    assert type(error) is failures.TooManyGPUsError
    assert error.reason == "You asked for 4 Small GPUs; no node has more than 2."
    assert error.remedy == "Ask for at most 2."


async def test_gpus_that_are_free_only_on_different_nodes(site: Site) -> None:
    await site.open()
    for number in range(2):
        site.change("nodes", f"t4-{1 - number}", lambda node: node["spec"].update(unschedulable=True))
        await site.launcher.launch(request(f"user{number}"), SERVER, lambda step: None, 60)
        site.change("nodes", f"t4-{1 - number}", lambda node: node["spec"].update(unschedulable=False))
    with pytest.raises(TooSlowError) as raised:
        await asyncio.wait_for(site.begin(gpus=2, wait=1), PATIENCE)
    assert "2 Small GPUs are free, but no node has the 2 you asked for together." in raised.value.reason


async def test_storage_that_stays_unbound(site: Site) -> None:
    await site.open(storage={"storage_class": "no-such-class"})
    error = await site.fails(site.begin())
    assert type(error) is TooSlowError
    assert "The storage for your files was not ready within 1 s" in error.reason
    assert "unbound PersistentVolumeClaim" in error.reason


async def test_storage_that_does_not_exist(site: Site) -> None:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data-set"}}
    await site.open(pod_template={"spec": {"volumes": [volume]}})
    error = await site.fails(site.begin())
    assert type(error) is failures.ClaimMissingError
    assert error.reason == "The storage data-set does not exist (PersistentVolumeClaim)."


async def test_a_home_that_does_not_exist(site: Site) -> None:
    await site.open(storage={"claim": "home-{username}", "create": False})
    error = await site.fails(site.begin())
    assert error.reason == "The volume of your home (PersistentVolumeClaim home-ada) does not exist."


async def test_an_image_that_does_not_exist_fails_in_seconds(site: Site) -> None:
    await site.open()
    error = await site.fails(site.begin(image="example.org/missing:9"))
    assert type(error) is failures.ImageMissingError
    assert "example.org/missing:9 does not exist" in error.reason
    assert "not found" in error.detail


async def test_a_server_that_ends_at_once(site: Site) -> None:
    await site.open()
    error = await site.fails(site.begin(image="example.org/crash:1"))
    assert type(error) is failures.ExitedError
    assert 'exit code 3). The last line of its log: "ImportError: no module named torch"' in error.reason
    assert error.detail.startswith("loading")


async def test_a_crash_loop_with_the_last_lines_of_its_log(site: Site) -> None:
    await site.open(pod_template={"spec": {"restartPolicy": "Always"}})
    error = await site.fails(site.begin(image="example.org/crash:1"))
    assert type(error) is failures.ExitedError
    assert 'The last line of its log: "ImportError: no module named torch"' in error.reason


async def test_more_memory_used_than_the_limit(site: Site) -> None:
    await site.open()
    error = await site.fails(site.begin(image="example.org/hoarder:1", memory=100_000_000))
    assert type(error) is failures.OOMKilledError
    assert error.reason == "The server used more memory than its 100 MB and was ended."
    assert "Start it with more memory" in error.remedy


async def test_evicted_through_the_api_as_by_kubectl_drain(site: Site) -> None:
    await site.open()
    task = site.begin()
    await site.runs()
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "jupyter-ada"}}
    await site.post("/api/v1/namespaces/default/pods/jupyter-ada/eviction", eviction)
    error = await site.fails(task)
    assert type(error) is failures.EvictedError
    assert error.detail == "Eviction API: evicting"


async def test_evicted_by_a_kubelet_that_runs_short(site: Site) -> None:
    await site.open()
    task = site.begin()
    node = await site.runs()
    why = {"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi."}
    site.change("pods", "jupyter-ada", lambda pod: pod["status"].update(phase="Failed", **why))
    error = await site.fails(task)
    assert type(error) is failures.EvictedError
    assert error.reason == f"Node {node} ran short of ephemeral-storage and ended the server (evicted)."


async def test_preempted_by_work_of_higher_priority(site: Site) -> None:
    await site.open()
    task = site.begin(gpus=2)
    node = await site.runs()
    await site.post(
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "urgent"},
            "value": 1000,
        },
    )
    limits = {"limits": {"nvidia.com/gpu": "2"}}
    spec = {
        "priorityClassName": "urgent",
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "main", "image": "example.org/silent:1", "resources": limits}],
    }
    await site.launcher.client.create("pods", "default", {"metadata": {"name": "urgent"}, "spec": spec})
    error = await site.fails(task)
    assert type(error) is failures.PreemptedError
    assert "higher priority" in error.reason


async def test_the_runtime_limit_is_over(site: Site) -> None:
    await site.open()
    error = await site.fails(site.begin(runtime=1))
    assert type(error) is failures.RuntimeLimitError
    assert error.reason == "The server reached its runtime limit."


async def test_a_node_that_is_gone(site: Site) -> None:
    await site.open()
    task = site.begin()
    node = await site.runs()
    site.engine.store.delete("nodes", None, node)
    error = await site.fails(task)
    assert type(error) is failures.NodeLostError
    assert error.reason == f"Node {node} was lost, and the server on it."
    assert error.detail == "PodGC: node no longer exists"


async def test_a_node_that_is_out_of_reach(site: Site) -> None:
    await site.open()
    task = site.begin()
    node = await site.runs()
    taint = {"key": "example.org/broken", "effect": "NoExecute"}
    site.change("nodes", node, lambda node: node["spec"].update(taints=[taint]))
    error = await site.fails(task)
    assert type(error) is failures.NodeLostError
    assert error.detail == "Taint manager: deleting due to NoExecute taint"


async def test_a_resource_quota_in_numbers(site: Site) -> None:
    await site.open()
    quota = {"metadata": {"name": "students"}, "spec": {"hard": {"limits.memory": "8Gi", "requests.cpu": "500m"}}}
    await site.launcher.client.create("resourcequotas", "default", quota)
    error = await site.fails(site.begin())
    assert type(error) is refusals.ResourceQuotaError
    assert error.reason == (
        "The hub's share of the cluster is used up: 0 of 0.5 CPU cores in use, and this server needs 1 more "
        "(ResourceQuota students)."
    )


async def test_pod_security(site: Site) -> None:
    await site.open(pod_template={"spec": {"hostNetwork": True}})
    site.engine.store.modify(
        "namespaces",
        None,
        "default",
        lambda namespace: namespace["metadata"]["labels"].update({"pod-security.kubernetes.io/enforce": "restricted"}),
    )
    error = await site.fails(site.begin())
    assert type(error) is refusals.PodSecurityError
    assert "Pod Security level restricted does not allow this server: host namespaces (hostNetwork=true)" in (
        error.reason
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            'admission webhook "policy.example.org" denied the request: images come from our registry',
            'A rule of the cluster (policy.example.org) refused the server: "images come from our registry".',
        ),
        (
            'Internal error occurred: failed calling webhook "policy.example.org": context deadline exceeded',
            "A rule of the cluster (policy.example.org) could not be asked.",
        ),
    ],
)
async def test_an_admission_webhook(site: Site, message: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine calls no webhooks; this is what the API server of a cluster that does answers."""
    await site.open()
    create = Client.create

    async def answered(self: Client, resource: str, namespace: str | None, manifest: Any) -> Any:
        if resource == "pods":
            raise ApiError(500 if "failed calling" in message else 403, "Forbidden", message)
        return await create(self, resource, namespace, manifest)

    monkeypatch.setattr(Client, "create", answered)
    error = await site.fails(site.begin())
    assert type(error) is refusals.WebhookError
    assert error.reason == said
