"""Whatever the values: Kubernetes takes it, Pod Security lets it in, and no secret is where others can read it."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import helm_python
import pytest
from kubernetes_schemas import VERSIONS, problems
from pod_security import violations
from rendered_servers import server_pod, settings_of
from rendering import CHART, decoded, render
from variants import VARIANTS, rendered, values_of

LABELS = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "version", "component", "part-of", "managed-by")}
NEEDS_THE_API = ("-hub", "-scheduler", "-image-waiter", "-scaler")
"""Endings of the names of workloads that ask the Kubernetes API, and so need a token of their service account."""

IMAGE = r"[^@]+:(?!latest(@|$))[\w.-]+(@sha256:[0-9a-f]{64})?"
INFO = 1
"""Of Helm's severities the one for advice, such as that a chart should have an icon."""

each_variant = pytest.mark.parametrize("variant", VARIANTS)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field_of_every_manifest(version: str) -> None:
    found = {
        f"{variant}: {item['kind']} {item['metadata']['name']}: {problem}"
        for variant in VARIANTS
        for item in rendered(variant)
        for problem in problems(item, version)
    }
    assert found == set()


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    route = copy.deepcopy(rendered("route").one("HTTPRoute"))
    route["spec"]["rules"][0]["timeout"] = "30s"
    assert any("'timeout' was unexpected" in problem for problem in problems(route, "1.37"))
    hub = copy.deepcopy(render().one("Deployment", "hub"))
    hub["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    assert any("'readinesProbe' was unexpected" in problem for problem in problems(hub, "1.30"))
    assert problems({"apiVersion": "apps/v2", "kind": "Deployment"}, "1.30") == [
        "apps/v2 Deployment is not in Kubernetes 1.30"
    ]


@each_variant
def test_every_pod_of_the_chart_passes_pod_security_restricted(variant: str) -> None:
    assert {name: found for name, pod in rendered(variant).pods().items() if (found := violations(pod))} == {}


@each_variant
def test_every_pod_of_the_spawner_passes_pod_security_restricted(variant: str) -> None:
    manifests = rendered(variant)
    for profile in settings_of(manifests).catalog.profiles:
        pod = server_pod(manifests, {"profile": profile})
        assert violations(pod) == []
        since = "1.34" if "resourceClaims" in pod["spec"] else VERSIONS[0]
        assert problems({**pod, "apiVersion": "v1", "kind": "Pod"}, since) == []


@each_variant
def test_every_object_has_kubernetes_recommended_labels(variant: str) -> None:
    for item in rendered(variant):
        labels = item["metadata"].get("labels", {})
        assert labels.keys() >= {*LABELS, "helm.sh/chart"}, f"{item['kind']} {item['metadata']['name']}"
        assert all(len(value) <= 63 for value in labels.values())
    for name, pod in rendered(variant).pods().items():
        assert pod["metadata"]["labels"].keys() >= LABELS - {"app.kubernetes.io/version"}, name


@each_variant
def test_no_selector_depends_on_the_charts_version_or_on_values(variant: str) -> None:
    for item in rendered(variant):
        if item["kind"] in ("Deployment", "DaemonSet", "StatefulSet"):
            selector = item["spec"]["selector"]["matchLabels"]
            assert selector.keys() == {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}
            assert item["spec"]["template"]["metadata"]["labels"].items() >= selector.items()


@each_variant
def test_no_image_is_untagged_or_latest(variant: str) -> None:
    for name, pod in rendered(variant).pods().items():
        for container in _containers(pod):
            assert re.fullmatch(IMAGE, container["image"]), name


@pytest.mark.parametrize("variant", ["defaults", "pull secrets", "images by digest"])
def test_no_image_that_the_chart_offers_for_servers_is_untagged_or_latest(variant: str) -> None:
    images = [profile.image for profile in settings_of(rendered(variant)).catalog.profiles.values()]
    assert images
    assert all(re.fullmatch(IMAGE, image) for image in images)


@each_variant
def test_no_secret_is_in_an_object_that_others_can_read(variant: str) -> None:
    manifests = rendered(variant)
    secrets = [text for item in manifests.all("Secret") for whole in decoded(item).values() for text in _texts(whole)]
    tokens = {token for text in secrets for token in re.findall(r"[A-Za-z0-9+/=_-]{20,}|canary-[a-z]+", text)}
    canaries = set(re.findall("canary-[a-z]+", json.dumps(values_of(variant))))
    assert canaries <= tokens, "a secret of the values is in no Secret of the release"
    others = manifests.notes + json.dumps([item for item in manifests if item["kind"] != "Secret"])
    assert [token for token in tokens if token in others] == []


@each_variant
def test_only_who_asks_the_api_has_a_token_for_it(variant: str) -> None:
    manifests = rendered(variant)
    for name, pod in manifests.pods().items():
        if not name.endswith(NEEDS_THE_API):
            assert pod["spec"].get("automountServiceAccountToken") is False, name
    for account in manifests.all("ServiceAccount"):
        assert account.get("automountServiceAccountToken") is False or account["metadata"]["name"].endswith(
            NEEDS_THE_API
        )


@each_variant
def test_every_container_says_how_much_it_needs(variant: str) -> None:
    theirs = {"sidecar", "before"}
    for name, pod in rendered(variant).pods().items():
        for container in _containers(pod):
            assert container["name"] in theirs or container.get("resources", {}).get("requests"), (
                f"{name} {container['name']}"
            )


@each_variant
def test_no_two_objects_have_one_name(variant: str) -> None:
    names = [_identity(item) for item in rendered(variant)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "variant", ["defaults", "files and snippets", "gateway", "restricted zone", "capacity", "monitoring"]
)
def test_helm_lint_has_nothing_to_say(variant: str) -> None:
    said = helm_python.lint(CHART, values=values_of(variant))
    assert said["errors"] == []
    assert [one["error"] for one in said["messages"] if one["severity"] > INFO] == []


def test_a_release_with_the_longest_name_that_helm_takes_has_names_that_kubernetes_takes() -> None:
    name = "a" * 53
    for values in ({}, values_of("capacity")):
        for item in render(values, name=name):
            assert len(item["metadata"]["name"]) <= 63
            assert all(len(value) <= 63 for value in item["metadata"]["labels"].values())
            assert problems(item, VERSIONS[-1]) == []


def test_what_is_rendered_twice_is_the_same_but_for_generated_secrets() -> None:
    values = values_of("secrets of ones own")
    chart = helm_python.Chart.load(CHART)
    assert chart.render(values, name="a", namespace="b") == chart.render(values, name="a", namespace="b")


def _texts(whole: str) -> Iterator[str]:
    """A secret; of one in JSON every text in it."""
    if not whole.startswith("{"):
        yield whole
        return
    ahead = [json.loads(whole)]
    while ahead:
        match ahead.pop():
            case dict() as found:
                ahead += found.values()
            case list() as found:
                ahead += found
            case str() as found:
                yield found


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]


def _identity(item: dict[str, Any]) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]
