"""Why a pod has no node yet: a class per cause, each with its words and with how long to bear it."""

import re
from math import inf

from gpuspawner.errors import Way
from gpuspawner.quantity import format_bytes, say_cores

from .inventory import Stock
from .outlook import Outlook
from .pod_error import ADMINISTRATOR, RECONSIDER, PodError, count, plain

__all__ = [
    "ClaimMissingError",
    "ClaimPendingError",
    "DeviceClaimError",
    "GPUsTakenError",
    "MakingRoomError",
    "NoNodeError",
    "NoSuchGPUError",
    "NodeComingError",
    "NodesClosedError",
    "NodesFullError",
    "QueuedError",
    "RepelledError",
    "TooLargeError",
    "TooManyGPUsError",
    "VolumeElsewhereError",
]

# cluster-autoscaler: "pod triggered scale-up: [{pool 1->2 (max: 5)}]"; several groups are separated by a space.
_SCALE_UP = re.compile(r"\{(\S+) (\d+)->(\d+) \(max: \d+\)\}")
# Karpenter: "Pod should schedule on: nodeclaim/default-x7k2p", with ", node/ip-10-0-0-1" once that is known.
_NOMINATED = re.compile(r"should schedule on: (nodeclaim|node)/([^\s,]+)")


class ClaimMissingError(PodError):
    """The pod names a PersistentVolumeClaim that does not exist."""

    code = "claim_missing"
    ways = ()
    patience = RECONSIDER

    def __init__(self, claim: str, detail: str = "") -> None:
        super().__init__(f"The storage {plain(claim)} does not exist (PersistentVolumeClaim).", ADMINISTRATOR, detail)


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

    def __init__(self, detail: str = "", *, outlook: Outlook | None = None) -> None:
        place = "" if outlook is None else f" {outlook.queue}." if outlook.queue else " It is next."
        super().__init__(f"The server waits in the cluster's queue.{place}", "Wait; it starts by itself.", detail)


class MakingRoomError(PodError):
    """A node has been found, where pods of lower priority end to make room (``status.nominatedNodeName``)."""

    code = "making_room"
    patience = inf

    def __init__(self, node: str, detail: str = "") -> None:
        super().__init__(f"Node {plain(node, 60)} makes room for the server.", "Wait, it starts by itself.", detail)


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
    ways = (Way.GPU_CLASS, Way.NO_GPU)
    patience = RECONSIDER

    def __init__(self, title: str, detail: str = "") -> None:
        what = f"{plain(title)} GPU" if title else "GPU of this kind"
        super().__init__(f"No node of the cluster has a {what}.", "Choose another GPU class.", detail)


class TooManyGPUsError(PodError):
    """More GPUs than any one node has."""

    code = "too_many_gpus"
    ways = (Way.GPUS, Way.GPU_CLASS)
    patience = RECONSIDER

    def __init__(self, stock: Stock, detail: str = "") -> None:
        super().__init__(
            f"You asked for {_gpus(stock.gpus, stock.title)}; no node has more than {stock.most_on_a_node}.",
            f"Ask for at most {stock.most_on_a_node}.",
            detail,
        )
        self.at_most = {"gpus": stock.most_on_a_node}


class TooLargeError(PodError):
    """More CPU or memory than any node that could be used has."""

    code = "too_large"
    ways = (Way.FITTING, Way.GPU_CLASS)
    patience = RECONSIDER

    def __init__(self, stock: Stock, detail: str = "") -> None:
        having = f" with a {plain(stock.title)} GPU" if stock.title else ""
        asked = f"{say_cores(stock.cpu / 1000)} and {format_bytes(stock.memory)}"
        if stock.memory > stock.most_memory:
            reason = f"You asked for {format_bytes(stock.memory)} of memory; no node{having} has more than "
            reason, remedy = reason + format_bytes(stock.most_memory), "Ask for less memory"
        elif stock.cpu > stock.most_cpu:
            asked, most = say_cores(stock.cpu / 1000), say_cores(stock.most_cpu / 1000)
            reason = f"You asked for {asked}; no node{having} has more than {most}"
            remedy = "Ask for fewer CPU cores"
        else:
            gpus = f"{_gpus(stock.gpus, stock.title)}, " if stock.gpus else ""
            reason, remedy = f"No node has {gpus}{asked} together", "Ask for less of one of them"
        super().__init__(f"{reason}.", f"{remedy}; some of every node is kept for the system.", detail)
        self.at_most = {"memory": stock.most_memory, "cpu": stock.most_cpu / 1000}


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
    ways = (Way.GPU_CLASS, Way.NO_GPU)
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
    ways = ()
    patience = RECONSIDER

    def __init__(self, detail: str = "") -> None:
        super().__init__("No node of the cluster takes servers of this kind.", ADMINISTRATOR, detail)


def _gpus(number: int, title: str) -> str:
    return count(number, f"{plain(title)} GPU" if title else "GPU")


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
