"""The goals of gpuspawner's speed, and whether results meet them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

Results = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Scenario's title, spawner, row: the figure."""

OURS = "gpuspawner"


@dataclass(frozen=True)
class Goal:
    """One figure of ours is at most ``most``, or at most ``most`` times that of the spawner ``than``.

    ``scenario`` is how the title begins, and ``row`` how the row does; where several match, each is held to it.
    """

    scenario: str
    row: str
    most: float
    than: str = ""

    def verdicts(self, results: Results) -> list[tuple[str, str, str, bool]]:
        """Figure by figure: what, ours, the goal in words, and whether it is met. Empty where it was not measured."""
        found = []
        for title, spawners in results.items():
            ours = spawners.get(OURS, {})
            if not title.startswith(self.scenario) or (self.than and self.than not in spawners):
                continue
            for row, figure in ours.items():
                if not row.startswith(self.row):
                    continue
                base = spawners[self.than].get(row, math.nan) if self.than else 1.0
                times = f"{self.most:g} x {self.than}'s {written(base)}" if self.than else f"{self.most:g}"
                found.append((f"{title}: {row}", written(figure), times, figure <= self.most * base * 1.0001))
        return found


GOALS = (
    Goal("300 servers", "overhead p50", 1.15, "floor"),
    Goal("300 servers", "overhead p95", 1.15, "floor"),
    Goal("100 servers at once", "overhead p50", 1.10, "floor"),
    Goal("100 servers at once", "overhead p95", 1.10, "floor"),
    Goal("300 servers", "CPU per launch", 1.15, "floor"),
    Goal("300 servers", "memory at start", 1, "kubespawner"),
    Goal("300 servers", "memory growth", 1.2, "floor"),
    Goal("300 servers", "idle CPU", 1.25, "floor"),
    Goal("300 servers", "requests per launch", 1),
    Goal("300 servers", "requests per stop", 1),
    Goal("a home", "requests per launch, new home", 2),
    Goal("a home", "requests per launch, kept home", 1),
    Goal("300 servers", "idle lists per minute", 0),
    Goal("1000 servers", "idle lists per minute", 0),
    Goal("1000 servers", "idle: longest callback", 20),
    Goal("from Ready", "pod takes 2 s: p95", 0.1),
    Goal("from Ready", "pod takes 10 s: p95", 0.1),
    Goal("from Ready", "pod takes 60 s: p95", 0.1),
    Goal("35000 foreign", "highest memory", 1.05, "floor"),
    Goal("The launch form", "", 5),
    Goal("Pages", "hub CPU", 10),
    Goal("The ledger", "SQLite: hold", 50),
    Goal("The ledger", "PostgreSQL: hold", 50),
    Goal("The ledger", "SQLite: 100 holds at once", 1000),
    Goal("The ledger", "PostgreSQL: 100 holds at once", 1000),
    Goal("300 servers", "restart", 1, "kubespawner"),
    Goal("1000 servers", "restart", 1, "kubespawner"),
    Goal("300 servers", "servers lost", 0),
    Goal("1000 servers", "servers lost", 0),
)


def written(figure: float) -> str:
    """A figure with three significant digits."""
    if not math.isfinite(figure):
        return "–"
    digits = 2 - math.floor(math.log10(abs(figure))) if figure else 0
    return f"{figure:.{max(0, min(3, digits))}f}"
