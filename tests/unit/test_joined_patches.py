"""Two patches of a pod as one: it does what both do, one after the other."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.strategic_merge import strategic_merge
from gpuspawner.values.patches import join_patches

NAMES = st.sampled_from(["notebook", "helper", "other"])
ADDED = st.sampled_from(["a", "b"])
TEXTS = st.lists(st.sampled_from(["1", "2"]), max_size=2)


def items(key: str, more: Mapping[str, st.SearchStrategy[Any]], *, patch: bool) -> st.SearchStrategy[Any]:
    item = st.fixed_dictionaries({key: NAMES}, optional=dict(more))
    one = st.one_of(item, st.fixed_dictionaries({key: NAMES, "$patch": st.just("delete")})) if patch else item
    return st.lists(one, max_size=3, unique_by=lambda found: found[key])


def templates(*, patch: bool) -> st.SearchStrategy[dict[str, Any]]:
    values = st.one_of(ADDED, st.none()) if patch else ADDED
    maps = st.dictionaries(st.sampled_from(["x", "y", "z"]), values, max_size=3)
    env = items("name", {"value": values}, patch=patch)
    containers = items("name", {"image": st.sampled_from(["i", "j"]), "env": env, "args": TEXTS}, patch=patch)
    spec = st.fixed_dictionaries({}, optional={"containers": containers, "nodeSelector": maps, "hostNetwork": values})
    return st.fixed_dictionaries({}, optional={"spec": spec, "metadata": st.fixed_dictionaries({"labels": maps})})


def unordered(value: Any) -> Any:
    """Without ``None``, and with the items of merged lists by their names: where a new item goes is left open."""
    if isinstance(value, Mapping):
        return {key: unordered(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return {item["name"]: unordered(item) for item in value}
    return value


@given(templates(patch=False), templates(patch=False), templates(patch=True))
def test_a_pod_comes_out_as_if_one_patch_were_applied_after_the_other(pod: Any, first: Any, then: Any) -> None:
    one_by_one = strategic_merge(strategic_merge(pod, first), then)
    assert unordered(strategic_merge(pod, join_patches(first, then))) == unordered(one_by_one)


@pytest.mark.parametrize(
    "then",
    [
        {"spec": {"nodeSelector": None}},
        {"spec": {"nodeSelector": {"$patch": "replace", "pool": "gpu"}}},
        {"spec": {"containers": [{"name": "notebook", "$patch": "delete"}]}},
        {"spec": {"containers": [{"$patch": "replace"}, {"name": "only"}]}},
    ],
)
def test_what_the_user_deletes_is_deleted_from_the_pod_and_not_only_from_the_charts_patch(then: Any) -> None:
    pod = {"spec": {"nodeSelector": {"a": "b"}, "containers": [{"name": "notebook"}, {"name": "helper"}]}}
    chart = {"spec": {"nodeSelector": {"c": "d"}, "containers": [{"name": "notebook", "image": "i"}]}}
    expected = strategic_merge(strategic_merge(pod, chart), then)
    assert strategic_merge(pod, join_patches(chart, then)) == expected
