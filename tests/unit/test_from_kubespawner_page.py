"""docs/from-kubespawner.md: every trait is there, and what it says is so."""

import re

import pytest
from from_kubespawner import Ours, Theirs, field
from kubespawner import KubeSpawner
from kubespawner_page import CLAIM_FIELDS, FIELDS, HUB, PAGE, REFERENCE, ROWS, agree, assignments, told

from gpuspawner.config import load_settings
from gpuspawner.migration.reasons import REASONS
from gpuspawner.migration.traits import DEFAULTS, INHERITED
from gpuspawner.migration.translation import translate
from gpuspawner.quantity import parse_quantity

TRAITS = KubeSpawner.class_traits()
WHOSE = [("ada", ""), ("ada", "gpu"), ("Ada.Lovelace@example.org", "")]


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


@pytest.mark.parametrize("name", sorted(set(DEFAULTS) - {"namespace"}))
def test_kubespawners_defaults_are_what_we_take_them_for(name: str) -> None:
    default = Theirs({}).spawner.trait_defaults(name)
    ours = DEFAULTS[name]
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
