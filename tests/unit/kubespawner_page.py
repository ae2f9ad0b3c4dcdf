"""What docs/from-kubespawner.md says in full on both sides, and whether two pods agree in the field of a trait."""

import ast
import re
from pathlib import Path
from typing import Any

from from_kubespawner import field

from gpuspawner.quantity import parse_quantity

PAGE = (Path(__file__).parents[2] / "docs" / "from-kubespawner.md").read_text(encoding="utf-8")
REFERENCE = PAGE[PAGE.index("## Trait by trait") :]
HUB = {"profiles": {"default": {"image": "notebook"}}, "workspaces": {"everyone": {"members": "*"}}, "storage": None}

NOTEBOOK = "spec.containers[notebook]"
NODE, POD, ANTI = (f"spec.affinity.{kind}" for kind in ("nodeAffinity", "podAffinity", "podAntiAffinity"))
REQUIRED, PREFERRED = (f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred"))
FIELDS = {
    "allow_privilege_escalation": f"{NOTEBOOK}.securityContext",
    "automount_service_account_token": "spec.automountServiceAccountToken",
    "cmd": f"{NOTEBOOK}.args",
    "common_labels": "metadata.labels.release",
    "container_security_context": f"{NOTEBOOK}.securityContext.readOnlyRootFilesystem",
    "cpu_guarantee": f"{NOTEBOOK}.resources.requests.cpu",
    "cpu_limit": f"{NOTEBOOK}.resources.limits.cpu",
    "environment": f"{NOTEBOOK}.env[HOME_OF]",
    "extra_annotations": "metadata.annotations.owner",
    "extra_container_config": f"{NOTEBOOK}.envFrom",
    "extra_containers": "spec.containers[sync]",
    "extra_labels": "metadata.labels.team",
    "extra_pod_config": "spec.dnsPolicy",
    "extra_resource_guarantees": f"{NOTEBOOK}.resources.requests.ephemeral-storage",
    "extra_resource_limits": f"{NOTEBOOK}.resources.limits.nvidia~com/gpu",
    "fs_gid": "spec.securityContext.fsGroup",
    "gid": f"{NOTEBOOK}.securityContext.runAsGroup",
    "image": f"{NOTEBOOK}.image",
    "image_pull_policy": f"{NOTEBOOK}.imagePullPolicy",
    "image_pull_secrets": "spec.imagePullSecrets",
    "init_containers": "spec.initContainers",
    "lifecycle_hooks": f"{NOTEBOOK}.lifecycle",
    "mem_guarantee": f"{NOTEBOOK}.resources.requests.memory",
    "mem_limit": f"{NOTEBOOK}.resources.limits.memory",
    "node_affinity_preferred": f"{NODE}.{PREFERRED}",
    "node_affinity_required": "",
    "node_selector": "spec.nodeSelector",
    "pod_affinity_preferred": f"{POD}.{PREFERRED}",
    "pod_affinity_required": f"{POD}.{REQUIRED}",
    "pod_anti_affinity_preferred": f"{ANTI}.{PREFERRED}",
    "pod_anti_affinity_required": f"{ANTI}.{REQUIRED}",
    "pod_security_context": "spec.securityContext.fsGroupChangePolicy",
    "priority_class_name": "spec.priorityClassName",
    "privileged": f"{NOTEBOOK}.securityContext.privileged",
    "scheduler_name": "spec.schedulerName",
    "service_account": "spec.serviceAccountName",
    "supplemental_gids": "spec.securityContext.supplementalGroups",
    "tolerations": "spec.tolerations",
    "uid": f"{NOTEBOOK}.securityContext.runAsUser",
    "volume_mounts": f"{NOTEBOOK}.volumeMounts[/data]",
    "volumes": "spec.volumes[data]",
    "working_dir": f"{NOTEBOOK}.workingDir",
}
CLAIM_FIELDS = {
    "pvc_name_template": "metadata.name",
    "storage_access_modes": "spec.accessModes",
    "storage_capacity": "spec.resources.requests.storage",
    "storage_class": "spec.storageClassName",
    "storage_extra_annotations": "metadata.annotations.owner",
    "storage_extra_labels": "metadata.labels.backup",
    "storage_pvc_ensure": "metadata.name",
    "storage_selector": "spec.selector",
}


def rows() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """The traits that the page says in full on both sides, each with what KubeSpawner and what we are told."""
    found = {}
    for line in REFERENCE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 2 and (theirs := assignments(cells[0])) and (ours := assignments(cells[1])):
            ((trait, _),) = theirs.items()
            found[trait] = (theirs, ours)
    return found


def assignments(cell: str) -> dict[str, Any]:
    pairs = (re.fullmatch(r"(\w+) = (.+)", code) for code in re.findall("`([^`]*)`", cell))
    return {pair[1]: ast.literal_eval(pair[2]) for pair in pairs if pair}


ROWS = rows()


def told(path: str, manifest: Any) -> Any:
    """A field in which amounts are numbers; a ``~`` in the last step of the path is a dot."""
    parent, _, key = path.rpartition(".")
    value = (field(manifest, parent) or {}).get(key.replace("~", ".")) if "~" in key else field(manifest, path)
    return parse_quantity(value) if ".resources." in path and value is not None else value


def agree(trait: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Whether the field of a trait is the same in both pods, but for what we add on purpose."""
    if trait == "node_affinity_required":
        check_nodes(theirs, ours)
        return
    wanted, found = told(FIELDS[trait], theirs), told(FIELDS[trait], ours)
    if trait in ("image_pull_secrets", "tolerations"):
        assert all(one in found for one in wanted or [])
    elif trait == "uid":
        assert wanted in (found, None) or (found is None and wanted == field(ours, "spec.securityContext.runAsUser"))
    elif ".requests." in FIELDS[trait] and wanted is None:
        assert found == told(FIELDS[trait].replace("requests", "limits"), ours)
    elif trait in ("extra_containers", "init_containers"):
        assert covers(found or [], wanted or [])
    elif trait == "allow_privilege_escalation":
        assert (found or {}).get("allowPrivilegeEscalation") == (wanted or {}).get("allowPrivilegeEscalation")
        if wanted and wanted.get("allowPrivilegeEscalation"):
            assert not found.get("capabilities")
    else:
        assert found == wanted


def covers(found: Any, wanted: Any) -> bool:
    """Whether everything wanted is there: containers that are patched in are restricted here, too."""
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(covers(one, other) for one, other in zip(found, wanted, strict=True))
    if isinstance(wanted, dict):
        return all(covers(found.get(key), value) for key, value in wanted.items())
    return bool(found == wanted)


def check_nodes(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """The same zone, by affinity or by selector; without a GPU we stay off GPU nodes, too."""
    (term,) = field(theirs, f"{NODE}.{REQUIRED}.nodeSelectorTerms")
    ours_terms = field(ours, f"{NODE}.{REQUIRED}.nodeSelectorTerms")
    expressions = [one for term in ours_terms for one in term["matchExpressions"] if one["operator"] == "In"]
    selector = [
        {"key": key, "operator": "In", "values": [value]} for key, value in ours["spec"].get("nodeSelector", {}).items()
    ]
    assert all(one in expressions + selector for one in term["matchExpressions"])
