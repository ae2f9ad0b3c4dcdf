"""JSON Schema of the ``gpuspawner`` section of the chart's values, made from the models that read it in the hub.

Helm's messages come from what the schema says, so it says one thing at a place: no ``anyOf``, of which Helm tells every
branch, but types by name, and one set of keys chosen by ``if``. Draft 7: Helm 3 before 3.18 knows no later one.
"""

import re
from collections.abc import Iterable, Mapping
from inspect import cleandoc
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from traitlets import TraitType

from gpuspawner.catalog import GPUClass, Profile
from gpuspawner.config import KEYS, Connect, OffPeak, Storage, UserNamespaces
from gpuspawner.limits.cohort import Cohort
from gpuspawner.limits.limits import HubMember
from gpuspawner.membership.rules import Rules
from gpuspawner.pod_patch import PodPatch
from gpuspawner.schema import Name, Seconds, SecretName
from gpuspawner.sessions.idle import IdlePolicy
from gpuspawner.settings import DnsName, Namespace
from gpuspawner.traits import SpawnerTraits
from gpuspawner.workspace import Workspace

__all__ = ["KINDS", "section"]

Node = dict[str, Any]
KINDS: Mapping[str, Any] = {
    "gpu_classes": dict[str, GPUClass],
    "profiles": dict[str, Profile],
    "workspaces": dict[str, Workspace],
    "administrators": Rules,
    "longest_login": Seconds | None,
    "cohorts": dict[str, Cohort],
    "per_member": HubMember | None,
    "timezone": str,
    "namespace": Namespace,
    "hub_name": Name,
    "pod_template": PodPatch,
    "storage": Storage | None,
    "image_pull_secrets": tuple[SecretName, ...],
    "token_in_secret": bool,
    "connect": Connect | None,
    "user_namespaces": UserNamespaces | None,
    "services": bool,
    "dns_name": DnsName,
    "off_peak": OffPeak | None,
    "cpu_rate": Annotated[float, Field(ge=0)],
    "fallback_after": Seconds | None,
    "idle": IdlePolicy | None,
    "ledger_url": Annotated[str, Field(pattern="^(sqlite|postgresql)([+][a-z0-9]+)?:.+")],
}
"""What each key of the section holds."""
_NAMED = {"GPUClass": "gpu_classes", "Profile": "profiles", "Workspace": "workspaces", "Cohort": "cohorts"}
_RULES = ("ClaimRule", "EmailRule", "RosterRule", "AnyRule", "AllRule", "NotRule")
_LIST: Node = {"type": ["string", "array"], "items": {"type": "string"}}
_SCOPES: Node = {"type": "array", "items": {"type": "string"}}
_SECONDS: Node = {"type": "number", "minimum": 0}
# Of what every spawner of JupyterHub has, that which is worth setting here; all the rest is for hub.config.
_INHERITED: Mapping[str, Node] = {
    "args": _SCOPES,
    "consecutive_failure_limit": {"type": "integer", "minimum": 0},
    "debug": {"type": "boolean"},
    "default_url": {"type": "string"},
    "disable_user_config": {"type": "boolean"},
    "env_keep": _SCOPES,
    "environment": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    "group_overrides": {"type": "object"},
    "http_timeout": _SECONDS,
    "notebook_dir": {"type": "string"},
    "oauth_client_allowed_scopes": _SCOPES,
    "poll_interval": _SECONDS,
    "server_token_scopes": _SCOPES,
    "start_timeout": _SECONDS,
}


def section() -> tuple[Node, Node]:
    """The schema of the section, and the definitions it refers to by ``#/definitions/NAME``."""
    assert set(KINDS) == KEYS, f"KINDS of tools/section_schema.py lacks or has too much: {set(KINDS) ^ KEYS}"  # noqa: S101
    mode: JsonSchemaMode = "validation"
    kinds = [(key, mode, TypeAdapter(kind)) for key, kind in KINDS.items()]
    found, defined = TypeAdapter.json_schemas(kinds, ref_template="#/definitions/{model}")
    written = defined["$defs"]
    for name in _NAMED:
        del written[name]["properties"]["name"]
        written[name]["required"] = [key for key in written[name]["required"] if key != "name"]
    helps = {name: trait.help for name, trait in vars(SpawnerTraits).items() if isinstance(trait, TraitType)}
    keys = {key: {**plain(found[key, mode], written), "description": _words(helps[key])} for key in KINDS}
    for key in _NAMED.values():
        keys[key]["additionalProperties"] = _nullable(keys[key]["additionalProperties"])
    keys["cmd"] = {**_LIST, "description": _words(helps["cmd"])}
    keys |= {key: {**kind, "description": f"JupyterHub's Spawner.{key}."} for key, kind in _INHERITED.items()}
    used = {name: plain(schema, written) for name, schema in written.items() if not _is_range(schema)}
    used["Rule"] = _rule(used)
    return {"type": "object", "additionalProperties": False, "properties": keys}, dict(sorted(used.items()))


def plain(schema: Mapping[str, Any], defined: Mapping[str, Any]) -> Node:
    """A schema of pydantic's as this one says it: without titles and defaults, and with one branch at a time."""
    if "anyOf" in schema:
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return plain(rest, defined) | _merged([plain(one, defined) for one in schema["anyOf"]], rest)
    if "$ref" in schema and _is_range(referred := defined[schema["$ref"].rpartition("/")[2]]):
        return {**plain(referred, defined), **_description(schema)}
    made: Node = {}
    for key, value in schema.items():
        match key:
            case "title" | "default":
                continue
            case "properties":
                made[key] = {name: plain(one, defined) for name, one in value.items()}
            case "items":
                made[key] = plain(value, defined)
            case "additionalProperties" | "patternProperties" if isinstance(value, Mapping):
                made[key] = plain(value, defined)
            case "additionalProperties" if value is True:
                continue
            case "description":
                made[key] = _words(value)
            case _:
                made[key] = value
    return made


def _merged(branches: list[Node], rest: Mapping[str, Any]) -> Node:
    """Branches as one schema: types that are no objects side by side, objects told apart by a key they require."""
    objects = [one for one in branches if "$ref" in one or one.get("type") == "object"]
    flat: Node = {}
    types: list[str] = []
    for one in branches:
        if one not in objects:
            types += [one["type"]] if isinstance(one.get("type"), str) else one.get("type", [])
            flat |= {key: value for key, value in one.items() if key not in ("type", "description")}
    if "minLength" in rest and "array" in types:
        flat["minItems"] = rest["minLength"]
    if not objects:
        return {"type": _one(types), **flat}
    types = [*types, "object"]
    if len(objects) == 1:
        return _or_else(objects[0], {"type": _one(types), **flat})
    rule = {"$ref": "#/definitions/Rule"}
    return {"if": {"type": "array"}, "then": {"type": "array", **flat}, "else": rule} if "array" in types else rule


def _is_range(schema: Mapping[str, Any]) -> bool:
    return "anyOf" in schema and "required" in schema["anyOf"][-1] and schema["anyOf"][-1]["required"] == ["default"]


def _or_else(objects: Node, others: Node) -> Node:
    return {"if": {"type": "object"}, "then": objects, "else": others}


def _nullable(objects: Node) -> Node:
    """Null takes an entry of an earlier values file away."""
    return _or_else(objects, {"type": ["object", "null"]})


def _rule(defined: Mapping[str, Node]) -> Node:
    """A user name, or the keys of the one rule that the first known key names."""
    kinds = {defined[name]["required"][0]: name for name in _RULES}
    rule: Node = {
        "type": ["string", "object"],
        "minLength": 1,
        "minProperties": 1,
        "properties": {key: True for name in _RULES for key in defined[name]["properties"]},
        "additionalProperties": False,
    }
    for key, name in reversed(kinds.items()):
        asked = {"type": "object", "required": [key]}
        rule = {"if": asked, "then": {"$ref": f"#/definitions/{name}"}, "else": rule}
    return {"description": 'A user name, "*" for everyone, or a rule.', **rule}


def _one(types: Iterable[str]) -> str | list[str]:
    found = list(dict.fromkeys(types))
    return found[0] if len(found) == 1 else found


def _description(schema: Mapping[str, Any]) -> Node:
    return {"description": _words(schema["description"])} if "description" in schema else {}


def _words(text: str) -> str:
    """The first paragraph in one line, without the marks of reStructuredText."""
    first = cleandoc(text).partition("\n\n")[0].partition("For example::")[0]
    return re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", re.sub(r"\s+", " ", first)).replace("``", "`").strip()
