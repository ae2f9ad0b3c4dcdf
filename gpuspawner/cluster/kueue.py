"""Where a pod stands in a queue of Kueue's, as Kueue's own API tells it (``visibility.kueue.x-k8s.io``)."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from gpuspawner.labels import QUEUE

from .client import ApiError, Client, UnreachableError
from .outlook import Outlook
from .records import PodRecord
from .wire import Raw

__all__ = ["Kueue", "places"]

logger = logging.getLogger(__name__)

_FRESH = 15.0
_REFUSED = 600.0
_PATIENCE = 5.0


class Kueue:
    """Asks for the places of a hub's pods, one request for all of a queue.

    An answer counts for a quarter of a minute. A queue that cannot be read (Kueue is without this API, or the hub has
    no right to it) is asked for again ten minutes later.
    """

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, Mapping[str, int]]] = {}

    async def outlook(self, pod: PodRecord) -> Outlook | None:
        """How many workloads are ahead of a pod that has not been admitted yet; None where that cannot be told now."""
        queue = pod.labels.get(QUEUE)
        if queue is None:
            return None
        key = pod.namespace, queue
        until, found = self._known.get(key, (0.0, {}))
        if self._clock() >= until:
            until, found = self._known[key] = await self._read(*key)
        place = found.get(pod.uid)
        return None if place is None else Outlook(place)

    async def _read(self, namespace: str, queue: str) -> tuple[float, Mapping[str, int]]:
        try:
            async with asyncio.timeout(_PATIENCE):
                found = places(await self._client.pending_workloads(namespace, queue))
        except ApiError as error:
            logger.info("Places in Kueue's queue %s/%s are not told: %s", namespace, queue, error)
            return self._clock() + _REFUSED, {}
        except (UnreachableError, TimeoutError):
            found = {}
        return self._clock() + _FRESH, found


def places(raw: Raw) -> dict[str, int]:
    """By the uid of each pod that waits in a LocalQueue, how many are ahead of it in its ClusterQueue.

    ``raw`` is a PendingWorkloadsSummary, whose positions count from 0.
    """
    found = {}
    for item in raw.get("items") or ():
        for owner in (item.get("metadata") or {}).get("ownerReferences") or ():
            if owner.get("kind") == "Pod":
                found[owner.get("uid") or ""] = int(item.get("positionInClusterQueue") or 0)
    return found
