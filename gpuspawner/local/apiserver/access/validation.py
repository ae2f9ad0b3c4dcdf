"""What roles and bindings may say. Source: pkg/apis/rbac/validation and v1/defaults.go of Kubernetes 1.36."""

import json
from typing import Any

from gpuspawner.local.apiserver.metadata import dns_subdomain, path_segment
from gpuspawner.local.apiserver.status import Cause, invalid_value, required_value, unsupported_value

__all__ = ["RBAC", "default_binding", "validate_rbac", "validate_rbac_update"]

Object = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
"""The API group of roles and bindings."""
_SUBJECTS = ("Group", "ServiceAccount", "User")
_REFERENCES = {"ClusterRoleBinding": ("ClusterRole",), "RoleBinding": ("ClusterRole", "Role")}


def default_binding(obj: Object) -> None:
    """Fill in, in place, the API groups of a binding's role and subjects."""
    if "roleRef" in obj:
        obj["roleRef"].setdefault("apiGroup", RBAC)
    for subject in obj.get("subjects", []):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", RBAC)


def validate_rbac(kind: str, obj: Object) -> list[Cause]:
    """Check a Role, ClusterRole, RoleBinding or ClusterRoleBinding."""
    if kind in ("Role", "ClusterRole"):
        rules = enumerate(obj.get("rules", []))
        return [cause for index, rule in rules for cause in _rule(rule, kind == "Role", f"rules[{index}]")]
    subjects = enumerate(obj.get("subjects", []))
    causes = _role_ref(obj.get("roleRef", {}), _REFERENCES[kind])
    return causes + [cause for index, subject in subjects for cause in _subject(subject, kind, f"subjects[{index}]")]


def validate_rbac_update(new: Object, old: Object) -> list[Cause]:
    """Check a changed binding: its role is fixed."""
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [_invalid("roleRef", new.get("roleRef", {}), "cannot change roleRef")]


def _invalid(field: str, value: Any, why: str) -> Cause:
    message = f"Invalid value: {json.dumps(value, separators=(',', ':'))}: {why}"
    return {"reason": "FieldValueInvalid", "message": message, "field": field}


def _rule(rule: Object, namespaced: bool, field: str) -> list[Cause]:
    causes: list[Cause] = []
    if not rule.get("verbs"):
        causes.append(required_value(f"{field}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            why = "namespaced rules cannot apply to non-resource URLs"
            causes.append(_invalid(f"{field}.nonResourceURLs", urls, why))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            causes.append(_invalid(f"{field}.nonResourceURLs", urls, why))
        return causes
    if not rule.get("apiGroups"):
        causes.append(required_value(f"{field}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        causes.append(required_value(f"{field}.resources", "resource rules must supply at least one resource"))
    return causes


def _role_ref(reference: Object, kinds: tuple[str, ...]) -> list[Cause]:
    causes: list[Cause] = []
    group, kind, name = (reference.get(key, "") for key in ("apiGroup", "kind", "name"))
    if group != RBAC:
        causes.append(unsupported_value("roleRef.apiGroup", group, [RBAC]))
    if kind not in kinds:
        causes.append(unsupported_value("roleRef.kind", kind, kinds))
    if not name:
        return [*causes, required_value("roleRef.name")]
    return causes + [invalid_value("roleRef.name", name, why) for why in path_segment(name)]


def _subject(subject: Object, binding: str, field: str) -> list[Cause]:
    causes: list[Cause] = []
    kind, name, group = (subject.get(key, "") for key in ("kind", "name", "apiGroup"))
    if not name:
        causes.append(required_value(f"{field}.name"))
    if kind not in _SUBJECTS:
        return [*causes, unsupported_value(f"{field}.kind", kind, _SUBJECTS)]
    expected = "" if kind == "ServiceAccount" else RBAC
    if group != expected:
        causes.append(unsupported_value(f"{field}.apiGroup", group, [expected]))
    if kind == "ServiceAccount":
        causes += [invalid_value(f"{field}.name", name, why) for why in (dns_subdomain(name) if name else ())]
        if binding == "ClusterRoleBinding" and not subject.get("namespace"):
            causes.append(required_value(f"{field}.namespace"))
    return causes
