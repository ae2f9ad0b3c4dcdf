"""A problem that a pod has, and the words that all of them share."""

from typing import ClassVar

from gpuspawner.errors import ServerFailedError

__all__ = ["ADMINISTRATOR", "AGAIN", "RECONSIDER", "PodError", "count", "plain"]

RECONSIDER = 20.0
"""The patience with what no waiting mends, unless an autoscaler adds a node; a profile may set another."""
ADMINISTRATOR = "Tell the administrator of the hub; nothing you can choose changes it."
AGAIN = "Start it again; your files are kept."


class PodError(ServerFailedError):
    """A problem a pod has now. ``reason`` and ``remedy`` are plain text, never HTML."""

    patience: ClassVar[float] = 0.0
    """Seconds the problem may last before it ends a launch: 0 at once, infinity as long as the launch may wait."""

    @property
    def final(self) -> bool:
        """Whether it ends a launch at once."""
        return self.patience == 0


def plain(text: str, limit: int = 300, *, lines: bool = False) -> str:
    """Foreign text without control characters and, unless ``lines``, on one line; at most ``limit`` characters."""
    text = "".join(c if c.isprintable() or (lines and c == "\n") else " " for c in text[:20_000])
    if not lines:
        text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def count(number: int, what: str) -> str:
    """A number with its noun: ``"1 node"``, ``"3 nodes"``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
