"""The reference manual is what the configuration says of itself."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_reference_manual_is_up_to_date() -> None:
    generated = runpy.run_path(str(ROOT / "tools" / "reference.py"))["document"]()
    written = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    assert written == generated, "run: python tools/reference.py"
