"""`gpuspawner check --cluster`: what the cluster has, now, for every profile and GPU class of a configuration."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from gpuspawner.activity.prometheus import PrometheusSource
from gpuspawner.admission import Availability, State
from gpuspawner.catalog import uses_devices
from gpuspawner.cli.errors import CommandError
from gpuspawner.cluster.client import Client, Connection
from gpuspawner.cluster.outlook import about
from gpuspawner.cluster.partial_cards import partial_cards
from gpuspawner.cluster.prospects import Choice, Prospects
from gpuspawner.cluster.view import View
from gpuspawner.config import Settings
from gpuspawner.ledger.holds import Holds
from gpuspawner.pod import COMPONENT, HUB_LABEL
from gpuspawner.waiting import WaitingRoom

__all__ = ["Look", "look"]

_PATIENCE = 30.0


class Look:
    """What a look at the cluster found: ``scope`` is one sentence, ``rows`` a table, ``warnings`` a sentence each."""

    def __init__(self, settings: Settings, view: View) -> None:
        prospects = Prospects(settings)
        self.scope = _scope(view)
        room = WaitingRoom(view, Holds(), settings, lambda: datetime.now(settings.timezone))
        answers = prospects.of(view.inventory, room.expected)
        self.rows = list(_rows(settings, answers))
        self.misconfigured = sum(answer.state is State.MISCONFIGURED for answer in answers.values())
        self.warnings = [
            *_of_prospects(prospects, view),
            *partial_cards(settings.catalog.gpu_classes.values(), view.inventory),
        ]


def look(settings: Settings) -> Look:
    """Read the cluster once.

    Raises
    ------
    CommandError
        Where it does not answer in time, or does not let this login read nodes or pods; exit status 2.
    """
    return asyncio.run(_look(settings, _PATIENCE))


async def _look(settings: Settings, patience: float) -> Look:
    client = Client(Connection(**settings.connect.model_dump()))
    ours = {HUB_LABEL: settings.hub_name, "component": COMPONENT}
    view = View(client, settings.namespace, ours, devices=uses_devices(settings.catalog))
    view.start()
    try:
        await asyncio.wait_for(view.started(), patience)
        if not view.synced:
            raise CommandError(view.unreachable or "Kubernetes does not show its pods.", status=2)
        if view.capacity_unknown is not None:
            raise CommandError(
                f"Kubernetes does not let this login read nodes or devices: {view.capacity_unknown}. "
                "Without them nobody can say what is free; the hub's ClusterRole needs get, list and watch of nodes.",
                status=2,
            )
        found = Look(settings, view)
        found.warnings += await _of_prometheus(settings)
        return found
    except TimeoutError:
        raise CommandError(view.unreachable or "Kubernetes has not answered in time.", status=2) from None
    finally:
        await view.close()
        await client.close()


async def _of_prometheus(settings: Settings) -> list[str]:
    policy = settings.idle
    if policy is None or policy.prometheus is None:
        return []
    source = PrometheusSource(policy.prometheus, policy.every)
    try:
        return await source.doubts(datetime.now(settings.timezone), cpu=policy.cpu is not None)
    finally:
        await source.close()


def _scope(view: View) -> str:
    number = len(view.nodes)
    nodes = f"{number} node{'' if number == 1 else 's'}"
    if view.cluster_wide:
        return f"{nodes}; the pods of all namespaces are counted."
    return (
        f"{nodes}; only the pods of namespace {view.namespace} are counted, since this login may not list those of "
        "others: what is called free may be taken by them."
    )


def _rows(settings: Settings, answers: Mapping[Choice, Availability]) -> Iterable[Sequence[str]]:
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
