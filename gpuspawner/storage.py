"""What a server finds on disk: its kept home, shared volumes, scratch space and /dev/shm. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gpuspawner.names import (
    LAUNCH_VARIABLES,
    NAME_VARIABLES,
    RAW_VARIABLES,
    expand,
    safe_slug,
    scope_of,
    variables_in,
)
from gpuspawner.schema import Bytes, NameList, Schema
from gpuspawner.strategic_merge import strategic_merge

__all__ = ["HOME", "Scratch", "SharedVolume", "Storage", "claim_manifest", "claim_name", "home_claim", "volumes_of"]

HOME = "home"
SCRATCH = "scratch"
SHARED_MEMORY = "shared-memory"
CERTIFICATES = "certificates"
_OURS = (HOME, SCRATCH, SHARED_MEMORY, CERTIFICATES)
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_FOLDER = re.compile(r"[\w.@+,=~-]+")
_SAMPLE = "x"


def _filled(template: str, allowed: Collection[str]) -> str:
    unknown = [name for name in variables_in(template) if name not in allowed]
    if unknown:
        raise ValueError(f"of the variables {', '.join(f'{{{name}}}' for name in allowed)} only")
    return str(expand(template, dict.fromkeys(allowed, _SAMPLE)))


def _claim_template(template: str) -> str:
    if _SUBDOMAIN.fullmatch(_filled(template, NAME_VARIABLES)) is None:
        raise ValueError("the name of a PersistentVolumeClaim, in which variables such as {username} may stand")
    return template


def _path(template: str) -> str:
    filled = _filled(template, LAUNCH_VARIABLES)
    if not filled.startswith("/") or ":" in filled:
        raise ValueError("an absolute path such as /home/jovyan")
    return template


def _sub_path(template: str) -> str:
    filled = _filled(template, (*NAME_VARIABLES, *RAW_VARIABLES))
    if filled.startswith("/") or ".." in filled.split("/"):
        raise ValueError("a folder within the volume, such as homes/{username}")
    return template


def _volume_name(name: str) -> str:
    if _LABEL.fullmatch(name) is None or name in _OURS:
        raise ValueError(f"1 to 63 characters of a-z, 0-9 and '-', other than {', '.join(_OURS)}")
    return name


def _claim_patch(patch: dict[str, Any]) -> dict[str, Any]:
    unknown = [key for key in patch if key not in ("metadata", "spec")]
    metadata = patch.get("metadata") or {}
    if unknown or not isinstance(metadata, Mapping) or not {"name", "namespace"}.isdisjoint(metadata):
        raise ValueError("metadata (labels and annotations) and spec of a PersistentVolumeClaim")
    try:
        strategic_merge({"metadata": {}, "spec": {}}, patch)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"a strategic merge patch ({error})") from None
    return patch


ClaimName = Annotated[str, AfterValidator(_claim_template)]
"""A PersistentVolumeClaim's name, in which variables may stand."""
MountPath = Annotated[str, AfterValidator(_path)]
"""An absolute path in the container, in which variables may stand."""
SubPath = Annotated[str, AfterValidator(_sub_path)]
"""A folder within a volume, in which variables may stand; empty: the whole volume."""


class SharedVolume(Schema):
    """A claim that exists already, mounted in servers: course material, data sets, the folder of a workspace.

    ``{"claim": "teaching", "sub_path": "{workspace}", "mount_path": "/course", "read_only": False}`` gives the members
    of each workspace a folder of their own on one volume.
    """

    claim: ClaimName = Field(description="Name of the claim; variables such as {workspace} may stand in it.")
    mount_path: MountPath = Field(description="Where it is mounted.")
    sub_path: SubPath = Field(default="", description="Folder of the volume that is mounted; empty: all of it.")
    read_only: bool = Field(default=True, description="Whether servers may only read it.")
    workspaces: NameList | None = Field(
        default=None, description="Workspaces whose servers get it; without it those of all."
    )


class Scratch(Schema):
    """Fast space for as long as the server runs: a volume that is made and deleted with the pod."""

    size: Bytes = Field(description="Size of the volume.")
    storage_class: str | None = Field(default=None, description="StorageClass; without it the cluster's default.")
    access_modes: NameList = Field(default=("ReadWriteOnce",), description="Access modes of its claim.")
    mount_path: MountPath = Field(default="/scratch", description="Where it is mounted.")


class Storage(Schema):
    """A member's home, kept in a PersistentVolumeClaim, and what else is mounted.

    Variables such as ``{username}`` may stand in ``claim``, ``sub_path``, ``mount_path`` and ``claim_patch``.
    """

    home: bool = Field(default=True, description="Whether there is a home that is kept; False: the rest only.")
    size: Bytes = Field(default=10 * 2**30, description="Storage request of the claim.")
    storage_class: str | None = Field(default=None, description="StorageClass; without it the cluster's default.")
    access_modes: NameList = Field(default=("ReadWriteOnce",), description="Access modes of the claim.")
    mount_path: MountPath = Field(default="/home/jovyan", description="Where it is mounted.")
    per: Literal["user", "workspace", "server"] = Field(
        default="user",
        description="One claim per user, per user and workspace, or per user and server.",
    )
    claim: ClaimName | None = Field(
        default=None,
        description="Name of the claim, such as claim-{username}, for claims that exist already; instead of per.",
    )
    create: bool = Field(default=True, description="Whether a claim that does not exist is made.")
    sub_path: SubPath = Field(default="", description="Folder of the volume that is the home; empty: all of it.")
    claim_patch: Annotated[dict[str, Any], AfterValidator(_claim_patch)] = Field(
        default_factory=dict, description="Patch of the claim that is made: labels, annotations, selector."
    )
    delete_with_user: bool = Field(
        default=False,
        description="Delete the claims of a user who is deleted, and that of a named server with it (per server).",
    )
    volumes: dict[Annotated[str, AfterValidator(_volume_name)], SharedVolume] = Field(
        default_factory=dict, description="Shared volumes, by name."
    )
    scratch: Scratch | None = Field(default=None, description="Scratch space of every server.")
    shared_memory: Bytes | None = Field(
        default=None,
        description="Size of /dev/shm, which counts as memory of the server; without it all of its memory, "
        "0: the 64 MB of the container runtime.",
    )

    @property
    def scope(self) -> tuple[bool, bool, bool]:
        """Whether homes differ by user, by workspace and by server."""
        if self.claim is None:
            return True, self.per == "workspace", self.per == "server"
        return scope_of(self.claim)


def claim_name(user: str, part: str = "") -> str:
    """The name of a user's PersistentVolumeClaim, or of one for ``part``: a workspace or a server."""
    if not part:
        return f"claim-{safe_slug(user)}"
    return f"claim-{safe_slug(user, 24)}--{safe_slug(part, 24)}"


def home_claim(storage: Storage, user: str, server: str, workspace: str, variables: Mapping[str, str]) -> str:
    """The name of the claim that holds a server's home."""
    if storage.claim is not None:
        return _claim(storage.claim, variables)
    return claim_name(user, {"workspace": workspace, "server": server}.get(storage.per, ""))


def claim_manifest(
    storage: Storage, name: str, labels: Mapping[str, str], annotations: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, Any]:
    """The PersistentVolumeClaim of a home; ``claim_patch`` cannot take these labels and annotations away."""
    spec: dict[str, Any] = {
        "accessModes": list(storage.access_modes),
        "resources": {"requests": {"storage": str(storage.size)}},
    }
    if storage.storage_class is not None:
        spec["storageClassName"] = storage.storage_class
    made = strategic_merge({"metadata": {}, "spec": spec}, expand(storage.claim_patch, variables))
    metadata = made.get("metadata", {})
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            **metadata,
            "name": name,
            "labels": {**metadata.get("labels", {}), **labels},
            "annotations": {**metadata.get("annotations", {}), **annotations},
        },
        "spec": made.get("spec", {}),
    }


def volumes_of(
    storage: Storage | None,
    *,
    home: str,
    workspace: str,
    memory: int,
    scratch: int | None,
    shared_memory: int | None,
    variables: Mapping[str, str],
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The volumes of a pod, each with its mount in the notebook container; the home, if there is one, comes first.

    Parameters
    ----------
    home
        Name of the claim of the home.
    memory
        Bytes of the server's memory, of which /dev/shm is a part.
    scratch, shared_memory
        Bytes that the profile sets instead of the storage's own.

    Raises
    ------
    ValueError
        Where a name that somebody chose cannot be the name of a folder.
    """
    if storage is not None:
        yield from _kept(storage, home, workspace, variables)
        if storage.scratch is not None and scratch != 0:
            yield _scratch(storage.scratch, scratch or storage.scratch.size, variables)
    if scratch and (storage is None or storage.scratch is None):
        yield _scratch(Scratch(size=scratch), scratch, variables)
    if shared_memory is None and storage is not None:
        shared_memory = storage.shared_memory
    if shared_memory != 0:
        limit = memory if shared_memory is None else min(shared_memory, memory)
        volume = {"name": SHARED_MEMORY, "emptyDir": {"medium": "Memory", "sizeLimit": str(limit)}}
        yield volume, {"name": SHARED_MEMORY, "mountPath": "/dev/shm"}  # noqa: S108  # in the container


def _kept(
    storage: Storage, home: str, workspace: str, variables: Mapping[str, str]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    if storage.home:
        volume = {"name": HOME, "persistentVolumeClaim": {"claimName": home}}
        yield volume, _mount(HOME, storage.mount_path, storage.sub_path, variables)
    for name, shared in storage.volumes.items():
        if shared.workspaces is not None and workspace not in shared.workspaces:
            continue
        mount = _mount(name, shared.mount_path, shared.sub_path, variables)
        if shared.read_only:
            mount["readOnly"] = True
        claim = _claim(shared.claim, variables)
        yield {"name": name, "persistentVolumeClaim": {"claimName": claim}}, mount


def _claim(template: str, variables: Mapping[str, str]) -> str:
    """Names of workspaces and profiles may hold ``_``, which no claim may."""
    safe = {name: safe_slug(variables[name]) for name in ("workspace", "profile") if name in variables}
    return str(expand(template, {**variables, **safe}))


def _mount(name: str, path: str, sub_path: str, variables: Mapping[str, str]) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": name, "mountPath": expand(path, variables)}
    if sub_path:
        used = [variables[variable] for variable in variables_in(sub_path) if variable in RAW_VARIABLES]
        for raw in used:
            if raw and (_FOLDER.fullmatch(raw) is None or not raw.strip(".")):
                raise ValueError(f"{raw!r} cannot be the name of a folder")
        mount["subPath"] = expand(sub_path, variables)
    return mount


def _scratch(scratch: Scratch, size: int, variables: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    spec: dict[str, Any] = {
        "accessModes": list(scratch.access_modes),
        "resources": {"requests": {"storage": str(size)}},
    }
    if scratch.storage_class is not None:
        spec["storageClassName"] = scratch.storage_class
    volume = {"name": SCRATCH, "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
    return volume, {"name": SCRATCH, "mountPath": expand(scratch.mount_path, variables)}
