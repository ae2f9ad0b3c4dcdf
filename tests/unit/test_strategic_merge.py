"""Strategic merge patch, after Kubernetes' own documents, schema and source."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.strategic_merge import MERGE_KEYS, strategic_merge

Case = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


def env(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


# https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
# https://git.k8s.io/community/contributors/devel/sig-api-machinery/strategic-merge-patch.md
DOCUMENTED: dict[str, Case] = {
    "a container of another name is added, before the old ones": (
        pod({"name": "patch-demo-ctr", "image": "nginx"}, tolerations=[{"key": "dedicated", "value": "test-team"}]),
        pod({"name": "patch-demo-ctr-2", "image": "redis"}),
        pod(
            {"name": "patch-demo-ctr-2", "image": "redis"},
            {"name": "patch-demo-ctr", "image": "nginx"},
            tolerations=[{"key": "dedicated", "value": "test-team"}],
        ),
    ),
    "tolerations have no merge key and are replaced": (
        pod({"name": "a"}, tolerations=[{"key": "dedicated", "value": "test-team"}]),
        {"spec": {"tolerations": [{"key": "disktype", "value": "ssd"}]}},
        pod({"name": "a"}, tolerations=[{"key": "disktype", "value": "ssd"}]),
    ),
    "a container of the same name is merged": (
        pod({"name": "nginx", "image": "nginx:1", "ports": [{"containerPort": 80, "name": "http"}]}),
        pod({"name": "nginx", "image": "nginx:2", "ports": [{"containerPort": 80, "protocol": "TCP"}]}),
        pod(
            {
                "name": "nginx",
                "image": "nginx:2",
                "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}],
            }
        ),
    ),
    "retainKeys clears what it does not name": (
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}},
        {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
        {"strategy": {"type": "Recreate"}},
    ),
    "retainKeys in an item of a list": (
        {"volumes": [{"name": "v", "emptyDir": {}}]},
        {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]},
    ),
    "the replace directive in a list replaces the list": (
        pod({"name": "nginx", "image": "nginx-1.0"}),
        pod({"$patch": "replace"}, {"name": "log-tailer", "image": "log-tailer-1.0"}),
        pod({"name": "log-tailer", "image": "log-tailer-1.0"}),
    ),
    "the delete directive removes an item": (
        pod({"name": "nginx", "image": "nginx-1.0"}, {"name": "log-tailer", "image": "log-tailer-1.0"}),
        pod({"$patch": "delete", "name": "log-tailer"}),
        pod({"name": "nginx", "image": "nginx-1.0"}),
    ),
    "the replace directive in a mapping replaces the mapping": (
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}},
        {"strategy": {"$patch": "replace", "type": "Recreate"}},
        {"strategy": {"type": "Recreate"}},
    ),
    "the delete directive in a mapping empties it": (
        {"metadata": {"labels": {"a": "1"}}},
        {"metadata": {"labels": {"$patch": "delete"}}},
        {"metadata": {"labels": {}}},
    ),
    "deleteFromPrimitiveList removes values": (
        {"metadata": {"finalizers": ["a", "b", "c"]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}},
        {"metadata": {"finalizers": ["a", "c"]}},
    ),
    "setElementOrder orders a list": (
        {"env": env(A="1", B="2", C="3")},
        {"$setElementOrder/env": [{"name": "C"}, {"name": "A"}], "env": env(C="4")},
        {"env": env(B="2", C="4", A="1")},
    ),
    "setElementOrder alone orders a list": (
        {"metadata": {"finalizers": ["a", "b", "c"]}},
        {"metadata": {"$setElementOrder/finalizers": ["c", "a", "b"]}},
        {"metadata": {"finalizers": ["c", "a", "b"]}},
    ),
}
FURTHER: dict[str, Case] = {
    "null deletes a key": ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
    "null for what is not there is nothing": ({"b": 2}, {"a": None, "c": {"d": None}}, {"b": 2, "c": {}}),
    "null inside a new item is nothing": ({}, {"env": [{"name": "A", "value": None}]}, {"env": [{"name": "A"}]}),
    "a value replaces a mapping": ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
    "a mapping replaces a value": ({"a": 2}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    "a mapping replaces a list": ({"env": env(A="1")}, {"env": {"b": 1}}, {"env": {"b": 1}}),
    "an order between an item that stays and one that is patched is kept": (
        {"env": env(A="1", B="2", C="3")},
        {"env": env(C="9")},
        {"env": env(A="1", B="2", C="9")},
    ),
    "new items keep the patch's order": (
        {"env": env(A="1")},
        {"env": env(Z="1", Y="2")},
        {"env": env(Z="1", Y="2", A="1")},
    ),
    "finalizers are added, once": (
        {"finalizers": ["a", "b"]},
        {"finalizers": ["b", "c", "c"]},
        {"finalizers": ["a", "b", "c"]},
    ),
    "a service's ports merge by port": (
        {"ports": [{"port": 80, "targetPort": 8000}]},
        {"ports": [{"port": 80, "name": "http"}]},
        {"ports": [{"port": 80, "targetPort": 8000, "name": "http"}]},
    ),
    "two ports of one number stay two": (
        {"ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]},
        {"ports": [{"containerPort": 80}]},
        {
            "ports": [
                {"containerPort": 80},
                {"containerPort": 53, "protocol": "UDP"},
                {"containerPort": 53, "protocol": "TCP"},
            ]
        },
    ),
    "to delete what is not there is nothing": (
        {"env": env(A="1")},
        {"env": [{"name": "B", "$patch": "delete"}]},
        {"env": env(A="1")},
    ),
    "a list of plain values is replaced": ({"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}),
    "an empty patch of a list changes nothing": ({"env": env(A="1")}, {"env": []}, {"env": env(A="1")}),
    "volumes, mounts and resource claims have merge keys": (
        {"volumeMounts": [{"mountPath": "/a", "name": "x"}], "resourceClaims": [{"name": "gpu"}]},
        {"volumeMounts": [{"mountPath": "/a", "readOnly": True}], "resourceClaims": [{"name": "nic"}]},
        {
            "volumeMounts": [{"mountPath": "/a", "name": "x", "readOnly": True}],
            "resourceClaims": [{"name": "nic"}, {"name": "gpu"}],
        },
    ),
}


@pytest.mark.parametrize(("base", "patch", "expected"), DOCUMENTED.values(), ids=DOCUMENTED)
def test_as_documented(base: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]) -> None:
    assert strategic_merge(base, patch) == expected


@pytest.mark.parametrize(("base", "patch", "expected"), FURTHER.values(), ids=FURTHER)
def test_as_in_the_source(base: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]) -> None:
    assert strategic_merge(base, patch) == expected


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"containers": [{"image": "x"}]}}, "containers: every item needs name"),
        ({"spec": {"containers": [{"name": None}, {"name": None}]}}, "containers: every item needs name"),
        ({"spec": {"containers": [{"$patch": "delete"}]}}, "containers: every item needs name"),
        ({"ports": [{"protocol": "TCP"}]}, "ports: every item needs containerPort or port"),
        ({"spec": {"$patch": "merge"}}, "'merge' is neither delete nor replace"),
    ],
)
def test_a_patch_that_cannot_be_applied_names_the_list(patch: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        strategic_merge({"spec": {"containers": [{"name": "a"}]}}, patch)


def test_the_merge_keys_are_those_of_the_pod_in_kubernetes_own_schema() -> None:
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / "v1.36.0-local"
    definitions = json.loads((folder / "_definitions.json").read_text())
    for kind in ("PodSpec", "Container", "PodStatus", "ObjectMeta", "NodeStatus", "ServiceSpec", "ServiceAccount"):
        for name, field in _properties(definitions, kind).items():
            key = field.get("x-kubernetes-patch-merge-key")
            if key is not None:
                assert key in MERGE_KEYS.get(name, ()), f"{kind}.{name} merges by {key}"


def _properties(definitions: dict[str, Any], kind: str) -> dict[str, Any]:
    group = definitions["$defs"]
    found = [entry for name, entry in group.items() if name.endswith((f"core.v1.{kind}", f"meta.v1.{kind}"))]
    assert found, f"the schema has no {kind}"
    properties: dict[str, Any] = found[0]["properties"]
    return properties


names = st.sampled_from("ABC")
scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"])
items = st.fixed_dictionaries({"name": names}, optional={"value": scalars, "image": scalars})
lists = st.lists(items, max_size=3, unique_by=lambda item: item["name"])
# Nothing is null at rest: Kubernetes drops nulls on the way in.
settled = st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"])
documents = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "a": settled,
            "env": st.lists(items, max_size=3, unique_by=lambda i: i["name"]),
            "args": st.lists(settled, max_size=2),
        },
    ),
    lambda inner: st.fixed_dictionaries({}, optional={"spec": inner, "metadata": inner, "a": settled}),
    max_leaves=4,
)
patches = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "a": scalars,
            "env": st.none()
            | st.lists(
                items | st.builds(lambda n: {"name": n, "$patch": "delete"}, names),
                max_size=3,
                unique_by=lambda i: i["name"],
            ),
            "args": st.lists(settled, max_size=2),
            "$patch": st.sampled_from(["delete", "replace"]),
        },
    ),
    lambda inner: st.fixed_dictionaries({}, optional={"spec": inner | st.none(), "metadata": inner, "a": scalars}),
    max_leaves=4,
)


@given(documents)
def test_an_empty_patch_changes_nothing(document: dict[str, Any]) -> None:
    assert strategic_merge(document, {}) == document


@given(documents, patches)
def test_a_patch_applied_twice_is_applied_once(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = strategic_merge(document, patch)
    assert strategic_merge(once, patch) == once


@given(documents, patches)
def test_the_arguments_are_never_changed_and_never_shared(document: dict[str, Any], patch: dict[str, Any]) -> None:
    before = deepcopy((document, patch))
    merged = strategic_merge(document, patch)
    _spoil(merged)
    assert (document, patch) == before


@given(documents, patches)
def test_no_directive_is_left(document: dict[str, Any], patch: dict[str, Any]) -> None:
    assert "$" not in json.dumps(strategic_merge(document, patch))


def _spoil(value: Any) -> None:
    for inner in list(value.values() if isinstance(value, dict) else value):
        if isinstance(inner, dict | list):
            _spoil(inner)
    value.clear()
