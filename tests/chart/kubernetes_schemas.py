"""Manifests against the schemas of Kubernetes' releases, strictly: a field that Kubernetes would drop is a mistake."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

__all__ = ["VERSIONS", "problems"]

VERSIONS = tuple(f"1.{minor}" for minor in range(30, 38))
"""Every release of Kubernetes that the chart is made for."""
_CUSTOM = yaml.safe_load((Path(__file__).parents[1] / "data" / "chart" / "custom-kinds.yaml").read_text("utf-8"))
"""Kinds that no release of Kubernetes has: of the Gateway API and of the Prometheus operator."""


def problems(manifest: Mapping[str, Any], version: str) -> list[str]:
    """What a release of Kubernetes does not take of a manifest; each is told once, with its place."""
    return list(_problems(json.dumps(manifest, sort_keys=True), version))


@cache
def _problems(manifest: str, version: str) -> tuple[str, ...]:
    found = json.loads(manifest)
    group, _, level = found["apiVersion"].rpartition("/")
    if custom := _CUSTOM.get(f"{found['apiVersion']} {found['kind']}"):
        schema = {**custom, "definitions": _CUSTOM["definitions"]}
        return tuple(_said(jsonschema_rs.Draft7Validator(schema), found["spec"]))
    name = "-".join(filter(None, [found["kind"].lower(), group.removesuffix(".k8s.io").partition(".")[0], level]))
    try:
        validator = _validator(version, name)
    except FileNotFoundError:
        return (f"{found['apiVersion']} {found['kind']} is not in Kubernetes {version}",)
    return tuple(_said(validator, found))


def _said(validator: Any, found: Any) -> Iterator[str]:
    return (f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(found))


@cache
def _validator(version: str, name: str) -> jsonschema_rs.Draft202012Validator:
    schema = json.loads((_folder(version) / f"{name}.json").read_text("utf-8"))
    return jsonschema_rs.Draft202012Validator(schema, registry=_definitions(version))


@cache
def _definitions(version: str) -> jsonschema_rs.Registry:
    definitions = json.loads((_folder(version) / "_definitions.json").read_text("utf-8"))
    return jsonschema_rs.Registry([("json-schema:///api/_definitions.json", definitions)])


def _folder(version: str) -> Any:
    return files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
