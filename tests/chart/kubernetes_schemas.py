"""Manifests against the schemas of Kubernetes' releases, strictly: a field that Kubernetes would drop is a mistake."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs

__all__ = ["CUSTOM", "VERSIONS", "problems"]

VERSIONS = tuple(f"1.{minor}" for minor in range(30, 38))
"""Every release of Kubernetes that the chart is made for."""
CUSTOM = frozenset({"gateway.networking.k8s.io", "monitoring.coreos.com"})
"""API groups that no release of Kubernetes has: those of the Gateway API and of the Prometheus operator."""


def problems(manifest: Mapping[str, Any], version: str) -> list[str]:
    """What a release of Kubernetes does not take of a manifest; each is told once, with its place."""
    return list(_problems(json.dumps(manifest, sort_keys=True), version))


@cache
def _problems(manifest: str, version: str) -> tuple[str, ...]:
    found = json.loads(manifest)
    group, _, level = found["apiVersion"].rpartition("/")
    if group in CUSTOM:
        return ()
    name = "-".join(filter(None, [found["kind"].lower(), group.removesuffix(".k8s.io").partition(".")[0], level]))
    try:
        validator = _validator(version, name)
    except FileNotFoundError:
        return (f"{found['apiVersion']} {found['kind']} is not in Kubernetes {version}",)
    return tuple(f"{'.'.join(map(str, e.instance_path))}: {e.message}" for e in validator.iter_errors(found))


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
