"""Which pod holds which GPU of a node: the device plugins' part of the kubelet."""

import re
from collections.abc import Mapping, Sequence

from gpuspawner.devices import Device as ClaimedDevice
from gpuspawner.devices import devices_held, devices_of
from gpuspawner.local.apiserver.device_claims import CLAIMS, claim_names
from gpuspawner.local.apiserver.store import Object, Store
from gpuspawner.local.nodes.description import Device, pretended_devices
from gpuspawner.local.scheduler.fit import amounts

__all__ = ["Allocation", "DeviceManager", "DevicesUnavailable", "claimed_devices", "device_env"]

Allocation = dict[str, dict[str, list[Device]]]
"""Devices by container and resource."""

_MIG = "/mig-"
_SHARING = "nvidia.com/gpu.sharing-strategy"


class DevicesUnavailable(Exception):  # noqa: N818  (named after the kubelet's words)
    """A pod was bound to a node that has not as many free devices as it asks for."""


class DeviceManager:
    """Hands out devices so that no device ever belongs to two living pods."""

    def __init__(self) -> None:
        self._devices: dict[str, dict[str, Sequence[Device]]] = {}
        self._owners: dict[tuple[str, str, str], str] = {}

    def add_node(self, name: str, devices: Mapping[str, Sequence[Device]]) -> None:
        """Make the devices of a node known; those of nodes that are not added are derived from their capacity."""
        self._devices[name] = dict(devices)

    def allocate(self, node: Object, pod: Object) -> Allocation:
        """Give a pod the devices that its containers' limits ask for, lowest index first.

        Init containers share the devices of the containers that follow. Raises `DevicesUnavailable` and then
        keeps nothing.
        """
        uid = pod["metadata"]["uid"]
        steady, passing = pod["spec"]["containers"], pod["spec"].get("initContainers") or []
        allocation: Allocation = {}
        try:
            held: dict[str, list[Device]] = {}
            for container in steady:
                for resource, count in _extended(container):
                    taken = self._take(node, uid, resource, count)
                    held.setdefault(resource, []).extend(taken)
                    allocation.setdefault(container["name"], {})[resource] = taken
            for container in passing:
                for resource, count in _extended(container):
                    pool = held.setdefault(resource, [])
                    pool += self._take(node, uid, resource, max(0, count - len(pool)))
                    allocation.setdefault(container["name"], {})[resource] = pool[:count]
        except DevicesUnavailable:
            self.release(uid)
            raise
        return allocation

    def release(self, uid: str) -> None:
        """Take back everything that a pod holds."""
        for key in [key for key, owner in self._owners.items() if owner == uid]:
            del self._owners[key]

    def holders(self) -> dict[tuple[str, str, str], str]:
        """The uid of the pod that holds a device, by node, resource and device id."""
        return dict(self._owners)

    def _take(self, node: Object, uid: str, resource: str, count: int) -> list[Device]:
        name = node["metadata"]["name"]
        known = self._devices.setdefault(name, {})
        if resource not in known:
            total = amounts(node.get("status", {}).get("allocatable")).get(resource, 0)
            known[resource] = pretended_devices(name, resource, total)
        if count > 1 and resource.startswith("nvidia.com/gpu") and _by_mps(node):
            raise DevicesUnavailable(
                "Allocate failed due to rpc error: code = Unknown desc = request for "
                f"'{resource}: {count}' too large: maximum request size for shared resources is 1, which is unexpected"
            )
        free = [device for device in known[resource] if (name, resource, device.id) not in self._owners]
        if len(free) < count:
            raise DevicesUnavailable(
                f"Allocate failed due to requested number of devices unavailable for {resource}. "
                f"Requested: {count}, Available: {len(free)}, which is unexpected"
            )
        for device in free[:count]:
            self._owners[name, resource, device.id] = uid
        return free[:count]


def _by_mps(node: Object) -> bool:
    """Whether cards are shared by MPS, of which the device plugin never gives a container more than one share."""
    return bool((node["metadata"].get("labels") or {}).get(_SHARING) == "mps")


def _extended(container: Object) -> list[tuple[str, int]]:
    limits = amounts(container.get("resources", {}).get("limits"))
    return [(resource, count) for resource, count in limits.items() if "/" in resource and count]


def claimed_devices(store: Store, pod: Object) -> Allocation:
    """The devices that a pod's ResourceClaims hold, by container and a resource name of their vendor."""
    if not pod["spec"].get("resourceClaims"):
        return {}
    slices = (stored.obj for stored in store.items("resourceslices.resource.k8s.io"))
    known = {device.key: device for device in devices_of(slices)}
    held = {}
    for entry, name in claim_names(pod).items():
        claim = store.find(CLAIMS, pod["metadata"]["namespace"], name or "")
        held[entry] = [one for one in devices_held(claim or {}) if one.key in known]
    given: Allocation = {}
    for container in (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])):
        for used in container.get("resources", {}).get("claims", []):
            for one in held.get(used["name"], []):
                if used.get("request") in (None, "", one.request, one.request.split("/")[0]):
                    resource, device = _plugged(known[one.key])
                    given.setdefault(container["name"], {}).setdefault(resource, []).append(device)
    return given


def _plugged(claimed: ClaimedDevice) -> tuple[str, Device]:
    """A claimed device as if a device plugin had handed it out."""
    driver, pool, name = claimed.key
    number = re.search(r"\d+", name)
    index = int(number[0]) if number else 0
    uuid = str(claimed.attribute("uuid") or f"{pool}/{name}")
    vendor = driver if driver == "gpu.intel.com" else driver.removeprefix("gpu.")
    kind = "mig-claimed" if claimed.attribute("type") == "mig" else "gpu"
    return f"{vendor}/{kind}", Device(index, uuid, uuid)


def device_env(devices: Mapping[str, Sequence[Device]]) -> dict[str, str]:
    """The environment by which the vendors' libraries see a container's devices, and no others.

    Without an NVIDIA or AMD device CUDA_VISIBLE_DEVICES is empty, which hides all CUDA devices.
    """
    nvidia: list[str] = []
    uuids: list[str] = []
    env: dict[str, str] = {}
    for resource, given in devices.items():
        indexes = list(dict.fromkeys(str(device.index) for device in given))
        if resource.startswith("nvidia.com/"):
            unique = list(dict.fromkeys(device.uuid for device in given))
            uuids += unique
            nvidia += unique if _MIG in resource else indexes
        elif resource.startswith("amd.com/"):
            env["ROCR_VISIBLE_DEVICES"] = ",".join(indexes)
        elif resource.startswith("gpu.intel.com/"):
            env["ZE_AFFINITY_MASK"] = ",".join(indexes)
        elif resource.startswith("habana.ai/"):
            env["HABANA_VISIBLE_DEVICES"] = ",".join(indexes)
    if nvidia:
        # The index is nvidia-smi's only in PCI order; CUDA's own order is "fastest first".
        env |= {"CUDA_VISIBLE_DEVICES": ",".join(nvidia), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        env["NVIDIA_VISIBLE_DEVICES"] = ",".join(uuids)
    elif "ROCR_VISIBLE_DEVICES" not in env:
        env["CUDA_VISIBLE_DEVICES"] = ""
    return env
