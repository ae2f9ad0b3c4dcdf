"""KubeSpawner's home, its claim and its shared volumes, as ``storage`` of ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpuspawner.migration.templates import templated
from gpuspawner.migration.traits import Traits, camel, listed

__all__ = ["Taken", "take_storage"]

_SHARED_MEMORY = "/dev/shm"  # noqa: S108  # in the container
_VOLUME_NAME = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_OURS = ("home", "scratch", "shared-memory", "certificates")


@dataclass
class Taken:
    """``storage`` as the configuration says it, and what of the pod is therefore said already.

    ``renamed`` are KubeSpawner's names of volumes with ours.
    """

    section: dict[str, Any] | None = None
    renamed: dict[str, str] = field(default_factory=dict)
    volumes: list[dict[str, Any]] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)

    def rename(self, patch: dict[str, Any]) -> None:
        """Give the volumes of a pod patch our names."""
        spec = patch.get("spec", {})
        for volume in spec.get("volumes", []):
            volume["name"] = self.renamed.get(volume["name"], volume["name"])
        for container in (*spec.get("containers", []), *spec.get("initContainers", [])):
            for mount in container.get("volumeMounts", []):
                mount["name"] = self.renamed.get(mount["name"], mount["name"])


def take_storage(traits: Traits) -> Taken:
    """The home of the hub and its shared volumes; of one profile's own volumes nothing is taken."""
    scheme = traits["slug_scheme"]
    claim = templated(traits["pvc_name_template"], scheme)
    volumes = _in_our_words(traits["volumes"], scheme, claim)
    mounts = _in_our_words(traits["volume_mounts"], scheme, claim)
    taken = Taken()
    by_name = {volume["name"]: volume for volume in volumes}
    home = _home(by_name, mounts, claim)
    if home is not None:
        volume, mount = home
        taken.section = _home_section(traits, volume, mount, claim)
        _take(taken, volume, mount, "home")
    for volume in volumes:
        own = [mount for mount in mounts if mount["name"] == volume["name"]]
        if len(own) == 1 and volume["name"] not in taken.renamed:
            _take_shared(taken, volume, own[0])
    if home is None and traits["storage_pvc_ensure"]:
        traits.say("storage_pvc_ensure", "makes a claim that no volume mounts: there is no home to keep.")
    if home is None and taken.section is not None:
        taken.section["home"] = False
    return taken


def _in_our_words(value: Any, scheme: str, claim: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = templated(listed(value, camel), scheme)
    for item in items:
        source = item.get("persistentVolumeClaim")
        if isinstance(source, Mapping):
            name = source.get("claimName", source.get("claim_name", "")).replace("{pvc_name}", claim)
            rest = {camel(key): inner for key, inner in source.items() if camel(key) != "claimName"}
            item["persistentVolumeClaim"] = {"claimName": name, **rest}
    return items


def _home(
    volumes: Mapping[str, dict[str, Any]], mounts: list[dict[str, Any]], claim: str
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The volume and mount of the home: the one of the user's own claim, else one that is mounted below /home."""
    candidates = []
    for mount in mounts:
        volume = volumes.get(mount["name"], {})
        source = volume.get("persistentVolumeClaim")
        if source is None or mount.get("readOnly") or source.get("readOnly"):
            continue
        own = source["claimName"] == claim
        below_home = mount["mountPath"].startswith("/home")
        if own or below_home:
            candidates.append(((not own, not below_home, mount["mountPath"].count("/")), volume, mount))
    if not candidates:
        return None
    _, volume, mount = min(candidates, key=lambda candidate: candidate[0])
    return volume, mount


def _home_section(traits: Traits, volume: dict[str, Any], mount: dict[str, Any], claim: str) -> dict[str, Any]:
    scheme = traits["slug_scheme"]
    source = volume["persistentVolumeClaim"]["claimName"]
    made = bool(traits["storage_pvc_ensure"]) and source == claim
    section: dict[str, Any] = {"claim": source}
    if made:
        section |= {"size": traits["storage_capacity"], "storage_class": traits["storage_class"]}
        section["access_modes"] = traits["storage_access_modes"]
        section["claim_patch"] = templated(_claim_patch(traits), scheme)
        section["delete_with_user"] = bool(traits["delete_pvc"])
    else:
        section["create"] = False
    section |= {"mount_path": mount["mountPath"].rstrip("/"), "sub_path": mount.get("subPath")}
    if expression := mount.get("subPathExpr"):
        traits.say("volume_mounts", f"subPathExpr {expression!r}: write sub_path with variables such as {{username}}.")
    return {key: value for key, value in section.items() if value not in (None, {}, ["ReadWriteOnce"])}


def _claim_patch(traits: Traits) -> dict[str, Any]:
    metadata = {
        "labels": traits["storage_extra_labels"],
        "annotations": traits["storage_extra_annotations"],
    }
    metadata = {key: value for key, value in metadata.items() if value}
    patch: dict[str, Any] = {"metadata": metadata} if metadata else {}
    if traits["storage_selector"]:
        patch["spec"] = {"selector": traits["storage_selector"]}
    return patch


def _take_shared(taken: Taken, volume: dict[str, Any], mount: dict[str, Any]) -> None:
    name, source = volume["name"], volume.get("persistentVolumeClaim")
    if source is not None and set(mount) <= {"name", "mountPath", "subPath", "readOnly"}:
        if _VOLUME_NAME.fullmatch(name) and name not in _OURS:
            shared = {"claim": source["claimName"], "mount_path": mount["mountPath"]}
            if mount.get("subPath"):
                shared["sub_path"] = mount["subPath"]
            if not (mount.get("readOnly") or source.get("readOnly")):
                shared["read_only"] = False
            taken.section = taken.section or {}
            taken.section.setdefault("volumes", {})[name] = shared
            _take(taken, volume, mount, name)
    elif mount["mountPath"] == _SHARED_MEMORY and (volume.get("emptyDir") or {}).get("medium") == "Memory":
        if limit := volume["emptyDir"].get("sizeLimit"):
            taken.section = taken.section or {}
            taken.section["shared_memory"] = limit
        _take(taken, volume, mount, "shared-memory")


def _take(taken: Taken, volume: dict[str, Any], mount: dict[str, Any], name: str) -> None:
    taken.renamed[volume["name"]] = name
    taken.volumes.append({**volume, "name": name})
    taken.mounts.append({**mount, "name": name})
