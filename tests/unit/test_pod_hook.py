"""What a modify_pod_hook may change in a pod, and what it may not."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import kubernetes_validate
import pytest
from nodes import fits, node
from pod_security import violations
from small_hub import MONDAY, ask, small_hub

from gpuspawner.admission import Capacity, Granted, admit
from gpuspawner.pod import HookError, Server, build_pod, held_of, recheck_pod

HUB = small_hub(pod_template={"spec": {"initContainers": [{"name": "fetch", "image": "git"}]}})
T4 = node({"nvidia.com/gpu.product": "Tesla-T4"}, ("nvidia.com/gpu",), nvidia_com__gpu=4)
V100 = node({"nvidia.com/gpu.product": "Tesla-V100"}, ("nvidia.com/gpu",), nvidia_com__gpu=4)
CPU = node()


def granted(**options: Any) -> Granted:
    return admit(ask(HUB, options), HUB, [], Capacity(), MONDAY)


def hooked(change: Callable[[dict[str, Any]], Any], **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod as built, and as made after a hook has changed it."""
    launch = granted(**options)
    built = build_pod(launch, Server({"JUPYTERHUB_USER": "ada"}, None, []), HUB)
    pod = deepcopy(built)
    returned = change(pod)
    return built, recheck_pod(pod if returned is None else returned, built, launch, HUB)


@pytest.mark.parametrize("options", [{}, {"gpus": 0}, {"workspace": "lab", "gpu_class": "any"}])
def test_a_hook_that_changes_nothing_changes_nothing(options: dict[str, Any]) -> None:
    built, made = hooked(lambda pod: None, **options)
    assert made == built


def test_a_hook_may_add_what_kubernetes_can_say() -> None:
    def change(pod: dict[str, Any]) -> None:
        pod["metadata"]["labels"]["team"] = "vision"
        pod["spec"]["priorityClassName"] = "high"
        pod["spec"]["containers"].insert(0, {"name": "sidecar", "image": "sidecar"})
        pod["spec"]["containers"][1]["env"].insert(0, {"name": "TEAM", "value": "$(JUPYTERHUB_USER)"})

    _, made = hooked(change)
    kubernetes_validate.validate(made, "1.36", strict=True)
    assert violations(made) == []
    assert made["metadata"]["labels"]["team"] == "vision"
    assert made["spec"]["priorityClassName"] == "high"
    assert [one["name"] for one in made["spec"]["containers"]] == ["notebook", "sidecar"]
    assert made["spec"]["containers"][0]["env"][-1]["name"] == "TEAM"


def strip(pod: dict[str, Any]) -> None:
    pod["metadata"] = {"name": "other", "namespace": "kube-system"}
    spec = pod["spec"]
    for key in ("affinity", "tolerations", "activeDeadlineSeconds"):
        del spec[key]
    del spec["containers"][0]["resources"]


def raise_limits(pod: dict[str, Any]) -> None:
    resources = {"cpu": "99", "memory": "999G", "nvidia.com/gpu": "8"}
    pod["spec"]["containers"][0]["resources"] = {"limits": resources, "requests": resources}
    pod["spec"]["activeDeadlineSeconds"] = 10**6


def elsewhere(pod: dict[str, Any]) -> None:
    node = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    node["nodeSelectorTerms"].append({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]})


@pytest.mark.parametrize("change", [strip, raise_limits, elsewhere])
def test_quota_and_placement_cannot_be_changed(change: Callable[[dict[str, Any]], None]) -> None:
    built, made = hooked(change)
    assert made["metadata"]["name"] == built["metadata"]["name"]
    assert "namespace" not in made["metadata"]
    assert made["metadata"]["labels"] == built["metadata"]["labels"]
    assert held_of(made["metadata"]["annotations"], HUB) == held_of(built["metadata"]["annotations"], HUB)
    assert made["spec"]["containers"][0]["resources"] == built["spec"]["containers"][0]["resources"]
    assert made["spec"]["activeDeadlineSeconds"] == built["spec"]["activeDeadlineSeconds"]
    assert [fits(made, where) for where in (T4, V100, CPU)] == [True, False, False]


def asks(name: str, resource: str) -> Callable[[dict[str, Any]], None]:
    def change(pod: dict[str, Any]) -> None:
        part = {"name": name, "image": "x", "resources": {"limits": {resource: "1"}}}
        if name == "init":
            pod["spec"]["initContainers"].append(part)
        elif name == "sidecar":
            pod["spec"]["containers"].append(part)
        elif name == "pod":
            pod["spec"]["resources"] = part["resources"]
        else:
            pod["spec"]["containers"][0]["resources"]["limits"][resource] = "1"

    return change


def set_spec(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda pod: pod["spec"].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (asks("init", "nvidia.com/gpu"), "it asks for nvidia.com/gpu, which no quota would count"),
        (asks("sidecar", "amd.com/gpu"), "it asks for amd.com/gpu"),
        (asks("pod", "nvidia.com/gpu"), "it asks for nvidia.com/gpu"),
        (asks("notebook", "amd.com/gpu"), "it asks for amd.com/gpu"),
        (set_spec("resourceClaims", [{"name": "gpu", "resourceClaimName": "mine"}]), "it changes resourceClaims"),
        (set_spec("nodeName", "gpu-1"), "the scheduler chooses the node"),
        (set_spec("containers", []), "the container 'notebook' is missing"),
        (set_spec("containers", "none"), "spec.containers"),
        (set_spec("tolerations", [1]), "spec.tolerations.0"),
        (lambda pod: "a pod", "str instead of a mapping"),
        (lambda pod: {}, "the container 'notebook' is missing"),
    ],
)
def test_a_hook_that_leaves_no_usable_pod_is_told_to_the_administrator(
    change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    with pytest.raises(HookError) as error:
        hooked(change)
    assert said in error.value.reason
    assert error.value.remedy == "Tell the administrator of this hub."


def test_containers_that_are_patched_in_are_restricted_and_see_no_gpu() -> None:
    built, _ = hooked(lambda pod: None)
    assert violations(built) == []
    (fetch,) = built["spec"]["initContainers"]
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in fetch["env"]
    root = {"runAsUser": 0, "runAsNonRoot": False}
    own = small_hub(
        pod_template={
            "spec": {
                "initContainers": [
                    {
                        "name": "chown",
                        "image": "busybox",
                        "securityContext": root,
                        "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}],
                    }
                ]
            }
        }
    )
    (chown,) = build_pod(granted(), Server({}, None, []), own)["spec"]["initContainers"]
    assert chown["securityContext"] == root, "what an administrator says of a container is left alone"
    assert [one["value"] for one in chown["env"]] == ["all"]
