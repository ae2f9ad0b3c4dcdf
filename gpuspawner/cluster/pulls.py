"""What pulling an image takes: how long it goes on, and what its size and time were when it was last pulled. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from gpuspawner.quantity import format_bytes, format_duration
from gpuspawner.recent import Recent

from .events import EventRecord

__all__ = ["Pull", "Pulls", "pulled"]

_PULLED = re.compile(
    r'Successfully pulled image "(?P<image>[^"]*)" in (?P<took>[0-9hmsuµn.]+)(?: \([^)]*\))?'
    r"(?:\. Image size: (?P<size>[0-9]+) bytes)?"
)
_GO_DURATION = re.compile(r"([0-9.]+)(h|ms|us|µs|ns|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_KEPT = 200
_GB = 10**9


class Pull(NamedTuple):
    """A pull of an image: its size in bytes (0: not known) and how many seconds it took."""

    image: str
    size: int
    seconds: float

    @property
    def told(self) -> str:
        """``"4.5 GB, pulled in 3 min"``; without the size where it is not known."""
        size = (
            f"{self.size / 1e9:.1f} GB, " if self.size >= _GB else f"{format_bytes(self.size)}, " if self.size else ""
        )
        return f"{size}pulled in {format_duration(max(1, round(self.seconds)))}"


def pulled(message: str) -> Pull | None:
    """What the kubelet's event ``Pulled`` says; None where the image was there already, or in another form."""
    match = _PULLED.match(message)
    if match is None:
        return None
    seconds = 0.0
    for number, unit in _GO_DURATION.findall(match["took"]):
        try:
            seconds += float(number) * _SECONDS[unit]
        except ValueError:
            return None
    return Pull(match["image"], int(match["size"] or 0), seconds)


class Pulls:
    """The last pull of each image that servers of this hub have needed; at most 200 images."""

    def __init__(self) -> None:
        self._known: Recent[str, Pull] = Recent(_KEPT)

    def note(self, events: Iterable[EventRecord]) -> None:
        """Take in what the events of a launch tell."""
        for event in events:
            found = pulled(event.message) if event.reason == "Pulled" else None
            if found is not None:
                self._known.pop(found.image, None)
                self._known[found.image] = found

    def of(self, image: str) -> Pull | None:
        """The last pull of an image; None if it was not seen."""
        return self._known.get(image)
