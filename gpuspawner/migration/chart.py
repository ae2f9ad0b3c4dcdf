"""The values of Zero-to-JupyterHub's chart, as the traits of KubeSpawner that they set. Pure."""

from collections.abc import Mapping
from typing import Any

from gpuspawner.migration.traits import listed

__all__ = ["HERE", "is_values", "traits_of_values"]

# Keys below `singleuser`, with the trait each sets. https://z2jh.jupyter.org/en/stable/resources/reference.html
_SINGLEUSER: Mapping[str, str] = {
    "allowPrivilegeEscalation": "allow_privilege_escalation",
    "cmd": "cmd",
    "cpu.guarantee": "cpu_guarantee",
    "cpu.limit": "cpu_limit",
    "defaultUrl": "default_url",
    "events": "events_enabled",
    "extraAnnotations": "extra_annotations",
    "extraContainers": "extra_containers",
    "extraEnv": "environment",
    "extraLabels": "extra_labels",
    "extraNodeAffinity.preferred": "node_affinity_preferred",
    "extraNodeAffinity.required": "node_affinity_required",
    "extraPodAffinity.preferred": "pod_affinity_preferred",
    "extraPodAffinity.required": "pod_affinity_required",
    "extraPodAntiAffinity.preferred": "pod_anti_affinity_preferred",
    "extraPodAntiAffinity.required": "pod_anti_affinity_required",
    "extraPodConfig": "extra_pod_config",
    "extraResource.guarantees": "extra_resource_guarantees",
    "extraResource.limits": "extra_resource_limits",
    "extraTolerations": "tolerations",
    "fsGid": "fs_gid",
    "image.pullPolicy": "image_pull_policy",
    "image.pullSecrets": "image_pull_secrets",
    "initContainers": "init_containers",
    "lifecycleHooks": "lifecycle_hooks",
    "memory.guarantee": "mem_guarantee",
    "memory.limit": "mem_limit",
    "nodeSelector": "node_selector",
    "profileList": "profile_list",
    "serviceAccountName": "service_account",
    "startTimeout": "start_timeout",
    "storage.extraLabels": "storage_extra_labels",
    "uid": "uid",
}
# What the chart sets where the values do not say otherwise.
_DEFAULTS: Mapping[str, Any] = {
    "cmd": "jupyterhub-singleuser",
    "fs_gid": 100,
    "image": "quay.io/jupyterhub/k8s-singleuser-sample",
    "mem_guarantee": "1G",
    "uid": 1000,
}
_CLAIM = "claim-{user_server}"
HERE: Mapping[str, str] = {
    "cull": "gpuspawner.idle",
    "debug": "hub.extraArgs: [--debug]",
    "hub.activeServerLimit": "hub.config.JupyterHub.active_server_limit",
    "hub.allowNamedServers": "hub.config.JupyterHub.allow_named_servers",
    "hub.concurrentSpawnLimit": "hub.config.JupyterHub.concurrent_spawn_limit",
    "hub.cookieSecret": "hub.existingSecret, or nothing: the chart makes one",
    "hub.db": "hub.database",
    "hub.namedServerLimitPerUser": "hub.config.JupyterHub.named_server_limit_per_user",
    "hub.redirectToServer": "hub.config.JupyterHub.redirect_to_server",
    "hub.shutdownOnLogout": "hub.config.JupyterHub.shutdown_on_logout",
    "hub.templatePaths": "hub.config.JupyterHub.template_paths",
    "hub.templateVars": "hub.config.JupyterHub.template_vars",
    "proxy.chp": "proxy",
    "proxy.https": "ingress.tls, httpRoute or proxy.tls",
    "proxy.secretToken": "hub.existingSecret, or nothing: the chart makes one",
    "proxy.traefik": "ingress or httpRoute",
    "scheduling": "scheduler, priorityClasses and placeholders",
    "singleuser.cloudMetadata": "nothing: no server reaches the metadata service",
    "singleuser.cmd": "gpuspawner.cmd",
    "singleuser.cpu": "cpu of gpuspawner.profiles",
    "singleuser.defaultUrl": "gpuspawner.default_url",
    "singleuser.extraEnv": "gpuspawner.environment",
    "singleuser.extraTolerations": "gpuspawner.pod_template",
    "singleuser.image.pullSecrets": "imagePullSecrets",
    "singleuser.memory": "memory of gpuspawner.profiles",
    "singleuser.nodeSelector": "gpuspawner.pod_template",
    "singleuser.profileList": "gpuspawner.profiles",
    "singleuser.startTimeout": "gpuspawner.start_timeout",
    "singleuser.storage": "gpuspawner.storage",
}
"""Values of Zero-to-JupyterHub's chart, and where gpuspawner's own has what they say."""


def is_values(found: Any) -> bool:
    """Whether a YAML file looks like values of the chart."""
    return isinstance(found, Mapping) and ("singleuser" in found or _at(found, "hub.config") is not None)


def traits_of_values(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The traits that the chart gives KubeSpawner for these values, and remarks on values that are no traits.

    ``hub.config.KubeSpawner`` comes last, as in the chart.
    """
    remarks: list[tuple[str, str]] = []
    single = values.get("singleuser") or {}
    traits = dict(_DEFAULTS)
    for key, trait in _SINGLEUSER.items():
        value = _at(single, key)
        if value is not None:
            traits[trait] = value
    image = _at(single, "image.name")
    if image:
        tag = _at(single, "image.tag")
        traits["image"] = f"{image}:{tag}" if tag else image
    else:
        remarks.append(
            ("singleuser.image", "is not set: the chart's sample image is of its own version; name an image.")
        )
    traits.update(_storage(single.get("storage") or {}, remarks))
    _scheduling(values, traits)
    _remark(values, remarks)
    for section in ("Spawner", "KubeSpawner"):
        traits.update(_at(values, f"hub.config.{section}") or {})
    return traits, remarks


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(values, Mapping):
            return None
        values = values.get(key)
    return values


def _storage(storage: Mapping[str, Any], remarks: list[tuple[str, str]]) -> dict[str, Any]:
    volumes: list[Any] = listed(storage.get("extraVolumes"))
    mounts: list[Any] = listed(storage.get("extraVolumeMounts"))
    home: dict[str, Any] = {"name": "home", "mountPath": storage.get("homeMountPath") or "/home/jovyan"}
    traits: dict[str, Any] = {}
    kind = storage.get("type", "dynamic")
    own = storage.get(kind) if isinstance(storage.get(kind), Mapping) else {}
    own = own if isinstance(own, Mapping) else {}
    claim = own.get("pvcName") if kind == "static" else own.get("pvcNameTemplate") or _CLAIM
    if kind == "dynamic":
        traits = {
            "storage_pvc_ensure": True,
            "pvc_name_template": claim,
            "storage_capacity": storage.get("capacity") or "10Gi",
            "storage_class": own.get("storageClass"),
            "storage_access_modes": own.get("storageAccessModes") or ["ReadWriteOnce"],
        }
        if "pvcNameTemplate" not in own:
            said = "is not set: see kubectl get pvc -l component=singleuser-storage for what the claims are called."
            remarks.append(("singleuser.storage.dynamic.pvcNameTemplate", said))
    path = own.get("subPath") or ("{username}" if kind == "static" else None)
    if path:
        home["subPath"] = path
    if claim and kind in ("dynamic", "static"):
        volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": claim}}, *volumes]
        mounts = [home, *mounts]
    return {
        **{name: value for name, value in traits.items() if value is not None},
        "volumes": volumes,
        "volume_mounts": mounts,
    }


def _scheduling(values: Mapping[str, Any], traits: dict[str, Any]) -> None:
    match = _at(values, "scheduling.userPods.nodeAffinity.matchNodePurpose") or "prefer"
    term = {"matchExpressions": [{"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}]}
    if match == "prefer":
        wishes = listed(traits.get("node_affinity_preferred"))
        traits["node_affinity_preferred"] = [*wishes, {"weight": 100, "preference": term}]
    elif match == "require":
        traits["node_affinity_required"] = [*listed(traits.get("node_affinity_required")), term]


def _remark(values: Mapping[str, Any], remarks: list[tuple[str, str]]) -> None:
    by_hand = {
        "hub.extraConfig": "is Python, which only the hub's own jupyterhub_config.py runs: translate that one there.",
        "scheduling.userScheduler.enabled": "gives pods the scheduler RELEASE-user-scheduler: set schedulerName.",
        "scheduling.podPriority.enabled": "gives pods the class RELEASE-default-priority: set priorityClassName.",
        "singleuser.cloudMetadata.blockWithIptables": "adds an init container of the chart's own image: a "
        "NetworkPolicy, which the chart has as well, blocks the metadata server without one.",
        "singleuser.extraFiles": "is mounted from a Secret of the chart: make a ConfigMap of it, and mount that.",
    }
    for path, sentence in by_hand.items():
        if _at(values, path):
            remarks.append((path, sentence))
