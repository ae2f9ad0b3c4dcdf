"""A pod's life in plain words: events, conditions and container states -> progress, problems and how it ended. Pure.

Text from Kubernetes is foreign: what is returned here is plain text without control characters, never HTML.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gpuspawner.sessions.lease import BUDGET_USED_UP, ended_by, ends_with_budget

from . import failures
from .failures import PodError, plain
from .inventory import Stock
from .outlook import Outlook
from .records import PodRecord
from .scheduling import unschedulable
from .wire import Raw

__all__ = [
    "MENDED_BY_ANOTHER_CLASS",
    "STORAGE",
    "EventRecord",
    "Phase",
    "Progress",
    "Step",
    "diagnose",
    "ended",
    "event_record",
    "progress",
]


class Phase(StrEnum):
    """Where a launch is; the order is that of a launch."""

    ACCEPTED = "accepted"
    WAITING = "waiting"
    NODE_COMING = "node-coming"
    SCHEDULED = "scheduled"
    PULLING = "pulling"
    PULLED = "pulled"
    STARTING = "starting"
    READY = "ready"


class Step(StrEnum):
    """What a member waits for, in the order of a launch; coarser than the phases."""

    ACCEPTED = "accepted"
    PLACE = "place"
    NODE = "node"
    STORAGE = "storage"
    IMAGE = "image"
    STARTING = "starting"
    READY = "ready"


_STEPS = {
    Phase.ACCEPTED: Step.ACCEPTED,
    Phase.WAITING: Step.PLACE,
    Phase.NODE_COMING: Step.NODE,
    Phase.SCHEDULED: Step.STORAGE,
    Phase.PULLING: Step.IMAGE,
    Phase.PULLED: Step.STARTING,
    Phase.STARTING: Step.STARTING,
    Phase.READY: Step.READY,
}
_PERCENT = {
    Phase.ACCEPTED: 5,
    Phase.WAITING: 10,
    Phase.NODE_COMING: 15,
    Phase.SCHEDULED: 30,
    Phase.PULLING: 40,
    Phase.PULLED: 70,
    Phase.STARTING: 80,
    Phase.READY: 100,
}
_KUBELET = ("Pulling", "Pulled", "Created", "Started")
# Of cluster-autoscaler and Karpenter; within a second the last of them counts.
_AUTOSCALER = ("NotTriggerScaleUp", "TriggeredScaleUp", "Nominated")
_NO_CLAIM = ("FailedResourceClaimCreation",)
_MISSING_IMAGE = re.compile(
    r"not found|manifest unknown|does not exist|name unknown|repository name|no such image|invalid reference", re.I
)
_DENIED_IMAGE = re.compile(r"denied|unauthorized|authentication required|no basic auth|forbidden", re.I)
_PASSING = re.compile(
    r"toomanyrequests|too many requests|timeout|timed out|deadline exceeded|connection re(?:fused|set)|EOF|"
    r"no such host|temporary failure|unavailable|bad gateway|server error|TLS handshake|QPS exceeded",
    re.I,
)
_SETUP = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError", "ErrImageNeverPull"}
)
_MENDED_BY_A_NODE = (
    failures.GPUsTakenError,
    failures.NoNodeError,
    failures.NoSuchGPUError,
    failures.NodesClosedError,
    failures.NodesFullError,
    failures.TooLargeError,
    failures.TooManyGPUsError,
)
MENDED_BY_ANOTHER_CLASS = (*_MENDED_BY_A_NODE, failures.NodeComingError, failures.RepelledError)
"""Problems of a pod without a node that it may not have where it asks for another GPU."""
STORAGE = (failures.ClaimPendingError, failures.ClaimMissingError)
"""Problems with what a launch's files are kept on."""
_AFTER_SIGNALS = (None, 0, 137, 143)
_NODE_GONE = frozenset({"NodeLost", "Shutdown", "Terminated", "NodeShutdown"})


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An Event about a pod: its ``time`` is the last occurrence, as Kubernetes' RFC 3339 text."""

    name: str
    uid: str
    type: str
    reason: str
    message: str
    count: int
    time: str


class Progress(NamedTuple):
    """One step of a launch: a sentence for people, 0 to 100 percent, and what Kubernetes itself says.

    ``node`` is the one the pod is on; ``storage``: whether it waits for that. ``outlook`` is what a launch that waits
    for a GPU can expect, and ``within`` the seconds after which it gives up what it waits for. ``at`` is when it was
    told.
    """

    phase: Phase
    message: str
    percent: int
    raw: str = ""
    node: str = ""
    storage: bool = False
    outlook: Outlook | None = None
    within: float | None = None
    at: datetime | None = None

    @property
    def step(self) -> Step:
        """What is waited for."""
        return Step.STORAGE if self.storage else _STEPS[self.phase]


def event_record(raw: Raw) -> EventRecord:
    """The record of a core/v1 Event object; whatever is missing is empty."""
    series = raw.get("series") or {}
    times = (series.get("lastObservedTime"), raw.get("lastTimestamp"), raw.get("eventTime"), raw.get("firstTimestamp"))
    return EventRecord(
        name=(raw.get("metadata") or {}).get("name") or "",
        uid=(raw.get("involvedObject") or {}).get("uid") or "",
        type=raw.get("type") or "",
        reason=raw.get("reason") or "",
        message=plain(raw.get("message") or "", 2000),
        count=series.get("count") or raw.get("count") or 1,
        time=next((time for time in times if time), ""),
    )


def progress(
    pod: PodRecord,
    events: Sequence[EventRecord] = (),
    stock: Stock | None = None,
    outlook: Outlook | None = None,
    pull: str = "",
) -> Progress:
    """Where a launch is now. A problem that may pass is told as what the launch waits for.

    ``outlook`` is what a launch that waits for a GPU can expect; ``pull`` says more of the image that is pulled.
    """
    problem = diagnose(pod, events, stock, outlook)
    phase, message, raw = _step(pod, events, problem, pull)
    storage = isinstance(problem, STORAGE)
    waits = outlook if phase in (Phase.WAITING, Phase.NODE_COMING) and not storage else None
    return Progress(phase, message, _PERCENT[phase], plain(raw, 2000), plain(pod.node), storage, waits)


def diagnose(
    pod: PodRecord, events: Sequence[EventRecord] = (), stock: Stock | None = None, outlook: Outlook | None = None
) -> PodError | None:
    """The problem a starting pod has now, if any; its ``patience`` says whether it ends the launch.

    ``events`` are the pod's own, in any order; ``stock`` is the view's, None where nodes may not be read. A pod that
    has ended or is being deleted is a problem, too: see :func:`ended`.
    """
    if pod.ended or pod.deleting or pod.disruption_reason:
        return ended(pod)
    if not pod.node:
        return _unplaced(pod, events, stock, outlook)
    if pod.ready:
        return None
    if pod.terminated_reason == "OOMKilled":
        return failures.OOMKilledError(pod.memory_limit, pod.terminated_message)
    if pod.waiting_reason:
        return _waiting(pod, events)
    if pod.exit_code is not None and not pod.running:
        return failures.ExitedError(pod.exit_code, pod.terminated_message)
    claim = next((e.message for e in events if e.reason == "FailedMount" and "not found" in e.message), "")
    if claim and not pod.running:
        return (
            failures.ClaimPendingError(claim) if "persistentvolumeclaim" in claim else failures.SetupError(claim, claim)
        )
    return None


def ended(pod: PodRecord | None, log: str = "", *, ran: bool = False) -> PodError:
    """Why a pod has ended or is gone, from the last that was seen of it and the last lines of its log.

    ``ran`` says that the server had been ready before. None is a pod of which nothing is known.
    """
    if pod is None:
        return failures.DeletedError()
    if (cause := ended_by(pod.annotations)) is not None:
        return failures.EndedByHubError(cause.code, cause.reason, cause.remedy)
    message = pod.message or pod.terminated_message
    disruption = pod.disruption_message or message
    if pod.reason == "DeadlineExceeded" and ends_with_budget(pod.annotations):
        return failures.EndedByHubError(*BUDGET_USED_UP)
    if pod.reason == "DeadlineExceeded":
        return failures.RuntimeLimitError(message)
    if pod.terminated_reason == "OOMKilled":
        return failures.OOMKilledError(pod.memory_limit, message)
    if "Preempt" in pod.disruption_reason or pod.reason in ("Preempting", "Preempted"):
        return failures.PreemptedError(disruption)
    if pod.reason in _NODE_GONE or pod.disruption_reason in ("DeletionByTaintManager", "DeletionByPodGC"):
        return failures.NodeLostError(pod.node, disruption)
    if pod.reason == "Evicted" or pod.disruption_reason in ("EvictionByEvictionAPI", "TerminationByKubelet"):
        return failures.EvictedError(pod.node, disruption)
    if pod.reason.startswith("OutOf") or pod.reason in ("UnexpectedAdmissionError", "NodeAffinity", "NodePorts"):
        return failures.NodeRefusedError(pod.node, message)
    if (pod.exit_code is None and not pod.ended) or (pod.deleting and pod.exit_code in _AFTER_SIGNALS):
        return failures.DeletedError(disruption)
    if pod.terminated_reason in _SETUP or pod.terminated_reason == "ContainerCannotRun":
        return failures.SetupError(pod.terminated_message or pod.terminated_reason, message)
    return failures.ExitedError(pod.exit_code, log or pod.terminated_message, ran=ran, detail=message)


def _step(pod: PodRecord, events: Sequence[EventRecord], problem: PodError | None, pull: str) -> tuple[Phase, str, str]:
    newest = _newest(events, _KUBELET)
    if pod.ready:
        return Phase.READY, "The server is ready.", ""
    if problem is not None:
        if isinstance(problem, failures.NodeComingError):
            return Phase.NODE_COMING, problem.reason, problem.detail
        return Phase.PULLING if pod.node else Phase.WAITING, problem.reason, problem.detail
    if not pod.node:
        return Phase.ACCEPTED, "Kubernetes has taken the request and looks for a node.", ""
    node, image = plain(pod.node), plain(pod.image)
    if pod.running or (newest and newest.reason == "Started"):
        return Phase.STARTING, f"The server is starting on node {node}.", newest.message if newest else ""
    if newest is None:
        return Phase.SCHEDULED, f"Node {node} was found; the server is being set up there.", ""
    if newest.reason == "Pulling":
        more = pull or "; the first time this takes minutes"
        return Phase.PULLING, f"Node {node} is pulling the image {image}{more}.", newest.message
    return Phase.PULLED, f"Node {node} has the image{pull}; the server is being set up.", newest.message


def _unplaced(
    pod: PodRecord, events: Sequence[EventRecord], stock: Stock | None, outlook: Outlook | None
) -> PodError | None:
    if not pod.scheduled_message:
        no_claim = _newest(events, _NO_CLAIM) if "" in pod.claims else None
        return failures.DeviceClaimError(no_claim.message) if no_claim else None
    if pod.nominated:
        return failures.MakingRoomError(pod.nominated, pod.scheduled_message)
    said = _newest(events, _AUTOSCALER)
    refused = said is not None and said.reason == "NotTriggerScaleUp"
    problem = unschedulable(pod, stock, outlook, said.message.partition(": ")[2] if said and refused else "")
    if said is not None and not refused and isinstance(problem, _MENDED_BY_A_NODE):
        return failures.NodeComingError(said.message)
    return problem


def _waiting(pod: PodRecord, events: Sequence[EventRecord]) -> PodError | None:
    reason, message = pod.waiting_reason, pod.waiting_message
    if reason == "InvalidImageName":
        return failures.ImageNameError(pod.image, message)
    if reason in ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"):
        return _image(pod, events)
    if reason == "CrashLoopBackOff":
        return failures.ExitedError(pod.exit_code, pod.terminated_message, detail=message)
    if reason in _SETUP and not _PASSING.search(message):
        return failures.SetupError(message or reason, message)
    return None


def _image(pod: PodRecord, events: Sequence[EventRecord]) -> PodError:
    """Kubelets before 1.31 tell the cause of a back-off only in the event."""
    pulls = [event for event in events if event.reason == "Failed" and "pull" in event.message]
    failed = max(pulls, key=lambda event: event.time, default=None)
    message = pod.waiting_message
    if failed is not None and (pod.waiting_reason == "ImagePullBackOff" and "rror" not in message):
        message = f"{message} {failed.message}"
    told = message.replace(pod.image, "")
    if _DENIED_IMAGE.search(told) and not _MISSING_IMAGE.search(told):
        return failures.ImageMissingError(pod.image, message, denied=True)
    if _MISSING_IMAGE.search(told):
        return failures.ImageMissingError(pod.image, message)
    if pod.waiting_reason == "ImagePullBackOff" and "rror" in told and not _PASSING.search(told):
        return failures.ImageMissingError(pod.image, message)
    return failures.ImageDelayedError(pod.image, message)


def _newest(events: Sequence[EventRecord], reasons: Sequence[str]) -> EventRecord | None:
    """The latest of some events; within a second, which is all that kubelets tell, in the order of ``reasons``."""
    order = {reason: place for place, reason in enumerate(reasons)}
    return max((e for e in events if e.reason in order), key=lambda e: (e.time[:19], order[e.reason]), default=None)
