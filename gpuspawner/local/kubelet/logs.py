"""What containers print, kept line by line in the format of the container runtime interface, size-capped."""

import asyncio
import io
import re
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

__all__ = ["ContainerLog", "LogOptions"]

MAX_BYTES = 10 * 1024**2
"""Size at which a log is rotated once (the kubelet's ``containerLogMaxSize``)."""

_LONGEST_LINE = 16 * 1024
_FALLBACK_LINES, _FALLBACK_BYTES = 80, 2048
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_STAMP_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What a reader wants of a log, as in ``kubectl logs``."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None
    timestamps: bool = False


class ContainerLog:
    """The log of one run of one container.

    Parameters
    ----------
    path
        The file; when it reaches ``max_bytes`` it becomes ``path.1`` and a new one begins.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = path.open("ab", buffering=0)
        self._size = self._file.seek(0, io.SEEK_END)
        self._rotations = 0
        self._partial = {"stdout": b"", "stderr": b""}
        self._last: deque[bytes] = deque(maxlen=_FALLBACK_LINES)
        self._readers: set[asyncio.Event] = set()

    def write(self, stream: str, data: bytes) -> None:
        """Add output of ``stdout`` or ``stderr``; a line is kept when it is complete or very long."""
        if self._file is None:
            return
        *lines, rest = _LINE.findall(self._partial[stream] + data) or [b""]
        if rest.endswith(b"\n"):
            lines, rest = [*lines, rest], b""
        while len(rest) > _LONGEST_LINE:
            lines.append(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        self._partial[stream] = rest
        self._put(stream, lines)

    def close(self) -> None:
        """Write what is left of the last line and let the followers end."""
        for stream, rest in self._partial.items():
            if rest:
                self._put(stream, [rest])
                self._partial[stream] = b""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._wake()

    def remove(self) -> None:
        """Close the log and delete its files."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.path.with_name(self.path.name + ".1").unlink(missing_ok=True)

    def last_words(self) -> str:
        """The end of the output as ``FallbackToLogsOnError`` takes it: 80 lines or 2048 bytes, whichever is less."""
        text = b"".join(self._last)
        return text[-_FALLBACK_BYTES:].decode("utf-8", "replace")

    async def read(self, options: LogOptions) -> AsyncIterator[bytes]:
        """Yield the lines that a reader asked for; with ``follow`` until the container's run is over."""
        left = options.limit_bytes
        async for stamp, line in self._lines(options):
            chunk = (stamp.strftime(_STAMP_FORMAT).encode() + b" " if options.timestamps else b"") + line
            if left is not None:
                chunk, left = chunk[:left], left - len(chunk)
            if chunk:
                yield chunk
            if left is not None and left <= 0:
                return

    async def _lines(self, options: LogOptions) -> AsyncIterator[tuple[datetime, bytes]]:
        rotations = self._rotations
        with self.path.open("rb") as file:
            older = _parse_file(self.path.with_name(self.path.name + ".1"))
            lines = (*older, *_parse(file))
            wanted = [entry for entry in lines if options.since is None or entry[0] >= options.since]
            if options.tail_lines is not None:
                wanted = wanted[len(wanted) - min(options.tail_lines, len(wanted)) :]
            for entry in wanted:
                yield entry
            if options.follow:
                async for entry in self._follow(file, rotations):
                    yield entry

    async def _follow(self, file: BinaryIO, rotations: int) -> AsyncIterator[tuple[datetime, bytes]]:
        woken = asyncio.Event()
        self._readers.add(woken)
        current = file
        try:
            while True:
                woken.clear()
                for entry in _parse(current):
                    yield entry
                if self._rotations != rotations:
                    rotations = self._rotations
                    if current is not file:
                        current.close()
                    current = self.path.open("rb")
                elif self._file is None:
                    return
                else:
                    await woken.wait()
        finally:
            self._readers.discard(woken)
            if current is not file:
                current.close()

    def _put(self, stream: str, lines: list[bytes]) -> None:
        if not lines or self._file is None:
            return
        stamp = datetime.now(UTC).strftime(_STAMP_FORMAT)
        head = f"{stamp} {stream} ".encode()
        data = b"".join(head + _tagged(line) for line in lines)
        self._last.extend(lines)
        if self._size and self._size + len(data) > self._max_bytes:
            self._rotate()
        self._file.write(data)
        self._size += len(data)
        self._wake()

    def _rotate(self) -> None:
        if self._file is not None:
            self._file.close()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self.path.open("ab", buffering=0)
        self._size = 0
        self._rotations += 1

    def _wake(self) -> None:
        for reader in self._readers:
            reader.set()


def _tagged(line: bytes) -> bytes:
    """A line as the runtime interface tags it: full, or a part that no newline has ended."""
    return b"F " + line if line.endswith(b"\n") else b"P " + line + b"\n"


def _parse_file(path: Path) -> list[tuple[datetime, bytes]]:
    if not path.exists():
        return []
    with path.open("rb") as file:
        return list(_parse(file))


def _parse(file: BinaryIO) -> Iterator[tuple[datetime, bytes]]:
    for line in file:
        stamp, _, tag, text = line.split(b" ", 3)
        moment = datetime.strptime(stamp.decode(), _STAMP_FORMAT).replace(tzinfo=UTC)
        yield moment, text[:-1] if tag == b"P" else text
