"""Keeps in the ledger how many GPUs of each class the cluster has, whenever that changes for longer than a moment."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from gpuspawner.bookkeeping.bookkeeper import Bookkeeper

__all__ = ["SETTLES_IN", "CapacityLog"]

SETTLES_IN = 60.0
"""Seconds: a node that is away for less is not worth a note."""


class CapacityLog:
    """One for the hub, on its event loop.

    Parameters
    ----------
    totals
        GPUs of each class on nodes that take launches; None while the nodes are not known.
    """

    def __init__(
        self, books: Bookkeeper, totals: Callable[[], Mapping[str, int] | None], clock: Callable[[], datetime]
    ) -> None:
        self._books = books
        self._totals = totals
        self._clock = clock
        self._noted: Mapping[str, int] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """The nodes or their devices may have changed: they are looked at in a minute."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SETTLES_IN, self.look)

    def look(self) -> None:
        """Note what there is now, if that is another number than was noted last."""
        self.close()
        totals = self._totals()
        if totals is not None and totals != self._noted:
            self._noted = dict(totals)
            self._books.note_capacity(self._clock(), self._noted)

    def close(self) -> None:
        """Look no more, until something changes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
