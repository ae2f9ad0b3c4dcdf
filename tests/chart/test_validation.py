"""Values that fit the schema one by one and yet not together are refused before anything is installed."""

from typing import Any

import pytest
from helm_python import HelmRenderError
from rendering import merged, render
from variants import VARIANTS, values_of

from gpuspawner.config import load_settings
from gpuspawner.errors import ConfigurationError
from gpuspawner.values.together import contradictions

SMALL = {"small": {"accepts": [{"resource": "nvidia.com/gpu"}]}}
PROFILE = {"image": "a:1"}
REFERENCES: list[tuple[dict[str, Any], str]] = [
    (
        {"gpu_classes": SMALL, "profiles": {"p": {**PROFILE, "gpu_classes": ["large"]}}},
        "gpuspawner.profiles['p'].gpu_classes: found 'large', which is no GPU class; known: small",
    ),
    (
        {"profiles": {"p": {**PROFILE, "gpu_classes": "large"}}},
        "gpuspawner.profiles['p'].gpu_classes: found 'large', which is no GPU class; none is defined",
    ),
    (
        {"profiles": {"p": PROFILE}, "workspaces": {"w": {"profiles": ["cpu", "p"]}}},
        "gpuspawner.workspaces['w'].profiles: found 'cpu', which is no profile; known: p",
    ),
    (
        {"gpu_classes": SMALL, "workspaces": {"w": {"quota": {"large": 1}}}},
        "gpuspawner.workspaces['w'].quota: found 'large', which is no GPU class; known: small",
    ),
    (
        {"gpu_classes": SMALL, "workspaces": {"w": {"borrowing_limit": {"large": 1}}}},
        "gpuspawner.workspaces['w'].borrowing_limit: found 'large'",
    ),
    (
        {"workspaces": {"w": {"exceptions": [{"from": "2026-01-01", "to": "2026-01-02", "profiles": "x"}]}}},
        "gpuspawner.workspaces['w'].exceptions[0].profiles: found 'x', which is no profile; none is defined",
    ),
    (
        {"workspaces": {"w": {}}, "cohorts": {"c": {"workspaces": ["w", "v"]}}},
        "gpuspawner.cohorts['c'].workspaces: found 'v', which is no workspace; known: w",
    ),
    (
        {"gpu_classes": SMALL, "workspaces": {"w": {}}, "cohorts": {"c": {"workspaces": "w", "reserve": {"x": 1}}}},
        "gpuspawner.cohorts['c'].reserve: found 'x', which is no GPU class; known: small",
    ),
    ({"profiles": {"PyTorch": PROFILE}}, "gpuspawner.profiles: found the name 'PyTorch', allowed: 1 to 63 characters"),
    ({"workspaces": {"a b": {}}}, "gpuspawner.workspaces: found the name 'a b', allowed: 1 to 63 characters"),
]
FILE = {"mountPath": "/etc/motd.json"}
TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"hub": {"database": {"existingSecret": "db"}}}, "set hub.database.type to external"),
    ({"serviceAccount": {"create": False}}, "serviceAccount.name: missing"),
    (merged(values_of("ingress"), values_of("route")), "httpRoute.enabled: found true with ingress.enabled"),
    ({"hub": {"extraFiles": {"motd": FILE}}}, "hub.extraFiles.motd: found 0 of stringData, data, binaryData and from"),
    (
        {"singleuser": {"extraFiles": {"motd": {**FILE, "stringData": "a", "binaryData": "YQ=="}}}},
        "singleuser.extraFiles.motd: found 2 of stringData, data, binaryData and from",
    ),
]


@pytest.mark.parametrize(("section", "words"), REFERENCES, ids=[words for _, words in REFERENCES])
def test_a_name_that_means_nothing_is_told_as_the_hub_would_tell_it(section: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmRenderError, match=r"values that do not fit together:\n") as refused:
        render({"gpuspawner": section})
    assert words in str(refused.value)
    with pytest.raises(ConfigurationError) as told:
        load_settings(section)
    said = [problem.replace("c.GPUSpawner", "gpuspawner", 1) for problem in told.value.problems]
    assert any(problem.startswith(words.partition("; ")[0]) for problem in said), said


@pytest.mark.parametrize(("values", "words"), TOGETHER, ids=[words for _, words in TOGETHER])
def test_values_that_contradict_each_other_are_told(values: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmRenderError) as refused:
        render(values)
    assert words in str(refused.value)
    assert [line for line in contradictions(values) if words in line], "and the check says so, too"


def test_no_variant_of_the_matrix_contradicts_itself() -> None:
    assert {variant: found for variant in VARIANTS if (found := [*contradictions(values_of(variant))])} == {}


def test_all_of_them_are_told_at_once() -> None:
    sections = {"gpuspawner": {"workspaces": {"w": {"quota": {"large": 1}, "profiles": "x"}}}}
    sections["hub"] = {"database": {"existingSecret": "db"}}
    with pytest.raises(HelmRenderError) as refused:
        render(sections)
    assert [line.partition(": found")[0] for line in str(refused.value).splitlines() if ": found" in line] == [
        "gpuspawner.workspaces['w'].profiles",
        "gpuspawner.workspaces['w'].quota",
        "hub.database.existingSecret",
    ]


def test_what_a_later_values_file_takes_away_is_known_no_more() -> None:
    section = {"gpu_classes": {"small": None}, "profiles": {"p": {**PROFILE, "gpu_classes": "small"}, "old": None}}
    with pytest.raises(HelmRenderError, match="found 'small', which is no GPU class; none is defined"):
        render({"gpuspawner": section})
