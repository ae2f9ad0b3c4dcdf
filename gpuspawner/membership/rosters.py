"""The roster files of a hub: read at its start, and again, off the hub's loop, when they change."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuspawner.membership.roster import Line, Roster, RosterError, parse_roster

__all__ = ["Rosters"]

logger = logging.getLogger(__name__)

_Signature = tuple[int, ...]
_MISSING: _Signature = ()


@dataclass(slots=True)
class _File:
    path: str
    seen: _Signature | None = None
    """Of the content that was taken or refused."""
    changing: _Signature | None = None
    """Of a content seen once: it may still be being written."""


class Rosters:
    """Every roster that could be read, by path (``current``), and why others could not (``problems``, a line each).

    Parameters
    ----------
    paths
        The files; relative ones begin where the process runs.
    normalize
        Makes a name on a list into that of a login.
    log
        Where it is told what was read and what not.
    """

    def __init__(
        self, paths: Iterable[str], normalize: Callable[[str], str] = str, log: logging.Logger = logger
    ) -> None:
        self.current: Mapping[str, Roster] = {}
        self.problems: Mapping[str, tuple[str, ...]] = {}
        self._files = [_File(path) for path in sorted(set(paths))]
        self._normalize = normalize
        self._log = log
        self._checking = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._files)

    def read(self) -> None:
        """Read all of them now."""
        for file in self._files:
            file.seen = _signature(file.path)
            self._take(file.path, self._parse(file.path))

    async def check(self) -> frozenset[Line]:
        """Look for changes, off the loop; returns the lines that are new or gone.

        What has changed is read by the second look that finds it the same, so that a file that is being written is not
        taken for a short one.
        """
        async with self._checking:
            found = await asyncio.to_thread(self._look)
            changed = [self._take(path, roster) for path, roster in found]
        return frozenset().union(*changed)

    def _look(self) -> list[tuple[str, "Roster | RosterError"]]:
        found = []
        for file in self._files:
            signature = _signature(file.path)
            if signature == file.seen:
                file.changing = None
            elif signature != file.changing:
                file.changing = signature
            else:
                roster = self._parse(file.path)
                if _signature(file.path) == signature:
                    file.seen, file.changing = signature, None
                    found.append((file.path, roster))
        return found

    def _parse(self, path: str) -> "Roster | RosterError":
        try:
            return parse_roster(Path(path).read_bytes(), self._normalize)
        except RosterError as error:
            return error
        except OSError as error:
            return RosterError([f"cannot be read: {error.strerror or error}"])

    def _take(self, path: str, found: "Roster | RosterError") -> frozenset[Line]:
        if isinstance(found, RosterError):
            self.problems = {**self.problems, path: tuple(found.problems)}
            self._log.error("Roster %s is not taken, memberships stay as they are: %s", path, found)
            return frozenset()
        self.problems = {name: problem for name, problem in self.problems.items() if name != path}
        before = self.current[path].lines if path in self.current else frozenset()
        self.current = {**self.current, path: found}
        self._log.info("Roster %s: %d lines, %d of them new", path, len(found.lines), len(found.lines - before))
        for note in found.notes:
            self._log.warning("Roster %s: %s", path, note)
        return before ^ found.lines


def _signature(path: str) -> _Signature:
    """What differs between two contents of a file, also where a symbolic link is exchanged, as Kubernetes does."""
    try:
        stat = Path(path).stat()
    except OSError:
        return _MISSING
    return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev
