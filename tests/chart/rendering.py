"""The chart rendered by the real Helm, each set of values once in a session."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart, HelmValuesError

__all__ = ["CHART", "Manifests", "decoded", "merged", "render"]

CHART = Path(__file__).parents[2] / "helm" / "gpuspawner"
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Manifests:
    """What a release consists of: its objects, in the order of the templates' names, and its notes."""

    objects: tuple[Manifest, ...]
    notes: str
    texts: Mapping[str, str] = field(default_factory=dict)
    """What each template gave, by its path below ``templates/``; empty ones are left out."""

    def __iter__(self) -> Iterator[Manifest]:
        return iter(self.objects)

    def all(self, kind: str) -> list[Manifest]:
        """All objects of a kind."""
        return [item for item in self.objects if item["kind"] == kind]

    def maybe(self, kind: str, suffix: str = "") -> Manifest | None:
        """The object of a kind whose name is the release's full name (and ``-suffix``), or None."""
        found = [item for item in self.all(kind) if _suffix(item) == suffix]
        assert len(found) < 2, f"{len(found)} objects {kind} -{suffix}"
        return found[0] if found else None

    def one(self, kind: str, suffix: str = "") -> Manifest:
        """The one object of a kind whose name ends in ``-suffix`` after the release's full name."""
        found = self.maybe(kind, suffix)
        assert found is not None, (
            f"no {kind} -{suffix} among {sorted((i['kind'], i['metadata']['name']) for i in self)}"
        )
        return found

    def pods(self) -> dict[str, Manifest]:
        """The pod templates of all workloads (and bare pods) by ``Kind/name``."""
        return {
            f"{item['kind']}/{item['metadata']['name']}": template
            for item in self
            if (template := _pod_template(item)) is not None
        }


def render(
    values: Mapping[str, Any] | None = None,
    name: str = "gpuspawner",
    namespace: str = "jupyter",
    *,
    upgrade: bool = False,
    chart: Path = CHART,
) -> Manifests:
    """Render the chart offline, where `lookup` finds nothing; the same arguments are rendered once.

    Raises ``HelmRenderError`` (a template's ``fail``) or ``HelmValuesError`` (the schema).
    """
    return _render(json.dumps(values or {}, sort_keys=True), name, namespace, upgrade, chart)


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Values merged as Helm merges several files: maps by key, everything else replaced."""
    result: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result


def decoded(secret: Manifest) -> dict[str, str]:
    """The texts in a Secret."""
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


@cache
def _chart(folder: Path) -> Chart:
    return Chart.load(folder)


@cache
def _render(values: str, name: str, namespace: str, upgrade: bool, chart: Path) -> Manifests:
    try:
        files = _chart(chart).render(
            json.loads(values), name=name, namespace=namespace, is_install=not upgrade, is_upgrade=upgrade
        )
    except HelmValuesError as error:
        error.add_note("Where values.yaml has a new value, its schema is made by: python tools/values_schema.py")
        raise
    notes = "".join(text for path, text in files.items() if path.endswith("NOTES.txt"))
    objects = [
        item
        for path, text in sorted(files.items())
        if path.endswith(".yaml")
        for item in yaml.load_all(text, Loader=_Loader)
        if item
    ]
    texts = {path.partition("templates/")[2]: text.strip() + "\n" for path, text in files.items() if text.strip()}
    return Manifests(tuple(objects), notes, texts)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which a key that is said twice is an error, as it is for kubectl."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key is there twice: {sorted(map(str, keys))}"
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def _suffix(item: Manifest) -> str | None:
    fullname = item["metadata"].get("labels", {}).get("app.kubernetes.io/instance", "")
    name = item["metadata"]["name"]
    for prefix in (f"{fullname}-gpuspawner", fullname):
        if name == prefix:
            return ""
        if name.startswith(f"{prefix}-"):
            return str(name[len(prefix) + 1 :])
    return None


def _pod_template(item: Manifest) -> Manifest | None:
    match item["kind"]:
        case "Pod":
            return {"metadata": item["metadata"], "spec": item["spec"]}
        case "CronJob":
            return item["spec"]["jobTemplate"]["spec"]["template"]  # type: ignore[no-any-return]
        case "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet" | "Job":
            return item["spec"]["template"]  # type: ignore[no-any-return]
    return None
