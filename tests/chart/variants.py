"""The chart rendered over a matrix of values: tests/data/chart/matrix.yaml."""

from pathlib import Path
from typing import Any

import yaml
from rendering import Manifests, render

__all__ = ["VARIANTS", "rendered", "values_of"]

_VALUES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "chart" / "matrix.yaml").read_text(encoding="utf-8")
)
VARIANTS = tuple(_VALUES)
"""The names of the variants."""


def values_of(variant: str) -> dict[str, Any]:
    """The values of a variant."""
    return _VALUES[variant]


def rendered(variant: str) -> Manifests:
    """What a release with the values of a variant consists of."""
    return render(_VALUES[variant])
