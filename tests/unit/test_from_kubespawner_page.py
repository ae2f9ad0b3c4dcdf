"""docs/from-kubespawner.md: every trait is there, and what it says is so."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from from_kubespawner import Ours, Theirs, field
from kubespawner import KubeSpawner

from gpuspawner.config import load_settings
from gpuspawner.migration.reasons import REASONS
from gpuspawner.migration.traits import DEFAULTS, INHERITED
from gpuspawner.migration.translation import translate
from gpuspawner.quantity import parse_quantity

PAGE = (Path(__file__).parents[2] / "docs" / "from-kubespawner.md").read_text(encoding="utf-8")
REFERENCE = PAGE[PAGE.index("## Trait by trait") :]
TRAITS = KubeSpawner.class_traits()
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
WHOSE = [("ada", ""), ("ada", "gpu"), ("Ada.Lovelace@example.org", "")]


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
    """A field in which amounts are numbers."""
    value = field(manifest, path.replace("nvidia~com", "nvidia·com")) if "~" not in path else None
    if "~" in path:
        parent, _, key = path.rpartition(".")
        value = (field(manifest, parent) or {}).get(key.replace("~", "."))
    return parse_quantity(value) if ".resources." in path and value is not None else value


def test_the_page_names_every_trait_of_kubespawner() -> None:
    named = set(re.findall(r"\w+", " ".join(re.findall("`([^`]*)`", REFERENCE))))
    assert sorted(set(TRAITS) - named) == []


def test_the_page_gives_every_trait_one_place() -> None:
    first_cells = [line.split(" | ")[0] for line in REFERENCE.splitlines() if line.startswith("| `")]
    placed = [re.match(r"\w+", code)[0] for cell in first_cells for code in re.findall("`([^`]*)`", cell)]
    lists = REFERENCE[REFERENCE.index("### JupyterHub's own") :]
    listed = [code for code in re.findall("`([^`]*)`", lists) if code in TRAITS]
    assert sorted(placed) == sorted(set(placed))
    assert set(TRAITS) <= {*placed, *listed}
    assert not [name for name in placed if name not in TRAITS]


def test_nothing_is_left_to_be_written() -> None:
    assert "TODO" not in PAGE


def test_the_translation_knows_every_trait_that_can_be_configured() -> None:
    known = {*DEFAULTS, *INHERITED, *REASONS}
    configurable = {name for name, trait in TRAITS.items() if trait.metadata.get("config")}
    assert sorted(configurable - known) == []
    assert sorted(known - set(TRAITS)) == []


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_kubespawners_defaults_are_what_we_take_them_for(name: str) -> None:
    default = Theirs({}).spawner.trait_defaults(name)
    ours = DEFAULTS[name]
    if name == "namespace":
        pytest.skip("the hub's own namespace")
    assert (default or None) == (ours or None)


def test_what_the_page_says_in_full_is_compared() -> None:
    elsewhere = {"delete_grace_period"}  # of the request that deletes the pod
    assert {*FIELDS, *CLAIM_FIELDS} == set(ROWS) - elsewhere
    assert len(ROWS) > 50


@pytest.mark.parametrize("line", [line for line in REFERENCE.splitlines() if line.startswith("| `")])
def test_what_the_page_says_has_no_mistake(line: str) -> None:
    said = assignments(line.strip("|").split(" | ")[-1])
    load_settings({**HUB, **said}, inherited=["environment"])


@pytest.mark.parametrize("trait", sorted(set(ROWS) & set(FIELDS)))
@pytest.mark.parametrize("how", ["as the page says", "as the command translates it"])
async def test_both_spawners_make_the_same_field_of_the_pod(trait: str, how: str) -> None:
    theirs, ours = ROWS[trait]
    section = {**HUB, **ours} if how == "as the page says" else translate(theirs).section
    made = (await Theirs(theirs).made()).pod
    if trait != "node_affinity_required":
        assert told(FIELDS[trait], made) is not None
    agree(trait, made, Ours(section).pod)


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


@pytest.mark.parametrize(("user", "server"), WHOSE)
@pytest.mark.parametrize("trait", sorted(CLAIM_FIELDS))
@pytest.mark.parametrize("how", ["as the page says", "as the command translates it"])
async def test_both_spawners_make_the_same_field_of_the_claim(trait: str, how: str, user: str, server: str) -> None:
    theirs, ours = ROWS[trait]
    template = theirs.get("pvc_name_template", "claim-{user_server}")
    home = {
        "storage_pvc_ensure": True,
        "storage_capacity": "10Gi",
        "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": template}}],
        "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
    }
    told_theirs = {**home, **theirs}
    section = {**HUB, **ours} if how == "as the page says" else translate(told_theirs).section
    made, found = await Theirs(told_theirs, user, server).made(), Ours(section, user, server)
    wanted = field(made.claim, CLAIM_FIELDS[trait])
    assert wanted is not None
    if trait == "storage_capacity":
        assert parse_quantity(field(found.claim, CLAIM_FIELDS[trait])) == parse_quantity(wanted)
    else:
        assert field(found.claim, CLAIM_FIELDS[trait]) == wanted
    assert found.pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == made.claim["metadata"]["name"]
