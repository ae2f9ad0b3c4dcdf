"""The chart rendered over a matrix of values: tests/data/chart/matrix.yaml."""

import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from helm_python import Chart
from rendering import CHART, Manifests, render

__all__ = ["SCHEMA", "VARIANTS", "chart_without_schema", "rendered", "values_of"]

SCHEMA = "values.schema.json"

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


@cache
def chart_without_schema() -> Chart:
    """The chart for values that fit its schema, which takes half of the time that Helm does."""
    with TemporaryDirectory() as folder:
        return Chart.load(shutil.copytree(CHART, Path(folder) / "chart", ignore=shutil.ignore_patterns(SCHEMA)))
