"""Floor, KubeSpawner and gpuspawner side by side, each hub in a process of its own; prints tables, keeps results.

Run it with ``make bench`` (20 minutes) or ``make bench QUICK=1`` (3 minutes). ``--write`` also renews
``docs/benchmarks.md`` and its chart from the results.
"""

import argparse
import asyncio
import json
import tempfile
import traceback
from pathlib import Path
from typing import Any

import form_timing
import ledger_timing
import page_timing
import report
from scenarios import chosen

SPAWNERS = ("floor", "kubespawner", "gpuspawner")
CHOICES = (*SPAWNERS, "gpuspawner-without-secrets")
SIZES = (100, 300, 1000)


async def measure(options: argparse.Namespace) -> None:
    """Run what the options ask for; every result is kept as soon as it is there."""
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (title, run) in enumerate(chosen(options.quick, options.sizes)):
            if options.only and not any(word in title for word in options.only):
                continue
            for spawner in options.spawners:
                try:
                    rows = await run(spawner, Path(folder) / f"{number}-{spawner}")
                except Exception:  # noqa: BLE001  # one spawner that fails must not cost the others' figures
                    traceback.print_exc()
                    continue
                results.setdefault(title, {})[spawner] = rows
                options.results.write_text(json.dumps(results, indent=1))
            print(report.table(title, results.get(title, {})), flush=True)
    if not options.only or "form" in options.only:
        _keep(form_timing.TITLE, await form_timing.measure(), results, options.results)
    if "ledger" in (options.only or []) or not (options.only or options.quick):
        _keep(ledger_timing.TITLE, await ledger_timing.measure(), results, options.results)
    if "pages" in (options.only or []) or not (options.only or options.quick):
        _keep(page_timing.TITLE, await page_timing.measure(), results, options.results)


def _keep(title: str, figures: dict[str, dict[str, float]], results: dict[str, Any], file: Path) -> None:
    results[title] = figures
    file.write_text(json.dumps(results, indent=1))
    print(report.table(title, figures), flush=True)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--spawners", nargs="+", default=SPAWNERS, choices=CHOICES)
    parser.add_argument("--only", nargs="+", help="words of the titles of scenarios, 'form', 'ledger' or 'pages'")
    parser.add_argument("--results", type=Path, default=Path("build/benchmarks.json"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    options.sizes = tuple(options.sizes or ((100,) if options.quick else SIZES))
    options.results.parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(measure(options))
    for what, ours, most, met in report.verdicts(json.loads(options.results.read_text())):
        print(f"{'met    ' if met else 'NOT MET'}  {what}: {ours}, at most {most}")
    if options.write:
        report.write(json.loads(options.results.read_text()))


if __name__ == "__main__":
    main()
