"""The vendored definitions, protocol buffers, and Kubernetes' way of writing quantities."""

import runpy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import numbers, recording
from running_api import running_api

from gpuspawner.local.apiserver.protobuf import decode_body
from gpuspawner.local.apiserver.quantities import add, canonical, format_quantity, number, subtract
from gpuspawner.local.apiserver.resources import BY_PATH
from gpuspawner.local.apiserver.schema import decode, definition_name
from gpuspawner.local.apiserver.status import StatusError

ROOT = Path(__file__).parent.parent.parent


def test_the_vendored_definitions_are_what_the_tool_writes() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "vendor_kubernetes_schema.py"))
    assert tool["TARGET"].read_text(encoding="utf-8") == tool["document"]()


def recorded_objects() -> list[dict[str, Any]]:
    """Return every object that a kube-apiserver sent, of the kinds that the engine serves."""
    found = []
    for each in map(recording, numbers()):
        answer = each.get("response", {}).get("body") or {}
        found += [event["object"] for event in each.get("watch_events", [])]
        kind = {"kind": answer.get("kind", "").removesuffix("List"), "apiVersion": answer.get("apiVersion")}
        found += [kind | item for item in answer.get("items", [answer])]
    kinds = {(resource.api_version, resource.kind) for resource in BY_PATH.values()}
    return [obj for obj in found if (obj.get("apiVersion"), obj.get("kind")) in kinds]


def test_every_recorded_object_fits_the_definitions() -> None:
    objects = recorded_objects()
    assert len(objects) > 30
    for obj in objects:
        group, _, version = obj["apiVersion"].rpartition("/")
        decoded = decode(obj, definition_name(group, version, obj["kind"]))
        assert decoded.unknown == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1536Mi", "1536Mi"), ("8G", "8G"), ("1500M", "1500M"),
     ("0", "0"), ("2048", "2048"), ("1e3", "1e3"), ("0.1Gi", "107374182400m")],
)  # fmt: skip
def test_a_quantity_is_written_canonically(text: str, expected: str) -> None:
    assert canonical(text) == expected


AMOUNTS = st.integers(0, 2**50) | st.integers(0, 10**6).map(lambda thousandths: Decimal(thousandths) / 1000)


@given(one=AMOUNTS, other=AMOUNTS, binary=st.booleans())
def test_quantities_are_written_read_added_and_subtracted_exactly(
    one: Decimal | int, other: Decimal | int, binary: bool
) -> None:
    first, second = format_quantity(Decimal(one), binary), format_quantity(Decimal(other), not binary)
    assert (number(first), number(second)) == (one, other)
    assert number(add(first, second)) == Decimal(one) + Decimal(other)
    assert number(subtract(add(first, second), second)) == one


def field(at: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes((at << 3 | 2, len(data))) + data


def body(kind: bytes, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, b"v1") + field(2, kind)) + field(2, raw)


def test_a_body_in_protocol_buffers_is_read() -> None:
    metadata = field(1, b"c") + field(11, field(1, b"tier") + field(2, b"gold"))
    quota = field(1, metadata) + field(2, field(1, field(1, b"pods") + field(2, field(1, b"3"))))
    assert decode_body(body(b"ResourceQuota", quota)) == {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "c", "labels": {"tier": "gold"}},
        "spec": {"hard": {"pods": "3"}},
    }
    options = bytes((1 << 3, 30)) + field(4, b"Orphan")
    found = decode_body(body(b"DeleteOptions", options))
    assert (found["gracePeriodSeconds"], found["propagationPolicy"]) == (30, "Orphan")


@given(st.binary(max_size=60))
def test_broken_protocol_buffers_are_refused(data: bytes) -> None:
    for sent in (data, b"k8s\x00" + data, body(b"Namespace", data)):
        try:
            assert isinstance(decode_body(sent), dict)
        except StatusError as refused:
            assert refused.status in (400, 415)  # noqa: PT017 - either a value or a refusal will do


async def test_a_kind_that_kubectl_does_not_send_so_is_refused() -> None:
    async with running_api() as api:
        await api.create_namespace()
        sent = body(b"Pod", b"")
        path = "/api/v1/namespaces/demo/pods"
        assert (await api.call("POST", path, sent, Content_Type="application/vnd.kubernetes.protobuf"))[0] == 415


async def test_a_failure_inside_is_answered_as_a_status() -> None:
    async with running_api() as api:
        await api.create_namespace()
        del api.store._objects["namespaces"][("", "demo")].obj["metadata"]["labels"]
        api.store._objects["pods"] = {("demo", "broken"): None}  # type: ignore[dict-item]
        status, answer = await api.call("GET", "/api/v1/namespaces/demo/pods")
        assert (status, answer["reason"]) == (500, "InternalError")
