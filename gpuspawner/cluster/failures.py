"""Why a pod does not run or runs no more: a class per cause, each with its words and with how long to bear it."""

import re
from math import inf
from typing import ClassVar

from gpuspawner.errors import ServerFailedError
from gpuspawner.quantity import format_bytes, format_cores

from .inventory import Stock
from .outlook import Outlook

__all__ = [
    "RECONSIDER",
    "ClaimMissingError",
    "ClaimPendingError",
    "DeletedError",
    "DeviceClaimError",
    "EvictedError",
    "ExitedError",
    "GPUsTakenError",
    "ImageDelayedError",
    "ImageMissingError",
    "ImageNameError",
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

RECONSIDER = 20.0
"""The patience with what no waiting mends, unless an autoscaler adds a node; a profile may set another."""
_ADMINISTRATOR = "Tell the administrator of the hub; nothing you can choose changes it."
_AGAIN = "Start it again; your files are kept."


class PodError(ServerFailedError):
    """A problem a pod has now. ``reason`` and ``remedy`` are plain text, never HTML."""

    patience: ClassVar[float] = 0.0
    """Seconds the problem may last before it ends a launch: 0 at once, infinity as long as the launch may wait."""

    @property
    def final(self) -> bool:
        """Whether it ends a launch at once."""
        return self.patience == 0


class ImageNameError(PodError):
    """InvalidImageName."""

    code = "image_name"

    def __init__(self, image: str, detail: str = "") -> None:
        super().__init__(f"{plain(image)} is not a valid image name.", "Correct the name of the image.", detail)


class ImageMissingError(PodError):
    """ErrImagePull or ImagePullBackOff for good: no such image, or no right to pull it."""

    code = "image_missing"

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

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(f"Kubernetes cannot set up the server: {plain(what).rstrip('.')}.", _ADMINISTRATOR, detail)


class ExitedError(PodError):
    """The server's process ended: at once, in a crash loop, or later by itself."""

    code = "exited"

    def __init__(self, exit_code: int | None, log: str = "", *, ran: bool = False, detail: str = "") -> None:
        when = "ended" if ran else "ended before it was ready"
        with_code = "" if exit_code is None else f" (exit code {exit_code}{_EXIT_CODES.get(exit_code, '')})"
        lines = [line for line in plain(log, 4000, lines=True).splitlines() if line.strip()]
        said = f' The last line of its log: "{plain(lines[-1])}"' if lines else ""
        remedy = (
            _AGAIN if ran else "Choose another profile or image; the log says more to the administrator of the hub."
        )
        super().__init__(f"The server {when}{with_code}.{said}", remedy, "\n".join(lines[-20:]) or detail)


class SilentError(PodError):
    """The server's process runs and does not answer HTTP. ``timeout`` in seconds."""

    code = "silent"

    def __init__(self, timeout: int, log: str = "") -> None:
        super().__init__(
            f"The server runs, but did not answer within {timeout} s.",
            "Try again; if it stays so, choose another profile or image.",
            plain(log, 4000, lines=True),
        )


class OOMKilledError(PodError):
    """The kernel ended the server for using more than its memory limit (bytes)."""

    code = "out_of_memory"

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
        super().__init__(f"{plain(why)} (evicted).", _AGAIN, detail)


class RuntimeLimitError(PodError):
    """DeadlineExceeded: ``activeDeadlineSeconds`` has passed."""

    code = "runtime_limit"

    def __init__(self, detail: str = "") -> None:
        super().__init__("The server reached its runtime limit.", _AGAIN, detail)


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

    def __init__(self, node: str, detail: str = "") -> None:
        super().__init__(f"Node {plain(node)} was lost, and the server on it.", _AGAIN, detail)


class NodeRefusedError(PodError):
    """The node could not take the pod that had been placed on it (OutOfcpu, UnexpectedAdmissionError)."""

    code = "node_refused"

    def __init__(self, node: str, detail: str = "") -> None:
        super().__init__(f"Node {plain(node)} could not take the server after all.", "Start it again.", detail)


class DeletedError(PodError):
    """The pod is gone and left no cause."""

    code = "deleted"

    def __init__(self, detail: str = "") -> None:
        super().__init__("The server's pod was deleted from outside the hub.", _AGAIN, detail)


class UnseenEndError(PodError):
    """The pod went while the hub did not look, and left no cause."""

    code = "unseen_end"

    def __init__(self) -> None:
        super().__init__("The server ended while the hub was not running, and nothing is left that says why.", _AGAIN)


class ClaimMissingError(PodError):
    """The pod names a PersistentVolumeClaim that does not exist."""

    code = "claim_missing"
    patience = RECONSIDER

    def __init__(self, claim: str, detail: str = "") -> None:
        super().__init__(f"The storage {plain(claim)} does not exist (PersistentVolumeClaim).", _ADMINISTRATOR, detail)


class ClaimPendingError(PodError):
    """A PersistentVolumeClaim has no volume yet."""

    code = "claim_pending"
    patience = inf

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            "The storage for your files is not ready yet (unbound PersistentVolumeClaim).",
            "Wait a minute; if it stays so, tell the administrator of the hub.",
            detail,
        )


class DeviceClaimError(PodError):
    """FailedResourceClaimCreation: Kubernetes cannot make the claim of devices, or not yet."""

    code = "device_claim"
    patience = 30.0

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            "Kubernetes could not prepare the claim of a GPU for the server.",
            "Try again; if it stays so, tell the administrator of the hub.",
            detail,
        )


class VolumeElsewhereError(PodError):
    """The volume is tied to a zone or node where there is no room."""

    code = "volume_elsewhere"
    patience = inf

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            "The volume with your files is tied to nodes that have no room for this server.",
            "Wait, or choose another GPU class; if it stays so, tell the administrator of the hub.",
            detail,
        )


class QueuedError(PodError):
    """The pod has scheduling gates: a queue such as Kueue has not admitted it yet."""

    code = "queued"
    patience = inf

    def __init__(self, detail: str = "") -> None:
        super().__init__("The server waits in the cluster's queue.", "Wait; it starts by itself.", detail)


class GPUsTakenError(PodError):
    """There are GPUs of the kind, and none (or not enough on one node) is free."""

    code = "gpus_taken"
    patience = inf

    def __init__(
        self, stock: Stock | None, detail: str = "", *, outlook: Outlook | None = None, full: str = ""
    ) -> None:
        told = _taken(stock, outlook)
        if full:
            told += f" The autoscaler adds no node for it ({plain(full, 120)})."
        if outlook is not None and outlook.estimate:
            told += f" {outlook.estimate}"
        super().__init__(told, "Wait, it starts by itself; or choose another GPU class.", detail)


class NoSuchGPUError(PodError):
    """No node has the GPU that was asked for."""

    code = "no_such_gpu"
    patience = RECONSIDER

    def __init__(self, title: str, detail: str = "") -> None:
        what = f"{plain(title)} GPU" if title else "GPU of this kind"
        super().__init__(f"No node of the cluster has a {what}.", "Choose another GPU class.", detail)


class TooManyGPUsError(PodError):
    """More GPUs than any one node has."""

    code = "too_many_gpus"
    patience = RECONSIDER

    def __init__(self, stock: Stock, detail: str = "") -> None:
        super().__init__(
            f"You asked for {_gpus(stock.gpus, stock.title)}; no node has more than {stock.most_on_a_node}.",
            f"Ask for at most {stock.most_on_a_node}.",
            detail,
        )


class TooLargeError(PodError):
    """More CPU or memory than any node that could be used has."""

    code = "too_large"
    patience = RECONSIDER

    def __init__(self, stock: Stock, detail: str = "") -> None:
        having = f" with a {plain(stock.title)} GPU" if stock.title else ""
        asked = f"{_cores(stock.cpu)} and {format_bytes(stock.memory)}"
        if stock.memory > stock.most_memory:
            reason = f"You asked for {format_bytes(stock.memory)} of memory; no node{having} has more than "
            reason, remedy = reason + format_bytes(stock.most_memory), "Ask for less memory"
        elif stock.cpu > stock.most_cpu:
            reason = f"You asked for {_cores(stock.cpu)}; no node{having} has more than {_cores(stock.most_cpu)}"
            remedy = "Ask for fewer CPU cores"
        else:
            gpus = f"{_gpus(stock.gpus, stock.title)}, " if stock.gpus else ""
            reason, remedy = f"No node has {gpus}{asked} together", "Ask for less of one of them"
        super().__init__(f"{reason}.", f"{remedy}; some of every node is kept for the system.", detail)


class NodesFullError(PodError):
    """Nodes are large enough and full of other pods."""

    code = "nodes_full"
    patience = inf

    def __init__(self, stock: Stock | None, lacking: str = "", detail: str = "") -> None:
        of = f" {plain(lacking)}" if lacking else " room"
        where = f"The nodes with {plain(stock.title)} GPUs have" if stock and stock.title else "The cluster has"
        super().__init__(
            f"{where} not enough{of} free right now.", "Wait, it starts by itself; or ask for less.", detail
        )


class NodesClosedError(PodError):
    """Every node that could be used is cordoned, not ready, or being removed."""

    code = "nodes_closed"
    patience = inf

    def __init__(self, stock: Stock, detail: str = "") -> None:
        which = f"{count(stock.nodes, 'node')} with {plain(stock.title)} GPUs" if stock.title else "nodes"
        is_are = "is" if stock.title and stock.nodes == 1 else "are"
        super().__init__(
            f"{'The' if stock.title else 'All'} {which} {is_are} closed for maintenance or not ready.",
            "Wait, it starts by itself; or choose another GPU class." if stock.gpus else "Wait, it starts by itself.",
            detail,
        )


class NodeComingError(PodError):
    """No node has room, and an autoscaler is adding one. ``detail`` is what its event says."""

    code = "node_coming"
    patience = inf

    def __init__(self, detail: str = "") -> None:
        groups = _SCALE_UP.findall(detail)
        if groups:
            pools = ", ".join(f"{plain(name.rsplit('/', 1)[-1], 60)} grows from {a} to {b}" for name, a, b in groups)
            told = f"No node has room yet; the cluster is adding one ({pools}), which takes minutes."
        elif nominated := _NOMINATED.search(detail):
            told = (
                f"No node has room yet; the cluster is adding one ({plain(nominated[2], 60)}), which takes minutes."
                if nominated[1] == "nodeclaim"
                else f"Node {plain(nominated[2], 60)} will probably take the server as soon as it has room."
            )
        else:
            told = "No node has room yet; the cluster is adding one, which takes minutes."
        super().__init__(told, "Wait, it starts by itself.", detail)


class RepelledError(PodError):
    """Every node that could be used has a taint that the pod does not tolerate."""

    code = "repelled"
    patience = RECONSIDER

    def __init__(self, stock: Stock, detail: str = "") -> None:
        what = f" with {plain(stock.title)} GPUs" if stock.title else ""
        taints = ", ".join(stock.repelled_by)
        super().__init__(
            f"The nodes{what} do not take servers of this hub (taint {plain(taints)}).",
            "Choose another GPU class, and tell the administrator of the hub that a toleration is missing.",
            detail,
        )


class NoNodeError(PodError):
    """No node satisfies the pod's node selector and affinity."""

    code = "no_node"
    patience = RECONSIDER

    def __init__(self, detail: str = "") -> None:
        super().__init__("No node of the cluster takes servers of this kind.", _ADMINISTRATOR, detail)


# cluster-autoscaler: "pod triggered scale-up: [{pool 1->2 (max: 5)}]"; several groups are separated by a space.
_SCALE_UP = re.compile(r"\{(\S+) (\d+)->(\d+) \(max: \d+\)\}")
# Karpenter: "Pod should schedule on: nodeclaim/default-x7k2p", with ", node/ip-10-0-0-1" once that is known.
_NOMINATED = re.compile(r"should schedule on: (nodeclaim|node)/([^\s,]+)")
_EXIT_CODES = {126: ": the command may not be run", 127: ": the command was not found", 137: ": it was killed"}


def plain(text: str, limit: int = 300, *, lines: bool = False) -> str:
    """Foreign text without control characters and, unless ``lines``, on one line; at most ``limit`` characters."""
    text = "".join(c if c.isprintable() or (lines and c == "\n") else " " for c in text[:20_000])
    if not lines:
        text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def count(number: int, what: str) -> str:
    """A number with its noun: ``"1 node"``, ``"3 nodes"``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _gpus(number: int, title: str) -> str:
    return count(number, f"{plain(title)} GPU" if title else "GPU")


def _cores(milli: int) -> str:
    return f"{format_cores(milli / 1000)} CPU core{'' if milli == 1000 else 's'}"


def _taken(stock: Stock | None, outlook: Outlook | None) -> str:
    if stock is None:
        return f"No GPU of this kind is free right now{_behind(0, outlook)}."
    ahead = _behind(stock.waiting, outlook)
    if 0 < stock.most_free_on_a_node < stock.gpus:
        free = f"{_gpus(stock.free, stock.title)} {'is' if stock.free == 1 else 'are'} free, but no node has"
        return f"{free} the {stock.gpus} you asked for together{ahead}."
    if stock.total == 1:
        return f"The only {_gpus(1, stock.title).removeprefix('1 ')} is taken{ahead}."
    return f"All {_gpus(stock.total, stock.title)} are taken{ahead}."


def _behind(waiting: int, outlook: Outlook | None) -> str:
    """Who else waits: in the order of the queue where it is known."""
    if outlook is not None:
        return f"; {outlook.queue}" if outlook.queue else ""
    return f"; {count(waiting, 'other')} {'waits' if waiting == 1 else 'wait'} for a GPU" if waiting else ""
