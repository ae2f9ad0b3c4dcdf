"""The patch between two pods."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.migration.difference import difference
from gpuspawner.strategic_merge import strategic_merge

NAMES = st.sampled_from("abcd")
VALUES = st.sampled_from(["1", "2", "$(a)", "$(b)/x"])
VARIABLES = st.lists(st.fixed_dictionaries({"name": NAMES, "value": VALUES}), unique_by=lambda one: one["name"])
CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"env": VARIABLES, "args": st.lists(VALUES, min_size=1)}),
    unique_by=lambda one: one["name"],
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "containers": CONTAINERS,
        "initContainers": CONTAINERS,
        "nodeSelector": st.dictionaries(NAMES, VALUES),
        "tolerations": st.lists(st.fixed_dictionaries({"key": NAMES})),
        "schedulerName": VALUES,
    },
)


def ordered(spec: Any, name: str = "") -> Any:
    """A spec whose lists are sorted where their order means nothing."""
    if isinstance(spec, dict):
        return {key: ordered(value, key) for key, value in spec.items()}
    if isinstance(spec, list) and name == "containers":
        return sorted(map(ordered, spec), key=lambda one: str(one["name"]))
    if name == "env" and not any("$" in one["value"] for one in spec):
        return sorted(spec, key=lambda one: str(one["name"]))
    return [ordered(one) for one in spec] if isinstance(spec, list) else spec


def defined_before_use(variables: list[dict[str, str]]) -> set[tuple[str, str]]:
    names = [one["name"] for one in variables]
    return {
        (one["name"], other) for at, one in enumerate(variables) for other in names[:at] if f"({other})" in one["value"]
    }


@given(SPECS, SPECS)
def test_a_pod_with_the_difference_merged_is_the_wanted_one(base: dict[str, Any], wanted: dict[str, Any]) -> None:
    merged = strategic_merge({"spec": base}, difference({"spec": base}, {"spec": wanted}))["spec"]
    for kind in ("containers", "initContainers"):
        for container in wanted.get(kind, []):
            (same,) = [one for one in merged[kind] if one["name"] == container["name"]]
            found = same.pop("env", None)
            variables = container.pop("env", None)
            assert {one["name"]: one for one in found or []} == {one["name"]: one for one in variables or []}
            assert defined_before_use(variables or []) <= defined_before_use(found or [])
    assert ordered(merged) == ordered(wanted)


@given(SPECS)
def test_between_the_same_pods_there_is_no_difference(spec: dict[str, Any]) -> None:
    assert difference(spec, spec) == {}


@pytest.mark.parametrize(
    ("base", "wanted", "patch"),
    [
        ({"nodeSelector": {"a": "1"}}, {}, {"nodeSelector": None}),
        ({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"a": "1", "b": "2"}}, {"nodeSelector": {"b": "2"}}),
        (
            {"volumes": [{"name": "a"}, {"name": "b"}]},
            {"volumes": [{"name": "b"}]},
            {"volumes": [{"name": "a", "$patch": "delete"}]},
        ),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
        (
            {"env": [{"name": "b", "value": "1"}]},
            {"env": [{"name": "b", "value": "1"}, {"name": "c", "value": "$(b)"}]},
            {"env": [{"name": "b"}, {"name": "c", "value": "$(b)"}]},
        ),
    ],
)  # fmt: skip
def test_the_difference_says_no_more_than_it_must(base: Any, wanted: Any, patch: Any) -> None:
    assert difference(base, wanted) == patch
