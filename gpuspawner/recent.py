"""A mapping that remembers only what was put in last, so that nothing grows for as long as the hub lives."""

from collections import OrderedDict
from typing import TypeVar

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(OrderedDict[K, V]):
    """The last ``most`` entries, by when they were first put in; ``move_to_end`` renews one."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        """Put an entry in, and the oldest out where that is one too many."""
        super().__setitem__(key, value)
        while len(self) > self._most:
            self.popitem(last=False)
