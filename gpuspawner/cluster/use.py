"""Of the GPUs that pods have got: whether others use them, too, and whether their class is quiet. Pure."""

from collections.abc import Iterator, Mapping

from gpuspawner.catalog import GPUClass

from .inventory import Inventory
from .records import PodRecord

__all__ = ["is_quiet", "share_of", "shares_gpu"]

_STRATEGY = "cloud.google.com/gke-gpu-sharing-strategy"
_NODE_OF_GKE = "cloud.google.com/gke-accelerator"


def share_of(labels: Mapping[str, str], resource: str, product: str) -> str | None:
    """How pods share the cards of a node: a strategy such as ``"mps"``, ``""`` if it does not say which; None: not.

    Nodes say so by labels of NVIDIA's GPU feature discovery, which begin with the name of the resource
    (https://github.com/NVIDIA/k8s-device-plugin, docs/gpu-feature-discovery), and by those of GKE
    (https://cloud.google.com/kubernetes-engine/docs/concepts/timesharing-gpus).
    """
    for label in (f"{resource}.sharing-strategy", "nvidia.com/gpu.sharing-strategy", _STRATEGY):
        if labels.get(label, "none") not in ("none", ""):
            return labels[label]
    replicas = [labels.get(label, "1") for label in (f"{resource}.replicas", "nvidia.com/gpu.replicas")]
    many = any(count.isdecimal() and int(count) > 1 for count in replicas)
    return "" if many or "-SHARED" in product or resource.endswith(".shared") else None


def shares_gpu(pod: PodRecord, inventory: Inventory) -> bool | None:
    """Whether other pods may use the GPUs of a pod at the same time; None where that is not known.

    Unknown are nodes that the hub does not see and NVIDIA's cards on nodes without GPU feature discovery.
    """
    node = inventory.nodes.get(pod.node)
    if node is None:
        return None
    answers = [_shares(resource, node.labels) for resource in pod.extended]
    if pod.claims:
        answers.append(inventory.devices.shared(pod.namespace, pod.claims))
    if True in answers:
        return True
    return None if None in answers else False


def _shares(resource: str, labels: Mapping[str, str]) -> bool | None:
    if not resource.startswith("nvidia.com/"):
        return False
    product = labels.get(f"{resource}.product", "")
    if share_of(labels, resource, product) is not None:
        return True
    told = (f"{resource}.product", f"{resource}.replicas", f"{resource}.sharing-strategy", _NODE_OF_GKE)
    return False if any(label in labels for label in told) else None


def is_quiet(gpu_class: GPUClass, inventory: Inventory, below: float) -> bool | None:
    """Whether less than a share ``below`` of the class' GPUs is allocated on each node; None without such nodes."""
    shares = list(_allocated(gpu_class, inventory))
    return all(share < below for share in shares) if shares else None


def _allocated(gpu_class: GPUClass, inventory: Inventory) -> Iterator[float]:
    """Of each node that takes pods of the class, the allocated share of its GPUs."""
    for offer in gpu_class.accepts:
        devices = inventory.devices.on_nodes([offer]) if offer.device_class else {}
        for node in inventory.nodes_with(offer):
            if offer.device_class:
                here = devices[node.name]
                yield sum(not inventory.devices.is_free(device) for device in here) / len(here)
            else:
                yield inventory.used(node.name).get(offer.resource, 0) / node.allocatable[offer.resource]
