"""`gpuspawner check --cluster`: what the cluster has, now, for every profile and GPU class of a configuration."""

import asyncio
from dataclasses import replace
from datetime import datetime

from gpuspawner.activity.prometheus import PrometheusSource
from gpuspawner.catalog import uses_devices
from gpuspawner.cli.errors import CommandError
from gpuspawner.cluster.client import Client, Connection
from gpuspawner.cluster.view import View
from gpuspawner.config import Settings
from gpuspawner.ledger.holds import Holds
from gpuspawner.pod import COMPONENT, HUB_LABEL
from gpuspawner.reports import cluster_look
from gpuspawner.reports.cluster_look import ClusterLook
from gpuspawner.waiting import WaitingRoom

__all__ = ["look"]

_PATIENCE = 30.0


def look(settings: Settings) -> ClusterLook:
    """Read the cluster once.

    Raises
    ------
    CommandError
        Where it does not answer in time, or does not let this login read nodes or pods; exit status 2.
    """
    return asyncio.run(_look(settings, _PATIENCE))


async def _look(settings: Settings, patience: float) -> ClusterLook:
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
        room = WaitingRoom(view, Holds(), settings, lambda: datetime.now(settings.timezone))
        found = cluster_look.look(settings, view, room.expected)
        return replace(found, warnings=(*found.warnings, *await _of_prometheus(settings)))
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
