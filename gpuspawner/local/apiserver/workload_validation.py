"""What workloads, budgets, ingresses and network policies may say beyond their schema, and what of it may change.

Sources: ``pkg/apis/{apps,batch,networking,policy}/validation`` of https://github.com/kubernetes/kubernetes.
"""

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Any

from gpuspawner.local.apiserver.metadata import validate_labels
from gpuspawner.local.apiserver.pod_validation import validate_pod
from gpuspawner.local.apiserver.schedules import schedule_problem, zone_problem
from gpuspawner.local.apiserver.selectors import selects
from gpuspawner.local.apiserver.status import (
    Cause,
    forbidden_field,
    invalid_value,
    required_value,
    unsupported_value,
)

__all__ = ["validate_workload", "validate_workload_update"]

Object = dict[str, Any]
_IMMUTABLE = "field is immutable"
_STATEFUL_MAY_CHANGE = (
    *("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit"),
    *("persistentVolumeClaimRetentionPolicy", "minReadySeconds"),
)
_STATEFUL_FIXED = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_COUNTS = (
    *("replicas", "minReadySeconds", "revisionHistoryLimit", "parallelism", "completions", "backoffLimit"),
    *("ttlSecondsAfterFinished", "activeDeadlineSeconds"),
)


def validate_workload(key: str, obj: Object) -> list[Cause]:
    """Return what is wrong with a new object of the resource ``key``; nothing for any other resource."""
    check = {
        "cronjobs.batch": _cron_job,
        "daemonsets.apps": _selecting,
        "deployments.apps": _deployment,
        "ingresses.networking.k8s.io": _ingress,
        "jobs.batch": _job,
        "networkpolicies.networking.k8s.io": _network_policy,
        "poddisruptionbudgets.policy": _budget,
        "replicasets.apps": _selecting,
        "statefulsets.apps": _selecting,
    }.get(key)
    return list(check(obj)) if check else []


def validate_workload_update(key: str, new: Object, old: Object) -> list[Cause]:
    """Return what is wrong with a changed object, ``validate_workload`` included."""
    causes = validate_workload(key, new)
    spec, before = new.get("spec", {}), old.get("spec", {})
    fixed: tuple[str, ...] = ()
    if key in ("deployments.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch"):
        fixed = ("selector",)
    if key == "jobs.batch":
        fixed = ("completions", "selector", "template", "completionMode", "manualSelector")
    causes += [_invalid(f"spec.{name}", spec.get(name), _IMMUTABLE) for name in fixed if _changed(name, spec, before)]
    if key == "statefulsets.apps" and _rest(spec) != _rest(before):
        causes.append(forbidden_field("spec", _STATEFUL_FIXED))
    return causes


def _changed(name: str, spec: Object, before: Object) -> bool:
    return bool(spec.get(name) != before.get(name))


def _rest(spec: Object) -> Object:
    return {key: value for key, value in spec.items() if key not in _STATEFUL_MAY_CHANGE}


def _invalid(field: str, value: Any, why: str) -> Cause:
    if isinstance(value, str):
        return invalid_value(field, value, why)
    shown = json.dumps(value, separators=(",", ":"), sort_keys=True)
    return {"reason": "FieldValueInvalid", "message": f"Invalid value: {shown}: {why}", "field": field}


def _counts(spec: Object) -> Iterator[Cause]:
    for name in _COUNTS:
        if spec.get(name, 0) < 0:
            yield _invalid(f"spec.{name}", spec[name], "must be greater than or equal to 0")


def _selecting(obj: Object, restart: tuple[str, ...] = ("Always",)) -> Iterator[Cause]:
    spec, kind = obj["spec"], obj["kind"].lower()
    yield from _counts(spec)
    labels = spec["template"].get("metadata", {}).get("labels", {})
    selector = spec.get("selector")
    if selector is None:
        yield required_value("spec.selector")
    elif not selector:
        yield _invalid("spec.selector", {}, f"empty selector is invalid for {kind}")
    elif not selects(selector, labels):
        where = "spec.template.metadata.labels"
        yield _invalid(where, labels, "`selector` does not match template `labels`")
    claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
    yield from _template(spec["template"], "spec.template", restart, claims)


def _template(template: Object, where: str, restart: tuple[str, ...], claims: Sequence[str] = ()) -> Iterator[Cause]:
    yield from validate_labels(template.get("metadata", {}).get("labels", {}), f"{where}.metadata.labels")
    spec = template["spec"]
    if claims:
        volumes = [one for one in spec.get("volumes", []) if one.get("name") not in claims]
        spec = spec | {"volumes": volumes + [{"name": name, "emptyDir": {}} for name in claims]}
    for cause in validate_pod({"spec": spec}):
        yield cause | {"field": f"{where}.{cause['field']}"}
    if spec["restartPolicy"] not in restart:
        yield unsupported_value(f"{where}.spec.restartPolicy", spec["restartPolicy"], restart)


def _deployment(obj: Object) -> Iterator[Cause]:
    yield from _selecting(obj)
    strategy = obj["spec"]["strategy"]
    if strategy["type"] not in ("Recreate", "RollingUpdate"):
        yield unsupported_value("spec.strategy.type", strategy["type"], ("Recreate", "RollingUpdate"))
    rolling = strategy.get("rollingUpdate")
    if strategy["type"] == "Recreate" and rolling:
        why = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden_field("spec.strategy.rollingUpdate", why)
    elif rolling and not any(str(rolling.get(name, 0)).rstrip("%") != "0" for name in ("maxUnavailable", "maxSurge")):
        where = "spec.strategy.rollingUpdate.maxUnavailable"
        yield _invalid(where, rolling.get("maxUnavailable"), "may not be 0 when `maxSurge` is 0")


def _job(obj: Object) -> Iterator[Cause]:
    spec = obj["spec"]
    yield from _counts(spec)
    if spec["completionMode"] != "NonIndexed":
        yield unsupported_value("spec.completionMode", spec["completionMode"], ("NonIndexed",))
    if spec.get("selector") is None:
        yield required_value("spec.selector")
    yield from _template(spec["template"], "spec.template", ("Never", "OnFailure"))


def _cron_job(obj: Object) -> Iterator[Cause]:
    spec = obj["spec"]
    if not spec.get("schedule"):
        yield required_value("spec.schedule")
    elif problem := schedule_problem(spec["schedule"]):
        yield invalid_value("spec.schedule", spec["schedule"], problem)
    if "timeZone" in spec and (problem := zone_problem(spec["timeZone"])):
        yield invalid_value("spec.timeZone", spec["timeZone"], problem)
    words = ("Allow", "Forbid", "Replace")
    if spec["concurrencyPolicy"] not in words:
        yield unsupported_value("spec.concurrencyPolicy", spec["concurrencyPolicy"], words)
    yield from _template(
        spec["jobTemplate"]["spec"]["template"], "spec.jobTemplate.spec.template", ("Never", "OnFailure")
    )


def _budget(obj: Object) -> Iterator[Cause]:
    spec = obj.get("spec", {})
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield _invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for name in ("minAvailable", "maxUnavailable"):
        if isinstance(spec.get(name), int) and spec[name] < 0:
            yield _invalid(f"spec.{name}", spec[name], "must be greater than or equal to 0")


def _ingress(obj: Object) -> Iterator[Cause]:
    spec = obj.get("spec", {})
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield _invalid("spec", spec, "either `defaultBackend` or `rules` must be specified")
    if "defaultBackend" in spec:
        yield from _backend(spec["defaultBackend"], "spec.defaultBackend")
    for number, rule in enumerate(spec.get("rules", [])):
        if "http" in rule and not rule["http"].get("paths"):
            yield required_value(f"spec.rules[{number}].http.paths")
        for index, path in enumerate(rule.get("http", {}).get("paths", [])):
            where = f"spec.rules[{number}].http.paths[{index}]"
            kind = path.get("pathType")
            if kind is None:
                yield required_value(f"{where}.pathType", "pathType must be specified")
            elif kind not in _PATH_TYPES:
                yield unsupported_value(f"{where}.pathType", kind, _PATH_TYPES)
            elif not path.get("path", "").startswith("/") and (kind != "ImplementationSpecific" or path.get("path")):
                yield invalid_value(f"{where}.path", path.get("path", ""), "must be an absolute path")
            yield from _backend(path.get("backend", {}), f"{where}.backend")


def _backend(backend: Object, where: str) -> Iterator[Cause]:
    service = backend.get("service")
    if service is None and "resource" not in backend:
        yield required_value(where, "must specify a service or resource")
    elif service is not None:
        if not service.get("name"):
            yield required_value(f"{where}.service.name")
        if not service.get("port"):
            yield required_value(f"{where}", "port name or number is required")


def _network_policy(obj: Object) -> Iterator[Cause]:
    spec = obj["spec"]
    for index, kind in enumerate(spec["policyTypes"]):
        if kind not in ("Egress", "Ingress"):
            yield unsupported_value(f"spec.policyTypes[{index}]", kind, ("Egress", "Ingress"))
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for number, rule in enumerate(spec.get(direction, [])):
            where = f"spec.{direction}[{number}]"
            for index, peer in enumerate(rule.get(side, [])):
                yield from _peer(peer, f"{where}.{side}[{index}]")
            for index, port in enumerate(rule.get("ports", [])):
                yield from _policy_port(port, f"{where}.ports[{index}]")


def _peer(peer: Object, where: str) -> Iterator[Cause]:
    if not peer:
        yield required_value(where, "must specify a peer")
    block = peer.get("ipBlock")
    if block is None:
        return
    if len(peer) > 1:
        yield forbidden_field(where, "may not specify both ipBlock and another peer")
    try:
        network = ip_network(block.get("cidr", ""))
    except ValueError:
        yield invalid_value(f"{where}.ipBlock.cidr", block.get("cidr", ""), "must be a valid CIDR address")
        return
    for index, text in enumerate(block.get("except", [])):
        field = f"{where}.ipBlock.except[{index}]"
        try:
            excepted = ip_network(text)
        except ValueError:
            yield invalid_value(field, text, "must be a valid CIDR address")
            continue
        inside = excepted.version == network.version and excepted.subnet_of(network)  # type: ignore[arg-type]
        if not inside or excepted == network:
            yield invalid_value(field, text, "must be a strict subset of `cidr`")


def _policy_port(port: Object, where: str) -> Iterator[Cause]:
    if port["protocol"] not in _PROTOCOLS:
        yield unsupported_value(f"{where}.protocol", port["protocol"], _PROTOCOLS)
    number, end = port.get("port"), port.get("endPort")
    if isinstance(number, int) and not 1 <= number <= 65535:
        yield _invalid(f"{where}.port", number, "must be between 1 and 65535, inclusive")
    if end is not None and not isinstance(number, int):
        yield _invalid(f"{where}.endPort", end, "may not be specified when `port` is non-numeric")
    elif end is not None and end < number:
        yield _invalid(f"{where}.endPort", end, "must be greater than or equal to `port`")
