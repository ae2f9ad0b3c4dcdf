"""Label and field selectors."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpuspawner.local.apiserver.status import StatusError

__all__ = ["Requirement", "matches_labels", "parse_fields", "parse_labels", "selector_text", "selects"]

_TOKEN = re.compile(r"\s*(?:(==|!=|=|,|\(|\)|!|<|>)|([^\s=!,()<>]+))")
_NAME = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", re.ASCII)
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str
    """``in``, ``notin``, ``exists``, ``!``, ``gt`` or ``lt``."""
    values: frozenset[str] = frozenset()

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether the labels fulfil it; a missing label fulfils only ``notin`` and ``!``."""
        value = labels.get(self.key)
        if value is None:
            return self.operator in ("notin", "!")
        if self.operator == "in":
            return value in self.values
        if self.operator == "notin":
            return value not in self.values
        if self.operator in ("gt", "lt"):
            bound = int(next(iter(self.values)))
            if not re.fullmatch(r"[+-]?[0-9]+", value, re.ASCII):
                return False
            return int(value) > bound if self.operator == "gt" else int(value) < bound
        return self.operator == "exists"


def matches_labels(requirements: list[Requirement], labels: dict[str, str]) -> bool:
    """Whether the labels fulfil every requirement."""
    return all(requirement.matches(labels) for requirement in requirements)


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a ``metav1.LabelSelector`` selects these labels; an empty one selects everything."""
    wanted = [Requirement(key, "in", frozenset({value})) for key, value in selector.get("matchLabels", {}).items()]
    for expression in selector.get("matchExpressions", []):
        operator = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}[expression["operator"]]
        wanted.append(Requirement(expression["key"], operator, frozenset(expression.get("values", []))))
    return matches_labels(wanted, labels)


def selector_text(selector: dict[str, Any]) -> str:
    """Write a ``metav1.LabelSelector`` as ``kubectl get -l`` takes it; empty when it selects everything."""
    parts = [f"{key}={value}" for key, value in sorted(selector.get("matchLabels", {}).items())]
    for expression in selector.get("matchExpressions", []):
        key, values = expression["key"], ",".join(expression.get("values", []))
        shapes = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(shapes.get(expression["operator"], f"!{key}"))
    return ",".join(parts)


class _Tokens:
    def __init__(self, text: str) -> None:
        self.rest: list[str] = []
        at = 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise _unparsable(f"found '{text[at:]}', which is no part of a selector")
            self.rest.append(match.group(1) or match.group(2))
            at = match.end()

    def peek(self) -> str:
        return self.rest[0] if self.rest else ""

    def take(self, *expected: str) -> str:
        word = self.rest.pop(0) if self.rest else ""
        if expected and word not in expected:
            raise _unparsable(f"found '{word}', expected: {', '.join(repr(word) for word in expected)}")
        return word


def _unparsable(why: str) -> StatusError:
    return StatusError.bad_request(f"unable to parse requirement: {why}")


def parse_labels(text: str) -> list[Requirement]:
    """Parse a label selector: ``app=demo,tier in (a, b),!canary,size>3``. StatusError 400 if it is none."""
    tokens = _Tokens(text)
    requirements = []
    while tokens.rest:
        requirements.append(_requirement(tokens))
        if tokens.rest:
            tokens.take(",")
            if not tokens.rest:
                raise _unparsable("found '', expected: identifier after ','")
    return requirements


def _requirement(tokens: _Tokens) -> Requirement:
    if tokens.peek() == "!":
        tokens.take()
        return Requirement(_label_key(tokens.take()), "!")
    key = _label_key(tokens.take())
    operator = tokens.peek()
    if operator in ("", ","):
        return Requirement(key, "exists")
    tokens.take("=", "==", "!=", "in", "notin", ">", "<")
    if operator in ("in", "notin"):
        return Requirement(key, operator, _value_set(tokens))
    value = "" if tokens.peek() in ("", ",") else tokens.take()
    if operator in (">", "<"):
        if not re.fullmatch(r"[+-]?[0-9]+", value, re.ASCII):
            raise _unparsable(
                f"values[0][{key}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
            )
        return Requirement(key, "gt" if operator == ">" else "lt", frozenset({value}))
    return Requirement(key, "notin" if operator == "!=" else "in", frozenset({_label_value(key, value)}))


def _value_set(tokens: _Tokens) -> frozenset[str]:
    tokens.take("(")
    values: set[str] = set()
    current = ""
    while True:
        word = tokens.take()
        if word in (",", ")"):
            values.add(_label_value("", current))
            current = ""
            if word == ")":
                return frozenset(values)
        elif current or word in ("", "(", "!", "=", "==", "!=", "<", ">"):
            raise _unparsable(f"found '{word}', expected: ',' or ')'")
        else:
            current = word


def _label_key(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if not _NAME.fullmatch(key) or len(name) > 63 or len(prefix) > 253 or (slash and not prefix):
        raise _unparsable(
            f'<nil>: Invalid value: "{key}": name part must consist of alphanumeric characters, '
            "'-', '_' or '.', and must start and end with an alphanumeric character "
            "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )
    return key


def _label_value(key: str, value: str) -> str:
    if not _VALUE.fullmatch(value) or len(value) > 63:
        raise _unparsable(
            f'values[0][{key}]: Invalid value: "{value}": a valid label must be an empty string or '
            "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
            "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
    return value


_FIELDS: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
        "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
        "reason", "reportingComponent", "source", "type",
    ),
    "events.events.k8s.io": (
        "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "regarding.apiVersion",
        "regarding.resourceVersion", "regarding.fieldPath", "reason", "reportingController", "type",
    ),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase", "name"),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
}  # fmt: skip


def parse_fields(resource: str, text: str) -> Callable[[dict[str, Any]], bool]:
    """Parse a field selector (``status.phase!=Running,metadata.name=x``) into a test of objects.

    StatusError 400 for a field that the resource does not offer.
    """
    terms: list[tuple[str, bool, str]] = []
    for term in _split_terms(text):
        match = re.fullmatch(r"(.*?)(==|!=|=)(.*)", term, re.DOTALL)
        if match is None:
            raise StatusError.bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
        path, operator, value = match.groups()
        if path not in ("metadata.name", "metadata.namespace", *_FIELDS.get(resource, ())):
            raise StatusError.bad_request(f"field label not supported: {path}")
        terms.append((path, operator != "!=", re.sub(r"\\(.)", r"\1", value)))
    return lambda obj: all((_field(obj, path) == value) is wanted for path, wanted, value in terms)


def _split_terms(text: str) -> list[str]:
    return [term for term in re.split(r"(?<!\\),", text) if term]


def _field(obj: dict[str, Any], path: str) -> str:
    if path == "source":
        source = obj.get("source", {}).get("component")
        return str(source or obj.get("reportingComponent", ""))
    if path == "name":
        path = "metadata.name"
    path = path.replace("regarding.", "involvedObject.").replace("reportingController", "reportingComponent")
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool) or path in ("spec.unschedulable", "spec.hostNetwork"):
        return "true" if value else "false"
    return "" if value is None else str(value)
