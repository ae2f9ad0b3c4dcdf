"""How far a DaemonSet that pulls images has come, node by node, and what keeps it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from . import failures
from .events import diagnose
from .records import pod_record
from .wire import Raw

__all__ = ["PrePull", "pre_pull"]

_SILENT = 60.0
_FOR_GOOD = (failures.ImageMissingError, failures.ImageNameError)


@dataclass(frozen=True, slots=True)
class PrePull:
    """``done`` of ``nodes`` have all images; ``passed_over`` are the nodes, and pods without one, that did not take up
    their pod for a minute; ``problem`` is a sentence about an image that cannot be pulled. ``known`` is False until
    Kubernetes has counted the nodes.
    """

    known: bool
    nodes: int
    done: int
    passed_over: tuple[str, ...] = ()
    problem: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing is left to wait for."""
        return self.known and self.done + len(self.passed_over) >= self.nodes


def pre_pull(daemon_set: Raw, pods: Iterable[Raw], now: datetime) -> PrePull:
    """What a DaemonSet (apps/v1) and the pods of its namespace say at ``now``."""
    metadata, status = daemon_set["metadata"], daemon_set.get("status") or {}
    mine = [pod for pod in pods if _is_of(pod, metadata.get("uid") or "")]
    done, passed_over, problem = 0, [], ""
    for pod in mine:
        record = pod_record(pod, own=True)
        if record.deleting:
            continue
        if record.ready:
            done += 1
        elif not record.started_at and (now - datetime.fromisoformat(record.created_at)).total_seconds() > _SILENT:
            passed_over.append(record.node or record.name)
        elif not problem and isinstance(found := diagnose(record), _FOR_GOOD):
            problem = f"{found.reason} (node {record.node})"
    return PrePull(
        known=status.get("observedGeneration", -1) >= (metadata.get("generation") or 0),
        nodes=status.get("desiredNumberScheduled") or 0,
        done=done,
        passed_over=tuple(sorted(passed_over)),
        problem=problem,
    )


def _is_of(pod: Raw, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in pod["metadata"].get("ownerReferences") or ())
