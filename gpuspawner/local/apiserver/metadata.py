"""Rules for names, labels and annotations, in Kubernetes' words."""

import re
from collections.abc import Callable
from typing import Any

from gpuspawner.local.apiserver.status import Cause, forbidden_field, invalid_value, required_value

__all__ = [
    "dns_label",
    "dns_subdomain",
    "label_key",
    "label_value",
    "name_causes",
    "path_segment",
    "validate_labels",
    "validate_metadata",
    "validate_metadata_update",
]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", re.ASCII)

_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation "
    "is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_ANNOTATIONS_LIMIT = 256 * 1024
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def _longer(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def _rule(pattern: re.Pattern[str], limit: int, words: str) -> Callable[[str], list[str]]:
    def check(value: str) -> list[str]:
        said = [] if len(value.encode()) <= limit else [_longer(limit)]
        return said if pattern.fullmatch(value) else [*said, words]

    return check


dns_label = _rule(_LABEL, 63, _LABEL_RULE)
"""What is wrong with a DNS label (RFC 1123), as sentences."""
dns_subdomain = _rule(_SUBDOMAIN, 253, _SUBDOMAIN_RULE)
"""What is wrong with a DNS subdomain (RFC 1123), as sentences."""
label_value = _rule(_VALUE, 63, _VALUE_RULE)
"""What is wrong with a label's value, as sentences."""
_dns_1035 = _rule(_LABEL_1035, 63, _LABEL_1035_RULE)
_name_part = _rule(_QUALIFIED, 63, _QUALIFIED_RULE)


def path_segment(value: str) -> list[str]:
    """What is wrong with a segment of a path, such as a role's name (``system:discovery``), as sentences."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{part}'" for part in "/%" if part in value]


_NAME_RULES = {"subdomain": dns_subdomain, "label": dns_label, "label1035": _dns_1035, "segment": path_segment}


def label_key(key: str) -> list[str]:
    """Say what is wrong with a qualified name, such as a label's key or an extended resource."""
    prefix, slash, name = key.rpartition("/")
    if not name:
        return ["name part must be non-empty", _QUALIFIED_RULE]
    said = _name_part(name)
    if slash:
        said = [f"prefix part {why}" for why in (dns_subdomain(prefix) if prefix else ["must be non-empty"])] + said
    return said


def name_causes(name: str, rule: str, field: str = "metadata.name") -> list[Cause]:
    """Check a name against ``subdomain``, ``label``, ``label1035`` or ``segment``."""
    return [invalid_value(field, name, why) for why in _NAME_RULES[rule](name)]


def validate_labels(labels: dict[str, str], field: str) -> list[Cause]:
    """Check the keys and values of labels or of a node selector."""
    causes = []
    for key, value in labels.items():
        causes += [invalid_value(field, key, why) for why in label_key(key)]
        causes += [invalid_value(field, value, why) for why in label_value(value)]
    return causes


def validate_metadata(metadata: dict[str, Any], rule: str) -> list[Cause]:
    """Check an object's name, generateName, labels, owners, finalizers and annotations."""
    name = metadata.get("name", "")
    causes: list[Cause] = []
    prefix = metadata.get("generateName")
    if prefix:
        causes += [
            invalid_value("metadata.generateName", prefix, why) for why in _NAME_RULES[rule](prefix.rstrip("-.") or "-")
        ]
    if not name:
        causes.append(required_value("metadata.name", "name or generateName is required"))
    else:
        causes += name_causes(name, rule)
    causes += validate_labels(metadata.get("labels", {}), "metadata.labels")
    for index, owner in enumerate(metadata.get("ownerReferences", [])):
        missing = [name for name in ("apiVersion", "kind", "name", "uid") if not owner.get(name)]
        causes += [required_value(f"metadata.ownerReferences[{index}].{name}", "must not be empty") for name in missing]
    causes += _finalizer_names(metadata.get("finalizers", []))
    annotations = metadata.get("annotations", {})
    for key in annotations:
        causes += [invalid_value("metadata.annotations", key, why) for why in label_key(key.lower())]
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        message = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        causes.append({"reason": "FieldValueTooLong", "message": message, "field": "metadata.annotations"})
    return causes


def validate_metadata_update(new: dict[str, Any], old: dict[str, Any]) -> list[Cause]:
    """Check what may not change: whoever deletes an object is not kept waiting for more finalizers than it had."""
    if "deletionTimestamp" not in old:
        return []
    more = [name for name in new.get("finalizers", []) if name not in old.get("finalizers", [])]
    if not more:
        return []
    listed = ", ".join(f'"{name}"' for name in more)
    why = "no new finalizers can be added if the object is being deleted, found new finalizers"
    return [forbidden_field("metadata.finalizers", f"{why} []string{{{listed}}}")]


def _finalizer_names(finalizers: list[str]) -> list[Cause]:
    causes = [invalid_value("metadata.finalizers", name, why) for name in finalizers for why in label_key(name)]
    for index, name in enumerate(finalizers):
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(invalid_value(f"metadata.finalizers[{index}]", name, why))
    return causes
