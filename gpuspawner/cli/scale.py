"""`gpuspawner scale`: set how many pods a Deployment has, for the chart's schedules of placeholders."""

import argparse
import asyncio

from gpuspawner.cli.errors import CommandError
from gpuspawner.cluster.client import Client
from gpuspawner.cluster.connection import Connection
from gpuspawner.cluster.wire import ApiError, UnreachableError

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """0 once it is set; raises ``CommandError`` where Kubernetes refuses or does not answer."""
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    client = Client(Connection(kubeconfig=options.kubeconfig))
    wanted = {"spec": {"replicas": options.replicas}}
    try:
        await client.patch("deployments", options.namespace, options.deployment, wanted, subresource="scale")
    except (ApiError, UnreachableError) as error:
        raise CommandError(f"{options.deployment} is not scaled: {error}.") from None
    finally:
        await client.close()
    print(f"{options.deployment} has {options.replicas} pods from now on.")
    return 0
