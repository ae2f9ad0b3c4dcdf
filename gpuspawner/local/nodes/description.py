"""Descriptions of nodes, such as ``a100=1x8 t4=2x4 cpu=1`` or ``this-machine``, and the Node objects they stand for."""

import difflib
import platform
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gpuspawner.local.apiserver.store import Object
from gpuspawner.local.nodes.dra import make_slice
from gpuspawner.local.nodes.products import PRODUCTS, Product

__all__ = [
    "CPU_RESOURCES",
    "Device",
    "LocalNode",
    "NodesError",
    "make_node",
    "parse_nodes",
    "pretended_devices",
    "ready_condition",
]

CPU_RESOURCES: dict[str, str] = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1000Gi", "pods": "500"}
"""What a pretended node has beside its GPUs."""

_MOST_NODES, _MOST_GPUS = 500, 256
_ENTRY = re.compile(r"(?P<kind>[a-z0-9.-]+)=(?P<nodes>[0-9]{1,6})(?:x(?P<gpus>[0-9]{1,6}))?", re.ASCII)
_MIG = re.compile(r"(?P<card>.+)-mig-(?P<single>single-)?(?P<slices>[1-7])g\.(?P<memory>[0-9]{1,3})gb", re.ASCII)
_SHARED = re.compile(r"(?P<card>.+)-(?P<how>shared|mps)(?P<replicas>[0-9]{1,2})(?P<renamed>-renamed)?", re.ASCII)
_DRA = "dra-"
_GRAMMAR = "KIND=NODES or KIND=NODESxGPUS, separated by spaces, such as: a100=1x8 t4=2x4 cpu=1"
_NAMESPACE = uuid.UUID("6f0c1cf4-6a4e-5b53-9f0e-3a1d8f2f6d10")


class NodesError(ValueError):
    """A description of nodes that cannot be understood.

    Attributes
    ----------
    reason
        What was found.
    remedy
        What is allowed, and the nearest known name.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason} {remedy}")
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU (or slice, or share of one) that a device plugin hands out."""

    index: int
    """The number that ``nvidia-smi`` gives the card."""
    uuid: str
    id: str
    """Unlike the uuid never the same for two shares of one card."""


@dataclass(frozen=True, slots=True)
class LocalNode:
    """A Node object and the devices behind its extended resources."""

    manifest: Object
    devices: Mapping[str, Sequence[Device]] = field(default_factory=dict)
    """By resource name, such as ``nvidia.com/gpu``."""
    slices: Sequence[Object] = ()
    """The ResourceSlices of its DRA driver."""

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.manifest["metadata"]["name"])


def parse_nodes(description: str) -> list[LocalNode]:
    """Return the pretended nodes of a description: words ``KIND=NODES`` or ``KIND=NODESxGPUS``.

    KIND is ``cpu``, a name of `PRODUCTS`, or such a name with ``-mig-3g.40gb`` (slices as their own resource),
    ``-mig-single-3g.40gb`` (slices as nvidia.com/gpu), ``-shared4`` (time slicing: each card handed out four times) or
    ``-mps4`` (the same by MPS); with ``-renamed`` behind these two, shares are nvidia.com/gpu.shared. ``dra-`` before a
    card or its MIG slices offers them by dynamic resource allocation instead. GPUS counts what one node offers: cards,
    or slices. Raises `NodesError`.
    """
    words = description.replace(",", " ").split()
    if not words:
        raise NodesError("The description of nodes is empty.", f"Write {_GRAMMAR}.")
    nodes: list[LocalNode] = []
    numbers: Counter[str] = Counter()
    for word in words:
        match = _ENTRY.fullmatch(word.lower())
        if match is None:
            raise NodesError(f"{word!r} does not describe nodes.", f"Write {_GRAMMAR}.")
        kind, count = match["kind"], int(match["nodes"])
        gpus = _gpus(word, kind, match["gpus"])
        if not 1 <= count <= _MOST_NODES:
            raise NodesError(f"{word!r} asks for {count} nodes.", f"Write 1 to {_MOST_NODES} nodes of a kind.")
        labels, resource, copies = _offer(word, kind.removeprefix(_DRA), gpus)
        for _ in range(count):
            name = f"{kind}-{numbers[kind]}"
            numbers[kind] += 1
            if kind.startswith(_DRA):
                nodes.append(_dra_node(word, name, kind.removeprefix(_DRA), gpus, labels))
                continue
            extended = {resource: gpus * copies} if resource else {}
            devices = {resource: _devices(name, resource, gpus, copies)} if resource else {}
            nodes.append(LocalNode(make_node(name, CPU_RESOURCES, extended, labels), devices))
    return nodes


def _dra_node(word: str, name: str, kind: str, gpus: int, labels: dict[str, str]) -> LocalNode:
    mig = _MIG.fullmatch(kind)
    product, profile = _product(word, mig["card"] if mig else kind), ""
    if mig:
        profile = f"{mig['slices']}g.{mig['memory']}gb"
        product = Product(product.name, int(mig["memory"]) * 1024, product.family)
    devices = _devices(name, f"nvidia.com/mig-{profile}" if mig else product.resource, gpus)
    published = make_slice(name, product, [device.uuid for device in devices], profile)
    if published is None or (mig and mig["single"]):
        raise NodesError(f"{word!r} cannot be pretended.", "Write cards of NVIDIA or AMD: dra-a100=1x4.")
    labels = {key: value for key, value in labels.items() if "/mig" not in key}
    manifest = make_node(name, CPU_RESOURCES, {}, labels)
    manifest["spec"] = {"taints": [_taint(product.resource)]}
    return LocalNode(manifest, slices=(published,))


def _gpus(word: str, kind: str, text: str | None) -> int:
    if kind == "cpu":
        if text not in (None, "0"):
            raise NodesError(f"{word!r} gives GPUs to nodes of kind cpu.", f"Write {word.split('x')[0]!r}.")
        return 0
    gpus = int(text) if text is not None else 1
    if not 1 <= gpus <= _MOST_GPUS:
        raise NodesError(f"{word!r} asks for {gpus} GPUs per node.", f"Write 1 to {_MOST_GPUS} GPUs, or the kind cpu.")
    return gpus


def _offer(word: str, kind: str, gpus: int) -> tuple[dict[str, str], str, int]:
    """The labels of a kind's nodes, its extended resource ("" for none) and how often a device is handed out."""
    if kind == "cpu":
        return {}, "", 1
    if mig := _MIG.fullmatch(kind):
        product = _product(word, mig["card"])
        profile = f"{mig['slices']}g.{mig['memory']}gb"
        memory = int(mig["memory"]) * 1024
        if product.vendor != "nvidia.com" or memory > product.memory * 1.1:
            reason = f"{word!r}: {product.name} has no MIG slice {profile}."
            raise NodesError(reason, "Name a slice that fits the card.")
        if mig["single"]:
            sliced = Product(f"{product.name}-MIG-{profile}", memory, product.family)
            labels = _labels(sliced, gpus, "none", 1) | {"nvidia.com/mig.strategy": "single"}
            size = {"nvidia.com/gpu.slices.ci": mig["slices"], "nvidia.com/gpu.slices.gi": mig["slices"]}
            return labels | size, "nvidia.com/gpu", 1
        resource = f"nvidia.com/mig-{profile}"
        labels = _labels(product, 0, "none", 1) | {
            "nvidia.com/mig.strategy": "mixed",
            f"{resource}.count": str(gpus),
            f"{resource}.memory": str(memory),
            f"{resource}.product": f"{product.name}-MIG-{profile}",
            f"{resource}.replicas": "1",
            f"{resource}.sharing-strategy": "none",
        }
        return labels, resource, 1
    if shared := _SHARED.fullmatch(kind):
        return _shared(word, shared, gpus)
    product = _product(word, kind)
    return _labels(product, gpus, "none", 1), product.resource, 1


def _shared(word: str, kind: re.Match[str], gpus: int) -> tuple[dict[str, str], str, int]:
    """Shares of whole cards; only where the resource keeps its name does the product say that they are none."""
    product, replicas = _product(word, kind["card"]), int(kind["replicas"])
    if product.vendor != "nvidia.com" or replicas < 2:
        raise NodesError(f"{word!r} cannot be shared so.", "Share an NVIDIA card at least twice: t4-shared2=1x4.")
    if not kind["renamed"]:
        product = Product(f"{product.name}-SHARED", product.memory, product.family)
    mps = kind["how"] == "mps"
    labels = _labels(product, gpus, "mps" if mps else "time-slicing", replicas)
    if mps:
        labels["nvidia.com/mps.capable"] = "true"
    return labels, product.resource + (".shared" if kind["renamed"] else ""), replicas


def _product(word: str, kind: str) -> Product:
    if kind in PRODUCTS:
        return PRODUCTS[kind]
    nearest = difflib.get_close_matches(kind, ["cpu", *PRODUCTS], n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    known = ", ".join(["cpu", *PRODUCTS])
    raise NodesError(f"{word!r}: {kind!r} is not a known kind of node.{hint}", f"Known kinds: {known}.")


def _labels(product: Product, count: int, sharing: str, replicas: int) -> dict[str, str]:
    """The labels of GPU feature discovery (nvidia), or of the device operators of AMD, Intel and Gaudi."""
    if product.vendor == "amd.com":
        return {
            "amd.com/gpu.family": product.family,
            "amd.com/gpu.product-name": product.name,
            "amd.com/gpu.vram": f"{round(product.memory / 1024)}G",
        }
    if product.vendor == "habana.ai":
        return {"habana.ai/device.family": product.name}
    if product.vendor == "gpu.intel.com":
        return {
            "gpu.intel.com/family": product.family,
            "gpu.intel.com/product": product.name,
            "intel.feature.node.kubernetes.io/gpu": "true",
        }
    return {
        "nvidia.com/gpu.count": str(count),
        "nvidia.com/gpu.family": product.family,
        "nvidia.com/gpu.memory": str(product.memory),
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": product.name,
        "nvidia.com/gpu.replicas": str(replicas),
        "nvidia.com/gpu.sharing-strategy": sharing,
    }


def _devices(node: str, resource: str, count: int, copies: int = 1) -> list[Device]:
    prefix = "MIG" if "/mig-" in resource else "GPU"
    devices = []
    for index in range(count):
        identity = f"{prefix}-{uuid.uuid5(_NAMESPACE, f'{node}/{resource}/{index}')}"
        shares = [f"{identity}::{copy}" for copy in range(copies)] if copies > 1 else [identity]
        devices += [Device(index, identity, share) for share in shares]
    return devices


def pretended_devices(node: str, resource: str, count: int) -> list[Device]:
    """The devices of a Node object that came through the API: uuids that are always the same for a node and index."""
    return _devices(node, resource, count)


def make_node(
    name: str, resources: Mapping[str, str], extended: Mapping[str, int], labels: Mapping[str, str]
) -> Object:
    """A Node that is ready; with extended resources it is tainted as the GPU operators advise.

    Parameters
    ----------
    name
        A DNS name.
    resources
        cpu, memory, ephemeral-storage and pods, as quantities.
    extended
        Devices by resource name.
    labels
        Labels beside those that every kubelet sets.
    """
    capacity = dict(sorted((dict(resources) | {key: str(count) for key, count in extended.items()}).items()))
    taints = [_taint(resource) for resource in extended]
    machine = {"aarch64": "arm64", "x86_64": "amd64"}.get(platform.machine(), platform.machine())
    standard = {
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "labels": standard | dict(labels),
            "annotations": {"node.alpha.kubernetes.io/ttl": "0"},
        },
        "spec": {"taints": taints} if taints else {},
        "status": {
            "capacity": capacity,
            "allocatable": dict(capacity),
            "conditions": [],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kernelVersion": platform.release(),
                "osImage": platform.system(),
                "containerRuntimeVersion": "gpuspawner://1",
                "kubeletVersion": "v1.36.2",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": machine,
            },
        },
    }


def ready_condition(now: str) -> Object:
    """The condition of a node whose kubelet runs since ``now``."""
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
    return condition | {"reason": "KubeletReady", "message": "kubelet is posting ready status"}


def _taint(resource: str) -> Object:
    vendor = resource.split("/")[0]
    key = f"{vendor}/gpu" if vendor in ("nvidia.com", "amd.com") else resource
    return {"key": key, "value": "present", "effect": "NoSchedule"}
