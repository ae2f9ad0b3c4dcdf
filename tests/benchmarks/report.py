"""Results as tables for the terminal, and as ``docs/benchmarks.md`` with a chart."""

from collections.abc import Mapping
from pathlib import Path

from goals import GOALS, OURS, Results, written

DOCS = Path(__file__).parents[2] / "docs"
_PAGE, _CHART = DOCS / "benchmarks.md", DOCS / "images" / "benchmarks.svg"
_BEGIN, _END = "<!-- figures: written by make bench -->\n", "<!-- end of figures -->"
_COLOURS = {"floor": "#8a8f98", "kubespawner": "#d9822b", "gpuspawner": "#2b6cb0"}
_CHARTED = (
    ("300 servers", "overhead p50, s", "300 launches, 30 at once: overhead p50, s"),
    ("300 servers", "overhead p95, s", "300 launches, 30 at once: overhead p95, s"),
    ("100 servers at once", "overhead p50, s", "100 launches at once: overhead p50, s"),
    ("100 servers at once", "overhead p95, s", "100 launches at once: overhead p95, s"),
    ("from Ready", "pod takes 10 s: mean, s", "from Ready to start() returned, mean, s"),
    ("300 servers", "CPU per launch, ms", "hub CPU per launch, ms"),
    ("300 servers", "memory at start, MB", "memory at start, MB"),
    ("300 servers", "memory growth, MB", "memory growth with 300 servers, MB"),
    ("300 servers", "idle CPU, ms/s", "idle CPU with 300 servers, ms/s"),
    ("1000 servers", "idle MB per minute", "idle traffic with 1,000 servers, MB/min"),
    ("1000 servers", "restart, s", "restart with 1,000 servers, s"),
)

Spawners = Mapping[str, Mapping[str, float]]


def _rows(spawners: Spawners) -> list[list[str]]:
    """Header and rows: what, each spawner's figure, and ours as a multiple of the others."""
    others = [name for name in spawners if name != OURS and OURS in spawners]
    rows = [["", *spawners, *(f"{OURS} / {name}" for name in others)]]
    for what in dict.fromkeys(row for figures in spawners.values() for row in figures):
        figures = {name: found.get(what, float("nan")) for name, found in spawners.items()}
        ratios = [figures[OURS] / figures[name] if figures[name] else float("nan") for name in others]
        rows.append([what, *map(written, figures.values()), *map(written, ratios)])
    return rows


def table(title: str, spawners: Spawners) -> str:
    """One scenario for the terminal."""
    rows = _rows(spawners)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join(["", title, *lines])


def verdicts(results: Results) -> list[tuple[str, str, str, bool]]:
    """Every goal that was measured: what, ours, the goal, whether it is met."""
    return [verdict for goal in GOALS for verdict in goal.verdicts(results)]


def _markdown(results: Results) -> str:
    def lines(rows: list[list[str]]) -> list[str]:
        rule = ["---", *["---:"] * (len(rows[0]) - 1)]
        return ["| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:])]

    parts = ["## Goals", ""]
    goals = [[what, ours, most, "met" if met else "**not met**"] for what, ours, most, met in verdicts(results)]
    parts += lines([["", OURS, "at most", ""], *goals])
    for title, spawners in results.items():
        parts += ["", f"## {title[0].upper()}{title[1:]}", "", *lines(_rows(spawners))]
    return "\n".join([*parts, ""])


def chart(results: Results) -> str:
    """An SVG with one group of bars a figure, each group to a scale of its own; shorter is better."""
    width, label, bar, gap, top = 860, 330, 13, 12, 50
    names = list(_COLOURS)
    body: list[str] = []
    y = top
    for scenario, row, words in _CHARTED:
        spawners = next((found for title, found in results.items() if title.startswith(scenario)), {})
        figures = {name: spawners.get(name, {}).get(row) for name in names}
        longest = max((figure for figure in figures.values() if figure), default=0.0)
        if not longest:
            continue
        body.append(f'<text x="{label - 12}" y="{y + 25}" text-anchor="end">{words}</text>')
        for name, figure in figures.items():
            if figure is not None:
                length = max(1.0, figure / longest * (width - label - 70))
                body.append(f'<rect x="{label}" y="{y}" width="{length:.1f}" height="{bar}" fill="{_COLOURS[name]}"/>')
                body.append(f'<text x="{label + length + 6:.1f}" y="{y + bar - 2}">{written(figure)}</text>')
            y += bar
        y += gap
    legend = [
        f'<rect x="{label + 150 * n}" y="16" width="12" height="12" fill="{colour}"/>'
        f'<text x="{label + 150 * n + 18}" y="27">{name}</text>'
        for n, (name, colour) in enumerate(_COLOURS.items())
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" role="img" '
        'aria-label="Floor, KubeSpawner and gpuspawner side by side; shorter bars are better" '
        'font-family="sans-serif" font-size="12" fill="#1a202c">'
        f'<rect width="{width}" height="{y}" fill="#ffffff"/>' + "".join([*legend, *body]) + "</svg>\n"
    )


def write(results: Results) -> None:
    """Put the figures into ``docs/benchmarks.md``, between its marks, and draw the chart."""
    page = _PAGE.read_text()
    before, rest = page.split(_BEGIN)
    _PAGE.write_text(before + _BEGIN + "\n" + _markdown(results) + "\n" + _END + rest.split(_END)[1])
    _CHART.write_text(chart(results))
