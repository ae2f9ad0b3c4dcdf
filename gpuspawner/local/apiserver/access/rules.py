"""Whether a rule of a role allows something, and whether rules cover other rules.

Sources: pkg/apis/rbac/v1/evaluation_helpers.go and rbac/validation/policy_comparator.go of component-helpers.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from gpuspawner.local.apiserver.access.attributes import Attributes

__all__ = ["Rule", "rule_allows", "shown", "uncovered"]

Rule = dict[str, Any]
_ALL = "*"


def rule_allows(rule: Rule, asked: Attributes) -> bool:
    """Whether one rule allows what is asked."""
    if not _has(rule.get("verbs", ()), asked.verb):
        return False
    if not asked.resource:
        return any(_path_matches(path, asked.path) for path in rule.get("nonResourceURLs", ()))
    names = rule.get("resourceNames") or ()
    return (
        _has(rule.get("apiGroups", ()), asked.group)
        and _has_resource(rule.get("resources", ()), asked.whole_resource, asked.subresource)
        and (not names or asked.name in names)
    )


def _has(allowed: Sequence[str], wanted: str) -> bool:
    return _ALL in allowed or wanted in allowed


def _has_resource(allowed: Sequence[str], wanted: str, subresource: str) -> bool:
    return _has(allowed, wanted) or bool(subresource and f"*/{subresource}" in allowed)


def _path_matches(allowed: str, wanted: str) -> bool:
    return allowed in (_ALL, wanted) or (allowed.endswith(_ALL) and wanted.startswith(allowed.rstrip(_ALL)))


def uncovered(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The smallest parts of ``wanted`` that no rule of ``owned`` covers."""
    return [part for rule in wanted for part in _parts(rule) if not any(_covers(one, part) for one in owned)]


def _parts(rule: Rule) -> list[Rule]:
    """A rule as rules of one verb, group, resource and name, or of one verb and path, each."""
    verbs = rule.get("verbs", [])
    parts = [
        {"apiGroups": [group], "resources": [resource], "verbs": [verb]} | ({"resourceNames": [name]} if name else {})
        for group in rule.get("apiGroups", [])
        for resource in rule.get("resources", [])
        for verb in verbs
        for name in rule.get("resourceNames") or [""]
    ]
    return parts + [
        {"nonResourceURLs": [url], "verbs": [verb]} for url in rule.get("nonResourceURLs", []) for verb in verbs
    ]


def _covers(owned: Rule, part: Rule) -> bool:
    if not _has(owned.get("verbs", ()), part["verbs"][0]):
        return False
    if "nonResourceURLs" in part:
        return any(_path_matches(path, part["nonResourceURLs"][0]) for path in owned.get("nonResourceURLs", ()))
    (resource,) = part["resources"]
    names, wanted = owned.get("resourceNames"), part.get("resourceNames") or [""]
    return (
        _has(owned.get("apiGroups", ()), part["apiGroups"][0])
        and _has_resource(owned.get("resources", ()), resource, resource.partition("/")[2])
        and (not names or wanted[0] in names)
    )


def shown(rule: Rule) -> str:
    """A rule as Kubernetes writes it in a refusal: ``{APIGroups:[""], Resources:["pods"], Verbs:["get"]}``."""
    fields = {
        "APIGroups": rule.get("apiGroups"),
        "Resources": rule.get("resources"),
        "NonResourceURLs": rule.get("nonResourceURLs"),
        "ResourceNames": rule.get("resourceNames"),
        "Verbs": rule.get("verbs"),
    }
    quoted = {key: " ".join(f'"{word}"' for word in words) for key, words in fields.items() if words}
    return "{" + ", ".join(f"{key}:[{words}]" for key, words in quoted.items()) + "}"
