"""What a server's pod needs beside it: manifests of its namespace, claim, Secret and Service. Pure."""

from collections.abc import Mapping
from typing import Any

from gpuspawner.config import Settings
from gpuspawner.labels import (
    COMPONENT,
    HUB_LABEL,
    SERVER,
    STORAGE_COMPONENT,
    USER,
    WORKSPACE_LABEL,
    common_labels,
    owner_labels,
)
from gpuspawner.names import expand, pod_name, safe_slug, server_variables, user_variables
from gpuspawner.server import SECRET_VARIABLES, Server
from gpuspawner.storage import claim_manifest, home_claim

__all__ = [
    "build_claim",
    "build_namespace",
    "build_namespace_objects",
    "build_secret",
    "build_service",
    "dns_name",
    "namespace_of",
    "secret_variables",
    "variables_of",
]

_LONGEST_NAMESPACE = 63


def build_claim(
    user: str,
    settings: Settings,
    *,
    server: str = "",
    workspace: str = "",
    profile: str = "",
    user_id: int | None = None,
) -> dict[str, Any] | None:
    """The PersistentVolumeClaim of a server's home, or None where homes are not kept.

    Its annotations say whose it is, as far as its name differs by user, workspace and server.
    """
    storage = settings.storage
    if storage is None or not storage.home:
        return None
    by_user, by_workspace, by_server = storage.scope
    labels = {**common_labels(settings), "component": STORAGE_COMPONENT}
    annotations = {}
    if by_user:
        labels[USER], annotations[USER] = safe_slug(user), user
    if by_workspace:
        labels[WORKSPACE_LABEL] = annotations[WORKSPACE_LABEL] = workspace
    if by_server:
        annotations[SERVER] = server
    variables = variables_of(user, server, settings, workspace, profile, user_id=user_id)
    return claim_manifest(storage, variables["pvc_name"], labels, annotations, variables)


def variables_of(
    user: str,
    server: str,
    settings: Settings,
    workspace: str = "",
    profile: str = "",
    gpu_class: str = "none",
    user_id: int | None = None,
) -> dict[str, str]:
    """What the variables in templates stand for in one launch."""
    variables = user_variables(user, hub_namespace=settings.namespace, hub_name=settings.hub_name)
    variables |= server_variables(user, server)
    variables |= {
        "namespace": namespace_of(user, settings),
        "workspace": workspace,
        "profile": profile,
        "gpu_class": gpu_class,
        "pod_name": pod_name(user, server),
    }
    if user_id is not None:
        variables["userid"] = str(user_id)
    storage = settings.storage
    claim = home_claim(storage, user, server, workspace, variables) if storage is not None and storage.home else ""
    return {**variables, "pvc_name": claim}


def build_secret(user: str, name: str, server: Server, settings: Settings) -> dict[str, Any] | None:
    """The Secret with what must not be read in the pod's spec: the server's API token and its certificates.

    None where there is nothing to keep from view.
    """
    hidden = secret_variables(settings)
    data = {key: value for key, value in server.environment.items() if key in hidden} | dict(server.certificates)
    if not data:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": pod_name(user, name),
            "labels": {**common_labels(settings), "component": COMPONENT, **owner_labels(user, name)},
        },
        "stringData": data,
    }


def secret_variables(settings: Settings) -> frozenset[str]:
    """The variables of the environment that are in the Secret and not in the pod."""
    return SECRET_VARIABLES if settings.token_in_secret else frozenset()


def build_service(user: str, name: str, server: Server, settings: Settings, owner: Mapping[str, Any]) -> dict[str, Any]:
    """The Service that gives a server's pod a name in DNS; it is gone with ``owner``, the metadata of the pod."""
    labels = {**common_labels(settings), "component": COMPONENT, **owner_labels(user, name)}
    reference = {"apiVersion": "v1", "kind": "Pod", "name": owner["name"], "uid": owner["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": pod_name(user, name), "labels": labels, "ownerReferences": [reference]},
        "spec": {
            "type": "ClusterIP",
            "selector": {key: labels[key] for key in ("component", HUB_LABEL, USER, SERVER)},
            "ports": [{"name": "http", "port": server.port, "targetPort": server.port}],
        },
    }


def dns_name(user: str, name: str, settings: Settings) -> str:
    """The DNS name of a server's Service."""
    return str(expand(settings.dns_name, variables_of(user, name, settings)))


def namespace_of(user: str, settings: Settings) -> str:
    """The namespace of a user's objects."""
    if settings.user_namespaces is None:
        return settings.namespace
    mine = user_variables(user, hub_namespace=settings.namespace, hub_name=settings.hub_name)
    name = str(expand(settings.user_namespaces.name, mine))
    return name if len(name) <= _LONGEST_NAMESPACE else safe_slug(name, _LONGEST_NAMESPACE)


def build_namespace(user: str, settings: Settings) -> dict[str, Any] | None:
    """The namespace of a user, or None where all have the hub's."""
    own = settings.user_namespaces
    if own is None:
        return None
    mine = user_variables(user, hub_namespace=settings.namespace, hub_name=settings.hub_name)
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": namespace_of(user, settings),
            "labels": {**expand(own.labels, mine), **common_labels(settings), USER: safe_slug(user)},
            "annotations": {**expand(own.annotations, mine), USER: user},
        },
    }


def build_namespace_objects(settings: Settings) -> list[dict[str, Any]]:
    """What each namespace of a user has besides, with the labels of this hub's objects; they are the same for all."""
    own = settings.user_namespaces
    return [
        {
            **written,
            "metadata": {
                **written["metadata"],
                "labels": {**(written["metadata"].get("labels") or {}), **common_labels(settings)},
            },
        }
        for written in (own.objects if own is not None else ())
    ]
