"""Cohorts: workspaces that share hardware, what they may hold together, and what they lend each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from pydantic import Field

from gpuspawner.limits.limits import Dated, changes_of, in_force
from gpuspawner.schema import Count, Name, NameList, Schema

__all__ = ["Cohort", "CohortException", "CohortLimits"]


class CohortException(Dated):
    """Limits of a cohort that differ from ``from`` to ``to``, both days included; what it does not name stays."""

    quota: Mapping[str, Count] = Field(default_factory=dict, description="Instead of the quota of these classes.")
    reserve: Mapping[str, Count] = Field(default_factory=dict, description="Instead of the reserve of these classes.")
    borrowing: bool | None = Field(default=None, description="Instead of borrowing.")


@dataclass(frozen=True, slots=True)
class CohortLimits:
    """The limits of a cohort on one day."""

    quota: Mapping[str, int]
    reserve: Mapping[str, int]
    borrowing: bool
    set_by: Mapping[str, str]

    def rule(self, key: str) -> str:
        """Where in the cohort a limit is set: ``"reserve['medium']"``, or the exception that changes it."""
        return self.set_by.get(key, key)


class Cohort(Schema):
    """Workspaces that share hardware, as cohorts of Kueue do: what they may hold together, and what they lend.

    With ``borrowing`` a workspace may hold more than its own quota of a class that it names, as long as the others
    leave theirs idle. Nothing is taken back from who has borrowed before their servers stop: the ``reserve`` keeps
    enough for those whose quota it is.
    """

    name: Name
    display_name: str = Field(default="", description="What members read.")
    workspaces: Annotated[NameList, Field(min_length=1)] = Field(
        description="Its workspaces; each belongs to one cohort at most."
    )
    quota: Mapping[str, Count] = Field(
        default_factory=dict,
        description="GPUs of each class that they may hold together at once; of a class not named, as many as their "
        "quotas add up to.",
    )
    borrowing: bool = Field(default=False, description="Let a workspace use what others of its cohort leave idle.")
    reserve: Mapping[str, Count] = Field(
        default_factory=dict,
        description="GPUs of each class that a launch which borrows must leave free, both of what they may hold "
        "together and of the cluster.",
    )
    exceptions: tuple[CohortException, ...] = Field(default=(), description="Dated exceptions from these limits.")

    @property
    def title(self) -> str:
        """The name for people."""
        return self.display_name or self.name

    def limits(self, day: date) -> CohortLimits:
        """The limits in force on this day; of several exceptions the last one named wins."""
        amounts = {"quota": dict(self.quota), "reserve": dict(self.reserve)}
        borrowing, set_by = self.borrowing, {}
        for index in in_force(self.exceptions, day):
            exception, path = self.exceptions[index], f"exceptions[{index}]"
            for part, found in amounts.items():
                given: Mapping[str, int] = getattr(exception, part)
                found.update(given)
                set_by.update({f"{part}[{name!r}]": f"{path}.{part}[{name!r}]" for name in given})
            if exception.borrowing is not None:
                borrowing = exception.borrowing
                set_by["borrowing"] = f"{path}.borrowing"
        return CohortLimits(amounts["quota"], amounts["reserve"], borrowing, set_by)

    def changes(self) -> set[date]:
        """The days on which these limits may change."""
        return changes_of(self.exceptions)
