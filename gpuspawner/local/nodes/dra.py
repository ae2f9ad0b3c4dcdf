"""The pretended DRA driver: what nodes such as ``dra-a100=1x4`` publish, and the device classes it brings."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gpuspawner.local.nodes.products import Product

__all__ = ["device_classes", "make_slice"]

Object = dict[str, Any]
_DRIVERS = {"nvidia.com": "gpu.nvidia.com", "amd.com": "gpu.amd.com"}
_CLASSES: Mapping[str, Mapping[str, str]] = {
    "gpu.nvidia.com": {"gpu.nvidia.com": "gpu", "mig.nvidia.com": "mig"},
    "gpu.amd.com": {"gpu.amd.com": "amdgpu"},
}


def make_slice(node: str, product: Product, uuids: Sequence[str], mig: str = "") -> Object | None:
    """The ResourceSlice of a node, in the attributes of the vendors' drivers; None for a vendor without one.

    ``mig`` is a profile such as ``3g.40gb``, of which every device then is one; ``product.memory`` is a device's.
    """
    driver = _DRIVERS.get(product.vendor)
    if driver is None:
        return None
    describe = _nvidia if product.vendor == "nvidia.com" else _amd
    devices = [describe(index, uuid, product, mig) for index, uuid in enumerate(uuids)]
    return {
        "metadata": {"name": f"{node}-{driver}"},
        "spec": {
            "driver": driver,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": devices,
        },
    }


def device_classes(slices: Sequence[Object]) -> list[Object]:
    """The DeviceClasses that the drivers of these slices bring along."""
    classes = []
    for driver in sorted({one["spec"]["driver"] for one in slices}):
        for name, kind in _CLASSES[driver].items():
            expression = f"device.driver == '{driver}' && device.attributes['{driver}'].type == '{kind}'"
            classes.append({"metadata": {"name": name}, "spec": {"selectors": [{"cel": {"expression": expression}}]}})
    return classes


def _nvidia(index: int, uuid: str, product: Product, mig: str) -> Object:
    attributes: Object = {
        "type": {"string": "mig" if mig else "gpu"},
        "uuid": {"string": uuid},
        "productName": {"string": _spoken(product.name)},
        "brand": {"string": "Tesla" if product.name.startswith("Tesla") else "Nvidia"},
        "architecture": {"string": product.family.title()},
        "driverVersion": {"version": "580.65.6"},
        "cudaDriverVersion": {"version": "13.0.0"},
    }
    if mig:
        attributes |= {"profile": {"string": mig}, "parentUUID": {"string": f"{uuid}-parent"}}
    name = f"gpu-{index}-mig" if mig else f"gpu-{index}"
    return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": f"{product.memory}Mi"}}}


def _amd(index: int, uuid: str, product: Product, mig: str) -> Object:
    attributes = {
        "type": {"string": "amdgpu"},
        "productName": {"string": product.name.replace("_", " ")},
        "family": {"string": product.family},
    }
    return {
        "name": f"gpu-{index}-{128 + index}",
        "attributes": attributes,
        "capacity": {"memory": {"value": f"{product.memory}Mi"}},
    }


def _spoken(label: str) -> str:
    """A product as the driver says it, from the label that GPU feature discovery makes of it."""
    return re.sub(r"-(?!SXM|PCIE)(?<!SXM[0-9]-)(?<!PCIE-)", " ", label)
