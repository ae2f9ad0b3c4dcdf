"""`gpuspawner check --cluster`: what the cluster has, now, for every profile and GPU class of a configuration."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from gpuspawner.activity.prometheus import PrometheusSource
from gpuspawner.catalog import uses_devices
from gpuspawner.cli.errors import CommandError
from gpuspawner.cluster.access import missing_permissions
from gpuspawner.cluster.client import ApiError, Client, Connection, UnreachableError
from gpuspawner.cluster.view import View
from gpuspawner.config import Settings
from gpuspawner.ledger.holds import Holds
from gpuspawner.permissions import permissions, told
from gpuspawner.pod import COMPONENT, HUB_LABEL
from gpuspawner.reports import cluster_look
from gpuspawner.reports.cluster_look import ClusterLook
from gpuspawner.waiting import WaitingRoom

__all__ = ["look"]

_PATIENCE = 30.0


def look(settings: Settings, *, internal_ssl: bool = False) -> ClusterLook:
    """Read the cluster once, and ask it which permissions are missing.

    Raises
    ------
    CommandError
        Where it does not answer in time, or does not let this login read nodes or pods; exit status 2.
    """
    return asyncio.run(_look(settings, internal_ssl, _PATIENCE))


async def _look(settings: Settings, internal_ssl: bool, patience: float) -> ClusterLook:
    client = Client(Connection(**settings.connect.model_dump()))
    ours = {HUB_LABEL: settings.hub_name, "component": COMPONENT}
    view = View(client, settings.namespace, ours, devices=uses_devices(settings.catalog))
    view.start()
    missing: list[str] = []
    try:
        async with asyncio.timeout(patience):
            await view.started()
            missing = await _missing(client, settings, internal_ssl)
        if not view.synced:
            raise _refused(view.unreachable or "Kubernetes does not show its pods.", missing)
        if view.capacity_unknown is not None:
            raise _refused(
                f"Kubernetes does not let this login read nodes or devices: {view.capacity_unknown}. "
                "Without them nobody can say what is free; the hub's ClusterRole needs list and watch of nodes.",
                missing,
            )
        room = WaitingRoom(view, Holds(), settings, lambda: datetime.now(settings.timezone))
        found = cluster_look.look(settings, view, room.expected)
        return replace(found, warnings=(*missing, *found.warnings, *await _of_prometheus(settings)))
    except TimeoutError:
        raise CommandError(view.unreachable or "Kubernetes has not answered in time.", status=2) from None
    except (ApiError, UnreachableError) as error:
        raise CommandError(f"Kubernetes does not tell what this login may do: {error}", status=2) from None
    finally:
        await view.close()
        await client.close()


async def _missing(client: Client, settings: Settings, internal_ssl: bool) -> list[str]:
    """What this login may not do, a sentence for each resource; that it sees one namespace only is no lack."""
    namespace = settings.namespace
    missing = await missing_permissions(client, permissions(settings, internal_ssl=internal_ssl), namespace)
    if any(one.everywhere for one in missing):
        within = permissions(settings, cluster_wide=False, internal_ssl=internal_ssl)
        missing = await missing_permissions(client, within, namespace)
    return told(missing, namespace)


def _refused(why: str, missing: Sequence[str]) -> CommandError:
    return CommandError("\n".join((why, *missing)), status=2)


async def _of_prometheus(settings: Settings) -> list[str]:
    policy = settings.idle
    if policy is None or policy.prometheus is None:
        return []
    source = PrometheusSource(policy.prometheus, policy.every)
    try:
        return await source.doubts(datetime.now(settings.timezone), cpu=policy.cpu is not None)
    finally:
        await source.close()
