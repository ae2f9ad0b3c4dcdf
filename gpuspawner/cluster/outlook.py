"""How many launches are ahead of one that waits for a GPU, and when its turn comes by the ends of sessions. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heapify, heappop, heappush

from gpuspawner.quantity import format_duration

__all__ = ["Ask", "Outlook", "Session", "about", "forecast", "free_ahead"]


@dataclass(frozen=True, slots=True)
class Session:
    """GPUs of a node that are taken until ``ends`` (epoch seconds) at the latest; None: nobody knows."""

    node: str
    gpus: int
    ends: float | None


@dataclass(frozen=True, slots=True)
class Ask:
    """A launch that waits for ``gpus`` on one of ``nodes``, to run for ``runtime`` seconds at most."""

    gpus: int
    runtime: float
    nodes: Collection[str]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a launch that waits for a GPU can expect.

    ``ahead`` launches of this hub wait for the same GPUs since before; ``others`` are pods of other hubs and people
    that wait for such a GPU, whose place in the queue is not known. ``by`` is when a GPU is free for it at the latest,
    in the hub's time zone, and ``seconds`` how long until then; both None where nobody can know.
    """

    ahead: int = 0
    others: int = 0
    by: datetime | None = None
    seconds: float | None = None

    @property
    def queue(self) -> str:
        """Who else waits: ``"2 launches are ahead of you"``; empty where nobody does."""
        ahead = "1 launch is ahead of you" if self.ahead == 1 else f"{self.ahead} launches are ahead of you"
        others = "1 other pod waits, too" if self.others == 1 else f"{self.others} other pods wait, too"
        return " and ".join(part for part, number in ((ahead, self.ahead), (others, self.others)) if number)

    @property
    def estimate(self) -> str:
        """When: ``"Your turn comes in about 12 min, by 14:35 at the latest unless someone extends."``; or empty."""
        if self.by is None or self.seconds is None:
            return ""
        day = "" if self.seconds < 20 * 3600 else f"{self.by:%A} "
        sure = "" if self.others else " at the latest"
        return f"Your turn comes in {about(self.seconds)}, by {day}{self.by:%H:%M}{sure} unless someone extends."


def about(seconds: float) -> str:
    """A duration as people say it, coarser the longer it is: ``"about 12 min"``, ``"about 1 h 25 min"``."""
    minutes = max(1, -(-seconds // 60))
    step = 1 if minutes <= 20 else 5 if minutes <= 120 else 30 if minutes <= 600 else 60
    return f"about {format_duration(int(-(-minutes // step) * step * 60))}"


def forecast(free: Mapping[str, int], sessions: Iterable[Session], queue: Sequence[Ask], now: float) -> float | None:
    """When the last of ``queue`` gets its GPUs at the latest (epoch seconds); None where that cannot be known.

    Sessions give their GPUs back at their ends. At each end the queue is gone through in its order, and whoever fits
    on a node starts, as kube-scheduler does: a launch that asks for many GPUs does not hold up those behind it. Who
    starts gives the GPUs back after its runtime.
    """
    last = queue[-1]
    for time, _, waiting in _unroll(free, sessions, queue, now):
        if all(ask is not last for ask in waiting):
            return time
    return None


def free_ahead(
    free: Mapping[str, int], sessions: Iterable[Session], queue: Sequence[Ask], now: float, until: float
) -> list[tuple[float, int]]:
    """How many GPUs are free from when on, until a time: by the ends of sessions, as :func:`forecast` sees them."""
    found: list[tuple[float, int]] = []
    for time, left, _ in _unroll(free, sessions, queue, now):
        if time > until:
            break
        total = sum(left.values())
        if found and found[-1][0] == time:
            found.pop()
        if not found or found[-1][1] != total:
            found.append((time, total))
    return found


def _unroll(
    free: Mapping[str, int], sessions: Iterable[Session], queue: Sequence[Ask], now: float
) -> Iterator[tuple[float, Mapping[str, int], Sequence[Ask]]]:
    """Now and at the end of each session: the time, what is left on each node, and who waits on."""
    left = {node: max(0, gpus) for node, gpus in free.items()}
    ends = [(session.ends, session.node, session.gpus) for session in sessions if session.ends is not None]
    heapify(ends)
    waiting = list(queue)
    time, changed = now, set(left)
    while True:
        for ask in tuple(waiting):
            # Nothing has changed for it on the other nodes since it did not fit there.
            nodes = [node for node in changed if node in ask.nodes and left[node] >= ask.gpus]
            if not nodes:
                continue
            waiting.remove(ask)
            node = min(nodes, key=lambda name: (left[name], name))
            left[node] -= ask.gpus
            heappush(ends, (time + ask.runtime, node, ask.gpus))
        yield time, left, waiting
        if not ends:
            return
        time, changed = max(now, ends[0][0]), set()
        while ends and ends[0][0] <= time:
            _, node, gpus = heappop(ends)
            left[node] = left.get(node, 0) + gpus
            changed.add(node)
