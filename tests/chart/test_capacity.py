"""Priorities, placeholders, quotas and the scheduler of the chart, and what they mean for servers."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_api import cluster
from helm_python import HelmRenderError
from rendered_servers import server_pod, settings_of
from rendering import Manifests, merged, render

from gpuspawner.cli import build_parser, main
from gpuspawner.cluster.records import gives_way
from gpuspawner.labels import PLACEHOLDER

T4 = {"resource": "nvidia.com/gpu", "product": "Tesla-T4"}
CLASSES: dict[str, list[dict[str, Any]]] = {
    "one": [T4],
    "several": [T4, {"resource": "nvidia.com/gpu", "product": ["A", "B"]}],
    "whole": [{"resource": "nvidia.com/gpu"}],
    "slice": [{"resource": "nvidia.com/mig-1g.10gb"}],
    "named-slice": [{"resource": "nvidia.com/mig-1g.10gb", "product": "H100-MIG-1g.10gb"}],
    "any-of-them": [T4, {"resource": "nvidia.com/gpu"}],
    "amd": [{"resource": "amd.com/gpu", "product": "MI300X"}],
    "intel": [{"resource": "gpu.intel.com/i915", "product": "Max_1550"}],
    "other": [{"resource": "example.org/card", "product": "x", "product_label": "example.org/kind"}],
    "other_vendor": [{"resource": "example.org/card", "product": "x"}],
}
UNIVERSITY: dict[str, Any] = {
    "gpuspawner": {
        "gpu_classes": {name: {"accepts": accepts} for name, accepts in CLASSES.items()},
        "profiles": {"pytorch": {"image": "example.org/pytorch:1", "gpu_classes": list(CLASSES)}},
        "workspaces": {"everyone": {"members": "*"}},
    },
    "priorityClasses": {"create": True},
    "placeholders": {name: {"replicas": 2} for name in CLASSES},
}


@pytest.fixture(scope="module")
def university() -> Manifests:
    return render(UNIVERSITY)


def placeholder(manifests: Manifests, name: str) -> dict[str, Any]:
    """The pods of the placeholders of a class."""
    (found,) = [
        pod
        for pod in manifests.pods().values()
        if pod["metadata"]["labels"].get(PLACEHOLDER) == name  # the class as it is, also where a name had to be changed
    ]
    return found


def node_affinity(pod: dict[str, Any]) -> Any:
    spec = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    return spec.get("requiredDuringSchedulingIgnoredDuringExecution")


def comparable(things: list[dict[str, Any]]) -> set[tuple[tuple[str, Any], ...]]:
    return {tuple(sorted(thing.items())) for thing in things}


@pytest.mark.parametrize("name", CLASSES)
def test_a_placeholder_lands_where_launches_of_its_class_land(university: Manifests, name: str) -> None:
    ours, theirs = placeholder(university, name), server_pod(university, {"gpu_class": name, "gpus": 1})
    assert node_affinity(ours) == node_affinity(theirs)
    assert comparable(ours["spec"]["tolerations"]) == comparable(theirs["spec"]["tolerations"])
    limits = ours["spec"]["containers"][0]["resources"]["limits"]
    resource = CLASSES[name][0]["resource"]
    assert limits == {"cpu": "100m", "memory": "64Mi", resource: "1"}
    assert theirs["spec"]["containers"][0]["resources"]["limits"][resource] == "1"


def test_what_patches_say_of_nodes_holds_for_placeholders_too() -> None:
    pool = {"spec": {"nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "team", "operator": "Exists"}]}}
    own = {"spec": {"nodeSelector": {"pool": "large"}}}
    said = merged(UNIVERSITY, {"gpuspawner": {"pod_template": pool, "gpu_classes": {"one": {"pod": own}}}})
    manifests = render(said)
    for name, expected in (("one", "large"), ("whole", "gpu")):
        ours, theirs = placeholder(manifests, name), server_pod(manifests, {"gpu_class": name, "gpus": 1})
        assert ours["spec"]["nodeSelector"] == theirs["spec"]["nodeSelector"] == {"pool": expected}
        assert {"key": "team", "operator": "Exists"} in ours["spec"]["tolerations"]


def test_placeholders_make_room_for_servers(university: Manifests) -> None:
    values = {item["metadata"]["name"]: item["value"] for item in university.all("PriorityClass")}
    assert values == {
        "gpuspawner-jupyter-core": 1000,
        "gpuspawner-jupyter-servers": 0,
        "gpuspawner-jupyter-placeholders": -10,
    }
    pods = university.pods()
    classes = {name: pod["spec"].get("priorityClassName") for name, pod in pods.items()}
    assert classes["Deployment/gpuspawner-hub"] == classes["Deployment/gpuspawner-proxy"] == "gpuspawner-jupyter-core"
    assert server_pod(university)["spec"]["priorityClassName"] == "gpuspawner-jupyter-servers"
    ours = placeholder(university, "one")
    assert ours["spec"]["priorityClassName"] == "gpuspawner-jupyter-placeholders"
    # As the API server has it once it has admitted the pod.
    assert gives_way({**ours, "spec": {**ours["spec"], "priority": values[ours["spec"]["priorityClassName"]]}})
    assert ours["spec"]["terminationGracePeriodSeconds"] > 0, "the node must have taken the GPU back first"


def test_priority_classes_of_two_hubs_of_one_name_do_not_meet() -> None:
    first, second = [
        {item["metadata"]["name"] for item in render(UNIVERSITY, namespace=name).all("PriorityClass")}
        for name in ("one", "two")
    ]
    assert len(first) == len(second) == 3
    assert not first & second


def test_priority_classes_that_there_are_do_as_well() -> None:
    own = {"create": False, "existing": {"servers": "normal", "placeholders": "low"}}
    manifests = render(merged(UNIVERSITY, {"priorityClasses": own}))
    assert not manifests.all("PriorityClass")
    assert placeholder(manifests, "one")["spec"]["priorityClassName"] == "low"
    assert server_pod(manifests)["spec"]["priorityClassName"] == "normal"
    assert "priorityClassName" not in manifests.pods()["Deployment/gpuspawner-hub"]["spec"]


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"priorityClasses": {"create": False}}, "need a PriorityClass below that of servers; set priorityClasses.create"),
    ({"priorityClasses": {"servers": -20}}, "priorityClasses.placeholders: found -10, allowed: below 0 and below"),
    (
        {"placeholders": {"smal": {"replicas": 1}}},
        "placeholders.smal: there is no such GPU class .* which has amd, any",
    ),
    (
        {"placeholders": {"one": {"resource": "amd.com/gpu"}}},
        'placeholders.one.resource: found "amd.com/gpu", allowed: nvidia.com/gpu.',
    ),
    (
        {"gpuspawner": {"gpu_classes": {"one": {"accepts": [{"device_class": "gpu.nvidia.com"}]}}}},
        "placeholders.one: the class gets its GPUs by dynamic resource allocation, for which there are no placeholders",
    ),
    (
        {"gpuspawner": {"user_namespaces": {}}, "resourceQuota": {"hard": {"pods": 1}}},
        "resourceQuota: found it together with gpuspawner.user_namespaces",
    ),
]


@pytest.mark.parametrize(("said", "words"), MISTAKES, ids=[words[:40] for _, words in MISTAKES])
def test_what_cannot_work_is_refused_with_what_would(said: dict[str, Any], words: str) -> None:
    if "user_namespaces" in said.get("gpuspawner", {}):
        said = merged(said, {"gpuspawner": {"user_namespaces": {"labels": {"a": "b"}}}})
    with pytest.raises(HelmRenderError, match=words):
        render(merged(UNIVERSITY, said))


def test_a_placeholder_taken_out_by_null_is_none() -> None:
    assert len(render(merged(UNIVERSITY, {"placeholders": {"one": None}})).all("Deployment")) == len(CLASSES) + 1


def test_a_quota_on_pods_counts_servers_only_and_one_on_storage_counts_all() -> None:
    hard = {"requests.nvidia.com/gpu": 16, "pods": 9, "requests.memory": "1Ti", "requests.storage": "10Ti"}
    said = {"priorityClasses": {"create": True}, "resourceQuota": {"hard": hard}}
    manifests = render(said)
    servers, others = manifests.one("ResourceQuota", "servers"), manifests.one("ResourceQuota", "objects")
    assert set(servers["spec"]["hard"]) == {"requests.nvidia.com/gpu", "pods", "requests.memory"}
    (scope,) = servers["spec"]["scopeSelector"]["matchExpressions"]
    assert (scope["scopeName"], scope["values"]) == ("PriorityClass", ["gpuspawner-jupyter-servers"])
    assert others["spec"] == {"hard": {"requests.storage": "10Ti"}}
    plain = render({"resourceQuota": {"hard": hard}})
    assert plain.one("ResourceQuota", "servers")["spec"] == {"hard": hard}
    assert plain.maybe("ResourceQuota", "objects") is None


def test_quota_and_limits_are_where_the_servers_are() -> None:
    said = {"singleuser": {"namespace": "lab"}, "resourceQuota": {"hard": {"pods": 9}}, "limitRange": [{"type": "Pod"}]}
    for kind in ("ResourceQuota", "LimitRange"):
        assert render(said).one(kind, "servers")["metadata"]["namespace"] == "lab"


LECTURE = [{"cron": "30 8 * * MON", "timeZone": "Europe/Berlin", "replicas": 20}, {"cron": "@daily", "replicas": 0}]
SCHEDULED = merged(UNIVERSITY, {"placeholders": {"one": {"schedule": LECTURE}, "other_vendor": {"schedule": LECTURE}}})


def test_a_schedule_scales_placeholders_and_may_do_nothing_else() -> None:
    manifests = render(SCHEDULED)
    jobs = {item["metadata"]["annotations"]["gpuspawner/sets"]: item["spec"] for item in manifests.all("CronJob")}
    deployments = {item["metadata"]["name"] for item in manifests.all("Deployment")}
    assert {"gpuspawner-placeholder-one to 20", "gpuspawner-placeholder-one to 0"} <= jobs.keys()
    assert len(jobs) == 4
    lecture = jobs["gpuspawner-placeholder-one to 20"]
    assert (lecture["schedule"], lecture["timeZone"]) == ("30 8 * * MON", "Europe/Berlin")
    scaled = set()
    for job in jobs.values():
        pod = job["jobTemplate"]["spec"]["template"]["spec"]
        options = build_parser().parse_args(pod["containers"][0]["command"][1:])
        assert (options.command, options.namespace) == ("scale", "jupyter")
        scaled.add(options.deployment)
        assert pod["serviceAccountName"] == "gpuspawner-placeholder-scaler"
    assert scaled <= deployments
    (rule,) = manifests.one("Role", "placeholder-scaler")["rules"]
    assert (rule["resources"], rule["verbs"]) == (["deployments/scale"], ["patch"])
    assert set(rule["resourceNames"]) == scaled


def test_names_of_cron_jobs_fit_and_differ_whatever_the_release_is_called() -> None:
    names = [item["metadata"]["name"] for item in render(SCHEDULED, name="a" * 53).all("CronJob")]
    assert len(set(names)) == 4
    assert max(map(len, names)) <= 52
    assert not render(UNIVERSITY).all("CronJob")


async def test_an_upgrade_leaves_as_many_placeholders_as_the_schedule_has_made(tmp_path: Path) -> None:
    planned, other = "gpuspawner-placeholder-one", "gpuspawner-placeholder-amd"
    more = merged(SCHEDULED, {"placeholders": {"one": {"replicas": 3}, "amd": {"replicas": 3}}})
    async with cluster(tmp_path) as api:
        await api.install("gpuspawner", SCHEDULED)
        for name in (planned, other):
            words = ["scale", name, "--namespace", "jupyter", "--replicas", "20"]
            assert await asyncio.to_thread(main, [*words, "--kubeconfig", str(tmp_path / "kubeconfig")]) == 0
            assert api.get("deployments.apps", name)["spec"]["replicas"] == 20
        await api.upgrade("gpuspawner", more)
        assert api.get("deployments.apps", planned)["spec"]["replicas"] == 20
        assert api.get("deployments.apps", other)["spec"]["replicas"] == 3


def test_what_cannot_be_scaled_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kubeconfig").write_text(
        "{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], users: [], "
        "contexts: [{name: x, context: {cluster: c, user: ''}}], current-context: x}"
    )
    words = ["scale", "one", "--namespace", "n", "--replicas", "1", "--kubeconfig", str(tmp_path / "kubeconfig")]
    assert main(words) == 1
    assert "gpuspawner scale: one is not scaled" in capsys.readouterr().err


@pytest.fixture(scope="module")
def packed() -> Manifests:
    return render(merged(UNIVERSITY, {"scheduler": {"enabled": True}}))


def test_servers_and_placeholders_are_placed_by_the_charts_own_scheduler(packed: Manifests) -> None:
    config = yaml.safe_load(packed.one("ConfigMap", "scheduler")["data"]["config.yaml"])
    (profile,) = config["profiles"]
    assert server_pod(packed)["spec"]["schedulerName"] == profile["schedulerName"] == "gpuspawner-scheduler"
    assert placeholder(packed, "one")["spec"]["schedulerName"] == "gpuspawner-scheduler"
    assert "schedulerName" not in packed.pods()["Deployment/gpuspawner-hub"]["spec"]
    (fit,) = profile["pluginConfig"]
    weights = {one["name"]: one["weight"] for one in fit["args"]["scoringStrategy"]["resources"]}
    assert fit["args"]["scoringStrategy"]["type"] == "MostAllocated"
    assert {offer.resource for offer in settings_of(packed).catalog.offers()} == weights.keys() - {"cpu", "memory"}
    assert min(weights[name] for name in weights if "/" in name) > weights["cpu"]


def test_the_scheduler_is_of_the_clusters_version_and_may_what_kubernetes_lets_its_own(packed: Manifests) -> None:
    deployment = packed.one("Deployment", "scheduler")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert re.fullmatch(r"registry.k8s.io/kube-scheduler:v1\.\d+\.\d+", container["image"])
    assert deployment["spec"]["replicas"] == 2
    bound = {
        binding["roleRef"]["name"]: binding["subjects"][0]["name"]
        for binding in packed.all("ClusterRoleBinding")
        if binding["roleRef"]["name"].startswith("system:")
    }
    assert bound == dict.fromkeys(("system:kube-scheduler", "system:volume-scheduler"), "gpuspawner-scheduler")
    lease = [rule for rule in packed.one("Role", "scheduler")["rules"] if "resourceNames" in rule]
    assert [rule["resourceNames"] for rule in lease] == [["gpuspawner-scheduler"]]
