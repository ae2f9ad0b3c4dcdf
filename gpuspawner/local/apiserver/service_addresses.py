"""The addresses and node ports of Services."""

import hashlib
from typing import Any

from gpuspawner.local.apiserver.store import Store

__all__ = ["give_addresses", "keep_addresses"]

Object = dict[str, Any]
_FIRST, _SECOND_OCTETS = 128, 64  # 127.128.0.1 to 127.191.255.254, beside the pods' 127.64.0.0/10
_NODE_PORTS = range(30000, 32768)


def give_addresses(store: Store, service: Object) -> None:
    """Give a new Service, in place, an address of its own from 127.128.0.0/10, and node ports where it has any.

    The address follows from the namespace's uid and the Service's name, so that a Service that comes again usually
    finds its old one, and two engines on one machine do not meet.
    """
    spec, metadata = service["spec"], service["metadata"]
    if spec["type"] == "ExternalName":
        return
    others = [stored.obj["spec"] for stored in store.items("services")]
    if not spec.get("clusterIP"):
        namespace = store.find("namespaces", None, metadata["namespace"]) or {"metadata": {"uid": ""}}
        taken = {other.get("clusterIP") for other in others}
        spec["clusterIP"] = _free(f"{namespace['metadata']['uid']}/{metadata['name']}", taken)
    spec["clusterIPs"] = [spec["clusterIP"]]
    if spec["type"] in ("NodePort", "LoadBalancer"):
        used = {port.get("nodePort") for other in others for port in other.get("ports", [])}
        for port in spec.get("ports", []):
            if not port.get("nodePort"):
                port["nodePort"] = next(number for number in _NODE_PORTS if number not in used)
                used.add(port["nodePort"])


def keep_addresses(new: Object, old: Object) -> None:
    """Keep, in place, what a changed Service does not mention: its address, and the node ports of its ports."""
    spec, before = new["spec"], old["spec"]
    if spec["type"] == "ExternalName" or before["type"] == "ExternalName":
        return
    for name in ("clusterIP", "clusterIPs"):
        if name in before:
            spec.setdefault(name, before[name])
    known = {port.get("name", ""): port["nodePort"] for port in before.get("ports", []) if "nodePort" in port}
    for port in spec.get("ports", []):
        if spec["type"] != "ClusterIP" and port.get("name", "") in known:
            port.setdefault("nodePort", known[port.get("name", "")])


def _free(name: str, taken: set[Any]) -> str:
    size = _SECOND_OCTETS * 256 * 254
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % size
    while (written := _written(number)) in taken:
        number = (number + 1) % size
    return written


def _written(number: int) -> str:
    rest, last = divmod(number, 254)
    second, third = divmod(rest, 256)
    return f"127.{_FIRST + second}.{third}.{last + 1}"
