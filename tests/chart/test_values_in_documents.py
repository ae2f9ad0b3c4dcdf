"""Values that the manual, the examples and the chart's README show are values that the chart takes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpuspawner.cli.check_values import problems_of_values

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "helm" / "gpuspawner" / "README.md", *(ROOT / "docs").rglob("*.md")])
CHART_KEYS = set(yaml.safe_load((ROOT / "helm" / "gpuspawner" / "values.yaml").read_text(encoding="utf-8")))
OF_OTHERS = {"apiVersion", "kind"}
OTHER_CHARTS = {"zero-to-jupyterhub.md"}
"""Pages about values of another chart."""


def values_on(page: Path) -> list[dict[str, Any]]:
    """The values of the chart in a page: what is written as YAML there and begins with keys of the chart."""
    found = []
    for block in re.findall(r"(?ms)^ *```ya?ml[^\n]*\n(.*?)^ *```", page.read_text(encoding="utf-8")):
        try:
            parsed = yaml.safe_load(block)
        except yaml.YAMLError:
            continue
        if isinstance(parsed, dict) and parsed.keys() & CHART_KEYS and not parsed.keys() & OF_OTHERS:
            found.append(parsed)
    return found


SHOWN = [(page, values) for page in PAGES if page.name not in OTHER_CHARTS for values in values_on(page)]


@pytest.mark.parametrize(
    ("page", "values"), SHOWN, ids=[f"{page.stem}-{index}" for index, (page, _) in enumerate(SHOWN)]
)
def test_values_that_a_page_shows_are_values_of_the_chart(page: Path, values: dict[str, Any]) -> None:
    assert [*problems_of_values(values)] == [], page


EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*values*.yaml") if "z2jh" not in path.name)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: "-".join(path.relative_to(ROOT / "examples").parts))
def test_values_of_an_example_are_values_of_the_chart(example: Path) -> None:
    assert [*problems_of_values(yaml.safe_load(example.read_text(encoding="utf-8")))] == []


def test_pages_show_values() -> None:
    assert len(SHOWN) > 10
