"""What can be asked for: GPU classes, which are bands of GPUs, and profiles, which are ready-made environments."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from re import fullmatch
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gpuspawner.cel import CELError, compile_cel
from gpuspawner.pod_patch import PodPatch
from gpuspawner.schema import (
    Bytes,
    Cores,
    Count,
    Name,
    NameList,
    Order,
    Range,
    ResourceName,
    Schema,
    Seconds,
    SubdomainName,
    read_bytes,
    read_cores,
    read_seconds,
)
from gpuspawner.sessions.idle import ProfileIdle

__all__ = [
    "PICTURES",
    "App",
    "Catalog",
    "Deadlines",
    "GPUClass",
    "NodeRequirement",
    "Offer",
    "Profile",
    "gpu_node_labels",
    "is_picture",
    "uses_devices",
]

PICTURES = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
"""The kinds of files that can be the picture of a profile."""
_SLICED = ("-MIG-", "-SHARED")
_SHARED_STRATEGIES = ("time-slicing", "mps")
_PRODUCT_LABELS = {
    "nvidia.com": "nvidia.com/gpu.product",
    "amd.com": "amd.com/gpu.product-name",
    "gpu.intel.com": "gpu.intel.com/product",
}
# The driver behind a vendor's device classes, and the attribute that names the product.
_PRODUCT_ATTRIBUTES = {
    "nvidia.com": ("gpu.nvidia.com", "productName"),
    "amd.com": ("gpu.amd.com", "productName"),
    "gpu.intel.com": ("gpu.intel.com", "model"),
}


@dataclass(frozen=True, slots=True)
class NodeRequirement:
    """One ``matchExpressions`` entry of a node affinity (operators In, NotIn, Exists, DoesNotExist)."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels satisfies it, as kube-scheduler decides."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels

    def manifest(self) -> dict[str, Any]:
        """The entry as Kubernetes writes it."""
        entry: dict[str, Any] = {"key": self.key, "operator": self.operator}
        if self.values:
            entry["values"] = list(self.values)
        return entry


class Offer(Schema):
    """One way to get a GPU of a class: an extended resource or a DRA device class, narrowed to some products."""

    resource: ResourceName = Field(
        default="", description="The extended resource that a device plugin advertises, such as nvidia.com/gpu."
    )
    device_class: SubdomainName = Field(
        default="",
        description="Instead of a resource, the DeviceClass of a driver for dynamic resource allocation, such as "
        "gpu.nvidia.com.",
    )
    product: NameList = Field(
        default=(),
        description="Values of the node's product label that count; without it every product of the resource, "
        "but for nvidia.com/gpu only whole cards: never MIG slices or shared ones. With a device class, the product "
        "names that its driver publishes, such as NVIDIA A100-SXM4-80GB.",
    )
    product_label: str | None = Field(
        default=None, description="The node label that holds the product, where it is not the vendor's usual one."
    )
    selector: str = Field(
        default="", description="With a device class, a CEL expression that its devices must satisfy as well."
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Offer":
        if bool(self.resource) is bool(self.device_class):
            raise ValueError("either a resource such as nvidia.com/gpu or a device_class such as gpu.nvidia.com")
        if self.selector and not self.device_class:
            raise ValueError("selector only with device_class; a resource is narrowed by product")
        if self.product_label and self.device_class:
            raise ValueError("product_label only with resource")
        if self.product and self.device_class and self.vendor not in _PRODUCT_ATTRIBUTES:
            raise ValueError(f"product only with device classes of {', '.join(_PRODUCT_ATTRIBUTES)}; use selector")
        try:
            for expression in self.selectors:
                compile_cel(expression)
        except CELError as error:
            raise ValueError(f"a CEL expression as selector ({error})") from None
        return self

    @property
    def source(self) -> str:
        """What the GPU comes from: the resource or the device class."""
        return self.resource or self.device_class

    @property
    def vendor(self) -> str:
        """The domain of the vendor; empty for a device class of a vendor that is not known."""
        if self.resource:
            return self.resource.partition("/")[0]
        ours = (name for name in _PRODUCT_ATTRIBUTES if f".{self.device_class}".endswith(f".{name}"))
        return next(ours, "")

    @property
    def selectors(self) -> tuple[str, ...]:
        """CEL expressions that narrow the device class, for requests of a ResourceClaim."""
        found = (self.selector,) if self.selector else ()
        if not self.product or not self.device_class:
            return found
        driver, attribute = _PRODUCT_ATTRIBUTES[self.vendor]
        names = ", ".join(json.dumps(name, ensure_ascii=False) for name in self.product)
        return (f"device.attributes[{json.dumps(driver)}].{attribute} in [{names}]", *found)

    @property
    def label(self) -> str:
        """The node label that names the product behind :attr:`resource`."""
        if self.product_label:
            return self.product_label
        vendor, _, kind = self.resource.partition("/")
        if vendor == "nvidia.com" and kind.startswith("mig-"):
            return f"{self.resource}.product"
        return _PRODUCT_LABELS.get(vendor, f"{vendor}/product")

    @property
    def requirements(self) -> tuple[NodeRequirement, ...]:
        """What a node must be labelled with so that its :attr:`resource` is this offer.

        With the single MIG strategy and with time slicing, ``nvidia.com/gpu`` counts slices or shares. Nodes say so
        by ``nvidia.com/gpu.slices.gi`` and ``nvidia.com/gpu.sharing-strategy``
        (https://github.com/NVIDIA/k8s-device-plugin, docs/gpu-feature-discovery).
        """
        if self.device_class:
            return ()
        if self.product:
            return (NodeRequirement(self.label, "In", self.product),)
        if self.resource == "nvidia.com/gpu":
            return (
                NodeRequirement("nvidia.com/gpu.sharing-strategy", "NotIn", _SHARED_STRATEGIES),
                NodeRequirement("nvidia.com/gpu.slices.gi", "DoesNotExist"),
            )
        return ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the resource of a node with these labels counts for this offer; devices are no node's."""
        if self.device_class:
            return False
        if not self.product and self.resource == "nvidia.com/gpu":
            product = labels.get(self.label, "")
            if any(mark in product for mark in _SLICED):
                return False
        return all(requirement.matches(labels) for requirement in self.requirements)


class GPUClass(Schema):
    """A band of GPUs a member asks for by name; the platform picks the card."""

    name: Name
    display_name: str = Field(default="", description="What members read.")
    description: str = Field(default="", description="What it is good for.")
    order: Order = 0
    memory: Bytes | None = Field(default=None, description="GPU memory a program can count on.")
    rate: float = Field(default=1.0, ge=0, description="Service units per GPU and hour.")
    accepts: tuple[Offer, ...] = Field(min_length=1, description="The offers that belong to this class.")
    autoscaled: bool = Field(
        default=False,
        description="Whether a node autoscaler adds nodes with these GPUs when a launch waits for them, also where "
        "there is no such node now. Without it, a class that no node satisfies is called misconfigured.",
    )
    pod: PodPatch = Field(default_factory=dict, description="Patch of the pod for launches of this class.")

    @property
    def title(self) -> str:
        """The name for people."""
        return self.display_name or self.name


class App(Schema):
    """A web application inside the notebook server, reached through jupyter-server-proxy."""

    display_name: str = Field(min_length=1, description="What members read.")
    port: int | None = Field(default=None, ge=1, le=65535, description="The port it listens on, such as 6006.")
    path: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9_~-][A-Za-z0-9._~=?&%/-]*)?$",
        max_length=200,
        description="Instead of a port, the path below the server at which an extension has it, such as desktop/ or "
        "lab/tree/README.md.",
    )

    @model_validator(mode="after")
    def _port_or_path(self) -> "App":
        if (self.port is None) is (not self.path):
            raise ValueError("either a port such as 6006 or a path such as desktop/")
        return self

    @property
    def place(self) -> str:
        """Where it is below the server's own URL: ``"proxy/6006/"``."""
        return self.path or f"proxy/{self.port}/"


class Deadlines(Schema):
    """How long each phase of a launch may take before it is withdrawn, waiting for a GPU or for room aside.

    They begin anew with each phase, so that a long wait for a GPU leaves the image all of its time.
    """

    node: Seconds = Field(default=20 * 60, description="From an autoscaler's word until its node takes the server.")
    storage: Seconds = Field(default=5 * 60, description="Until the storage has its volume.")
    image: Seconds = Field(default=30 * 60, description="The image is pulled. One that does not exist fails at once.")
    setup: Seconds = Field(default=5 * 60, description="The node sets the server up: volumes, network, container.")
    answer: Seconds | None = Field(
        default=None, description="The process runs until it answers HTTP; without it `http_timeout` (120 s)."
    )
    impossible: Seconds = Field(
        default=20, description="What no node can satisfy is borne so long, so that an autoscaler can add one."
    )

    @property
    def total(self) -> int:
        """Seconds of all phases that are not part of another."""
        return self.node + self.storage + self.image + self.setup


def _floor(floor: float, read: Callable[[Any], Any]) -> BeforeValidator:
    """Give a range without ``min`` a low one, never above its default."""

    def fill(value: Any) -> Any:
        if not isinstance(value, Mapping) or "min" in value or "default" not in value:
            return value
        try:
            return {**value, "min": min(read(value["default"]), floor)}
        except (TypeError, ValueError):
            return value

    return BeforeValidator(fill)


def _some(allowed: Range[Any]) -> Range[Any]:
    if not allowed.min:
        raise ValueError("more than 0: Kubernetes takes a limit of 0 for no limit at all")
    return allowed


def _icon(icon: str) -> str:
    if icon and not is_picture(icon) and fullmatch("[a-z0-9]+(-[a-z0-9]+)*", icon) is None:
        raise ValueError(f"the name of an icon such as brain, or the path of a file: {', '.join(PICTURES)}")
    return icon


def is_picture(icon: str) -> bool:
    """Whether a profile's icon is a file."""
    return icon.lower().endswith(tuple(PICTURES))


class Profile(Schema):
    """A ready-made environment: an image, and how much of the machine it may take.

    Without ``min`` a range begins at 1 core, 1 GB, 0 GPUs, 10 minutes of runtime and a minute of wait, or at its
    default if that is lower.
    """

    name: Name
    display_name: str = Field(default="", description="What members read.")
    description: str = Field(default="", description="What it is for, in a sentence or two.")
    order: Order = 0
    icon: Annotated[str, AfterValidator(_icon)] = Field(
        default="",
        description="The picture of its card: the name of a Font Awesome icon such as brain, or the path of a file "
        "(.svg, .png, .jpg or .webp) that the hub can read.",
    )
    includes: NameList = Field(
        default=(), description='What is inside, in short words for its card, such as ["PyTorch 2.9", "CUDA 12.8"].'
    )
    image: str = Field(min_length=1, description="The container image.")
    images: NameList = Field(
        default=(),
        description="Images that members may name instead, as globs such as quay.io/lab/*; `*` stands for any text.",
    )
    cpu: Annotated[Range[Cores], _floor(1.0, read_cores), AfterValidator(_some)] = Field(
        default=Range[Cores](default=1, min=1, max=1), description="CPU cores: default, min, max."
    )
    memory: Annotated[Range[Bytes], _floor(10**9, read_bytes), AfterValidator(_some)] = Field(
        default=Range[Bytes](default=2 * 10**9, min=2 * 10**9, max=2 * 10**9), description="Memory: default, min, max."
    )
    gpu_classes: NameList = Field(default=(), description="GPU classes on offer, in the order of the form.")
    gpus: Annotated[Range[Count], _floor(0, int)] = Field(
        default=Range[Count](default=0, min=0, max=0), description="GPUs: default, min, max."
    )
    runtime: Annotated[Range[Seconds], _floor(600, read_seconds)] = Field(
        default=Range[Seconds](default=6 * 3600, min=600, max=12 * 3600),
        description="How long a server may run: default, min, max.",
    )
    extend_to: Seconds | None = Field(
        default=None,
        description="The longest a running server may become by extending it. Kubernetes cannot give a pod more time "
        "than it was made with, so the hub then ends servers when their runtime is over, and Kubernetes at this time "
        "at the latest. Without it a server cannot be extended, and Kubernetes itself ends it on time.",
    )
    scratch: Bytes | None = Field(default=None, description="Scratch space, instead of what the storage says; 0: none.")
    shared_memory: Bytes | None = Field(
        default=None, description="Size of /dev/shm, instead of what the storage says; 0: that of the runtime."
    )
    wait: Annotated[Range[Seconds], _floor(60, read_seconds)] = Field(
        default=Range[Seconds](default=30 * 60, min=60, max=12 * 3600),
        description="How long a launch may wait for a GPU or for room before it is withdrawn: default, min, max.",
    )
    deadlines: Deadlines = Field(default=Deadlines(), description="How long each further phase of a launch may take.")
    idle: ProfileIdle | None = Field(
        default=None,
        description='A server that has been idle for so long ends, instead of what `c.GPUSpawner.idle` says; "never": '
        "it does not.",
    )
    apps: tuple[App, ...] = Field(default=(), description="Web applications to link to.")
    allow_gpu_nodes: bool = Field(
        default=False, description="Let servers without a GPU run on GPU nodes, tolerating their taint."
    )
    pod: PodPatch = Field(default_factory=dict, description="Patch of the pod for launches of this profile.")

    @model_validator(mode="before")
    @classmethod
    def _one_gpu_where_classes_are_named(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("gpu_classes") and "gpus" not in value:
            return {**value, "gpus": {"default": 1, "max": 1}}
        return value

    @model_validator(mode="after")
    def _gpus_need_a_class(self) -> "Profile":
        if self.gpus.max and not self.gpu_classes:
            raise ValueError("gpus above 0 only together with gpu_classes")
        return self

    @model_validator(mode="after")
    def _extended_is_longer(self) -> "Profile":
        if self.extend_to is not None and self.extend_to < self.runtime.max:
            raise ValueError("extend_to not shorter than the max of runtime")
        return self

    @property
    def title(self) -> str:
        """The name for people."""
        return self.display_name or self.name


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything on offer, by name and in the order of the configuration."""

    gpu_classes: Mapping[str, GPUClass]
    profiles: Mapping[str, Profile]

    def offers(self) -> Iterable[Offer]:
        """Every offer of every class."""
        for gpu_class in self.gpu_classes.values():
            yield from gpu_class.accepts

    def class_title(self, name: str) -> str:
        """What people read for a GPU class; its name where it is offered no more."""
        return self.gpu_classes[name].title if name in self.gpu_classes else name

    def profile_title(self, name: str) -> str:
        """What people read for a profile; its name where it is offered no more."""
        return self.profiles[name].title if name in self.profiles else name


def uses_devices(catalog: Catalog) -> bool:
    """Whether any GPU class gets its GPUs by dynamic resource allocation."""
    return any(offer.device_class for offer in catalog.offers())


def gpu_node_labels(catalog: Catalog) -> tuple[str, ...]:
    """The labels that only GPU nodes carry, by the vendors of the catalog; nvidia.com's is always among them."""
    labels = {"nvidia.com/gpu.product"}
    for offer in catalog.offers():
        if offer.vendor:
            labels.add(_PRODUCT_LABELS.get(offer.vendor, f"{offer.vendor}/product"))
        if offer.product_label:
            labels.add(offer.product_label)
    return tuple(sorted(labels))
