"""What the pages say to an operator is so: every values file on them renders, loads, and offers what it means to."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from mounted import mount
from rendering import merged, render
from traitlets.config import Config

from gpuspawner import load_values
from gpuspawner.config import Settings, load_settings, section_of
from gpuspawner.spawner import GPUSpawner

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    "install.md",
    "how-to/gpu-nodes.md",
    "how-to/images.md",
    "how-to/helm.md",
    "how-to/operate.md",
    "how-to/ready-nodes.md",
    "how-to/secure-zone.md",
]
_BLOCK = re.compile(r"^```yaml\n# values\.yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECRETS = re.compile(r"^```yaml\n# secrets\.yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLASSES = {
    "gpuspawner": {
        "gpu_classes": {"v100": {"accepts": [{"resource": "nvidia.com/gpu"}]}},
        "profiles": {"pytorch": {"image": "example.org/pytorch:1", "gpu_classes": ["v100"]}},
        "workspaces": {"everyone": {"members": "*"}},
    }
}
BLOCKS = [
    pytest.param(yaml.safe_load(block), id=f"{page}-{number}")
    for page in PAGES
    for number, block in enumerate(_BLOCK.findall((DOCS / page).read_text(encoding="utf-8")))
]


def loaded(values: dict[str, Any], folder: Path) -> tuple[Config, Settings]:
    """What a hub makes of the chart's files."""
    c = Config()
    load_values(c, mount(render(values), "Deployment/gpuspawner-hub", "config", folder))
    return c, load_settings(section_of(c), inherited=GPUSpawner.class_trait_names())


@pytest.mark.parametrize("values", BLOCKS)
def test_values_on_the_pages_make_a_hub(values: dict[str, Any], tmp_path: Path) -> None:
    # The operator's own Secret is not of the chart's making, and what a page adds to earlier values is about those.
    values = merged(CLASSES if "placeholders" in values else {}, values)
    _, settings = loaded(merged(values, {"hub": {"existingSecret": ""}}), tmp_path)
    classes = values.get("gpuspawner", {}).get("gpu_classes")
    assert set(settings.catalog.gpu_classes) == set(classes or {"gpu"})


def test_twenty_lines_and_a_secret_make_a_university(tmp_path: Path) -> None:
    page = (DOCS / "install.md").read_text(encoding="utf-8")
    university, secrets = _BLOCK.findall(page)[0], _SECRETS.findall(page)[0]
    assert len(university.splitlines()) <= 20
    c, settings = loaded(merged(yaml.safe_load(university), yaml.safe_load(secrets)), tmp_path)
    assert c.GenericOAuthenticator.client_secret == "0123456789abcdef"
    assert dict(settings.workspaces["cse151a"].quota) == {"a100": 12}
    assert set(c.Authenticator.admin_users) == {"ada"}
