"""Why kube-scheduler finds no node for a pod, from its sentence and from what the nodes have. Pure."""

import re

from . import failures
from .failures import PodError
from .inventory import Stock
from .outlook import Outlook
from .records import PodRecord

__all__ = ["reasons", "unschedulable"]

_REASON = re.compile(r"(\d+) (\S.*)")
_MISSING_CLAIM = re.compile(r'persistentvolumeclaim "([^"]*)" not found')


def reasons(message: str) -> dict[str, int]:
    """How many nodes were turned down for what, from "0/16 nodes are available: 14 node(s) didn't match ..., 2 ...".

    What follows about preemption is left out. Empty for a sentence of another form.
    """
    _, found, rest = message.partition(" nodes are available: ")
    if not found:
        return {}
    first = rest.partition(" preemption: ")[0].partition(". ")[0].rstrip(".")
    matches = [match for part in first.split(", ") if (match := _REASON.fullmatch(part))]
    return {match[2]: int(match[1]) for match in matches}


def unschedulable(
    pod: PodRecord, stock: Stock | None, outlook: Outlook | None = None, autoscaler: str = ""
) -> PodError:
    """The cause behind the ``PodScheduled`` condition's message of a pod without a node.

    ``stock`` tells "busy" from "can never be"; without it (the hub may not read nodes) the sentence alone must do.
    ``outlook`` is what a launch that waits for a GPU can expect; ``autoscaler`` why it adds no node, if it said so.
    """
    message = pod.scheduled_message
    if pod.gated:
        return failures.QueuedError(message, outlook=outlook)
    if missing := _MISSING_CLAIM.search(message):
        return failures.ClaimMissingError(missing[1], message)
    if "unbound immediate PersistentVolumeClaims" in message:
        return failures.ClaimPendingError(message)
    turned_down = reasons(message)
    lacking = {text.removeprefix("Insufficient ") for text in turned_down if text.startswith("Insufficient ")}
    if stock is None:
        return _by_sentence(pod, lacking, turned_down, message, outlook)
    impossible = _impossible(stock, message)
    if impossible is not None:
        return impossible
    if any("volume node affinity" in text for text in turned_down):
        return failures.VolumeElsewhereError(message)
    if stock.resource and (stock.most_free_on_a_node < stock.gpus or stock.resource in lacking):
        return failures.GPUsTakenError(stock, message, outlook=outlook, full=autoscaler)
    if not lacking and not stock.resource and turned_down:
        return failures.NoNodeError(message)
    return failures.NodesFullError(stock, _names(lacking), message)


def _impossible(stock: Stock, message: str) -> PodError | None:
    """What no waiting for other pods to end would mend."""
    if stock.resource and not stock.nodes:
        return failures.NoSuchGPUError(stock.title, message)
    if stock.gpus > stock.most_on_a_node:
        return failures.TooManyGPUsError(stock, message)
    if stock.nodes and not stock.fits:
        return failures.TooLargeError(stock, message)
    if not stock.usable:
        return failures.NodesClosedError(stock, message) if stock.nodes else failures.NoNodeError(message)
    return failures.RepelledError(stock, message) if stock.repelled_by else None


def _by_sentence(
    pod: PodRecord, lacking: set[str], turned_down: dict[str, int], message: str, outlook: Outlook | None
) -> PodError:
    if lacking & pod.extended.keys() or any("cannot allocate all claims" in text for text in turned_down):
        return failures.GPUsTakenError(None, message, outlook=outlook)
    if any("volume node affinity" in text for text in turned_down):
        return failures.VolumeElsewhereError(message)
    if lacking or not turned_down:
        return failures.NodesFullError(None, _names(lacking), message)
    return failures.NoSuchGPUError("", message) if pod.extended else failures.NoNodeError(message)


def _names(lacking: set[str]) -> str:
    words = {"cpu": "CPU", "memory": "memory", "ephemeral-storage": "disk space"}
    return " and ".join(words[name] for name in sorted(lacking) if name in words)
