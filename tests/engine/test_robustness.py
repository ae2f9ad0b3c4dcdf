"""Whatever fits the schema is either kept or refused with a Status; nothing breaks the server."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpuspawner.local.apiserver.controllers import start_controllers
from gpuspawner.local.apiserver.operations import DeleteOptions, Operations, WriteOptions
from gpuspawner.local.apiserver.resources import BY_KEY
from gpuspawner.local.apiserver.schema import definition_name, definitions, resolve
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store

WORDS = st.sampled_from(
    ["a", "b", "demo", "cpu", "memory", "nvidia.com/gpu", "Always", "In", "Exists", "", "Not Good", "/x"]
)
QUANTITIES = st.sampled_from(["0", "1", "500m", "2Gi", "-1", "1e3"])
NUMBERS = st.sampled_from([-1, 0, 1, 3, 80, 70000])
PLAUSIBLE = {
    "name": st.sampled_from(["a", "b", "c", "d", "e", "Not Good"]),
    "image": st.sampled_from(["x", "x:1"]),
    "accessModes": st.just(["ReadWriteOnce"]),
    "imagePullPolicy": st.just("Never"),
    "restartPolicy": st.sampled_from(["Always", "Never"]),
    "hard": st.dictionaries(st.sampled_from(["pods", "limits.cpu", "count/secrets", "odd"]), QUANTITIES, max_size=2),
    "nodeSelector": st.just({"a": "b"}),
}
TIMES = st.just("2026-11-21T05:26:50Z")


def values(schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    """Return values that fit a schema, ever simpler further down."""
    target = resolve(schema)
    kind, form = target.get("type"), target.get("format")
    if form in ("quantity", "date-time", "byte"):
        return {"quantity": QUANTITIES, "date-time": TIMES, "byte": st.just("YQ==")}[str(form)]
    if kind in ("string", "boolean", "integer"):
        return {"string": WORDS, "boolean": st.booleans(), "integer": NUMBERS}[str(kind)]
    if kind == "array":
        return st.lists(values(target["items"], depth - 1), max_size=2 if depth > 0 else 0)
    if isinstance(target.get("additionalProperties"), dict):
        return st.dictionaries(WORDS, values(target["additionalProperties"], depth - 1), max_size=2)
    return objects(target, depth)


def objects(target: dict[str, Any], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    properties = target.get("properties", {})
    if depth <= 0 or not properties:
        return st.just({})

    @st.composite
    def draw_object(draw: st.DrawFn) -> dict[str, Any]:
        names = draw(st.lists(st.sampled_from(sorted(properties)), max_size=4, unique=True))
        wanted = {*names, *(name for name in ALWAYS if name in properties)} - NEVER
        return {
            name: draw(PLAUSIBLE[name] if name in PLAUSIBLE else values(properties[name], depth - 1))
            for name in sorted(wanted)
        }

    return draw_object()


ALWAYS = ("name", "image", "spec", "containers", "limits", "accessModes", "metadata")
NEVER = {"resourceVersion", "namespace", "generateName", "deletionTimestamp"}
KEYS = ["pods", "persistentvolumeclaims", "services", "resourcequotas", "limitranges", "secrets", "events",
        "events.events.k8s.io", "configmaps", "leases.coordination.k8s.io"]  # fmt: skip


CONTAINER = definitions()["io.k8s.api.core.v1.Container"]


def furnished() -> tuple[Store, Operations]:
    store = Store()
    start_controllers(store)
    operations = Operations(store)
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    options = WriteOptions()
    operations.create(BY_KEY["namespaces"], None, {"metadata": {"name": "strict", "labels": labels}}, options)
    operations.create(BY_KEY["namespaces"], None, {"metadata": {"name": "demo"}}, options)
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2", "requests.storage": "2Gi", "limits.cpu": "1"}}}
    operations.create(BY_KEY["resourcequotas"], "demo", quota, options)
    limits = {"type": "Container", "default": {"memory": "1Gi"}, "max": {"memory": "2Gi"}}
    limit_range = {"metadata": {"name": "l"}, "spec": {"limits": [limits, {"type": "Pod", "max": {"cpu": "4"}}]}}
    operations.create(BY_KEY["limitranges"], "demo", limit_range, options)
    return store, operations


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("namespace", ["demo", "strict"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_fits_the_schema_is_kept_or_refused(key: str, namespace: str, data: st.DataObject) -> None:
    resource = BY_KEY[key]
    target = definitions()[definition_name(resource.group, resource.version, resource.kind)]
    body = data.draw(objects(target, 6)) | {"kind": resource.kind, "apiVersion": resource.api_version}
    body.setdefault("metadata", {})["namespace"] = namespace
    spec = body.setdefault("spec", {})
    if key == "pods":
        spec["containers"] = [*data.draw(st.lists(objects(CONTAINER, 4), max_size=2)), {"name": "last", "image": "x"}]
    elif key == "services":
        spec |= {"ports": [{"port": 80}], "type": "ClusterIP"}
    elif key == "persistentvolumeclaims":
        spec["resources"] = {"requests": {"storage": data.draw(QUANTITIES)}}
    store, operations = furnished()
    before = len(store.items(resource.stored_as, namespace))
    try:
        created = operations.create(resource, namespace, body, WriteOptions())
    except StatusError as refused:
        assert refused.status in (400, 403, 404, 409, 422)  # noqa: PT017 - a refusal is one of two good ends
        assert len(store.items(resource.stored_as, namespace)) == before
        return
    name = created["metadata"]["name"]
    again = operations.replace(resource, namespace, name, operations.get(resource, namespace, name), WriteOptions())
    assert again["metadata"]["uid"] == created["metadata"]["uid"]
    operations.delete(resource, namespace, name, DeleteOptions(grace_seconds=0))
