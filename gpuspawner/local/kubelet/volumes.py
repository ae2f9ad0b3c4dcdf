"""A pod's volumes as folders of this machine."""

import base64
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from gpuspawner.local.apiserver.store import Object
from gpuspawner.local.kubelet.env import ConfigError, Lookup, expand, field_value, resource_value

__all__ = [
    "SHARED_MEMORY",
    "IssueToken",
    "VolumeError",
    "claim_folder",
    "mount_points",
    "prepare_volumes",
    "remove_volumes",
]

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (what an emptyDir of medium Memory is on Linux)
_API_ACCESS = "kube-api-access-"
_DEFAULT_MODE = 0o644
_TOKEN_MODE = 0o600
IssueToken = Callable[[Object, Object], str]
"""Issues a token for a pod, as the source ``serviceAccountToken`` of one of its volumes asks for it."""
_CONFIG_KINDS = {"configMap": ("configmaps", "configmap"), "secret": ("secrets", "secret")}


class VolumeError(Exception):
    """A volume cannot be set up; the text is the kubelet's ``FailedMount`` sentence."""


def claim_folder(data_dir: Path, namespace: str, name: str) -> Path:
    """The folder of a PersistentVolumeClaim."""
    return data_dir / "volumes" / namespace / name


def prepare_volumes(
    pod: Object, root: Path, data_dir: Path, node: Object, lookup: Lookup, issue_token: IssueToken
) -> dict[str, Path]:
    """Make the folder of each volume of a pod and return them by volume name.

    Serves persistentVolumeClaim, ephemeral, emptyDir, configMap, secret, downwardAPI, projected and hostPath. All are
    written once and not updated while the pod runs. Raises `VolumeError`.
    """
    folders: dict[str, Path] = {}
    for volume in pod["spec"].get("volumes") or []:
        name = volume["name"]
        try:
            folders[name] = _prepare(volume, pod, root / name, data_dir, node, lookup, issue_token)
        except (ConfigError, OSError) as error:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
    return folders


def remove_volumes(pod: Object, root: Path) -> None:
    """Remove what `prepare_volumes` made, except the folders of claims and of the host."""
    shutil.rmtree(_memory_root(pod), ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)


def _memory_root(pod: Object) -> Path:
    return SHARED_MEMORY / f"gpuspawner-{pod['metadata']['uid']}"


def _prepare(
    volume: Object, pod: Object, folder: Path, data_dir: Path, node: Object, lookup: Lookup, issue_token: IssueToken
) -> Path:
    if claim := volume.get("persistentVolumeClaim"):
        return _claim(claim["claimName"], pod, data_dir, lookup)
    if volume.get("ephemeral"):
        return _claim(f"{pod['metadata']['name']}-{volume['name']}", pod, data_dir, lookup)
    if "emptyDir" in volume:
        return _empty_dir(volume["emptyDir"] or {}, volume["name"], pod, folder)
    if host := volume.get("hostPath"):
        return _host_path(host)
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            source = volume[kind] or {}
            _write_source(kind, source, folder, source.get("defaultMode"), pod, node, lookup)
            return folder
    if "projected" in volume:
        _project(volume, folder, pod, node, lookup, issue_token)
        return folder
    kinds = ", ".join(key for key in volume if key != "name")
    raise ConfigError(f"volumes of type {kinds or 'none'} are not served by the embedded engine")


def _claim(name: str, pod: Object, data_dir: Path, lookup: Lookup) -> Path:
    if lookup("persistentvolumeclaims", name) is None:
        raise ConfigError(f'persistentvolumeclaim "{name}" not found')
    folder = claim_folder(data_dir, pod["metadata"]["namespace"], name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _empty_dir(source: Object, name: str, pod: Object, folder: Path) -> Path:
    if source.get("medium") == "Memory" and SHARED_MEMORY.is_dir():
        folder = _memory_root(pod) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _host_path(host: Object) -> Path:
    path, kind = Path(host["path"]), host.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        raise ConfigError(f"hostPath type check failed: {path} is not a directory")
    return path


def _project(volume: Object, folder: Path, pod: Object, node: Object, lookup: Lookup, issue_token: IssueToken) -> None:
    projected = volume["projected"]
    automatic = volume["name"].startswith(_API_ACCESS)
    for source in projected.get("sources") or []:
        for kind, part in source.items():
            if kind in ("configMap", "secret", "downwardAPI"):
                optional = {"optional": True} if automatic else {}
                _write_source(kind, part | optional, folder, projected.get("defaultMode"), pod, node, lookup)
            elif kind == "serviceAccountToken":
                _write(folder, part["path"], issue_token(pod, part).encode(), _TOKEN_MODE)
            elif not automatic:
                raise ConfigError(f"{kind} is not projected by the embedded engine")


def _write_source(
    kind: str, source: Object, folder: Path, mode: int | None, pod: Object, node: Object, lookup: Lookup
) -> None:
    if kind == "downwardAPI":
        for item in source.get("items") or []:
            if item.get("fieldRef"):
                text = field_value(pod, item["fieldRef"]["fieldPath"])
            else:
                text = resource_value(item["resourceFieldRef"], pod["spec"]["containers"][0], pod, node)
            _write(folder, item["path"], text.encode(), item.get("mode") or mode)
        return
    resource, word = _CONFIG_KINDS[kind]
    name = source.get("secretName") or source.get("name") or ""
    found = lookup(resource, name)
    if found is None:
        if source.get("optional"):
            return
        raise ConfigError(f'{word} "{name}" not found')
    data = _data(found)
    items = source.get("items") or [{"key": key, "path": key} for key in data]
    for item in items:
        if item["key"] in data:
            _write(folder, item["path"], data[item["key"]], item.get("mode") or mode)
        elif not source.get("optional"):
            raise ConfigError(f"references non-existent {word} key: {item['key']}")


def _data(obj: Object) -> dict[str, bytes]:
    plain, encoded = obj.get("data") or {}, obj.get("binaryData") or {}
    if obj.get("kind") == "Secret":
        plain, encoded = {}, plain
    return {key: str(value).encode() for key, value in plain.items()} | {
        key: base64.b64decode(value) for key, value in encoded.items()
    }


def _write(folder: Path, relative: str, data: bytes, mode: int | None) -> None:
    path = _inside(folder, relative)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    path.chmod(mode or _DEFAULT_MODE)


def _inside(folder: Path, relative: str) -> Path:
    """A path below a folder, whatever symbolic links a container has put there. Raises `ConfigError`."""
    root = folder.resolve()
    path = (root / relative).resolve()
    if Path(relative).is_absolute() or not path.is_relative_to(root):
        raise ConfigError(f"{relative} is not inside the volume")
    return path


def mount_points(container: Object, folders: Mapping[str, Path], variables: Mapping[str, str]) -> dict[str, Path]:
    """The folder behind each mount path of a container. Raises `ConfigError`, also when a subPath escapes."""
    points: dict[str, Path] = {}
    for mount in container.get("volumeMounts") or []:
        name = mount["name"]
        if name not in folders:
            raise ConfigError(f'volume "{name}" not found')
        folder = folders[name]
        below = mount.get("subPath") or expand(mount.get("subPathExpr") or "", variables)
        if below:
            try:
                path = _inside(folder, below)
                if not path.exists():
                    path.mkdir(parents=True)
            except (ConfigError, OSError) as error:
                where = f'volumeMount "{name}" of container "{container["name"]}"'
                raise ConfigError(f"failed to prepare subPath for {where}: {error}") from error
            folder = path
        points[mount["mountPath"]] = folder
    return points
