"""What a pod may say, beyond its schema; and what of it may change later."""

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

from gpuspawner.local.apiserver.device_validation import validate_pod_claims
from gpuspawner.local.apiserver.metadata import dns_label, dns_subdomain, label_key, validate_labels
from gpuspawner.local.apiserver.quantities import canonical, is_extended, number
from gpuspawner.local.apiserver.status import (
    Cause,
    duplicate_value,
    forbidden_field,
    invalid_value,
    not_found_value,
    required_value,
    unsupported_value,
)

__all__ = ["validate_pod", "validate_pod_update"]

Object = dict[str, Any]
_ENV_NAME = re.compile(r"[ -<>-~]+", re.ASCII)
_WORDS = {
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "dnsPolicy": ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"),
    "preemptionPolicy": ("PreemptLowerPriority", "Never"),
}
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NODE_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod(pod: Object) -> list[Cause]:
    """Return what is wrong with a pod's spec, in the order of a kube-apiserver."""
    spec = pod["spec"]
    causes = _volumes(spec)
    names = {volume.get("name") for volume in spec.get("volumes", [])}
    seen: set[str] = set()
    if not spec.get("containers"):
        causes.append(required_value("spec.containers"))
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind, [])):
            where = f"spec.{kind}[{index}]"
            causes += _name(container.get("name"), f"{where}.name", seen)
            causes += _container(container, where, names)
    causes += validate_pod_claims(spec)
    causes += _pod_words(spec)
    causes += validate_labels(spec.get("nodeSelector", {}), "spec.nodeSelector")
    causes += _tolerations(spec)
    causes += _affinity(spec.get("affinity", {}).get("nodeAffinity", {}))
    return causes


def _name(name: str | None, field: str, seen: set[str]) -> list[Cause]:
    if not name:
        return [required_value(field)]
    causes = [invalid_value(field, name, why) for why in dns_label(name)]
    if name in seen:
        causes.append(duplicate_value(field, name))
    seen.add(name)
    return causes


def _pod_words(spec: Object) -> list[Cause]:
    causes = []
    for field, words in _WORDS.items():
        if field in spec and spec[field] not in words:
            causes.append(unsupported_value(f"spec.{field}", spec[field], words))
    for field, least, why in (
        ("terminationGracePeriodSeconds", None, ""),
        ("activeDeadlineSeconds", 1, "must be between 1 and 2147483647, inclusive"),
    ):
        if least is not None and field in spec and not least <= spec[field] <= 2**31 - 1:
            causes.append(_number(f"spec.{field}", spec[field], why))
    for field, rule in (("hostname", dns_label), ("subdomain", dns_label), ("serviceAccountName", dns_subdomain)):
        if spec.get(field):
            causes += [invalid_value(f"spec.{field}", spec[field], why) for why in rule(spec[field])]
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        value = spec.get("securityContext", {}).get(field, 0)
        if not 0 <= value <= 2**31 - 1:
            why = "must be between 0 and 2147483647, inclusive"
            causes.append(_number(f"spec.securityContext.{field}", value, why))
    return causes


def _number(field: str, value: object, why: str) -> Cause:
    return {"reason": "FieldValueInvalid", "message": f"Invalid value: {value}: {why}", "field": field}


def _volumes(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, volume in enumerate(spec.get("volumes", [])):
        where = f"spec.volumes[{index}]"
        causes += _name(volume.get("name"), f"{where}.name", seen)
        sources = [key for key in volume if key != "name"]
        for extra in sources[1:]:
            causes.append(forbidden_field(f"{where}.{extra}", "may not specify more than 1 volume type"))
        if "persistentVolumeClaim" in volume and not volume["persistentVolumeClaim"].get("claimName"):
            causes.append(required_value(f"{where}.persistentVolumeClaim.claimName"))
        if "hostPath" in volume and not volume["hostPath"].get("path"):
            causes.append(required_value(f"{where}.hostPath.path"))
        if "secret" in volume and not volume["secret"].get("secretName"):
            causes.append(required_value(f"{where}.secret.secretName"))
    return causes


def _container(container: Object, where: str, volumes: set[str | None]) -> list[Cause]:
    causes: list[Cause] = []
    image = container.get("image", "")
    if not image:
        causes.append(required_value(f"{where}.image"))
    elif image.strip() != image:
        causes.append(invalid_value(f"{where}.image", image, "must not have leading or trailing whitespace"))
    for index, variable in enumerate(container.get("env", [])):
        causes += _variable(variable, f"{where}.env[{index}]")
    causes += _mounts(container, where, volumes)
    policy = container.get("imagePullPolicy", "Always")
    if policy not in ("Always", "IfNotPresent", "Never"):
        causes.append(unsupported_value(f"{where}.imagePullPolicy", policy, ("Always", "IfNotPresent", "Never")))
    for index, port in enumerate(container.get("ports", [])):
        causes += _port(port, f"{where}.ports[{index}]")
    return causes + _resources(container.get("resources", {}), f"{where}.resources")


def _variable(variable: Object, where: str) -> list[Cause]:
    name = variable.get("name")
    causes: list[Cause] = []
    if not name:
        causes.append(required_value(f"{where}.name"))
    elif not _ENV_NAME.fullmatch(name):
        why = "a valid environment variable name must consist only of printable ASCII characters other than '='"
        causes.append(invalid_value(f"{where}.name", name, why))
    source = variable.get("valueFrom")
    if source is not None:
        if variable.get("value"):
            causes.append(invalid_value(f"{where}.valueFrom", "", "may not be specified when `value` is not empty"))
        if len(source) != 1:
            why = (
                "may not have more than one field specified at a time"
                if source
                else ("must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`")
            )
            causes.append(invalid_value(f"{where}.valueFrom", "", why))
    return causes


def _mounts(container: Object, where: str, volumes: set[str | None]) -> list[Cause]:
    causes: list[Cause] = []
    paths: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts", [])):
        field = f"{where}.volumeMounts[{index}]"
        name, path = mount.get("name"), mount.get("mountPath")
        if not name:
            causes.append(required_value(f"{field}.name"))
        elif name not in volumes:
            causes.append(not_found_value(f"{field}.name", name))
        if not path:
            causes.append(required_value(f"{field}.mountPath"))
        elif path in paths:
            causes.append(invalid_value(f"{field}.mountPath", path, "must be unique"))
        paths.add(path)
        sub = mount.get("subPath", "")
        if sub.startswith("/"):
            causes.append(invalid_value(f"{field}.subPath", sub, "must be a relative path"))
        if ".." in sub.split("/"):
            causes.append(invalid_value(f"{field}.subPath", sub, "must not contain '..'"))
    return causes


def _port(port: Object, where: str) -> list[Cause]:
    causes: list[Cause] = []
    value = port.get("containerPort")
    if value is None:
        causes.append(required_value(f"{where}.containerPort"))
    elif not 1 <= value <= 65535:
        causes.append(_number(f"{where}.containerPort", value, "must be between 1 and 65535, inclusive"))
    if port.get("protocol", "TCP") not in ("TCP", "UDP", "SCTP"):
        causes.append(unsupported_value(f"{where}.protocol", port["protocol"], ("TCP", "UDP", "SCTP")))
    return causes


def _resources(resources: Object, where: str) -> list[Cause]:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    causes: list[Cause] = []
    for kind, values in (("limits", limits), ("requests", requests)):
        for name, value in values.items():
            causes += _amount(name, value, f"{where}.{kind}")
    for name, value in requests.items():
        if name not in limits:
            if is_extended(name):
                causes.append(required_value(f"{where}.limits", "Limit must be set for non overcommitable resources"))
            continue
        asked, limit = number(value), number(limits[name])
        if is_extended(name) and asked != limit:
            why = f"must be equal to {name} limit of {canonical(limits[name])}"
            causes.append(invalid_value(f"{where}.requests", canonical(value), why))
        elif asked > limit:
            why = f"must be less than or equal to {name} limit of {canonical(limits[name])}"
            causes.append(invalid_value(f"{where}.requests", canonical(value), why))
    return causes


def _amount(name: str, value: str, where: str) -> list[Cause]:
    field = f"{where}[{name}]" if "/" in name or "." in name else f"{where}.{name}"
    causes = [invalid_value(where, name, why) for why in label_key(name)]
    if "/" not in name and name not in ("cpu", "memory", "ephemeral-storage") and not name.startswith("hugepages-"):
        causes.append(invalid_value(where, name, "must be a standard resource for containers"))
    if number(value) < 0:
        causes.append(invalid_value(field, value, "must be greater than or equal to 0"))
    elif is_extended(name) and number(value) % 1:
        causes.append(invalid_value(field, value, "must be an integer"))
    return causes


def _tolerations(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    for index, toleration in enumerate(spec.get("tolerations", [])):
        where = f"spec.tolerations[{index}]"
        operator, effect = toleration.get("operator", "Equal"), toleration.get("effect", "")
        if toleration.get("key"):
            causes += [invalid_value(f"{where}.key", toleration["key"], why) for why in label_key(toleration["key"])]
        elif operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            causes.append(invalid_value(f"{where}.operator", operator, why))
        if operator not in ("Equal", "Exists", "Lt", "Gt"):
            causes.append(unsupported_value(f"{where}.operator", operator, ("Equal", "Exists")))
        elif operator == "Exists" and toleration.get("value"):
            why = "value must be empty when `operator` is 'Exists'"
            causes.append(invalid_value(f"{where}.operator", toleration["value"], why))
        if effect and effect not in _EFFECTS:
            causes.append(unsupported_value(f"{where}.effect", effect, _EFFECTS))
        if "tolerationSeconds" in toleration and effect != "NoExecute":
            why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            causes.append(invalid_value(f"{where}.effect", effect, why))
    return causes


def _affinity(node: Object) -> list[Cause]:
    where = "spec.affinity.nodeAffinity"
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    causes: list[Cause] = []
    if required is not None:
        field = f"{where}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
        terms = required.get("nodeSelectorTerms", [])
        if not terms:
            causes.append(required_value(field, "must have at least one node selector term"))
        for index, term in enumerate(terms):
            causes += _expressions(term.get("matchExpressions", []), f"{field}[{index}].matchExpressions")
    for index, term in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution", [])):
        field = f"{where}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        if not 1 <= term.get("weight", 0) <= 100:
            causes.append(_number(f"{field}.weight", term.get("weight", 0), "must be in the range 1-100"))
        expressions = term.get("preference", {}).get("matchExpressions", [])
        causes += _expressions(expressions, f"{field}.preference.matchExpressions")
    return causes


def _expressions(expressions: Iterable[Object], where: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, expression in enumerate(expressions):
        field = f"{where}[{index}]"
        operator, values = expression.get("operator", ""), expression.get("values", [])
        if operator in ("In", "NotIn") and not values:
            causes.append(required_value(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(forbidden_field(f"{field}.values", why))
        elif operator in ("Gt", "Lt") and len(values) != 1:
            why = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            causes.append(required_value(f"{field}.values", why))
        elif operator not in _NODE_OPERATORS:
            causes.append(invalid_value(f"{field}.operator", operator, "not a valid selector operator"))
        causes += [
            invalid_value(f"{field}.key", expression.get("key", ""), why)
            for why in label_key(expression.get("key", ""))
        ]
    return causes


def validate_pod_update(new: Object, old: Object) -> list[Cause]:
    """Return what a change of a pod's spec may not change; the message ends with the difference."""
    before, after = old["spec"], json.loads(json.dumps(new["spec"]))
    for kind in ("containers", "initContainers"):
        olds, news = before.get(kind, []), after.get(kind, [])
        if len(olds) != len(news):
            return [forbidden_field(f"spec.{kind}", "pod updates may not add or remove containers")]
        for one, other in zip(olds, news, strict=True):
            other["image"] = one.get("image")
    causes: list[Cause] = []
    deadline, limit = after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if limit is not None and (deadline is None or deadline > limit):
        why = "must be less than or equal to previous value"
        causes.append(invalid_value("spec.activeDeadlineSeconds", str(deadline), why))
    tolerations = before.get("tolerations", [])
    if any(toleration not in after.get("tolerations", []) for toleration in tolerations):
        why = "existing toleration can not be modified except its tolerationSeconds"
        causes.append(forbidden_field("spec.tolerations", why))
    same = {name: before[name] for name in ("activeDeadlineSeconds", "tolerations") if name in before}
    for name in ("activeDeadlineSeconds", "tolerations"):
        after.pop(name, None)
    after |= same
    if after != before:
        causes.append(forbidden_field("spec", f"{_MUTABLE}\n{difference(before, new['spec'])}"))
    return causes


def difference(before: Object, after: Object) -> str:
    """Return the hunks of a unified diff of two specs."""
    old, new = (json.dumps(spec, indent=1, sort_keys=True).splitlines() for spec in (before, after))
    return "\n".join(list(difflib.unified_diff(old, new, n=3, lineterm=""))[2:]) + "\n"
