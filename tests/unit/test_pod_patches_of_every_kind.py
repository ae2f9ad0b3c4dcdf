"""What KubeSpawner has a trait for and we say as a patch: it arrives in the pod, which stays valid."""

from typing import Any

import kubernetes_validate
import pytest
from pod_security import violations
from small_hub import MONDAY, ask, section

from gpuspawner.admission import Capacity, admit
from gpuspawner.config import load_settings
from gpuspawner.pod import Server, build_pod

Path = tuple[str | int, ...]


def notebook(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "notebook", **fields}]}


PROBE = {"httpGet": {"path": "/api", "port": 8888}, "periodSeconds": 5}
TERM = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
POD_TERM = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
SECRET = {"secretKeyRef": {"name": "keys-{username}", "key": "wandb"}}

# What is said in the spec, where it is then found, and as what.
PATCHES: dict[str, tuple[dict[str, Any], Path, Any]] = {
    "service account": (
        {"serviceAccountName": "sa-{workspace}", "automountServiceAccountToken": True},
        ("serviceAccountName",),
        "sa-everyone",
    ),
    "service account token": (
        {"serviceAccountName": "x", "automountServiceAccountToken": True},
        ("automountServiceAccountToken",),
        True,
    ),
    "node selector": ({"nodeSelector": {"pool": "{profile}"}}, ("nodeSelector",), {"pool": "pytorch"}),
    "priority class": ({"priorityClassName": "high"}, ("priorityClassName",), "high"),
    "scheduler name": ({"schedulerName": "packer"}, ("schedulerName",), "packer"),
    "runtime class": ({"runtimeClassName": "nvidia"}, ("runtimeClassName",), "nvidia"),
    "fsGroup": ({"securityContext": {"fsGroup": 2000}}, ("securityContext", "fsGroup"), 2000),
    "uid": ({"securityContext": {"runAsUser": 4242}}, ("securityContext", "runAsUser"), 4242),
    "gid": ({"securityContext": {"runAsGroup": 4242}}, ("securityContext", "runAsGroup"), 4242),
    "supplemental groups": (
        {"securityContext": {"supplementalGroups": [1, 2]}},
        ("securityContext", "supplementalGroups"),
        [1, 2],
    ),
    "container security context": (
        notebook(securityContext={"readOnlyRootFilesystem": True}),
        ("containers", 0, "securityContext"),
        {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    ),
    "pull policy": (notebook(imagePullPolicy="Always"), ("containers", 0, "imagePullPolicy"), "Always"),
    "lifecycle hooks": (
        notebook(lifecycle={"preStop": {"exec": {"command": ["save"]}}}),
        ("containers", 0, "lifecycle", "preStop", "exec", "command"),
        ["save"],
    ),
    "readiness probe": (notebook(readinessProbe=PROBE), ("containers", 0, "readinessProbe"), PROBE),
    "liveness probe": (notebook(livenessProbe=PROBE), ("containers", 0, "livenessProbe"), PROBE),
    "startup probe": (notebook(startupProbe=PROBE), ("containers", 0, "startupProbe"), PROBE),
    "secret in the environment": (
        notebook(env=[{"name": "KEY", "valueFrom": SECRET}]),
        ("containers", 0, "env", -1, "valueFrom", "secretKeyRef", "name"),
        "keys-ada",
    ),
    "environment from a config map": (
        notebook(envFrom=[{"configMapRef": {"name": "site"}}]),
        ("containers", 0, "envFrom"),
        [{"configMapRef": {"name": "site"}}],
    ),
    "command": (notebook(command=["start.sh"]), ("containers", 0, "command"), ["start.sh"]),
    "init container": (
        {"initContainers": [{"name": "fetch", "image": "git", "args": ["{unescaped_username}"]}]},
        ("initContainers", 0, "args"),
        ["ada"],
    ),
    "extra container": (
        {"containers": [{"name": "sidecar", "image": "proxy"}]},
        ("containers", 1, "image"),
        "proxy",
    ),
    "pull secrets": ({"imagePullSecrets": [{"name": "hub"}]}, ("imagePullSecrets",), [{"name": "hub"}]),
    "preferred nodes": (
        {
            "affinity": {
                "nodeAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "preference": TERM}],
                }
            }
        },
        ("affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution", 0, "weight"),
        5,
    ),
    "pod affinity": (
        {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [POD_TERM]}}},
        ("affinity", "podAffinity", "requiredDuringSchedulingIgnoredDuringExecution"),
        [POD_TERM],
    ),
    "spread over nodes": (
        {
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
            ]
        },
        ("topologySpreadConstraints", 0, "topologyKey"),
        "zone",
    ),
    "host names": (
        {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["nas"]}]},
        ("hostAliases", 0, "hostnames"),
        ["nas"],
    ),
    "DNS": ({"dnsConfig": {"searches": ["example.org"]}}, ("dnsConfig", "searches"), ["example.org"]),
    "config map as a volume": (
        {"volumes": [{"name": "site", "configMap": {"name": "site-{hub_name}"}}]},
        ("volumes", 0, "configMap", "name"),
        "site-jupyterhub",
    ),
    "ports": (
        notebook(ports=[{"name": "dash", "containerPort": 8050}]),
        ("containers", 0, "ports", 0, "containerPort"),
        8050,
    ),
    "grace period": ({"terminationGracePeriodSeconds": 60}, ("terminationGracePeriodSeconds",), 60),
}


@pytest.mark.parametrize("place", ["pod_template", "workspaces", "profiles", "gpu_classes"])
@pytest.mark.parametrize("kind", PATCHES)
def test_it_is_said_as_a_patch_of_all_of_a_workspace_of_a_profile_or_of_a_class(kind: str, place: str) -> None:
    spec, path, expected = PATCHES[kind]
    config = section()
    if place == "pod_template":
        config["pod_template"] = {"spec": spec}
    else:
        entry = {"workspaces": "everyone", "profiles": "pytorch", "gpu_classes": "small"}[place]
        config[place][entry]["pod"] = {"spec": spec}
    settings = load_settings(config)
    granted = admit(ask(settings), settings, [], Capacity(), MONDAY)
    pod = build_pod(granted, Server({"JUPYTERHUB_USER": "ada"}, None, []), settings)
    kubernetes_validate.validate(pod, "1.36", strict=True)
    assert violations(pod) == []
    found = pod["spec"]
    for step in path:
        found = found[step]
    assert found == expected
