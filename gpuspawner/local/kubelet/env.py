"""A container's environment: its variables, ``$(VAR)`` expansion, the downward API."""

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gpuspawner.local.apiserver.store import Object
from gpuspawner.local.scheduler.fit import amounts
from gpuspawner.quantity import parse_quantity

__all__ = ["ConfigError", "Lookup", "expand", "field_value", "resolve_env", "resource_value"]

Lookup = Callable[[str, str], Object | None]
"""(resource, name) -> the object of the pod's namespace, or None."""

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_VARIABLE = re.compile(r"[^=\x00-\x1f\x7f]+")


_KEY_REFERENCES = (("configMapKeyRef", "configmaps", "ConfigMap"), ("secretKeyRef", "secrets", "Secret"))


class ConfigError(Exception):
    """What a container's configuration refers to is not there; the text is the kubelet's."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; ``$$`` is a dollar, and a name that is not known stays as it stands.

    Source: k8s.io/kubernetes/third_party/forked/golang/expansion.
    """

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        return "$" if name is None else variables.get(name, match[0])

    return _REFERENCE.sub(replace, text)


def resolve_env(container: Object, pod: Object, node: Object, lookup: Lookup) -> dict[str, str]:
    """Return the variables of ``envFrom`` and ``env``, expanded in order. Raises `ConfigError`."""
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        variables |= _env_from(source, lookup)
    for entry in container.get("env") or []:
        if entry.get("valueFrom"):
            value = _value_from(entry["valueFrom"], container, pod, node, lookup)
        else:
            value = expand(entry.get("value") or "", variables)
        if value is not None:
            variables[entry["name"]] = value
    return variables


def _env_from(source: Object, lookup: Lookup) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for field, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
        if reference := source.get(field):
            found = lookup(resource, reference["name"])
            if found is None:
                if reference.get("optional"):
                    return {}
                raise ConfigError(f'{resource[:-1]} "{reference["name"]}" not found')
            data = {prefix + key: _decode(found, key) for key in found.get("data") or {}}
            return {key: value for key, value in data.items() if _VARIABLE.fullmatch(key)}
    return {}


def _decode(obj: Object, key: str) -> str:
    value = str(obj["data"][key])
    if obj.get("kind") == "Secret":
        return base64.b64decode(value).decode("utf-8", "surrogateescape")
    return value


def _value_from(source: Object, container: Object, pod: Object, node: Object, lookup: Lookup) -> str | None:
    if reference := source.get("fieldRef"):
        return field_value(pod, reference["fieldPath"])
    if reference := source.get("resourceFieldRef"):
        return resource_value(reference, container, pod, node)
    for field, resource, kind in _KEY_REFERENCES:
        if reference := source.get(field):
            found = lookup(resource, reference["name"])
            if found is not None and reference["key"] in (found.get("data") or {}):
                return _decode(found, reference["key"])
            if reference.get("optional"):
                return None
            if found is None:
                raise ConfigError(f'{resource[:-1]} "{reference["name"]}" not found')
            where = f"{pod['metadata']['namespace']}/{reference['name']}"
            raise ConfigError(f"couldn't find key {reference['key']} in {kind} {where}")
    raise ConfigError(f"this engine cannot take a variable from {', '.join(source) or 'nothing'}")


def field_value(pod: Object, path: str) -> str:
    """One field of a pod as the downward API writes it. Raises `ConfigError` for a field it does not offer."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    if match := _KEYED.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        pairs: Mapping[str, str] = metadata.get(path.split(".")[1]) or {}
        return "\n".join(f'{key}="{_quoted(value)}"' for key, value in sorted(pairs.items()))
    values: dict[str, Any] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName"),
        "status.hostIP": status.get("hostIP"),
        "status.hostIPs": status.get("hostIP"),
        "status.podIP": status.get("podIP"),
        "status.podIPs": status.get("podIP"),
    }
    if path not in values:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(values[path] or "")


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_value(reference: Object, container: Object, pod: Object, node: Object) -> str:
    """A container's limit or request in units of ``divisor``, rounded up; without a limit what the node can give."""
    if reference.get("containerName"):
        everyone: Sequence[Object] = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]
        container = next((c for c in everyone if c["name"] == reference["containerName"]), container)
    side, _, name = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    value = (resources.get(side) or {}).get(name)
    if value is None and side == "limits":
        value = (node.get("status", {}).get("allocatable") or {}).get(name)
    divisor = parse_quantity(reference.get("divisor") or 0) or 1
    if value is None:
        return "0"
    if name not in ("cpu", "memory", "ephemeral-storage"):
        return str(amounts({name: value})[name])
    return str(math.ceil(parse_quantity(value) / divisor))
