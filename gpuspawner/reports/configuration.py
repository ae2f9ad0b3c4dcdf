"""What a configuration offers, as tables, and what is doubtful in it, by its place: as `gpuspawner check` says."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gpuspawner.config import Settings
from gpuspawner.quantity import micro_of, say_count, say_units
from gpuspawner.workspace import Budget, Workspace

__all__ = ["Remark", "Table", "remarks", "tables"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table for people; the first column names the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {"title": self.title, "header": list(self.header), "rows": [list(row) for row in self.rows]}


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about one ``place`` in the configuration, which may be empty. A ``mistake`` keeps something from
    working; else it is allowed, and can hardly be meant."""

    place: str
    words: str
    mistake: bool = False

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {"place": self.place, "words": self.words, "mistake": self.mistake}


def remarks(lines: Iterable[str], *, mistakes: bool = False) -> tuple[Remark, ...]:
    """Lines such as ``"c.GPUSpawner.workspaces['lab'].quota: ..."`` as remarks; each once."""
    return tuple(_remark(line, mistakes) for line in dict.fromkeys(lines))


def _remark(line: str, mistake: bool) -> Remark:
    place, colon, words = line.partition(": ")
    if colon and place.startswith(("c.", "roster ")):
        return Remark(place, words[:1].upper() + words[1:], mistake)
    return Remark("", line, mistake)


def tables(settings: Settings) -> Iterator[Table]:
    """What the settings offer: workspaces, cohorts, profiles and GPU classes."""
    yield Table(
        "Workspaces",
        ("Workspace", "Members", "Profiles", "Quota", "Budget"),
        tuple(
            (
                workspace.name,
                _members(workspace),
                "all" if workspace.profiles is None else ", ".join(workspace.profiles),
                _quota(workspace.quota),
                _budget(workspace.budget),
            )
            for workspace in settings.workspaces.values()
        ),
    )
    if settings.cohorts:
        yield Table(
            "Cohorts",
            ("Cohort", "Workspaces", "Together", "Borrowing", "Reserve"),
            tuple(
                (
                    cohort.name,
                    ", ".join(cohort.workspaces),
                    _quota(cohort.quota) if cohort.quota else "what their quotas add up to",
                    "yes" if cohort.borrowing else "no",
                    _quota(cohort.reserve) if cohort.reserve else "none",
                )
                for cohort in settings.cohorts.values()
            ),
        )
    yield Table(
        "Profiles",
        ("Profile", "Image", "GPU classes"),
        tuple(
            (profile.name, profile.image, ", ".join(profile.gpu_classes) or "none")
            for profile in settings.catalog.profiles.values()
        ),
    )
    yield Table(
        "GPU classes",
        ("GPU class", "An hour", "Accepts"),
        tuple(
            (
                gpu_class.name,
                say_units(micro_of(gpu_class.rate), up=True),
                "; ".join(f"{o.source} {', '.join(o.product)}".rstrip() for o in gpu_class.accepts),
            )
            for gpu_class in settings.catalog.gpu_classes.values()
        ),
    )


def _quota(quota: Mapping[str, int] | None) -> str:
    if quota is None:
        return "unlimited"
    return ", ".join(f"{count} {name}" for name, count in quota.items()) or "no GPUs"


def _budget(budget: Budget | None) -> str:
    if budget is None or not budget.bounds:
        return "none"
    amounts = (("a member", budget.per_member), ("in all", budget.pool))
    said = [f"{say_units(micro_of(units))} {whose}" for whose, units in amounts if units is not None]
    renews = {"terms": "each term", "never": "once", "rolling": f"in {budget.window} days"}
    return f"{', '.join(said)}, {renews.get(budget.renews, budget.renews)}"


def _members(workspace: Workspace) -> str:
    if "*" in workspace.members:
        return "everyone"
    names = sum(isinstance(member, str) for member in workspace.members)
    rules = len(workspace.members) - names
    return (
        ", ".join(say_count(number, thing) for number, thing in ((names, "name"), (rules, "rule")) if number) or "none"
    )
