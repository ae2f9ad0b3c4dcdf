"""Phase and conditions of a pod from what its containers do, as the kubelet works them out.  Pure."""

from collections.abc import Sequence

from gpuspawner.local.apiserver.store import Object

__all__ = ["conditions", "phase"]


def phase(policy: str, init: Sequence[Object], main: Sequence[Object], sidecars: frozenset[str] = frozenset()) -> str:
    """The phase of a pod with this restartPolicy and these ContainerStatuses.

    ``sidecars`` names the init containers that keep running. Source: ``getPhase`` in pkg/kubelet/kubelet_pods.go.
    """
    for status in init:
        ended = status["state"].get("terminated")
        if status["name"] in sidecars:
            if not status["started"] and not _ever_ran(status) and not _any_ran(main):
                return "Pending"
        elif ended and ended["exitCode"] != 0 and policy == "Never":
            return "Failed"
        elif not (ended and ended["exitCode"] == 0):
            return "Pending"
    if any("waiting" in status["state"] and not status["lastState"] for status in main):
        return "Pending"
    if any("running" in status["state"] for status in main):
        return "Running"
    if policy == "Always":
        return "Running"
    codes = [_exit_code(status) for status in main]
    if not any(codes):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _exit_code(status: Object) -> int:
    ended = status["state"].get("terminated") or status["lastState"].get("terminated") or {"exitCode": 0}
    return int(ended["exitCode"])


def _ever_ran(status: Object) -> bool:
    return bool(status["lastState"]) or "waiting" not in status["state"]


def _any_ran(statuses: Sequence[Object]) -> bool:
    return any(_ever_ran(status) for status in statuses)


def conditions(
    before: Sequence[Object],
    *,
    now: str,
    phase: str,
    prepared: bool,
    initialized: bool,
    init: Sequence[Object],
    main: Sequence[Object],
) -> list[Object]:
    """The kubelet's four conditions, after those that others have set and which stay.

    Parameters
    ----------
    before
        The conditions so far; a transition time stays while the status does.
    prepared
        Whether the pod's volumes and address are there.
    initialized
        Whether all init containers have done their part.
    """
    unready = [status["name"] for status in main if not status["ready"]]
    waiting = [status["name"] for status in init if not status["ready"]]
    found: list[tuple[str, bool, str, str]] = []
    ended = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "")
    if initialized:
        found.append(("Initialized", True, "PodCompleted" if phase == "Succeeded" else "", ""))
    else:
        words = f"containers with incomplete status: [{' '.join(waiting)}]"
        found.append(("Initialized", False, "ContainersNotInitialized", words))
    found.append(("PodReadyToStartContainers", prepared and not ended, "", ""))
    reason = ended or "ContainersNotReady"
    message = "" if ended else f"containers with unready status: [{' '.join(unready)}]"
    for kind in ("ContainersReady", "Ready"):
        well = not unready and not ended
        found.append((kind, well, "" if well else reason, "" if well else message))
    kept = [condition for condition in before if condition["type"] not in {name for name, *_ in found}]
    old = {condition["type"]: condition for condition in before}
    return kept + [_condition(name, good, why, words, old.get(name), now) for name, good, why, words in found]


def _condition(name: str, good: bool, reason: str, message: str, old: Object | None, now: str) -> Object:
    status = "True" if good else "False"
    since = old["lastTransitionTime"] if old and old["status"] == status else now
    condition = {"type": name, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    return condition | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})
