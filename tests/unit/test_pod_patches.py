"""What an administrator's patches may change in a pod, in which order, and what they may not take."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import fits, node
from small_hub import MONDAY, SECTION, ask, section

from gpuspawner.admission import Capacity, admit
from gpuspawner.config import Settings, load_settings
from gpuspawner.errors import ConfigurationError
from gpuspawner.pod import Server, build_pod, held_of

T4 = node({"nvidia.com/gpu.product": "Tesla-T4"}, ("nvidia.com/gpu",), nvidia_com__gpu=4)
V100 = node({"nvidia.com/gpu.product": "Tesla-V100"}, ("nvidia.com/gpu",), nvidia_com__gpu=4)
CPU = node()


def hub(template: Any = None, workspace: Any = None, profile: Any = None, gpu_class: Any = None) -> Settings:
    config = section(pod_template=template or {})
    config["workspaces"]["everyone"]["pod"] = workspace or {}
    config["profiles"]["pytorch"]["pod"] = profile or {}
    config["gpu_classes"]["small"]["pod"] = gpu_class or {}
    return load_settings(config)


def built(accepted: Settings, options: dict[str, Any] | None = None) -> dict[str, Any]:
    granted = admit(ask(accepted, options), accepted, [], Capacity(), MONDAY)
    return build_pod(granted, Server({"JUPYTERHUB_USER": "ada"}, None, []), accepted)


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": labels}}


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "notebook", **fields}]}}


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": list(terms)}
    return {"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}}


def zone(name: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "zone", "operator": "In", "values": [name]}]}


def test_template_workspace_profile_and_class_are_merged_in_this_order() -> None:
    pod = built(
        hub(
            labelled(a="template", b="template", c="template", d="template"),
            labelled(b="workspace", c="workspace", d="workspace"),
            labelled(c="profile", d="profile"),
            labelled(d="class"),
        )
    )
    labels = pod["metadata"]["labels"]
    assert [labels[key] for key in "abcd"] == ["template", "workspace", "profile", "class"]


def test_the_patch_of_a_class_is_not_merged_into_a_launch_without_gpu() -> None:
    accepted = hub(gpu_class=labelled(d="class"))
    assert "d" not in built(accepted, {"gpus": 0})["metadata"]["labels"]


def test_containers_volumes_and_variables_merge_by_name() -> None:
    patch = {
        "spec": {
            "containers": [
                {
                    "name": "notebook",
                    "env": [{"name": "DATA", "value": "/data/$(JUPYTERHUB_USER)"}],
                    "volumeMounts": [{"mountPath": "/data", "name": "data"}],
                },
                {"name": "sidecar", "image": "sidecar"},
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "runtimeClassName": "nvidia",
        }
    }
    spec = built(hub(patch))["spec"]
    notebook = spec["containers"][0]
    assert [one["name"] for one in spec["containers"]] == ["notebook", "sidecar"], "the notebook comes first"
    assert notebook["image"] == SECTION["profiles"]["pytorch"]["image"]
    names = [one["name"] for one in notebook["env"]]
    assert names.index("JUPYTERHUB_USER") < names.index("DATA"), "Kubernetes expands only what comes before"
    assert {mount["mountPath"] for mount in notebook["volumeMounts"]} == {"/data", "/home/jovyan", "/dev/shm"}
    assert {volume["name"] for volume in spec["volumes"]} == {"data", "home", "shared-memory"}
    assert spec["runtimeClassName"] == "nvidia"


def test_our_labels_and_annotations_win_over_patches() -> None:
    plain = built(hub())
    patch = {
        "metadata": {
            "labels": {
                key: "x" for key in plain["metadata"]["labels"] if key not in ("app", "app.kubernetes.io/managed-by")
            },
            "annotations": dict.fromkeys(plain["metadata"]["annotations"], "x"),
        }
    }
    patched = built(hub(patch))["metadata"]
    assert patched["labels"] == plain["metadata"]["labels"]
    differing = {key for key, value in patched["annotations"].items() if plain["metadata"]["annotations"][key] != value}
    assert differing == {"cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"}
    assert held_of(patched["annotations"], hub()) == held_of(plain["metadata"]["annotations"], hub())


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"labels": None, "annotations": None}, "spec": {"affinity": None, "tolerations": None}},
        {"metadata": {"$patch": "replace"}, "spec": {"affinity": {"$patch": "delete"}, "tolerations": []}},
        {"spec": {"$patch": "replace", "containers": [{"name": "notebook", "image": "mine"}]}},
        {"spec": {"containers": [{"$patch": "replace"}, {"name": "other"}, {"name": "notebook", "image": "mine"}]}},
        container(resources=None),
        container(resources={"limits": None, "requests": None}),
        container(resources={"$patch": "replace", "limits": {"cpu": 99, "memory": "999G"}}),
        container(resources={"limits": {"cpu": "99", "memory": "999G"}, "requests": {"cpu": "99", "memory": "999G"}}),
    ],
)
def test_no_patch_takes_away_what_quota_and_placement_rest_on(patch: dict[str, Any]) -> None:
    plain, pod = built(hub()), built(hub(patch))
    resources = plain["spec"]["containers"][0]["resources"]
    assert pod["spec"]["containers"][0]["name"] == "notebook"
    assert pod["spec"]["containers"][0]["resources"] == resources
    assert pod["spec"]["activeDeadlineSeconds"] == plain["spec"]["activeDeadlineSeconds"]
    assert pod["metadata"]["labels"] == plain["metadata"]["labels"]
    assert held_of(pod["metadata"]["annotations"], hub()) is not None
    assert [fits(pod, where) for where in (T4, V100, CPU)] == [True, False, False]


def test_a_patch_may_request_less_cpu_and_memory_than_the_limit_but_not_fewer_gpus() -> None:
    patch = container(resources={"requests": {"cpu": "250m", "memory": "1G", "ephemeral-storage": "5G"}})
    resources = built(hub(patch))["spec"]["containers"][0]["resources"]
    assert resources["requests"] == {"cpu": "250m", "memory": "1G", "ephemeral-storage": "5G", "nvidia.com/gpu": "1"}
    assert resources["limits"] == {"cpu": "2", "memory": "8000000000", "nvidia.com/gpu": "1"}


def test_affinity_that_is_patched_in_and_ours_must_both_hold() -> None:
    pod = built(hub(affinity(zone("a"), zone("b"))))
    for name, lands in (("a", True), ("b", True), ("c", False)):
        assert fits(pod, {**T4, "labels": {**T4["labels"], "zone": name}}) is lands
    assert not fits(pod, {**V100, "labels": {**V100["labels"], "zone": "a"}})
    without = built(hub(affinity(zone("a"))), {"gpus": 0})
    assert fits(without, {**CPU, "labels": {"zone": "a"}})
    assert not fits(without, CPU)
    assert not fits(without, {**T4, "taints": [], "labels": {**T4["labels"], "zone": "a"}})


def test_tolerations_that_are_patched_in_are_added_to_ours() -> None:
    mine = {"key": "team", "operator": "Exists"}
    pod = built(hub({"spec": {"tolerations": [mine]}}))
    assert pod["spec"]["tolerations"][0] == mine
    assert fits(pod, {**T4, "taints": [*T4["taints"], {"key": "team", "effect": "NoSchedule"}]})


junk = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=1) | st.just({})


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 11).flatmap(lambda number: good if number else junk)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: mostly(good) for name, good in fields.items()})


texts = st.dictionaries(st.sampled_from(["app", "component", "example.com/x"]), mostly(st.text(max_size=3)))
amounts = st.dictionaries(st.sampled_from(["cpu", "memory", "example.com/x"]), mostly(st.sampled_from(["1", "5G", 2])))
variables = st.lists(some(name=st.sampled_from("AB"), value=st.text(max_size=3)), max_size=2)
containers = st.builds(
    lambda name, fields: {"name": name, **fields},
    mostly(st.sampled_from(["notebook", "other"])),
    some(env=variables, resources=some(limits=amounts, requests=amounts)),
)
replaced = st.just([{"$patch": "replace"}, {"name": "notebook", "image": "mine"}])
expressions = st.lists(st.just({"key": "zone", "operator": "Exists"}), max_size=2)
required = some(nodeSelectorTerms=st.lists(some(matchExpressions=expressions), max_size=2))
node_affinity = some(requiredDuringSchedulingIgnoredDuringExecution=required)
tolerations = st.lists(st.just({"operator": "Exists", "key": "x"}), max_size=2)
specs = some(
    containers=st.lists(containers, max_size=2) | replaced,
    tolerations=tolerations,
    affinity=some(nodeAffinity=node_affinity) | st.none(),
)
any_patch = some(metadata=some(labels=texts | st.none(), annotations=texts | st.none()), spec=specs)


@settings(max_examples=300)
@given(any_patch, any_patch)
def test_patches_that_the_configuration_accepts_always_make_a_pod(one: dict[str, Any], other: dict[str, Any]) -> None:
    try:
        accepted = hub(one, profile=other)
    except ConfigurationError:
        return
    pod = built(accepted)
    assert held_of(pod["metadata"]["annotations"], accepted) is not None
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert not fits(pod, CPU)


def test_settings_are_not_changed_by_what_is_built_from_them() -> None:
    accepted = hub(affinity(zone("a")), profile=container(env=[{"name": "A", "value": "1"}]))
    assert built(accepted) == built(accepted)
