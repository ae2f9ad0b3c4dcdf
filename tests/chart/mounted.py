"""What the kubelet makes of a rendered pod's volumes of ConfigMaps and Secrets: files in a folder."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rendering import Manifests, decoded

__all__ = ["mount"]

Manifest = dict[str, Any]


def mount(rendered: Manifests, workload: str, volume: str, folder: Path, others: Sequence[Manifest] = ()) -> Path:
    """Write the files of a volume of a workload, ``"Deployment/gpuspawner-hub"``; returns the folder.

    ``others`` are ConfigMaps and Secrets that are there already. An object, or a key of it, that is neither there nor
    optional is an error, as it is for the kubelet.
    """
    [found] = [one for one in rendered.pods()[workload]["spec"]["volumes"] if one["name"] == volume]
    for source in found["projected"]["sources"] if "projected" in found else [found]:
        for path, text in _files([*rendered, *others], source):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return folder


def _files(there: Sequence[Manifest], source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind = "ConfigMap" if "configMap" in source else "Secret"
    said = source.get("configMap") or source["secret"]
    name = said.get("name") or said["secretName"]
    objects = [found for found in there if found["kind"] == kind and found["metadata"]["name"] == name]
    optional = said.get("optional", False)
    assert objects or optional, f"no {kind} {name}"
    data = _data(kind, objects[0]) if objects else {}
    for item in said.get("items") or [{"key": key, "path": key} for key in data]:
        assert item["key"] in data or optional, f"{kind} {name} has no {item['key']}"
        if item["key"] in data:
            yield item["path"], data[item["key"]]


def _data(kind: str, found: Mapping[str, Any]) -> dict[str, str]:
    return decoded(dict(found)) if kind == "Secret" else dict(found.get("data") or {})
