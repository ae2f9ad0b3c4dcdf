"""A queue of objects to look at again: each at most once a turn of the loop, and again later if that failed."""

import asyncio
import logging
from collections.abc import Callable

from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Object
from gpuspawner.local.controllers.pods import controller_of

__all__ = ["Key", "WorkQueue"]

Key = tuple[str, str]
"""Namespace (empty at the cluster scope) and name."""

_LOGGER = logging.getLogger(__name__)
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0


class WorkQueue:
    """Calls ``reconcile(namespace, name)`` for every key that was added; level-based, so once for many changes.

    A reconcile that the API refuses (StatusError: a quota, Pod Security, a conflict) is tried again after a delay that
    doubles. One event loop, no threads.
    """

    def __init__(self, reconcile: Callable[[str, str], None]) -> None:
        self._reconcile = reconcile
        self._waiting: dict[Key, None] = {}
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._scheduled: asyncio.Handle | None = None
        self._stopped = False

    def add(self, namespace: str, name: str) -> None:
        """Look at this object soon."""
        if self._stopped:
            return
        self._waiting[(namespace, name)] = None
        if self._scheduled is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._run)

    def add_object(self, obj: Object) -> None:
        """Look at this object soon."""
        self.add(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def add_controller(self, obj: Object, kind: str) -> None:
        """Look soon at the object of a kind that controls this one, if there is one."""
        owner = controller_of(obj)
        if owner and owner["kind"] == kind:
            self.add(obj["metadata"]["namespace"], owner["name"])

    def add_after(self, seconds: float, namespace: str, name: str) -> None:
        """Look at this object in ``seconds``, or sooner if it was to be looked at sooner anyhow."""
        if self._stopped:
            return
        loop, key = asyncio.get_running_loop(), (namespace, name)
        standing = self._later.get(key)
        if standing is not None:
            if standing.when() <= loop.time() + seconds:
                return
            standing.cancel()
        self._later[key] = loop.call_later(max(0.0, seconds), self._due, key)

    def stop(self) -> None:
        """Look at nothing more."""
        self._stopped = True
        for handle in (*self._later.values(), *([self._scheduled] if self._scheduled else [])):
            handle.cancel()

    def _due(self, key: Key) -> None:
        self._later.pop(key, None)
        self.add(*key)

    def _run(self) -> None:
        self._scheduled = None
        batch, self._waiting = self._waiting, {}
        for namespace, name in batch:
            self._one(namespace, name)

    def _one(self, namespace: str, name: str) -> None:
        key = (namespace, name)
        try:
            self._reconcile(namespace, name)
        except StatusError as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            _LOGGER.debug("%s/%s: %s", namespace, name, error)
            self.add_after(min(_FIRST_DELAY * 2 ** (failures - 1), _LONGEST_DELAY), namespace, name)
        except Exception:
            _LOGGER.exception("%s/%s could not be reconciled", namespace, name)
        else:
            self._failures.pop(key, None)
