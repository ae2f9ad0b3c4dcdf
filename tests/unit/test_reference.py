"""The reference manual is what the configuration, the handlers and the metrics say of themselves."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


PAGES = [("reference", "configuration"), ("reference_api", "rest-api"), ("reference_metrics", "metrics")]


@pytest.mark.parametrize(("tool", "page"), PAGES)
def test_the_reference_manual_is_up_to_date(tool: str, page: str) -> None:
    generated = runpy.run_path(str(ROOT / "tools" / f"{tool}.py"))["document"]()
    written = (ROOT / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8")
    assert written == generated, "run: python tools/reference.py"
