"""The examples as hubs read them: a jupyterhub_config.py as it stands, values through the chart and load_values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from mounted import mount
from rendering import merged, render
from traitlets.config import Config

from gpuspawner import load_values

__all__ = ["EXAMPLES", "from_file", "from_values", "values_of"]

EXAMPLES = Path(__file__).parents[2] / "examples"


def values_of(name: str, **replaced: str) -> dict[str, Any]:
    """The values of an example; ``replaced`` are texts of it for which the machine of a test has others."""
    text = (EXAMPLES / name / "values.yaml").read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def from_values(values: Mapping[str, Any], folder: Path, *changes: Mapping[str, Any]) -> Config:
    """What a hub makes of the chart's files with these values, and changes over them; the release is in ``default``."""
    rendered = render(merged(values, *changes), namespace="default")
    c = Config()
    load_values(c, mount(rendered, "Deployment/gpuspawner-hub", "config", folder / "mounted"))
    return c


def from_file(name: str) -> Config:
    """What a hub makes of an example's ``jupyterhub_config.py``."""
    c = Config()
    file = EXAMPLES / name / "jupyterhub_config.py"
    exec(compile(file.read_text(), file, "exec"), {"get_config": lambda: c, "__file__": str(file)})  # noqa: S102
    return c
