"""LaunchRequest -> Pod, Secret and PersistentVolumeClaim manifests. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

from gpuspawner.admission import Granted, Held
from gpuspawner.catalog import gpu_node_labels
from gpuspawner.config import Settings
from gpuspawner.strategic_merge import strategic_merge

__all__ = [
    "COMPONENT",
    "CONTAINER",
    "HUB_LABEL",
    "Server",
    "build_claim",
    "build_pod",
    "build_secret",
    "claim_name",
    "held_of",
    "pod_name",
    "safe_slug",
]

COMPONENT = "singleuser-server"
CONTAINER = "notebook"
HUB_LABEL = "gpuspawner/hub"
WORKSPACE_LABEL = "gpuspawner/workspace"
PROFILE_LABEL = "gpuspawner/profile"
CLASS_LABEL = "gpuspawner/gpu-class"
USER = "hub.jupyter.org/username"
SERVER = "hub.jupyter.org/servername"
HELD = "gpuspawner/held"
_SAFE = re.compile(r"[a-z0-9](?:-?[a-z0-9])*", re.ASCII)
_SECRET_VARIABLES = frozenset({"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"})


@dataclass(frozen=True, slots=True)
class Server:
    """What JupyterHub wants to run: environment, command (None: the image's own) and arguments, and the port."""

    environment: Mapping[str, str]
    command: Sequence[str] | None
    arguments: Sequence[str]
    port: int = 8888


def safe_slug(text: str, limit: int = 32) -> str:
    """A DNS label of at most ``limit`` characters (24 or more) for any text; different texts get different slugs.

    A text that is safe already stays as it is. Any other keeps what is safe of it and ends in ``---`` and 64 bits of
    its SHA-256; no safe text has two hyphens in a row, so that the two kinds never meet.
    """
    if len(text) <= limit and _SAFE.fullmatch(text):
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    kept = re.sub(r"[^a-z0-9]+", "-", text.lower(), flags=re.ASCII).strip("-")[: limit - 19].rstrip("-")
    return f"{kept or 'x'}---{digest}"


def pod_name(user: str, server: str) -> str:
    """The name of a server's pod, the same at every launch, at most 63 characters."""
    if not server:
        return f"jupyter-{safe_slug(user)}"
    return f"jupyter-{safe_slug(user, 24)}--{safe_slug(server, 24)}"


def claim_name(user: str) -> str:
    """The name of a user's PersistentVolumeClaim."""
    return f"claim-{safe_slug(user)}"


def build_claim(user: str, settings: Settings) -> dict[str, Any] | None:
    """The PersistentVolumeClaim of a user's home, or None where homes are not kept."""
    storage = settings.storage
    if storage is None:
        return None
    spec: dict[str, Any] = {
        "accessModes": list(storage.access_modes),
        "resources": {"requests": {"storage": _quantity(storage.size)}},
    }
    if storage.storage_class is not None:
        spec["storageClassName"] = storage.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": claim_name(user),
            "labels": {
                **_common_labels(settings),
                "component": "singleuser-storage",
                USER: safe_slug(user),
            },
            "annotations": {USER: user},
        },
        "spec": spec,
    }


def build_secret(user: str, name: str, server: Server, settings: Settings) -> dict[str, Any]:
    """The Secret that carries what must not be read in the pod's spec: the server's API token."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": pod_name(user, name),
            "labels": {**_common_labels(settings), "component": COMPONENT, **_owner_labels(user, name)},
        },
        "stringData": {key: value for key, value in server.environment.items() if key in _SECRET_VARIABLES},
    }


def build_pod(granted: Granted, server: Server, settings: Settings) -> dict[str, Any]:
    """The pod of an admitted launch.

    ``pod_template`` and the ``pod`` patches of the workspace, the profile and the GPU class are merged over it in
    this order. What quota and placement rest on is put in last and cannot be patched away: the labels and
    annotations of gpuspawner, and the node affinity and tolerations of the GPU, which are added to those patched in.
    """
    asked = granted.request
    template = {"metadata": {}, "spec": _spec(granted, server, settings)}
    patches = [
        settings.pod_template,
        settings.workspaces[asked.workspace].pod,
        settings.catalog.profiles[asked.profile].pod,
    ]
    if granted.placements:
        patches.append(settings.catalog.gpu_classes[granted.placements[0].gpu_class].pod)
    for patch in patches:
        template = strategic_merge(template, patch)
    metadata, spec = template["metadata"], template["spec"]
    _add_affinity(spec, granted, settings)
    spec["tolerations"] = [*spec.get("tolerations", []), *_tolerations(granted, settings)]
    metadata["name"] = pod_name(asked.user, asked.server)
    metadata["labels"] = {
        **_common_labels(settings),
        **metadata.get("labels", {}),
        "component": COMPONENT,
        HUB_LABEL: settings.hub_name,
        "hub.jupyter.org/network-access-hub": "true",
        **_owner_labels(asked.user, asked.server),
        WORKSPACE_LABEL: asked.workspace,
        PROFILE_LABEL: asked.profile,
        CLASS_LABEL: granted.gpu_classes[0] if granted.gpu_classes else "none",
    }
    metadata["annotations"] = {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
        **metadata.get("annotations", {}),
        USER: asked.user,
        SERVER: asked.server,
        HELD: json.dumps(asdict(granted.held), separators=(",", ":")),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def held_of(annotations: Mapping[str, str], settings: Settings) -> Held | None:
    """What a pod of ours holds, read back from its annotations; None where they are not what we wrote."""
    try:
        found = json.loads(annotations[HELD])
        held = Held(
            user=annotations[USER],
            server=annotations[SERVER],
            workspace=str(found["workspace"]),
            gpu_classes=tuple(name for name in found["gpu_classes"] if name in settings.catalog.gpu_classes),
            gpus=int(found["gpus"]),
            cpu=float(found["cpu"]),
            memory=int(found["memory"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return held if min(held.gpus, held.cpu, held.memory) >= 0 else None


def _common_labels(settings: Settings) -> dict[str, str]:
    return {"app": "jupyterhub", "app.kubernetes.io/managed-by": "gpuspawner", HUB_LABEL: settings.hub_name}


def _owner_labels(user: str, server: str) -> dict[str, str]:
    return {USER: safe_slug(user), SERVER: safe_slug(server) if server else ""}


def _spec(granted: Granted, server: Server, settings: Settings) -> dict[str, Any]:
    asked = granted.request
    resources = {"cpu": _quantity(asked.cpu), "memory": _quantity(asked.memory)}
    if granted.placements:
        resources[granted.placements[0].offer.resource] = str(asked.gpus)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": asked.runtime,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 100,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": asked.image,
                "env": _environment(asked.user, asked.server, granted, server),
                "ports": [{"name": "notebook-port", "containerPort": server.port}],
                "resources": {"limits": resources, "requests": dict(resources)},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    }
    container = spec["containers"][0]
    if server.command is not None:
        container["command"] = list(server.command)
    if server.arguments:
        container["args"] = list(server.arguments)
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if settings.storage is not None:
        claim = {"claimName": claim_name(asked.user)}
        spec["volumes"] = [{"name": "home", "persistentVolumeClaim": claim}]
        container["volumeMounts"] = [{"name": "home", "mountPath": settings.storage.mount_path}]
        container["workingDir"] = settings.storage.mount_path
    return spec


def _environment(user: str, name: str, granted: Granted, server: Server) -> list[dict[str, Any]]:
    """Kubernetes expands ``$(VAR)`` in values, so a literal ``$`` from JupyterHub is doubled."""
    plain = {key: value for key, value in server.environment.items() if key not in _SECRET_VARIABLES}
    plain["GPUSPAWNER_WORKSPACE"] = granted.request.workspace
    plain["GPUSPAWNER_PROFILE"] = granted.request.profile
    if granted.placements:
        plain["GPUSPAWNER_GPU_CLASS"] = ",".join(granted.gpu_classes)
    else:
        plain["NVIDIA_VISIBLE_DEVICES"] = "void"
    variables: list[dict[str, Any]] = [
        {"name": key, "value": str(value).replace("$", "$$")} for key, value in sorted(plain.items())
    ]
    for key in sorted(_SECRET_VARIABLES & set(server.environment)):
        source = {"secretKeyRef": {"name": pod_name(user, name), "key": key}}
        variables.append({"name": key, "valueFrom": source})
    return variables


def _add_affinity(spec: dict[str, Any], granted: Granted, settings: Settings) -> None:
    """And the launch's own node terms with those patched in: terms are or-ed, the expressions within one and-ed."""
    ours, preferred = _node_terms(granted, settings)
    if not ours and not preferred:
        return
    node = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    if ours:
        required = node.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
        theirs = required.get("nodeSelectorTerms") or [{}]
        required["nodeSelectorTerms"] = [
            {**term, "matchExpressions": [*term.get("matchExpressions", []), *expressions]}
            for term in theirs
            for expressions in ours
        ]
    if preferred:
        wishes = node.setdefault("preferredDuringSchedulingIgnoredDuringExecution", [])
        wishes.extend(preferred)


def _node_terms(granted: Granted, settings: Settings) -> tuple[list[list[dict[str, Any]]], list[dict[str, Any]]]:
    if not granted.placements:
        without = [{"key": label, "operator": "DoesNotExist"} for label in gpu_node_labels(settings.catalog)]
        if settings.catalog.profiles[granted.request.profile].allow_gpu_nodes:
            return [], [{"weight": 100, "preference": {"matchExpressions": without}}]
        return [without], []
    terms = [[r.manifest() for r in placement.offer.requirements] for placement in granted.placements]
    classes = granted.gpu_classes
    preferred = [
        {
            "weight": 100 - 99 * classes.index(placement.gpu_class) // len(classes),
            "preference": {"matchExpressions": expressions},
        }
        for placement, expressions in zip(granted.placements, terms, strict=True)
        if len(classes) > 1 and expressions
    ]
    return ([] if [] in terms else terms), preferred


def _tolerations(granted: Granted, settings: Settings) -> list[dict[str, str]]:
    """Zero-to-JupyterHub's dedicated nodes; for GPU launches the taints that vendors and clouds put on GPU nodes."""
    tolerations = [
        {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
        for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
    ]
    resources = {placement.offer.resource for placement in granted.placements}
    if not resources and settings.catalog.profiles[granted.request.profile].allow_gpu_nodes:
        resources = {offer.resource for offer in settings.catalog.offers()}
    taints = resources | {f"{resource.partition('/')[0]}/gpu" for resource in resources}
    tolerations += [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in sorted(taints)]
    if resources:
        tolerations.append({"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"})
    return tolerations


def _quantity(amount: float | int) -> str:
    """A Kubernetes quantity that says exactly this number."""
    number = Decimal(str(amount))
    if number == number.to_integral_value():
        return str(int(number))
    return f"{int(number * 1000)}m"
