"""How far the images are on the nodes, and what the chart's hook makes of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gpuspawner.cli import await_images, main
from gpuspawner.cluster.prepull import pre_pull
from gpuspawner.cluster.wire import ApiError

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def daemon_set(nodes: int, observed: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": "puller", "uid": "ds", "generation": 1},
        "status": {"observedGeneration": observed, "desiredNumberScheduled": nodes},
    }


def pod(node: str, *, uid: str = "ds", age: float = 5, taken_up: bool = True, **status: Any) -> dict[str, Any]:
    """A pod of the DaemonSet; ``taken_up``: its kubelet has seen it."""
    created = NOW - timedelta(seconds=age)
    init: dict[str, Any] = {"name": "image-0", "image": "example.org/plain:1"}
    return {
        "metadata": {
            "name": f"puller-{node}",
            "namespace": "jupyter",
            "creationTimestamp": created.isoformat(),
            "ownerReferences": [{"uid": uid}],
        },
        "spec": {"nodeName": node, "initContainers": [init], "containers": [{"name": "pause", "image": "pause:1"}]},
        "status": {"phase": "Pending", **({"startTime": created.isoformat()} if taken_up else {}), **status},
    }


def ready(node: str, **options: Any) -> dict[str, Any]:
    return pod(node, phase="Running", conditions=[{"type": "Ready", "status": "True"}], **options)


def waits(node: str, reason: str, message: str) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(node, initContainerStatuses=[{"name": "image-0", "image": "example.org/plain:1", "state": state}])


@pytest.mark.parametrize(
    ("nodes", "pods", "over", "passed"),
    [
        (0, [], True, ()),
        (2, [ready("a")], False, ()),
        (2, [ready("a"), pod("b")], False, ()),
        (2, [ready("a"), ready("b")], True, ()),
        (2, [ready("a"), ready("b", uid="another")], False, ()),
        (2, [ready("a"), pod("b", taken_up=False)], False, ()),
        (2, [ready("a"), pod("b", taken_up=False, age=61)], True, ("b",)),
        (2, [ready("a"), pod("b", age=3600)], False, ()),
        (2, [ready("a"), waits("b", "ErrImagePull", "toomanyrequests: slow down")], False, ()),
    ],
    ids=[
        "no such node",
        "a pod is still to be made",
        "one pulls",
        "all have them",
        "a pod of somebody else's",
        "a node that has just got its pod",
        "a node that does not answer",
        "a pull that takes an hour",
        "a registry that wants to be asked more slowly",
    ],
)
def test_it_is_over_once_every_node_that_answers_has_the_images(
    nodes: int, pods: Sequence[dict[str, Any]], over: bool, passed: tuple[str, ...]
) -> None:
    found = pre_pull(daemon_set(nodes), pods, NOW)
    assert (found.over, found.passed_over, found.problem) == (over, passed, "")


def test_nothing_is_over_before_kubernetes_has_counted_the_nodes() -> None:
    assert not pre_pull(daemon_set(0, observed=0), [], NOW).over


@pytest.mark.parametrize(
    ("reason", "message"),
    [("ErrImagePull", "manifest unknown"), ("InvalidImageName", "couldn't parse"), ("ImagePullBackOff", "not found")],
)
def test_an_image_that_there_is_not_is_told_with_its_name_and_the_node(reason: str, message: str) -> None:
    found = pre_pull(daemon_set(1), [waits("gpu-0", reason, message)], NOW)
    assert "example.org/plain:1" in found.problem
    assert found.problem.endswith("(node gpu-0)")


class Cluster:
    """What the API answers, one look after the other; the last one for ever."""

    looks: list[tuple[dict[str, Any], list[dict[str, Any]]]]

    def __init__(self, connection: object) -> None:
        self.now: tuple[dict[str, Any], list[dict[str, Any]]] = self.looks[0]

    async def list(self, resource: str, namespace: str) -> dict[str, Any]:
        self.now = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return {"items": self.now[1]}

    async def get(self, resource: str, namespace: str, name: str) -> dict[str, Any]:
        assert (resource, namespace, name) == ("daemonsets", "jupyter", "puller")
        if not self.now[0]:
            raise ApiError(403, "Forbidden", "daemonsets is forbidden")
        return self.now[0]

    async def close(self) -> None:
        pass


def run(
    monkeypatch: pytest.MonkeyPatch, looks: list[tuple[dict[str, Any], list[dict[str, Any]]]], seconds: int = 60
) -> int:
    monkeypatch.setattr(Cluster, "looks", looks, raising=False)
    monkeypatch.setattr(await_images, "Client", Cluster)
    monkeypatch.setattr(await_images, "_PAUSE", 0.0)
    return main(["await-images", "puller", "--namespace", "jupyter", "--timeout", str(seconds)])


def test_the_command_waits_and_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = [(daemon_set(0, observed=0), []), (daemon_set(2), [ready("a")]), (daemon_set(2), [ready("a"), ready("b")])]
    assert run(monkeypatch, looks) == 0
    assert capsys.readouterr().out.splitlines() == [
        "puller: Kubernetes has not counted the nodes yet.",
        "puller: 1 of 2 nodes have the images.",
        "puller: 2 of 2 nodes have the images.",
    ]


@pytest.mark.parametrize(
    ("look", "status", "words"),
    [
        ((daemon_set(1), [waits("a", "ErrImagePull", "manifest unknown")]), 1, "example.org/plain:1 does not exist"),
        ((daemon_set(1), []), 1, "the images are not on all nodes after 0 s. puller: 0 of 1 nodes have the images."),
        (({}, []), 2, "Kubernetes does not tell: 403 Forbidden: daemonsets is forbidden"),
    ],
    ids=["no such image", "too slow", "no right to look"],
)
def test_the_command_ends_with_why_it_cannot_be(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    look: tuple[dict[str, Any], list[dict[str, Any]]],
    status: int,
    words: str,
) -> None:
    assert run(monkeypatch, [look], seconds=0) == status
    assert words in capsys.readouterr().err
