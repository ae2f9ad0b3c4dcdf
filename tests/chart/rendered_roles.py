"""Values of the chart that ask for different permissions, and what the hub is then allowed."""

from collections.abc import Mapping
from typing import Any

from rendering import Manifests, render

from gpuspawner.labels import QUEUE
from gpuspawner.permissions import Permission

__all__ = ["NAMESPACE", "OBJECTS", "VARIANTS", "granted", "manifests"]

NAMESPACE = "jupyter"
_DEVICE = {"accepts": [{"device_class": "gpu.nvidia.com", "product": "NVIDIA A100"}]}
_DEVICES = {
    "gpu_classes": {"a100": _DEVICE},
    "profiles": {"gpu": {"image": "example.org/notebook:1", "gpu_classes": ["a100"], "gpus": {"default": 1, "max": 1}}},
    "workspaces": {"everyone": {"members": "*"}},
}

OBJECTS = [
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "servers"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
]
"""What the namespace of each user has; the chart has more to say, of the same kind."""
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "own-namespace": {"capacity": {"clusterWide": False}},
    "servers-apart": {"singleuser": {"namespace": "servers"}},
    "no-homes": {"gpuspawner": {"storage": {"home": False}, "token_in_secret": False}},
    "existing-homes": {"gpuspawner": {"storage": {"create": False}}},
    "homes-go-with-users": {"gpuspawner": {"storage": {"delete_with_user": True}}},
    "services": {"gpuspawner": {"services": True}},
    "tls": {"gpuspawner": {"token_in_secret": False}, "hub": {"config": {"JupyterHub": {"internal_ssl": True}}}},
    "devices": {"gpuspawner": _DEVICES},
    "devices-own-namespace": {"gpuspawner": _DEVICES, "capacity": {"clusterWide": False}},
    "everything": {
        "gpuspawner": {
            **_DEVICES,
            "services": True,
            "storage": {"delete_with_user": True},
            "pod_template": {"metadata": {"labels": {QUEUE: "teaching"}}},
        }
    },
    "user-namespaces": {"gpuspawner": {**_DEVICES, "user_namespaces": {"delete_with_user": True}}},
    "user-namespaces-alone": {
        "gpuspawner": {"user_namespaces": {}, "storage": {"delete_with_user": True}},
        "capacity": {"clusterWide": False},
    },
    "said-in-config": {"hub": {"config": {"GPUSpawner": {"token_in_secret": False, "services": True}}}},
}
"""By the name of their file in tests/data/rbac/."""


def manifests(variant: str) -> Manifests:
    """What the chart makes of a variant, in the namespace `NAMESPACE`."""
    return render(VARIANTS[variant], namespace=NAMESPACE)


def granted(rendered: Manifests) -> list[Permission]:
    """Every verb on every resource that the hub's roles allow, in the order of their rules."""
    found = []
    for kind, everywhere in (("ClusterRole", True), ("Role", False)):
        for role in rendered.all(kind):
            if role["metadata"]["labels"]["app.kubernetes.io/component"] != "hub":
                continue
            for rule in role["rules"]:
                assert set(rule) == {"apiGroups", "resources", "verbs"}, rule
                found += [
                    Permission(resource, verb, "", group, everywhere)
                    for group in rule["apiGroups"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                ]
    return found
