"""The images of the profiles on the nodes: which, where, and before or after an upgrade."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from helm_python import Chart, Config
from rendered_servers import server_pod
from rendering import CHART, Manifests, merged, render

from gpuspawner.local.engine import Engine

PAUSE = "registry.k8s.io/pause:3.10.1"
UNIVERSITY: dict[str, Any] = {
    "gpuspawner": {
        "gpu_classes": {
            "small": {
                "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
                "pod": {"spec": {"initContainers": [{"name": "warm", "image": "example.org/class:1"}]}},
            },
            "slice": {"accepts": [{"resource": "nvidia.com/mig-1g.10gb"}]},
        },
        "profiles": {
            "plain": {"image": "example.org/plain:1", "images": ["example.org/*", "example.org/other:2"]},
            "either": {"image": "example.org/either:1", "gpu_classes": ["small"]},
            "gpu": {"image": "example.org/gpu:1", "gpu_classes": "small", "gpus": {"default": 1, "min": 1, "max": 2}},
            "always-one": {"image": "example.org/one:1", "gpu_classes": ["slice"], "gpus": 1},
            "anywhere": {"image": "example.org/anywhere:1", "allow_gpu_nodes": True},
            "sidecar": {
                "image": "example.org/plain:1",
                "pod": {"spec": {"containers": [{"name": "side", "image": "example.org/side:1"}]}},
            },
        },
        "workspaces": {
            "everyone": {
                "members": "*",
                "pod": {"spec": {"initContainers": [{"name": "data", "image": "example.org/data:1"}]}},
            }
        },
        "pod_template": {"spec": {"tolerations": [{"key": "team", "operator": "Exists"}]}},
    },
    "prePuller": {"continuous": {"enabled": True}, "hook": {"enabled": True}, "extraImages": ["example.org/extra:1"]},
}


@pytest.fixture(scope="module")
def university() -> Manifests:
    return render(UNIVERSITY)


def images(manifests: Manifests, name: str) -> set[str]:
    spec = manifests.one("DaemonSet", name)["spec"]["template"]["spec"]
    return {container["image"].removeprefix("example.org/") for container in spec["initContainers"]}


@pytest.mark.parametrize("puller", ["image-puller", "hook-image-puller"])
def test_nodes_pull_the_images_of_the_launches_that_may_land_there(university: Manifests, puller: str) -> None:
    everywhere = {"extra:1", "data:1", "either:1", "anywhere:1"}
    assert images(university, f"{puller}-cpu") == {*everywhere, "plain:1", "other:2", "side:1"}
    assert images(university, f"{puller}-gpu") == {*everywhere, "gpu:1", "one:1", "class:1"}


def test_they_land_where_launches_land(university: Manifests) -> None:
    pod = university.one("DaemonSet", "image-puller-cpu")["spec"]["template"]["spec"]
    theirs = server_pod(university, {"profile": "plain"})["spec"]
    assert pod["affinity"]["nodeAffinity"] == theirs["affinity"]["nodeAffinity"]
    assert all(one in pod["tolerations"] for one in theirs["tolerations"])
    pod = university.one("DaemonSet", "image-puller-gpu")["spec"]["template"]["spec"]
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchExpressions"][0] for term in required] == [
        {"key": "nvidia.com/mig-1g.10gb.product", "operator": "Exists"},
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["Tesla-T4"]},
    ]
    theirs = server_pod(university, {"profile": "gpu", "gpu_class": "small", "gpus": 1})["spec"]
    assert all(one in pod["tolerations"] for one in theirs["tolerations"])


def test_device_classes_say_nothing_of_nodes_so_their_images_go_everywhere() -> None:
    device = {"accepts": [{"device_class": "gpu.nvidia.com"}]}
    manifests = render(merged(UNIVERSITY, {"gpuspawner": {"gpu_classes": {"slice": device}}}))
    assert "affinity" not in manifests.one("DaemonSet", "image-puller-gpu")["spec"]["template"]["spec"]


def test_without_gpu_classes_there_are_no_gpu_nodes_to_pull_to() -> None:
    section = {"profiles": {"plain": {"image": "example.org/plain:1"}}, "workspaces": {"everyone": {"members": "*"}}}
    manifests = render({"gpuspawner": section, "prePuller": {"continuous": {"enabled": True}}})
    assert [item["metadata"]["name"] for item in manifests.all("DaemonSet")] == ["gpuspawner-image-puller-cpu"]


def test_what_a_second_values_file_takes_out_by_null_is_not_pulled() -> None:
    out = {"profiles": {"plain": None, "sidecar": None}, "workspaces": {"everyone": None, "all": {"members": "*"}}}
    manifests = render(merged(UNIVERSITY, {"gpuspawner": {**out, "gpu_classes": {"unused": None}}}))
    assert images(manifests, "image-puller-cpu") == {"extra:1", "either:1", "anywhere:1"}


def test_nothing_is_pulled_unless_asked_for() -> None:
    assert not render().all("DaemonSet")
    assert not render().all("Job")


def test_the_hook_waits_with_rights_to_look_at_its_own_daemonsets_and_nothing_else(university: Manifests) -> None:
    job, role = university.one("Job", "image-waiter"), university.one("Role", "image-waiter")
    assert role["rules"] == [
        {
            "apiGroups": ["apps"],
            "resources": ["daemonsets"],
            "resourceNames": ["gpuspawner-hook-image-puller-cpu", "gpuspawner-hook-image-puller-gpu"],
            "verbs": ["get"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["gpuspawner", "await-images"]
    assert container["command"][-2:] == role["rules"][0]["resourceNames"]
    for item in (job, role, university.one("DaemonSet", "hook-image-puller-gpu")):
        assert item["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_what_runs_before_the_release_needs_nothing_that_the_release_makes() -> None:
    said = {
        "priorityClasses": {"create": True},
        "imagePullSecret": {"create": True, "registry": "example.org", "username": "hub", "password": "canary"},
    }
    manifests = render(merged(UNIVERSITY, said))
    before = [
        item for item in manifests if "pre-install" in item["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    ]
    made = {item["metadata"]["name"] for item in before}
    for item in before:
        spec = item["spec"]["template"]["spec"] if item["kind"] in ("Job", "DaemonSet") else {}
        assert "priorityClassName" not in spec
        assert spec.get("serviceAccountName", "gpuspawner-image-waiter") in made
        assert {one["name"] for one in spec.get("imagePullSecrets", [])} <= made
    lasting = manifests.one("DaemonSet", "image-puller-cpu")["spec"]["template"]["spec"]
    assert lasting["priorityClassName"] == "gpuspawner-jupyter-placeholders"
    assert lasting["imagePullSecrets"] == [{"name": "gpuspawner-registry"}]


@asynccontextmanager
async def helm_on_engine(folder: Path) -> AsyncIterator[tuple[Engine, Callable[..., Awaitable[Any]]]]:
    """The real Helm, as ``await helm("install", values)``, and an engine that has every image."""
    engine = Engine(
        "t4=1x2 cpu=1", {"*": ("sleep", "1000")}, data_dir=folder / "engine", namespaces=["jupyter"], stop_grace=1.0
    )
    await engine.start()
    try:
        engine.write_kubeconfig(folder / "kubeconfig", namespace="jupyter")
        with Config(kubeconfig_path=folder / "kubeconfig", namespace="jupyter") as config:

            async def helm(command: str, values: dict[str, Any]) -> Any:
                chart = Chart.load(CHART)
                return await asyncio.to_thread(getattr(config, command), chart, "gpuspawner", values, timeout=60)

            yield engine, helm
    finally:
        await engine.stop()


def pulled(engine: Engine) -> dict[str, set[str]]:
    """By the name of each node, the images that the hook's pods run there, as events tell."""
    found: dict[str, set[str]] = {}
    for event in engine.store.list("events", "jupyter")[0]:
        if "hook-image-puller" in event["involvedObject"]["name"] and event["reason"] == "Pulled":
            image = event["message"].split('"')[1]
            found.setdefault(event["source"]["host"], set()).add(image.removeprefix("example.org/"))
    return found


async def test_an_install_goes_on_once_all_nodes_have_the_images_and_an_upgrade_only_looks_at_others(
    tmp_path: Path,
) -> None:
    section = {
        "gpu_classes": {"small": {"accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}]}},
        "profiles": {
            "plain": {"image": "example.org/plain:1"},
            "gpu": {"image": "example.org/gpu:1", "gpu_classes": ["small"], "gpus": 1},
        },
        "workspaces": {"everyone": {"members": "*"}},
    }
    values = {"gpuspawner": section, "prePuller": {"hook": {"enabled": True}}}
    async with helm_on_engine(tmp_path) as (engine, helm):
        await helm("install", values)
        first = pulled(engine)
        assert first == {"cpu-0": {"plain:1", PAUSE}, "t4-0": {"gpu:1", PAUSE}}
        assert not engine.store.items("daemonsets.apps", "jupyter"), "the hook's own are gone"

        await helm("upgrade", merged(values, {"hub": {"annotations": {"a": "b"}}}))
        assert pulled(engine) == first, "the images are the same"
