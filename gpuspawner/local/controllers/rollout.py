"""One step of a rolling update, pure."""

from collections.abc import Sequence

__all__ = ["next_replicas"]

Counts = tuple[int, int]
"""Replicas asked for and available."""


def next_replicas(
    wanted: int, surge: int, unavailable: int, new: Counts, old: Sequence[Counts]
) -> tuple[int, list[int]]:
    """Return how many replicas the new ReplicaSet and each old one (oldest first) shall have next.

    Never more than ``wanted + surge`` in all, and never fewer than ``wanted - unavailable`` available: old replicas
    that are not available go first, then as many of the others as others stand in for.

    Source: ``NewRSNewReplicas`` and ``reconcileOldReplicaSets`` in https://github.com/kubernetes/kubernetes.
    """
    total = new[0] + sum(count for count, _ in old)
    reduced = [count for count, _ in old]
    grown = wanted if new[0] >= wanted else min(wanted, new[0] + max(0, wanted + surge - total))
    if grown != new[0]:
        return grown, reduced
    least = wanted - unavailable
    may_go = total - least - max(0, new[0] - new[1])
    if may_go <= 0:
        return grown, reduced
    for index, (count, available) in enumerate(old):  # what is broken stands in for nobody
        broken = min(count - available, may_go) if count > available else 0
        reduced[index] -= broken
        may_go -= broken
    spare = new[1] + sum(available for _, available in old) - least
    for index, count in enumerate(reduced):
        gone = min(count, max(0, spare))
        reduced[index] -= gone
        spare -= gone
    return grown, reduced
