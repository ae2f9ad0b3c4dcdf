"""What KubeSpawner's traits make of a pod, as a patch of ours."""

import re
from collections.abc import Mapping
from typing import Any

from gpuspawner.migration.templates import literal, templated
from gpuspawner.migration.traits import Traits, camel, listed
from gpuspawner.pod_patch import CONTAINER

__all__ = ["OUR_CONTEXT", "OUR_POD_CONTEXT", "OUR_SPEC", "plain_variables", "pod_patch", "pull_secrets"]

_TOLERATED = [
    {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
    for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
]
OUR_SPEC: Mapping[str, Any] = {"automountServiceAccountToken": False, "enableServiceLinks": False}
OUR_POD_CONTEXT: Mapping[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "fsGroup": 100,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
OUR_CONTEXT: Mapping[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""What our pods say where nothing else is said: a patch of a profile may have to say so, that of all pods need not."""
_OUR_LABELS = {
    "app": "jupyterhub",
    "app.kubernetes.io/managed-by": "kubespawner",
    "component": "singleuser-server",
    "hub.jupyter.org/network-access-hub": "true",
}
_REFERENCE = re.compile(r"\$\(([^)]+)\)")
_OURS = {
    "nodeName": "names a node; use node_selector, so that the scheduler may choose.",
    "activeDeadlineSeconds": "is the runtime of the profiles here.",
    "containers": "would replace the notebook; name it by hand.",
    "restartPolicy": "stays Never here: a server that ended is shown as ended, and started anew by its user.",
}


def pod_patch(traits: Traits) -> dict[str, Any]:
    """The patch of the pod that says what these traits say, but for its image, its amounts and its GPUs."""
    containers = [{"name": CONTAINER, **_container(traits)}]
    containers += [_other_container(one) for one in _filled_in(traits, "extra_containers")]
    spec: dict[str, Any] = {
        **OUR_SPEC,
        **literal(_scheduling(traits)),
        **_identity(traits),
        "securityContext": literal(_pod_security(traits)),
        "volumes": _claims_named(_filled_in(traits, "volumes"), traits),
        "initContainers": [_other_container(one) for one in _filled_in(traits, "init_containers")],
        "terminationGracePeriodSeconds": traits.set.get("delete_grace_period"),
    }
    if traits.of_profile("image_pull_secrets"):
        spec["imagePullSecrets"] = [{"name": name} for name in pull_secrets(traits)]
    for key, value in _filled_in(traits, "extra_pod_config").items():
        _add_to_spec(spec, camel(key), value, traits)
    spec["containers"] = containers
    metadata = {
        "labels": _labels(_filled_in(traits, "extra_labels") | (traits.set.get("common_labels") or {})),
        "annotations": _texts(_filled_in(traits, "extra_annotations")),
    }
    return {"metadata": _filled(metadata), "spec": _filled(spec)}


def plain_variables(traits: Traits) -> dict[str, Any]:
    """The variables that ``c.GPUSpawner.environment`` can say: all but those that refer to others as ``$(NAME)``."""
    variables = (_variable(name, value, traits) for name, value in traits["environment"].items())
    return {
        variable["name"]: variable.get("value") or {key: inner for key, inner in variable.items() if key != "name"}
        for variable in variables
        if variable is not None and not _references(variable) and variable.get("value") != ""
    }


def _filled_in(traits: Traits, name: str) -> Any:
    """A trait in which KubeSpawner fills in the user's name and the like."""
    value = traits[name]
    of_objects = name in ("extra_containers", "init_containers", "volumes", "volume_mounts")
    return templated(listed(value, camel) if of_objects else value, traits["slug_scheme"])


def _claims_named(volumes: list[dict[str, Any]], traits: Traits) -> list[dict[str, Any]]:
    """``{pvc_name}`` is ours where the home is, and KubeSpawner's by its template."""
    claim = templated(traits["pvc_name_template"], traits["slug_scheme"])
    for volume in volumes:
        source = volume.get("persistentVolumeClaim")
        if isinstance(source, Mapping):
            source = {camel(key): value for key, value in source.items()}
            volume["persistentVolumeClaim"] = {**source, "claimName": source["claimName"].replace("{pvc_name}", claim)}
    return volumes


def pull_secrets(traits: Traits) -> list[str]:
    """The names of the Secrets with the credentials of registries."""
    value = traits["image_pull_secrets"]
    items = [value] if isinstance(value, str) else value
    return [item if isinstance(item, str) else item["name"] for item in items]


def _container(traits: Traits) -> dict[str, Any]:
    container: dict[str, Any] = {
        "args": literal(_arguments(traits)),
        "env": _environment(traits),
        "imagePullPolicy": traits["image_pull_policy"],
        "lifecycle": literal(traits["lifecycle_hooks"]),
        "securityContext": literal(_container_security(traits)),
        "volumeMounts": _filled_in(traits, "volume_mounts"),
        "workingDir": _filled_in(traits, "working_dir"),
    }
    for key, value in literal(traits["extra_container_config"]).items():
        name = camel(key)
        if name == "resources":
            _other_amounts(container, value)
        elif name == "name":
            traits.say("extra_container_config", "cannot rename the container: it is called notebook.")
        else:
            container[name] = value
    _other_amounts(container, {"limits": traits["extra_resource_limits"]})
    _other_amounts(container, {"requests": traits["extra_resource_guarantees"]})
    return _filled(container)


def _other_amounts(container: dict[str, Any], resources: Mapping[str, Any]) -> None:
    """Resources that are no GPUs; CPU and memory of the notebook are the profile's."""
    for kind, amounts in resources.items():
        kept = {name: amount for name, amount in (amounts or {}).items() if name not in ("cpu", "memory")}
        if kept:
            container.setdefault("resources", {}).setdefault(kind, {}).update(kept)


def _arguments(traits: Traits) -> list[str]:
    """KubeSpawner gives ``cmd`` to the image's own entrypoint, as arguments; without it ``args`` have no effect."""
    command = traits["cmd"] or []
    return [*([command] if isinstance(command, str) else command), *traits["args"]] if command else []


def _environment(traits: Traits) -> list[dict[str, Any]]:
    """Each variable after those its value refers to, else in alphabetical order."""
    variables = {name: _variable(name, value, traits) for name, value in sorted(traits["environment"].items())}
    for name, trait in (("JUPYTERHUB_DEFAULT_URL", "default_url"), ("JUPYTERHUB_ROOT_DIR", "notebook_dir")):
        if traits.of_profile(trait) and traits.set.get(trait):
            variables[name] = {"name": name, "value": traits.set[trait]}
    ordered: list[dict[str, Any]] = []
    waiting = [variable for variable in variables.values() if variable is not None]
    while waiting:
        names = {variable["name"] for variable in waiting}
        ready = [v for v in waiting if not (_references(v) & names - {v["name"]})] or waiting
        ordered += ready
        waiting = [variable for variable in waiting if variable not in ready]
    return ordered


def _references(variable: Mapping[str, Any]) -> set[str]:
    return set(_REFERENCE.findall(str(variable.get("value", ""))))


def _variable(name: str, value: Any, traits: Traits) -> dict[str, Any] | None:
    if callable(value):
        traits.say(f"environment[{name!r}]", "is a function: c.GPUSpawner.environment takes it as it is; copy it.")
        return None
    if isinstance(value, Mapping):
        written = templated({camel(key): inner for key, inner in value.items()}, traits["slug_scheme"])
        return {"name": name, **written}
    return {"name": name, "value": templated(str(value), traits["slug_scheme"])}


def _identity(traits: Traits) -> dict[str, Any]:
    account = _filled_in(traits, "service_account")
    token = traits["automount_service_account_token"]
    if account and token is None:
        traits.say(
            "service_account",
            "mounts its token, as in KubeSpawner; remove automountServiceAccountToken if no server needs it.",
        )
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": bool(account) if token is None else bool(token),
    }


def _pod_security(traits: Traits) -> dict[str, Any]:
    supplemental = [int(gid) for gid in traits["supplemental_gids"]]
    group = traits["fs_gid"]
    context = {
        "fsGroup": None if group is None else int(group),
        "supplementalGroups": supplemental or None,
        **traits["pod_security_context"],
    }
    return {**OUR_POD_CONTEXT, **_unrestricted(_filled(context))}


def _container_security(traits: Traits) -> dict[str, Any]:
    """KubeSpawner adds no restriction of its own but one, so what needs more than we give is allowed explicitly."""
    user, group = traits["uid"], traits["gid"]
    wanted = _filled(
        {
            "runAsUser": None if user in (None, OUR_POD_CONTEXT["runAsUser"]) else int(user),
            "runAsGroup": None if group is None else int(group),
            "privileged": traits["privileged"] or None,
            **traits["container_security_context"],
        }
    )
    escalation = wanted.get("allowPrivilegeEscalation", traits.set.get("allow_privilege_escalation", False))
    if wanted.get("privileged") and not escalation:
        escalation = None  # Kubernetes refuses both
    capabilities = {"drop": None, **(wanted.get("capabilities") or {})}
    if escalation is False and "capabilities" not in wanted:
        capabilities = {"drop": ["ALL"]}
    return {**_unrestricted(wanted), "allowPrivilegeEscalation": escalation, "capabilities": capabilities}


def _unrestricted(context: dict[str, Any]) -> dict[str, Any]:
    """Our pods may not run as root; a context that asks for it says so."""
    return {"runAsNonRoot": False, **context} if context.get("runAsUser") == 0 else context


def _other_container(container: dict[str, Any]) -> dict[str, Any]:
    context = container.get("securityContext")
    if not isinstance(context, Mapping):
        return container
    return {**container, "securityContext": _unrestricted({camel(key): value for key, value in context.items()})}


def _scheduling(traits: Traits) -> dict[str, Any]:
    tolerations = [one for one in listed(traits["tolerations"], camel) if one not in _TOLERATED]
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = listed(traits["node_affinity_required"], camel)
    affinity: dict[str, Any] = {
        "nodeAffinity": {
            required: {"nodeSelectorTerms": terms} if terms else None,
            preferred: listed(traits["node_affinity_preferred"], camel),
        }
    }
    for kind, name in (("pod_affinity", "podAffinity"), ("pod_anti_affinity", "podAntiAffinity")):
        affinity[name] = {
            required: listed(traits[f"{kind}_required"], camel),
            preferred: listed(traits[f"{kind}_preferred"], camel),
        }
    return {
        "nodeSelector": traits["node_selector"],
        "tolerations": tolerations,
        "affinity": {name: filled for name, rules in affinity.items() if (filled := _filled(rules))},
        "priorityClassName": traits["priority_class_name"],
        "schedulerName": traits["scheduler_name"],
    }


def _add_to_spec(spec: dict[str, Any], name: str, value: Any, traits: Traits) -> None:
    """KubeSpawner replaces the field as a whole; a list of ours cannot be taken away, so it is added to."""
    if name in _OURS:
        traits.say(f"extra_pod_config[{name!r}]", _OURS[name])
    elif name == "securityContext":
        spec[name] = {**OUR_POD_CONTEXT, **_unrestricted(dict(value))}
    else:
        spec[name] = value


def _labels(labels: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in labels.items() if _OUR_LABELS.get(name) != value}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _filled(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if value not in (None, "", {}, [])}
