"""The GPUs that KubeSpawner asks for by resource, node selector and affinity, as classes of ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpuspawner.catalog import Offer
from gpuspawner.migration.traits import Traits
from gpuspawner.quantity import parse_quantity

__all__ = ["Classes", "GPUs", "take_gpus"]

PRODUCT_LABELS = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "gpu.intel.com/product",
    "cloud.google.com/gke-accelerator",
    "k8s.amazonaws.com/accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "eks.amazonaws.com/instance-gpu-name",
    "gpu.nvidia.com/class",
    "gpu.nvidia.com/model",
)
"""Labels that only GPU nodes have, and that name the card."""
_ACCELERATORS = ("aws.amazon.com/neuron", "google.com/tpu", "gpu.intel.com/", "habana.ai/", "huawei.com/Ascend")


@dataclass(frozen=True)
class GPUs:
    """How many of what: the resource, narrowed to products by a node label."""

    resource: str
    count: int
    products: tuple[str, ...] = ()
    label: str = ""


def take_gpus(traits: Traits) -> tuple[GPUs | None, Traits]:
    """The GPUs that a server asks for, and the traits without them."""
    rest = traits.overridden({}, traits.place)
    found: dict[str, int] = {}
    for name in ("extra_resource_limits", "extra_resource_guarantees"):
        amounts = rest[name]
        for resource in [one for one in amounts if is_gpu(one)]:
            if count := int(parse_quantity(amounts.pop(resource))):
                found[resource] = max(count, found.get(resource, 0))
        rest.set[name] = amounts
    if not found:
        return None, rest
    resource, *others = found
    for other in others:
        traits.say("extra_resource_limits", f"also asks for {other}; a server here has GPUs of one resource only.")
    products, label = _take_product(rest, f"{resource}.product")
    return GPUs(resource, found[resource], products, label), rest


def is_gpu(resource: str) -> bool:
    """Whether an extended resource is one that quota must count."""
    return resource.partition("/")[2].startswith(("gpu", "mig-")) or resource.startswith(_ACCELERATORS)


def _take_product(traits: Traits, own_label: str) -> tuple[tuple[str, ...], str]:
    """The products that the node selector or a required affinity names; taken out of them."""
    labels = (own_label, *PRODUCT_LABELS)
    selector = traits["node_selector"]
    for label in labels:
        if label in selector:
            product = selector.pop(label)
            traits.set["node_selector"] = selector
            return (product,), label
    terms = traits["node_affinity_required"]
    if not isinstance(terms, list) or len(terms) != 1:
        return (), ""
    (term,) = terms
    key = next((one for one in ("matchExpressions", "match_expressions") if one in term), "")
    for expression in term.get(key, []):
        if expression.get("key") in labels and expression.get("operator") == "In":
            rest = {**term, key: [one for one in term[key] if one is not expression]}
            traits.set["node_affinity_required"] = [rest] if any(rest.values()) else []
            return tuple(expression["values"]), expression["key"]
    return (), ""


@dataclass
class Classes:
    """The GPU classes that profiles ask for, each named once."""

    names: dict[tuple[str, tuple[str, ...], str], str] = field(default_factory=dict)

    def name_of(self, gpus: GPUs) -> str:
        """The name of the class of these GPUs."""
        key = (gpus.resource, gpus.products, gpus.label)
        if key not in self.names:
            name = wanted = _class_name(gpus)
            number = 1
            while name in self.names.values():
                number += 1
                name = f"{wanted}-{number}"
            self.names[key] = name
        return self.names[key]

    def section(self) -> dict[str, Any]:
        """``gpu_classes`` of the configuration."""
        return {
            name: {"display_name": _title(resource, products), "accepts": [_offer(resource, products, label)]}
            for (resource, products, label), name in self.names.items()
        }

    def unnamed(self) -> list[str]:
        """The classes of NVIDIA GPUs of which no product is named."""
        return [name for (resource, products, _), name in self.names.items() if not products and "/gpu" in resource]


def _offer(resource: str, products: tuple[str, ...], label: str) -> Mapping[str, Any]:
    offer: dict[str, Any] = {"resource": resource}
    if products:
        offer["product"] = products[0] if len(products) == 1 else list(products)
        if label != Offer(resource=resource).label:
            offer["product_label"] = label
    return offer


def _class_name(gpus: GPUs) -> str:
    vendor, _, kind = gpus.resource.partition("/")
    plain = kind if vendor == "nvidia.com" else f"{vendor.split('.')[-2]}-{kind}"
    text = "-or-".join(gpus.products) if gpus.products else plain
    return re.sub("[^a-z0-9.]+", "-", text.lower()).strip("-.")[:60].rstrip("-.") or "gpu"


def _title(resource: str, products: tuple[str, ...]) -> str:
    return " or ".join(product.replace("-", " ") for product in products) if products else resource
