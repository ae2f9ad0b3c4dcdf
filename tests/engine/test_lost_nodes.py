"""Pods of a node that is deleted or tainted NoExecute: the garbage collector and the taint eviction controller."""

from pathlib import Path
from typing import Any

import pytest
from running_engine import Lab, running_engine

TAINT = {"key": "example.org/broken", "value": "disk", "effect": "NoExecute"}


def disruption(pod: dict[str, Any]) -> dict[str, Any]:
    found = [each for each in pod["status"].get("conditions", []) if each["type"] == "DisruptionTarget"]
    return found[0] if found else {}


def taint(lab: Lab, name: str) -> None:
    lab.store.modify("nodes", None, name, lambda node: node["spec"].update(taints=[TAINT]))


async def test_a_pod_of_a_deleted_node_is_collected_and_says_why(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("a")
        pod = await lab.ready("a")
        seen: list[dict[str, Any]] = []
        lab.store.subscribe(lambda resource, type_, obj: seen.append(obj) if resource == "pods" else None)
        lab.store.delete("nodes", None, pod["spec"]["nodeName"])
        assert lab.store.find("pods", "demo", "a") is None
        assert disruption(seen[-1])["reason"] == "DeletionByPodGC"
        assert seen[-1]["status"]["phase"] == "Failed"


async def test_a_pod_that_does_not_tolerate_a_taint_is_evicted(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("a")
        taint(lab, (await lab.ready("a"))["spec"]["nodeName"])
        pod = lab.store.find("pods", "demo", "a")
        assert pod is not None
        assert disruption(pod)["reason"] == "DeletionByTaintManager"
        assert disruption(pod)["message"] == "Taint manager: deleting due to NoExecute taint"
        await lab.gone("a")


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": TAINT["key"], "operator": "Exists", "effect": "NoExecute"},
        {"key": TAINT["key"], "value": "disk"},
        {"key": TAINT["key"], "value": "disk", "effect": "NoExecute", "tolerationSeconds": 3600},
    ],
)
async def test_a_pod_that_tolerates_a_taint_stays(tmp_path: Path, toleration: dict[str, Any]) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("a", tolerations=[toleration])
        taint(lab, (await lab.ready("a"))["spec"]["nodeName"])
        pod = lab.store.find("pods", "demo", "a")
        assert pod is not None
        assert not disruption(pod)


async def test_a_pod_that_tolerates_a_taint_for_a_while_goes_after_that(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.run("a", tolerations=[{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}])
        taint(lab, (await lab.ready("a"))["spec"]["nodeName"])
        assert not disruption(lab.store.get("pods", "demo", "a"))
        await lab.gone("a")
