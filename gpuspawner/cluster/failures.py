"""Why a pod does not run or runs no more: a class per cause, each with its words and with how long to bear it."""

import re
from math import inf

from gpuspawner.errors import Way
from gpuspawner.quantity import format_bytes

from .pod_error import ADMINISTRATOR, AGAIN, RECONSIDER, PodError, count, plain
from .unplaced import (
    ClaimMissingError,
    ClaimPendingError,
    DeviceClaimError,
    GPUsTakenError,
    MakingRoomError,
    NodeComingError,
    NodesClosedError,
    NodesFullError,
    NoNodeError,
    NoSuchGPUError,
    QueuedError,
    RepelledError,
    TooLargeError,
    TooManyGPUsError,
    VolumeElsewhereError,
)

__all__ = [
    "RECONSIDER",
    "ClaimMissingError",
    "ClaimPendingError",
    "DeletedError",
    "DeviceClaimError",
    "EndedByHubError",
    "EvictedError",
    "ExitedError",
    "GPUsTakenError",
    "ImageDelayedError",
    "ImageMissingError",
    "ImageNameError",
    "MakingRoomError",
    "NoNodeError",
    "NoSuchGPUError",
    "NodeComingError",
    "NodeLostError",
    "NodeRefusedError",
    "NodesClosedError",
    "NodesFullError",
    "OOMKilledError",
    "PodError",
    "PreemptedError",
    "QueuedError",
    "RepelledError",
    "RuntimeLimitError",
    "SetupError",
    "SilentError",
    "TooLargeError",
    "TooManyGPUsError",
    "UnseenEndError",
    "VolumeElsewhereError",
    "count",
    "plain",
]

_EXIT_CODES = {126: ": the command may not be run", 127: ": the command was not found", 137: ": it was killed"}


class ImageNameError(PodError):
    """InvalidImageName."""

    code = "image_name"
    ways = (Way.IMAGE,)

    def __init__(self, image: str, detail: str = "") -> None:
        super().__init__(f"{plain(image)} is not a valid image name.", "Correct the name of the image.", detail)


class ImageMissingError(PodError):
    """ErrImagePull or ImagePullBackOff for good: no such image, or no right to pull it."""

    code = "image_missing"
    ways = (Way.IMAGE,)

    def __init__(self, image: str, detail: str = "", *, denied: bool = False) -> None:
        why = "may not be pulled by this cluster" if denied else "does not exist, or this cluster may not pull it"
        remedy = "Choose another profile or image; if the profile names this one, tell the administrator of the hub."
        super().__init__(f"The image {plain(image)} {why}.", remedy, detail)


class ImageDelayedError(PodError):
    """A pull failed for a reason that passes: the registry is slow, busy or away."""

    code = "image_delayed"
    patience = inf

    def __init__(self, image: str, detail: str = "") -> None:
        super().__init__(
            f"The registry did not deliver the image {plain(image)} yet; Kubernetes tries again.",
            "Wait, or choose another profile.",
            detail,
        )


class SetupError(PodError):
    """The kubelet cannot make or start the container: a Secret that is not there, a command that does not exist."""

    code = "setup"
    ways = ()

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(f"Kubernetes cannot set up the server: {plain(what).rstrip('.')}.", ADMINISTRATOR, detail)


class ExitedError(PodError):
    """The server's process ended: at once, in a crash loop, or later by itself."""

    code = "exited"

    def __init__(self, exit_code: int | None, log: str = "", *, ran: bool = False, detail: str = "") -> None:
        when = "ended" if ran else "ended before it was ready"
        with_code = "" if exit_code is None else f" (exit code {exit_code}{_EXIT_CODES.get(exit_code, '')})"
        lines = [line for line in plain(log, 4000, lines=True).splitlines() if line.strip()]
        said = f' The last line of its log: "{plain(lines[-1])}"' if lines else ""
        remedy = AGAIN if ran else "Choose another profile or image; the log says more to the administrator of the hub."
        super().__init__(f"The server {when}{with_code}.{said}", remedy, "\n".join(lines[-20:]) or detail)
        self.ways = (Way.AGAIN,) if ran else (Way.IMAGE,)


class SilentError(PodError):
    """The server's process runs and does not answer HTTP. ``timeout`` in seconds."""

    code = "silent"
    ways = (Way.AGAIN, Way.IMAGE)

    def __init__(self, timeout: int, log: str = "") -> None:
        super().__init__(
            f"The server runs, but did not answer within {timeout} s.",
            "Try again; if it stays so, choose another profile or image.",
            plain(log, 4000, lines=True),
        )


class OOMKilledError(PodError):
    """The kernel ended the server for using more than its memory limit (bytes)."""

    code = "out_of_memory"
    ways = (Way.MEMORY, Way.AGAIN)

    def __init__(self, limit: int, detail: str = "") -> None:
        most = f" than its {format_bytes(limit)}" if limit else " than it was given"
        super().__init__(
            f"The server used more memory{most} and was ended.",
            "Start it with more memory, or load less data at once; your files are kept.",
            detail,
        )


class EvictedError(PodError):
    """The kubelet or an administrator moved the pod off its node."""

    code = "evicted"

    def __init__(self, node: str, detail: str = "") -> None:
        short = re.search(r"low on resource: ([a-z-]+)", detail)
        why = (
            f"Node {node} ran short of {short[1]} and ended the server" if short else f"The server was moved off {node}"
        )
        super().__init__(f"{plain(why)} (evicted).", AGAIN, detail)


class RuntimeLimitError(PodError):
    """DeadlineExceeded: ``activeDeadlineSeconds`` has passed."""

    code = "runtime_limit"

    def __init__(self, detail: str = "") -> None:
        super().__init__("The server reached its runtime limit.", AGAIN, detail)


class PreemptedError(PodError):
    """kube-scheduler or a queue gave the place to a pod of higher priority."""

    code = "preempted"

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            "Work of higher priority took the server's place on its node (preempted).",
            "Start it again; it then waits until there is room. Your files are kept.",
            detail,
        )


class NodeLostError(PodError):
    """The node stopped answering or was removed or shut down."""

    code = "node_lost"
    ways = (Way.AGAIN, Way.GPU_CLASS)

    def __init__(self, node: str, detail: str = "") -> None:
        super().__init__(f"Node {plain(node)} was lost, and the server on it.", AGAIN, detail)


class NodeRefusedError(PodError):
    """The node could not take the pod that had been placed on it (OutOfcpu, UnexpectedAdmissionError)."""

    code = "node_refused"

    def __init__(self, node: str, detail: str = "") -> None:
        super().__init__(f"Node {plain(node)} could not take the server after all.", "Start it again.", detail)


class DeletedError(PodError):
    """The pod is gone and left no cause."""

    code = "deleted"

    def __init__(self, detail: str = "") -> None:
        super().__init__("The server's pod was deleted from outside the hub.", AGAIN, detail)


class EndedByHubError(PodError):
    """The hub itself ended the server, and an annotation of the pod says why; ``code`` is which kind of end it was."""

    def __init__(self, code: str, reason: str, remedy: str) -> None:
        super().__init__(plain(reason), plain(remedy))
        self.code = code


class UnseenEndError(PodError):
    """The pod went while the hub did not look, and left no cause."""

    code = "unseen_end"

    def __init__(self) -> None:
        super().__init__("The server ended while the hub was not running, and nothing is left that says why.", AGAIN)
