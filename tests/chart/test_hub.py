"""The hub's Deployment and what it needs, as the chart renders them."""

import json
from importlib.metadata import version

import kubernetes_validate
import pytest
import yaml
from rendering import CHART, render


def test_the_charts_version_is_the_packages() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == version("gpuspawner")


@pytest.mark.parametrize("kubernetes", ["1.30", "1.37"])
def test_what_a_plain_install_makes_is_what_kubernetes_knows(kubernetes: str) -> None:
    for manifest in render():
        kubernetes_validate.validate(manifest, kubernetes, strict=True)


def test_a_hub_is_one_pod_that_ends_before_the_next_one_starts() -> None:
    spec = render().one("Deployment", "hub")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_values_and_secrets_are_mounted_where_the_hub_looks_for_them() -> None:
    pod = render().pods()["Deployment/gpuspawner-hub"]["spec"]
    [config] = [volume for volume in pod["volumes"] if volume["name"] == "config"]
    secrets = [source["secret"] for source in config["projected"]["sources"] if "secret" in source]
    paths = [item["path"] for secret in secrets for item in secret["items"]]
    assert {"cookie-secret", "proxy-token", "secret-values.json"} <= set(paths)
    assert json.loads(render().one("ConfigMap", "values")["data"]["values.json"])["hub"]["baseUrl"] == "/"
