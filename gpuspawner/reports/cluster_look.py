"""What a cluster has, now, for every profile and GPU class of a configuration, and what of it will never do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gpuspawner.admission import Availability, State
from gpuspawner.cluster.outlook import about
from gpuspawner.cluster.partial_cards import partial_cards
from gpuspawner.cluster.prospects import Choice, Estimate, Prospects
from gpuspawner.cluster.view import View
from gpuspawner.config import Settings

__all__ = ["ClusterLook", "look"]


@dataclass(frozen=True, slots=True)
class ClusterLook:
    """What a look at the cluster found: ``scope`` is one sentence, ``warnings`` a sentence each.

    ``rows`` are profile, GPU class, state, and why, in words. Of so many launches ``misconfigured`` no node can ever
    hold one.
    """

    scope: str
    rows: tuple[tuple[str, str, str, str], ...]
    misconfigured: int
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        names = ("profile", "gpu_class", "state", "why")
        return {
            "scope": self.scope,
            "launches": [dict(zip(names, row, strict=True)) for row in self.rows],
            "misconfigured": self.misconfigured,
            "warnings": list(self.warnings),
        }


def look(settings: Settings, view: View, expected: Estimate, prospects: Prospects | None = None) -> ClusterLook:
    """Look at a view that has been read; ``expected`` says when so many GPUs of a class are free.

    ``prospects`` are those of the same settings, which remember what has not changed.
    """
    prospects = prospects or Prospects(settings)
    answers = prospects.of(view.inventory, expected)
    return ClusterLook(
        scope=_scope(view),
        rows=tuple(_rows(answers)),
        misconfigured=sum(answer.state is State.MISCONFIGURED for answer in answers.values()),
        warnings=(
            *_of_prospects(prospects, view),
            *partial_cards(settings.catalog.gpu_classes.values(), view.inventory),
        ),
    )


def _scope(view: View) -> str:
    number = len(view.nodes)
    nodes = f"{number} node{'' if number == 1 else 's'}"
    if view.cluster_wide:
        return f"{nodes}; the pods of all namespaces are counted."
    return (
        f"{nodes}; only the pods of namespace {view.namespace} are counted, since this login may not list those of "
        "others: what is called free may be taken by them."
    )


def _rows(answers: Mapping[Choice, Availability]) -> Iterable[tuple[str, str, str, str]]:
    """One row per profile and class; where workspaces differ, one for each of them."""
    by_launch: dict[tuple[str, str], dict[Availability, list[str]]] = {}
    for (workspace, profile, gpu_class), answer in answers.items():
        by_launch.setdefault((profile, gpu_class), {}).setdefault(answer, []).append(workspace)
    for (profile, gpu_class), found in by_launch.items():
        for answer, workspaces in found.items():
            where = f" ({', '.join(workspaces)})" if len(found) > 1 else ""
            state = f"{answer.state}: {answer.part}" if answer.part else str(answer.state)
            turn = f" The next is free in {about(answer.wait)} at the latest." if answer.wait else ""
            yield profile + where, gpu_class or "none", state, answer.reason + turn


def _of_prospects(prospects: Prospects, view: View) -> Iterable[str]:
    for (gpu_class, resource), why in prospects.dead_offers(view.inventory).items():
        yield f"GPU class {gpu_class} also accepts {resource}, in vain: {why}"
    said = set()
    for (_, profile, gpu_class), why in prospects.too_large(view.inventory).items():
        on = f" on {gpu_class}" if gpu_class else ""
        warning = f"The default of profile {profile}{on} is too large for every node: {why}"
        if warning not in said:
            said.add(warning)
            yield warning
