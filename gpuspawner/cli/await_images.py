"""`gpuspawner await-images`: wait until DaemonSets have pulled their images on all nodes, for the chart's hook."""

import argparse
import asyncio
from datetime import UTC, datetime

from gpuspawner.cli.errors import CommandError
from gpuspawner.cluster.client import Client
from gpuspawner.cluster.connection import Connection
from gpuspawner.cluster.prepull import PrePull, pre_pull
from gpuspawner.cluster.wire import ApiError, UnreachableError

__all__ = ["run"]

_PAUSE = 1.0


def run(options: argparse.Namespace) -> int:
    """0 once every node has the images; raises ``CommandError`` where an image does not exist, or it takes too long."""
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    client = Client(Connection(kubeconfig=options.kubeconfig))
    last = ""
    try:
        async with asyncio.timeout(options.timeout):
            while True:
                found = await _look(client, options.namespace, options.daemonset)
                if (said := "\n".join(_words(name, one) for name, one in found.items())) != last:
                    last = said
                    print(said, flush=True)
                if problems := [one.problem for one in found.values() if one.problem]:
                    told = " ".join(problems)
                    raise CommandError(f"{told} Correct the image of the profile, or see that it is there.")
                if all(one.over for one in found.values()):
                    return 0
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        raise CommandError(
            f"the images are not on all nodes after {options.timeout} s. {last} What has been pulled is kept: try "
            "again, or give it longer by prePuller.hook.timeoutSeconds."
        ) from None
    except (ApiError, UnreachableError) as error:
        raise CommandError(f"Kubernetes does not tell: {error}.", status=2) from None
    finally:
        await client.close()


async def _look(client: Client, namespace: str, names: list[str]) -> dict[str, PrePull]:
    now = datetime.now(UTC)
    pods = (await client.list("pods", namespace))["items"]
    return {name: pre_pull(await client.get("daemonsets", namespace, name), pods, now) for name in names}


def _words(name: str, found: PrePull) -> str:
    if not found.known:
        return f"{name}: Kubernetes has not counted the nodes yet."
    passed = f"; passed over, as they do not answer: {', '.join(found.passed_over)}" if found.passed_over else ""
    return f"{name}: {found.done} of {found.nodes} nodes have the images{passed}."
