"""A KubeSpawner hub's section of the configuration, said as a ``GPUSpawner`` section."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gpuspawner.migration.difference import difference
from gpuspawner.migration.gpus import PRODUCT_LABELS, Classes, take_gpus
from gpuspawner.migration.pods import OUR_CONTEXT, OUR_POD_CONTEXT, OUR_SPEC, plain_variables, pod_patch, pull_secrets
from gpuspawner.migration.profiles import Variant, variants_of
from gpuspawner.migration.reasons import REASONS
from gpuspawner.migration.storage import Taken, take_storage
from gpuspawner.migration.templates import templated
from gpuspawner.migration.traits import DEFAULTS, INHERITED, Remarks, Traits
from gpuspawner.pod_patch import CONTAINER

__all__ = ["Translation", "translate"]

_LEAST = {"cpu": 1.0, "mem": 2 * 10**9}
_BYTES = re.compile(r"([0-9.]+)\s*([KMGT]?)(?:i?B?)", re.IGNORECASE)
_OF_THE_HUB = (
    "dns_name", "enable_user_namespaces", "k8s_api", "namespace", "pvc_", "services_",
    "slug_scheme", "storage_", "user_namespace_",
)  # fmt: skip
_OF_PROFILES = ("default_url", "http_timeout", "notebook_dir")


@dataclass(frozen=True)
class Translation:
    """``section`` is a ``GPUSpawner`` section as plain values; ``remarks`` say what is not in it, or not quite."""

    section: dict[str, Any]
    remarks: tuple[tuple[str, str], ...]


def translate(values: Mapping[str, Any], said: Iterable[tuple[str, str]] = ()) -> Translation:
    """Say what KubeSpawner's traits say, as far as gpuspawner can.

    ``values`` are the traits that the hub sets, by name, those of ``c.Spawner`` among them; ``said`` are remarks that
    are made already.
    """
    remarks = Remarks(list(said))
    base = Traits(values, remarks)
    storage = take_storage(base)
    classes = Classes()
    _, shared = take_gpus(base)
    whole = pod_patch(shared)
    storage.rename(whole)
    variables = plain_variables(base)
    profiles = {v.name: _profile(v, base, whole, storage, classes) for v in variants_of(base)}
    section: dict[str, Any] = {
        **_inherited(base),
        "gpu_classes": classes.section(),
        "profiles": profiles,
        "workspaces": {"everyone": {"members": "*"}},
        "environment": variables,
        "pod_template": _without(whole, storage, variables),
        "image_pull_secrets": pull_secrets(base),
        "namespace": base["namespace"],
        "connect": _connect(base),
        "user_namespaces": _user_namespaces(base),
        "services": base["services_enabled"] or None,
        "dns_name": _dns_name(base),
    }
    section = {key: value for key, value in section.items() if value not in (None, "", {}, [])}
    section["storage"] = storage.section
    for name, reason in base.unknown(REASONS):
        base.say(name, reason)
    for name in classes.unnamed():
        remarks.say(
            f"gpu_classes[{name!r}]",
            "names no product, so it means any whole card: never MIG slices or shared ones. Name products to tell "
            "them apart.",
        )
    return Translation(section, tuple(remarks.said))


def _profile(
    variant: Variant, base: Traits, whole: Mapping[str, Any], storage: Taken, classes: Classes
) -> dict[str, Any]:
    traits = variant.traits
    gpus, rest = take_gpus(traits)
    asked = [take_gpus(answer)[0] for answer in (traits, *variant.answers)]
    patch = pod_patch(rest)
    storage.rename(patch)
    patch = difference(whole, patch)
    _add_requests(patch, traits)
    names = list(dict.fromkeys(classes.name_of(one) for one in asked if one is not None))
    counts = [one.count if one is not None else 0 for one in asked]
    profile: dict[str, Any] = {
        "display_name": variant.display_name,
        "description": variant.description,
        "image": str(traits["image"]),
        "cpu": _range([_limit(answer, "cpu") for answer in (traits, *variant.answers)], _cores),
        "memory": _range([_limit(answer, "mem") for answer in (traits, *variant.answers)], _bytes),
        "gpu_classes": names,
        "gpus": _range(counts, int) if names else None,
        "runtime": _runtime(traits),
        "deadlines": {"answer": traits.set["http_timeout"]} if traits.of_profile("http_timeout") else None,
        "pod": patch,
    }
    if gpus is None and not names and _on_gpu_nodes(traits):
        profile["allow_gpu_nodes"] = True
    _remark_on_limits(traits)
    _remark_on_profile_traits(traits, base)
    return {key: value for key, value in profile.items() if value not in (None, "", {}, [])}


def _limit(traits: Traits, what: str) -> float:
    """The limit, else the guarantee, else that of a profile that says nothing: a server here always has one."""
    limit = _amount(traits[f"{what}_limit"])
    return limit or max(_amount(traits[f"{what}_guarantee"]), _LEAST[what])


def _amount(value: Any) -> float:
    """JupyterHub's units of memory are binary: its 1G is Kubernetes' 1Gi."""
    if isinstance(value, str) and (match := _BYTES.fullmatch(value.strip())):
        return float(match[1]) * 1024.0 ** " KMGT".index(match[2].upper() or " ")
    return float(value or 0)


def _cores(amount: float) -> float | int:
    return int(amount) if amount == int(amount) else round(amount, 3)


def _bytes(amount: float) -> str:
    for power, unit in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
        if amount % 1024**power == 0:
            return f"{int(amount // 1024**power)}{unit}"
    return f"{int(amount // 10**9)}G" if amount % 10**9 == 0 else str(int(amount))


def _range(amounts: list[Any], write: Any) -> Any:
    """The first is the default."""
    if len(set(amounts)) == 1:
        return write(amounts[0])
    return {"default": write(amounts[0]), "min": write(min(amounts)), "max": write(max(amounts))}


def _add_requests(patch: dict[str, Any], traits: Traits) -> None:
    """A guarantee below the limit is a smaller request."""
    requests = {}
    for what, name, write in (("cpu", "cpu", _cores), ("mem", "memory", _bytes)):
        guarantee = _amount(traits[f"{what}_guarantee"])
        if guarantee and guarantee < _limit(traits, what):
            requests[name] = write(guarantee)
    if not requests:
        return
    containers = patch.setdefault("spec", {}).setdefault("containers", [])
    notebook = next((one for one in containers if one.get("name") == CONTAINER), None)
    if notebook is None:
        notebook = {"name": CONTAINER}
        containers.insert(0, notebook)
    notebook.setdefault("resources", {}).setdefault("requests", {}).update(requests)


def _runtime(traits: Traits) -> Any:
    config = traits["extra_pod_config"]
    seconds = config.get("activeDeadlineSeconds", config.get("active_deadline_seconds"))
    return None if seconds is None else int(seconds)


def _on_gpu_nodes(traits: Traits) -> bool:
    """Whether a server without GPU is sent to GPU nodes, or may be."""
    return any(label in str((traits["node_selector"], traits["node_affinity_required"])) for label in PRODUCT_LABELS)


def _remark_on_limits(traits: Traits) -> None:
    for what, words in (("cpu", "CPU"), ("mem", "memory")):
        if traits[f"{what}_limit"] is None:
            amount = _limit(traits, what)
            said = f"{_cores(amount)} core{'s' if amount != 1 else ''}" if what == "cpu" else _bytes(amount)
            traits.say(f"{what}_limit", f"is not set: a server here always has a limit of {words}; it is {said}.")


def _remark_on_profile_traits(traits: Traits, base: Traits) -> None:
    if traits is base:
        return
    for name, value in traits.set.items():
        if name in base.set and value == base.set[name]:
            continue
        if name in REASONS:
            traits.say(name, REASONS[name])
        elif name.startswith(_OF_THE_HUB):
            traits.say(name, "is the same for all profiles here; a patch of the pod can mount another volume.")
        elif name in INHERITED and name not in _OF_PROFILES:
            traits.say(name, "is the same for all profiles here.")
        elif name not in INHERITED and name not in DEFAULTS:
            traits.say(name, "is no trait of KubeSpawner 7.1.")


def _inherited(base: Traits) -> dict[str, Any]:
    """JupyterHub's own traits; a function among them has to be carried over by hand."""
    kept = {}
    for name in sorted(INHERITED & set(base.set)):
        if callable(base.set[name]):
            base.say(name, f"is a function: copy it, and set c.GPUSpawner.{name}; it is given a GPUSpawner.")
        else:
            kept[name] = base.set[name]
    return kept


def _without(whole: Mapping[str, Any], storage: Taken, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The patch of every pod, without what ``storage`` and ``environment`` say."""
    spec = _beyond(whole.get("spec", {}), OUR_SPEC)
    spec["securityContext"] = _beyond(spec["securityContext"], OUR_POD_CONTEXT)
    spec["volumes"] = _others(spec.get("volumes", []), "name", [volume["name"] for volume in storage.volumes])
    containers = []
    for container in spec.get("containers", []):
        left = dict(container)
        if container["name"] == CONTAINER:
            paths = [mount["mountPath"] for mount in storage.mounts]
            left["volumeMounts"] = _others(left.get("volumeMounts", []), "mountPath", paths)
            left["env"] = _others(left.get("env", []), "name", variables)
            left["securityContext"] = _beyond(left.get("securityContext", {}), OUR_CONTEXT)
        left = {key: value for key, value in left.items() if value not in ([], {})}
        if set(left) != {"name"}:
            containers.append(left)
    spec["containers"] = containers
    template = {**whole, "spec": {key: value for key, value in spec.items() if value not in ([], {})}}
    return {key: value for key, value in template.items() if value}


def _beyond(part: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in ours or value != ours[key]}


def _others(items: Iterable[Mapping[str, Any]], key: str, names: Iterable[str]) -> list[Mapping[str, Any]]:
    known = set(names)
    return [item for item in items if item[key] not in known]


def _connect(base: Traits) -> dict[str, Any]:
    connect = {
        "host": base["k8s_api_host"],
        "ca": base["k8s_api_ssl_ca_cert"],
        "verify": base.set.get("k8s_api_verify_ssl"),
    }
    return {key: value for key, value in connect.items() if value not in (None, "")}


def _user_namespaces(base: Traits) -> dict[str, Any] | None:
    if not base["enable_user_namespaces"]:
        return None
    base.say(
        "enable_user_namespaces",
        "made namespaces that gpuspawner uses only once they bear its label: kubectl label namespace NAME "
        "gpuspawner/hub=jupyterhub.",
    )
    scheme = base["slug_scheme"]
    own = {
        "name": templated(base["user_namespace_template"], scheme),
        "labels": templated(base["user_namespace_labels"], scheme),
        "annotations": templated(base["user_namespace_annotations"], scheme),
    }
    return {key: value for key, value in own.items() if value}


def _dns_name(base: Traits) -> str | None:
    """KubeSpawner calls the pod's name ``{name}`` here."""
    if "dns_name_template" not in base.set:
        return None
    return str(base["dns_name_template"].replace("{name}", "{pod_name}"))
