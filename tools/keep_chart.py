"""Keep what the chart renders at its present version, for tests of upgrades from it. Run: python tools/keep_chart.py

Once at each release, with the version that is released; it writes tests/data/chart-VERSION/. What is in ConfigMaps and
Secrets is left out.
"""

import sys
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

__all__ = ["KEPT", "kept"]

ROOT = Path(__file__).parent.parent
CHART = ROOT / "helm" / "gpuspawner"
MATRIX = ROOT / "tests" / "data" / "chart" / "matrix.yaml"
KEPT = ("defaults", "postgresql", "namespaces apart", "capacity", "monitoring", "ingress", "gateway", "restricted zone")
"""The variants of the matrix that are kept."""


def kept(variant: str) -> list[dict[str, Any]]:
    """The objects of a variant, without what is in ConfigMaps and Secrets or made anew each time."""
    values = yaml.safe_load(MATRIX.read_text(encoding="utf-8"))[variant]
    files = Chart.load(CHART).render(values, name="gpuspawner", namespace="jupyter")
    found = [
        one for path, text in sorted(files.items()) if path.endswith(".yaml") for one in yaml.safe_load_all(text) if one
    ]
    for one in found:
        annotations = one.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations") or {}
        for of_secrets in [key for key in annotations if key.startswith("checksum/")]:
            del annotations[of_secrets]
    return [
        {key: part for key, part in one.items() if key not in ("data", "binaryData", "stringData")} for one in found
    ]


def main() -> None:
    """Write the files of the version that Chart.yaml names."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"]
    folder = ROOT / "tests" / "data" / f"chart-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    for variant in KEPT:
        target = folder / f"{variant.replace(' ', '-')}.yaml"
        target.write_text(yaml.safe_dump_all(kept(variant), width=120), encoding="utf-8")
        sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
