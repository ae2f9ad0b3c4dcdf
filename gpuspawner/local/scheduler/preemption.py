"""Which pods of lower priority would have to leave a node for a pod to fit, pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gpuspawner.local.scheduler.fit import NodeInfo, PodInfo, Verdict, count_reasons, filter_node

__all__ = ["NOT_HELPFUL", "NO_VICTIMS", "Preemption", "find_preemption"]

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Preemption:
    """A node, and the pods that leave it."""

    node: str
    victims: tuple[PodInfo, ...]


def find_preemption(pod: PodInfo, nodes: Mapping[str, NodeInfo], verdicts: Mapping[str, Verdict]) -> Preemption | str:
    """The preemption that harms least, or the sentence that says why there is none.

    ``verdicts`` holds why the pod does not fit, for every node. As in kube-scheduler, the node is the one whose
    highest victim is lowest, then with the lowest sum of priorities, the fewest victims, and the youngest ones.
    """
    if not pod.may_preempt:
        return "not eligible due to preemptionPolicy=Never."
    if _room_is_coming(pod, nodes):
        return "not eligible due to a terminating pod on the nominated node."
    reasons: list[tuple[str, ...]] = []
    found: list[Preemption] = []
    for name, verdict in verdicts.items():
        if not verdict.curable:
            reasons.append((NOT_HELPFUL,))
            continue
        outcome = _victims(pod, nodes[name])
        if isinstance(outcome, Verdict):
            reasons.append(outcome.reasons)
        else:
            found.append(Preemption(name, outcome))
    if found:
        return min(found, key=_harm)
    return count_reasons(reasons, len(nodes)) + "."


def _room_is_coming(pod: PodInfo, nodes: Mapping[str, NodeInfo]) -> bool:
    node = nodes.get(pod.nominated)
    return node is not None and any(p.terminating and p.priority < pod.priority for p in node.pods.values())


def _victims(pod: PodInfo, node: NodeInfo) -> tuple[PodInfo, ...] | Verdict:
    lower = sorted((p for p in node.pods.values() if p.priority < pod.priority), key=_importance)
    if not lower:
        return Verdict((NO_VICTIMS,), curable=False)
    trial = node.copy()
    for victim in lower:
        trial.remove(victim.uid)
    verdict = filter_node(pod, trial)
    if verdict is not None:
        return verdict
    victims = []
    for candidate in lower:
        trial.add(candidate)
        if filter_node(pod, trial) is not None:
            trial.remove(candidate.uid)
            victims.append(candidate)
    return tuple(victims)


def _importance(pod: PodInfo) -> tuple[int, str, str]:
    return (-pod.priority, pod.started or pod.created, pod.uid)


def _harm(preemption: Preemption) -> tuple[int, int, int, tuple[int, ...], str]:
    victims = preemption.victims
    highest = max((p.priority for p in victims), default=-(2**31))
    start = _earliest_start(p for p in victims if p.priority == highest)
    return (highest, sum(p.priority + 2**31 for p in victims), len(victims), start, preemption.node)


def _earliest_start(victims: Iterable[PodInfo]) -> tuple[int, ...]:
    """Sorts later starts first: the pods that lose least work."""
    first = min((p.started or p.created for p in victims), default="")
    return tuple(-ord(character) for character in first)
