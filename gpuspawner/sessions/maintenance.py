"""Nodes that are taken out of service: whoever has a server there is told, and it ends when the operator said."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gpuspawner.cluster.records import NodeRecord, PodRecord
from gpuspawner.cluster.view import View
from gpuspawner.labels import MAINTENANCE, SERVER, USER
from gpuspawner.sessions.lease import AGAIN, EndError, PlannedEnd
from gpuspawner.sessions.notices import Level, Notice
from gpuspawner.sessions.sessions import Sessions

__all__ = ["MAINTENANCE_END", "Maintenance"]

logger = logging.getLogger(__name__)

MAINTENANCE_END = "maintenance"
"""Kind of the planned end and of the notice, and code of the cause."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What is said of a node: when its servers end; ``at`` is None where it only takes no new ones."""

    at: datetime | None

    @property
    def text(self) -> str:
        """As the annotation of a server's pod says of what its member was told."""
        return "cordoned" if self.at is None else self.at.isoformat(timespec="seconds")


class Maintenance:
    """One for the hub; it looks whenever a node or one of the hub's pods changes.

    A node says it by being cordoned (``kubectl cordon``), and by the annotation ``gpuspawner/maintenance``, whose value
    is the time (RFC 3339) at which the hub ends the servers that still run there.
    """

    def __init__(self, view: View, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        self._view = view
        self._sessions = sessions
        self._clock = clock
        self._works: dict[str, _Work] = {}
        self._told: dict[tuple[str, str], tuple[str, str]] = {}
        self._unreadable: dict[str, str] = {}
        self._notes: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Look now and from now on; needs a running loop."""
        self._view.inventory.on_nodes.append(self.look)
        self._view.on_pod(self._pod_changed)
        self.look()

    def look(self) -> None:
        """See which nodes are out of service, and tell the members whose servers that concerns."""
        works = {node.name: work for node in self._view.nodes.values() if (work := self._work(node)) is not None}
        if works == self._works:
            return
        self._works = works
        for pod in self._view.pods.values():
            self._look_at(pod)

    def _pod_changed(self, pod: PodRecord, gone: bool) -> None:
        if gone or pod.over:
            self._told.pop(_key(pod), None)
        elif self._works or _key(pod) in self._told:
            self._look_at(pod)

    def _look_at(self, pod: PodRecord) -> None:
        work = self._works.get(pod.node)
        if pod.over or pod.deleting:
            return
        key = _key(pod)
        if work is None:
            if self._told.pop(key, None) is not None or MAINTENANCE in pod.annotations:
                self._all_clear(pod)
        elif self._told.get(key) != (pod.uid, work.text):
            self._told[key] = pod.uid, work.text
            self._tell(pod, work)

    def _tell(self, pod: PodRecord, work: _Work) -> None:
        user, server = _key(pod)
        known = pod.annotations.get(MAINTENANCE) == work.text
        self._sessions.notices.tell(_notice(user, server, work, self._clock()), quietly=known)
        if work.at is None:
            self._sessions.cancel_end(user, server, MAINTENANCE_END)
        else:
            self._sessions.plan_end(user, server, _end(work.at))
        if not known:
            self._note(user, server, {MAINTENANCE: work.text})

    def _all_clear(self, pod: PodRecord) -> None:
        user, server = _key(pod)
        self._sessions.notices.withdraw(user, server, MAINTENANCE_END)
        self._sessions.cancel_end(user, server, MAINTENANCE_END)
        if MAINTENANCE in pod.annotations:
            self._note(user, server, {MAINTENANCE: None})

    def _note(self, user: str, server: str, annotations: Mapping[str, str | None]) -> None:
        task = asyncio.get_running_loop().create_task(self._sessions.note(user, server, annotations))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    def _work(self, node: NodeRecord) -> _Work | None:
        at = self._time(node)
        return _Work(at) if node.unschedulable or at is not None else None

    def _time(self, node: NodeRecord) -> datetime | None:
        """When the servers of a node end; an annotation that cannot be read is logged once."""
        if not node.maintenance:
            self._unreadable.pop(node.name, None)
            return None
        try:
            at = datetime.fromisoformat(node.maintenance)
            if at.tzinfo is not None:
                return at
            why = "has no time zone"
        except ValueError:
            why = "is no time"
        if self._unreadable.get(node.name) != node.maintenance:
            self._unreadable[node.name] = node.maintenance
            logger.warning(
                "The annotation %s of node %s %s: %r. It takes a time such as 2026-12-01T18:00:00Z (RFC 3339); until "
                "then the node's servers go on.",
                MAINTENANCE, node.name, why, node.maintenance,
            )  # fmt: skip
        return None


def _key(pod: PodRecord) -> tuple[str, str]:
    return pod.annotations.get(USER, ""), pod.annotations.get(SERVER, "")


def _end(at: datetime) -> PlannedEnd:
    cause = EndError(MAINTENANCE_END, "The machine it ran on was taken out of service.", AGAIN)
    return PlannedEnd(MAINTENANCE_END, at, cause, "the machine it runs on is taken out of service", "Save your work.")


def _notice(user: str, server: str, work: _Work, now: datetime) -> Notice:
    name = f"Your server {server}" if server else "Your server"
    if work.at is None:
        sentence = (
            f"{name} runs on a machine that is being taken out of service. It goes on for now. Save your work, and "
            "when it suits you, stop it and start it again: it will run on another machine."
        )
    else:
        at = work.at.astimezone(now.tzinfo)
        ends = f"it ends on {at:%d %B} at {at:%H:%M}"
        sentence = (
            f"The machine that {name[0].lower()}{name[1:]} runs on is taken out of service: {ends}. "
            "Save your work before then; if you stop it and start it again, it will run on another machine."
        )
    return Notice(
        kind=MAINTENANCE_END,
        user=user,
        server=server,
        at=now,
        level=Level.WARNING,
        sentence=sentence,
        data={"ends": None if work.at is None else work.at.isoformat(timespec="seconds")},
        until=work.at,
    )
