"""LaunchRequest -> Pod manifest. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, ValidationError

from gpuspawner.admission import Granted, Held
from gpuspawner.companions import build_claim, build_secret, secret_variables, variables_of
from gpuspawner.config import Settings
from gpuspawner.device_claim import CLAIM, wants_devices
from gpuspawner.errors import DeniedError, LaunchError
from gpuspawner.labels import (
    CLASS_LABEL,
    COMPONENT,
    HUB_LABEL,
    IDLE_AFTER,
    LIMITED_BY,
    PROFILE_LABEL,
    RUNTIME,
    SERVER,
    STORAGE_COMPONENT,
    USER,
    WORKSPACE_LABEL,
    common_labels,
    owner_labels,
)
from gpuspawner.names import expand, pod_name, safe_slug
from gpuspawner.placement import place
from gpuspawner.pod_patch import CONTAINER, check_pod, gpus_in
from gpuspawner.quantity import parse_quantity
from gpuspawner.server import CERTIFICATES_PATH, Server
from gpuspawner.storage import CERTIFICATES, claim_name, volumes_of
from gpuspawner.strategic_merge import strategic_merge

__all__ = [
    "COMPONENT",
    "CONTAINER",
    "HUB_LABEL",
    "STORAGE_COMPONENT",
    "HookError",
    "Server",
    "build_claim",
    "build_pod",
    "build_secret",
    "claim_name",
    "held_of",
    "pod_name",
    "recheck_pod",
    "safe_slug",
    "variables_of",
]

HELD = "gpuspawner/held"
_NAME_REMEDY = "Ask the administrator of this hub for another user name, or name the server otherwise."
_VISIBLE = "NVIDIA_VISIBLE_DEVICES"


class HookError(LaunchError):
    """``modify_pod_hook`` of the administrator went wrong."""

    code = "hook"

    def __init__(self, what: str) -> None:
        super().__init__(f"The modify_pod_hook of this hub failed: {what}.", "Tell the administrator of this hub.")


def build_pod(granted: Granted, server: Server, settings: Settings) -> dict[str, Any]:
    """The pod of an admitted launch.

    ``pod_template`` and the ``pod`` patches of the workspace, the profile and the GPU class are merged over it in
    this order. What quota and placement rest on is put in last and cannot be patched away: the labels and
    annotations of gpuspawner; the limits of the notebook container, of which a patch may request less CPU and memory
    but never more, nor another number of GPUs; the runtime; and the node affinity and tolerations of the GPU, which
    are added to those patched in. The notebook is the first container, and its own variables come before those
    patched in, which may refer to them as ``$(NAME)``.
    """
    asked = granted.request
    variables = variables_of(
        asked.user,
        asked.server,
        settings,
        asked.workspace,
        asked.profile,
        ",".join(granted.gpu_classes) or "none",
        server.user_id,
    )
    template = {"metadata": {}, "spec": _spec(granted, server, settings, variables)}
    patches = [
        settings.pod_template,
        settings.workspaces[asked.workspace].pod,
        settings.catalog.profiles[asked.profile].pod,
    ]
    if granted.placements:
        patches.append(settings.catalog.gpu_classes[granted.placements[0].gpu_class].pod)
    ours = template["spec"]
    for patch in patches:
        template = strategic_merge(template, expand(patch, variables))
    own = [variable["name"] for variable in ours["containers"][0]["env"]]
    return _finish(template["metadata"], template["spec"], own, granted, settings)


def recheck_pod(changed: Any, built: Mapping[str, Any], granted: Granted, settings: Settings) -> dict[str, Any]:
    """A pod that a hook has changed, with what quota and placement rest on put back as in :func:`build_pod`.

    Raises
    ------
    HookError
        Where it is no pod any more, or asks for GPUs or a node by itself.
    """
    try:
        pod = check_pod(changed, frozenset(offer.resource for offer in settings.catalog.offers()))
        notebook = pod["spec"]["containers"][[one["name"] for one in pod["spec"]["containers"]].index(CONTAINER)]
        own = built["spec"]["containers"][0]
        granted_here = own["resources"]["limits"]
        extra = [
            name for name in gpus_in({"spec": {"containers": [notebook]}}, frozenset()) if name not in granted_here
        ]
        if extra:
            raise ValueError(f"it asks for {extra[0]}, which no quota would count")
        if pod["spec"].get("resourceClaims") != built["spec"].get("resourceClaims"):
            raise ValueError("it changes resourceClaims, which no quota would count")
    except (TypeError, ValueError) as error:
        raise HookError(f"it does not leave a pod that can be used: {error}") from None
    names = [variable["name"] for variable in own["env"]]
    return _finish(pod["metadata"], pod["spec"], names, granted, settings)


def _finish(
    metadata: dict[str, Any], spec: dict[str, Any], own: list[str], granted: Granted, settings: Settings
) -> dict[str, Any]:
    """Put in what nobody may take away. ``own`` are the variables of the notebook that come before all others."""
    asked = granted.request
    _keep(spec, granted, own, settings)
    _restrict(spec)
    place(spec, granted, settings)
    metadata["name"] = pod_name(asked.user, asked.server)
    metadata["labels"] = {
        **common_labels(settings),
        **metadata.get("labels", {}),
        "component": COMPONENT,
        HUB_LABEL: settings.hub_name,
        "hub.jupyter.org/network-access-hub": "true",
        **owner_labels(asked.user, asked.server),
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
        HELD: _Amounts(**{name: getattr(granted.held, name) for name in _Amounts.model_fields}).model_dump_json(),
    }
    if spec["activeDeadlineSeconds"] != asked.runtime:
        metadata["annotations"][RUNTIME] = str(asked.runtime)
    if granted.limited_by:
        metadata["annotations"][LIMITED_BY] = granted.limited_by
    idle = settings.catalog.profiles[asked.profile].idle
    if idle is not None:
        metadata["annotations"][IDLE_AFTER] = str(idle)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def held_of(annotations: Mapping[str, str], settings: Settings) -> Held | None:
    """What a pod of ours holds, read back from its annotations; None where they are not what we wrote.

    A GPU class that the configuration knows no more is left out.
    """
    try:
        found = _Amounts.model_validate_json(annotations[HELD])
        held = Held(annotations[USER], annotations[SERVER], **found.model_dump())
    except (KeyError, ValidationError):
        return None
    return replace(held, gpu_classes=tuple(name for name in held.gpu_classes if name in settings.catalog.gpu_classes))


class _Amounts(BaseModel):
    """The annotation that says what a pod holds, besides its user and server."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    workspace: str
    gpu_classes: tuple[str, ...]
    gpus: NonNegativeInt
    cpu: NonNegativeFloat
    memory: NonNegativeInt


def _spec(granted: Granted, server: Server, settings: Settings, variables: Mapping[str, str]) -> dict[str, Any]:
    asked = granted.request
    resources = _limits(granted)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": _deadline(granted, settings),
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
                "env": _environment(granted, server, variables, secret_variables(settings)),
                "ports": [{"name": "notebook-port", "containerPort": server.port}],
                "resources": {"limits": resources, "requests": dict(resources)},
                "securityContext": _security_context(),
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
    volumes = _volumes(granted, settings, variables)
    if server.certificates:
        items = [{"key": name, "path": name} for name in sorted(server.certificates)]
        volume = {"name": CERTIFICATES, "secret": {"secretName": variables["pod_name"], "items": items}}
        mount = {"name": CERTIFICATES, "mountPath": CERTIFICATES_PATH, "readOnly": True}
        volumes.append((volume, mount))
    if volumes:
        spec["volumes"] = [volume for volume, _ in volumes]
        container["volumeMounts"] = [mount for _, mount in volumes]
    if settings.storage is not None and settings.storage.home:
        container["workingDir"] = expand(settings.storage.mount_path, variables)
    return spec


def _volumes(
    granted: Granted, settings: Settings, variables: Mapping[str, str]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    profile = settings.catalog.profiles[granted.request.profile]
    try:
        return list(
            volumes_of(
                settings.storage,
                home=variables["pvc_name"],
                workspace=granted.request.workspace,
                memory=granted.request.memory,
                scratch=profile.scratch,
                shared_memory=profile.shared_memory,
                variables=variables,
            )
        )
    except ValueError as error:
        raise DeniedError(f"{error}, and this hub keeps files in a folder of that name.", _NAME_REMEDY) from None


def _environment(
    granted: Granted, server: Server, templated: Mapping[str, str], hidden: frozenset[str]
) -> list[dict[str, Any]]:
    """Kubernetes expands ``$(VAR)`` in values, so a literal ``$`` from JupyterHub is doubled.

    ``NVIDIA_VISIBLE_DEVICES`` is never JupyterHub's: with a GPU the device plugin sets it, and a value here would
    override that; without one, ``void`` hides the GPUs that older NVIDIA runtimes show to every container. AMD's and
    Intel's are seen only where their device plugin mounts them.
    """
    plain = {key: value for key, value in server.environment.items() if key not in hidden and key != _VISIBLE}
    plain["GPUSPAWNER_WORKSPACE"] = granted.request.workspace
    plain["GPUSPAWNER_PROFILE"] = granted.request.profile
    if granted.placements:
        plain["GPUSPAWNER_GPU_CLASS"] = ",".join(granted.gpu_classes)
    else:
        plain[_VISIBLE] = "void"
    variables: list[dict[str, Any]] = []
    for key, value in sorted(plain.items()):
        written = expand(value, templated) if value == server.templates.get(key) else value
        if isinstance(written, Mapping):
            variables.append({**written, "name": key})
        else:
            variables.append({"name": key, "value": str(written).replace("$", "$$")})
    user, name = granted.request.user, granted.request.server
    for key in sorted(hidden & set(server.environment)):
        source = {"secretKeyRef": {"name": pod_name(user, name), "key": key}}
        variables.append({"name": key, "valueFrom": source})
    return variables


def _limits(granted: Granted) -> dict[str, str]:
    asked = granted.request
    limits = {"cpu": _quantity(asked.cpu), "memory": _quantity(asked.memory)}
    if granted.placements and not wants_devices(granted):
        limits[granted.placements[0].offer.resource] = str(asked.gpus)
    return limits


def _deadline(granted: Granted, settings: Settings) -> int:
    """When Kubernetes ends the pod, in seconds.

    A running pod's ``activeDeadlineSeconds`` may only be lowered (k8s.io/kubernetes ValidatePodUpdate), so one that
    may be extended has the longest that this can give, and the hub ends it before.
    """
    profile = settings.catalog.profiles[granted.request.profile]
    return max(granted.request.runtime, profile.extend_to or 0)


def _keep(spec: dict[str, Any], granted: Granted, own: list[str], settings: Settings) -> None:
    """Put back what patches may not take from the spec as built: the runtime, and the notebook's place and limits."""
    spec["activeDeadlineSeconds"] = _deadline(granted, settings)
    spec["containers"].sort(key=lambda container: container["name"] != CONTAINER)
    container = spec["containers"][0]
    container.get("env", []).sort(key=lambda variable: variable["name"] not in own)
    resources = container.setdefault("resources", {})
    limits = _limits(granted)
    resources["limits"] = {**resources.get("limits", {}), **limits}
    requests = resources["requests"] = {**limits, **resources.get("requests", {})}
    for name, limit in limits.items():
        if name not in ("cpu", "memory") or parse_quantity(requests[name]) > parse_quantity(limit):
            requests[name] = limit
    if wants_devices(granted):
        template = {"name": CLAIM, "resourceClaimTemplateName": pod_name(granted.request.user, granted.request.server)}
        spec["resourceClaims"] = [*(one for one in spec.get("resourceClaims") or () if one["name"] != CLAIM), template]
        resources["claims"] = [
            *(one for one in resources.get("claims") or () if one["name"] != CLAIM),
            {"name": CLAIM},
        ]


def _restrict(spec: dict[str, Any]) -> None:
    """Containers that are patched in are restricted, too, unless they say otherwise, and see no GPU."""
    for container in (*spec["containers"][1:], *(spec.get("initContainers") or ())):
        container.setdefault("securityContext", _security_context())
        variables = container.setdefault("env", [])
        if not any(variable["name"] == _VISIBLE for variable in variables):
            variables.append({"name": _VISIBLE, "value": "void"})


def _security_context() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _quantity(amount: float | int) -> str:
    """A Kubernetes quantity that says exactly this number, to thousandths."""
    number = Decimal(str(amount))
    if number == number.to_integral_value():
        return str(int(number))
    return f"{(number * 1000).to_integral_value(ROUND_CEILING)}m"
