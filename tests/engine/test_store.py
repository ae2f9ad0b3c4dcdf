"""The store: versions, deletion, history, watches, listeners and persistence."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store

Object = dict[str, Any]


def thing(name: str, namespace: str = "demo", **data: Any) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def bound_pod(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "demo"}, "spec": {"nodeName": "n1"} | spec, "status": {}}


def everything(store: Store, resource: str, since: int) -> list[tuple[str, Object]]:
    """Return what a watch tells of the past."""

    async def read() -> list[tuple[str, Object]]:
        watch = store.watch(resource, None, since)
        seen = []
        while changes := await watch.next_changes(timeout=0):
            seen += [(change.type, change.new.obj) for change in changes]
        return seen

    return asyncio.run(read())


def test_an_object_gets_identity_time_and_version() -> None:
    store = Store()
    created = store.create("configmaps", thing("a"))
    assert created["kind"] == "ConfigMap"
    assert created["metadata"]["resourceVersion"] == str(store.version)
    assert created["metadata"]["uid"]
    assert "generation" not in created["metadata"]


def test_what_goes_in_and_out_is_copied() -> None:
    store = Store()
    given_in = thing("a", key="1")
    created = store.create("configmaps", given_in)
    given_in["data"]["key"] = created["data"]["key"] = "changed"
    assert store.get("configmaps", "demo", "a")["data"] == {"key": "1"}


def test_a_taken_name_conflicts_and_a_missing_one_is_not_found() -> None:
    store = Store()
    store.create("configmaps", thing("a"))
    with pytest.raises(StatusError) as taken:
        store.create("configmaps", thing("a"))
    with pytest.raises(StatusError) as missing:
        store.get("configmaps", "demo", "b")
    assert (taken.value.status, missing.value.status) == (409, 404)
    assert missing.value.body["details"] == {"name": "b", "kind": "configmaps"}


def test_a_message_about_a_group_names_it() -> None:
    with pytest.raises(StatusError, match=r'leases\.coordination\.k8s\.io "x" not found') as missing:
        Store().get("leases.coordination.k8s.io", "demo", "x")
    assert missing.value.body["details"] == {"name": "x", "group": "coordination.k8s.io", "kind": "leases"}


def test_a_generated_name_is_the_prefix_and_five_characters() -> None:
    store = Store()
    names = {
        store.create("configmaps", {"metadata": {"generateName": "nb-", "namespace": "demo"}})["metadata"]["name"]
        for _ in range(20)
    }
    assert len(names) == 20
    assert all(name.startswith("nb-") and len(name) == 8 for name in names)


def test_an_update_with_a_stale_version_conflicts() -> None:
    store = Store()
    first = store.create("configmaps", thing("a", n=1))
    store.update("configmaps", first | {"data": {"n": 2}})
    with pytest.raises(StatusError) as stale:
        store.update("configmaps", first | {"data": {"n": 3}})
    assert stale.value.reason == "Conflict"
    assert store.get("configmaps", "demo", "a")["data"] == {"n": 2}


def test_an_update_that_changes_nothing_makes_no_version_and_no_event() -> None:
    store = Store()
    first = store.create("configmaps", thing("a", n=1))
    version = store.version
    assert store.update("configmaps", first) == first
    assert store.version == version
    assert everything(store, "configmaps", version) == []


def test_generation_counts_changes_of_the_spec_but_not_binding_or_status() -> None:
    store = Store()
    store.create("pods", {"metadata": {"name": "p", "namespace": "demo"}, "spec": {"x": 1}, "status": {}})

    def generation() -> int:
        return int(store.get("pods", "demo", "p")["metadata"]["generation"])

    store.update_status("pods", "demo", "p", {"phase": "Pending"})
    store.modify("pods", "demo", "p", lambda pod: pod["spec"].update(nodeName="n1"))
    assert generation() == 1
    store.modify("pods", "demo", "p", lambda pod: pod["spec"].update(x=2))
    assert generation() == 2


def test_a_pod_without_a_node_is_gone_at_once() -> None:
    store = Store()
    store.create("pods", {"metadata": {"name": "p", "namespace": "demo"}, "spec": {}})
    store.delete("pods", "demo", "p")
    assert store.find("pods", "demo", "p") is None


@pytest.mark.parametrize(
    ("spec", "asked", "expected"),
    [({}, None, 30), ({"terminationGracePeriodSeconds": 5}, None, 5), ({}, 7, 7), ({}, -3, 1)],
)
def test_a_pod_on_a_node_stays_until_its_grace_is_over(spec: Object, asked: int | None, expected: int) -> None:
    store = Store()
    store.create("pods", bound_pod("p", **spec))
    doomed = store.delete("pods", "demo", "p", grace_seconds=asked)
    assert doomed["metadata"]["deletionGracePeriodSeconds"] == expected
    assert doomed["metadata"]["generation"] == 2
    store.remove("pods", "demo", "p")
    assert store.find("pods", "demo", "p") is None


def test_a_second_deletion_can_only_shorten_the_grace() -> None:
    store = Store()
    store.create("pods", bound_pod("p"))
    first = store.delete("pods", "demo", "p", grace_seconds=20)
    assert store.delete("pods", "demo", "p", grace_seconds=40) == first
    shorter = store.delete("pods", "demo", "p", grace_seconds=2)["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 2
    assert shorter["deletionTimestamp"] < first["metadata"]["deletionTimestamp"]
    store.delete("pods", "demo", "p", grace_seconds=0)
    assert store.find("pods", "demo", "p") is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_needs_no_grace(phase: str) -> None:
    store = Store()
    store.create("pods", bound_pod("p"))
    store.update_status("pods", "demo", "p", {"phase": phase})
    store.delete("pods", "demo", "p")
    assert store.find("pods", "demo", "p") is None


@pytest.mark.parametrize("wrong", [{"uid": "other"}, {"resource_version": "1"}])
def test_a_deletion_with_a_failed_precondition_conflicts(wrong: dict[str, str]) -> None:
    store = Store()
    store.create("configmaps", thing("a"))
    with pytest.raises(StatusError, match="Precondition failed") as failed:
        store.delete("configmaps", "demo", "a", **wrong)  # type: ignore[arg-type]
    assert failed.value.status == 409
    assert store.find("configmaps", "demo", "a")


def test_finalizers_hold_an_object_until_the_last_is_gone() -> None:
    store = Store()
    held = thing("a")
    held["metadata"]["finalizers"] = ["one", "two"]
    store.create("configmaps", held)
    assert store.delete("configmaps", "demo", "a")["metadata"]["deletionTimestamp"]
    store.modify("configmaps", "demo", "a", lambda obj: obj["metadata"].update(finalizers=["two"]))
    assert store.find("configmaps", "demo", "a")
    store.modify("configmaps", "demo", "a", lambda obj: obj["metadata"].pop("finalizers"))
    assert store.find("configmaps", "demo", "a") is None


async def test_a_watch_begins_with_what_is_there_and_goes_on() -> None:
    store = Store()
    store.create("configmaps", thing("a"))
    watch = store.watch("configmaps", "demo")
    store.create("configmaps", thing("elsewhere", "other"))
    store.create("configmaps", thing("b"))
    store.delete("configmaps", "demo", "a")
    seen = [await anext(watch) for _ in range(3)]
    assert [(kind, obj["metadata"]["name"]) for kind, obj in seen] == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


async def test_a_waiting_watch_wakes_on_a_change() -> None:
    store = Store()
    watchers = [asyncio.ensure_future(anext(store.watch("configmaps", None, store.version))) for _ in range(3)]
    await asyncio.sleep(0)
    store.create("configmaps", thing("a"))
    seen = await asyncio.wait_for(asyncio.gather(*watchers), 5)
    assert [kind for kind, _ in seen] == ["ADDED"] * 3
    assert seen[0][1] is seen[1][1], "one version is shared by all watches"


async def test_a_watch_from_forgotten_history_is_told_410() -> None:
    store = Store(history=2)
    for n in range(8):
        store.create("configmaps", thing(f"c{n}"))
    with pytest.raises(StatusError, match="too old resource version: 1") as gone:
        store.watch("configmaps", None, 1)
    assert (gone.value.status, gone.value.reason) == (410, "Expired")
    assert store.watch("configmaps", None, store.version)


async def test_a_watch_that_falls_behind_is_told_410() -> None:
    store = Store(history=2)
    watch = store.watch("configmaps", None, store.version)
    for n in range(8):
        store.create("configmaps", thing(f"c{n}"))
    with pytest.raises(StatusError) as gone:
        await anext(watch)
    assert gone.value.status == 410


def test_listeners_hear_changes_in_order_even_when_one_writes() -> None:
    store = Store()
    heard: list[tuple[str, str]] = []

    def answer(resource: str, kind: str, obj: Object) -> None:
        if resource == "configmaps" and kind == "ADDED":
            store.create("secrets", thing(obj["metadata"]["name"]))

    stop = store.subscribe(answer)
    store.subscribe(lambda resource, kind, obj: heard.append((resource, obj["metadata"]["name"])))
    store.create("configmaps", thing("a"))
    assert heard == [("configmaps", "a"), ("secrets", "a")]
    stop()
    store.create("configmaps", thing("b"))
    assert heard[2:] == [("configmaps", "b")]


def test_what_is_saved_comes_back_without_pods_events_and_nodes(tmp_path: Path) -> None:
    store = Store()
    kept = store.create("configmaps", thing("a", n=1))
    store.create("pods", bound_pod("p"))
    store.create("events", thing("e"))
    store.create("nodes", {"metadata": {"name": "n1"}})
    path = tmp_path / "objects.json"
    store.save(path)
    assert path.stat().st_mode & 0o077 == 0
    again = Store()
    again.load(path)
    assert again.get("configmaps", "demo", "a") == kept
    assert [again.items(resource) for resource in ("pods", "events", "nodes")] == [[], [], []]
    assert again.version > store.version
    with pytest.raises(StatusError):
        again.watch("configmaps", None, int(kept["metadata"]["resourceVersion"]))


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.tuples(st.sampled_from(["create", "update", "delete"]), NAMES, st.integers(0, 3)), max_size=40)


@given(steps=STEPS, cut=st.integers(0, 40))
def test_watching_from_any_version_rebuilds_the_state(steps: list[tuple[str, str, int]], cut: int) -> None:
    store = Store()
    states: dict[int, dict[str, Object]] = {store.version: {}}
    for verb, name, number in steps:
        with suppress(StatusError):  # names that are taken or missing
            if verb == "create":
                store.create("configmaps", thing(name, n=number))
            elif verb == "update":
                store.update("configmaps", thing(name, n=number))
            else:
                store.delete("configmaps", "demo", name)
        states[store.version] = {stored.name: stored.obj for stored in store.items("configmaps")}
    versions = sorted(states)
    since = versions[cut % len(versions)]
    rebuilt = dict(states[since])
    last = since
    for kind, obj in everything(store, "configmaps", since):
        version = int(obj["metadata"]["resourceVersion"])
        assert version > last, "versions only grow"
        last = version
        if kind == "DELETED":
            del rebuilt[obj["metadata"]["name"]]
        else:
            assert (kind == "ADDED") is (obj["metadata"]["name"] not in rebuilt)
            rebuilt[obj["metadata"]["name"]] = obj
    assert rebuilt == states[versions[-1]]
    then = {stored.name: stored.obj for stored in store.items_at("configmaps", None, since)}
    assert then == states[since]
