"""The chart's README: what it shows can be installed as it stands."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from helm_python import Chart, package
from rendering import CHART, decoded, render
from traitlets.config import Config

from gpuspawner import load_values

README = (CHART / "README.md").read_text(encoding="utf-8")


def shown() -> dict[str, Any]:
    """The values file that the README shows."""
    [block] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    return dict(yaml.safe_load(block))


def test_the_values_file_of_the_readme_makes_the_hub_that_it_describes(tmp_path: Path) -> None:
    manifests = render(shown())
    for item in manifests:
        kubernetes_validate.validate(item, "1.37", strict=True)
    files = manifests.one("ConfigMap", "values")["data"]
    for name in ("secrets", "secret-values"):
        files |= decoded(manifests.one("Secret", name))
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    c = Config()
    load_values(c, tmp_path)

    assert c.GenericOAuthenticator.client_id == "gpuspawner"
    assert c.GenericOAuthenticator.client_secret == "..."
    assert c.Authenticator.admin_users == ["ada"]
    assert c.GPUSpawner.hub_name == "gpuspawner"
    assert c.GPUSpawner.namespace == "jupyter"
    assert c.ConfigurableHTTPProxy.api_url == "http://gpuspawner-proxy-api.jupyter.svc:8001"
    assert c.JupyterHub.hub_connect_url == "http://gpuspawner-hub.jupyter.svc:8081"
    assert manifests.notes.startswith("gpuspawner")
    assert "https://hub.example.edu/" in manifests.notes


def test_the_secret_of_the_readme_has_the_keys_that_the_hub_mounts() -> None:
    said = set(re.findall(r"--from-literal=([a-z.-]+)=", README))
    assert said == set(decoded(render().one("Secret", "secrets")))


def test_every_key_of_the_readme_is_one_of_the_values() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for path in re.findall(r"`((?:hub|proxy|login|ingress|singleuser)\.\w+)`", README):
        section, key = path.split(".")
        assert key in values[section], path


def test_the_packaged_chart_is_the_whole_chart(tmp_path: Path) -> None:
    """.helmignore leaves out nothing that a template reads."""
    values = {"hub": {"existingSecret": "own"}, "zone": "restricted", "restrictedZone": {"downloads": False}}
    made = [
        Chart.load(path).render(values, name="a", namespace="b")
        for path in (CHART, Path(package(CHART, destination=tmp_path)))
    ]
    assert made[0] == made[1]
