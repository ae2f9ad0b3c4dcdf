"""Who may reach whom under NetworkPolicies: their meaning, as the API defines it, without a cluster."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

__all__ = ["Address", "Network", "Pod"]

NAME = "kubernetes.io/metadata.name"
Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Address:
    """Something outside of the cluster."""

    ip: str


@dataclass(frozen=True)
class Pod:
    """A pod with the labels and named ports that policies see.

    Attributes
    ----------
    ports
        Container ports by name.
    """

    namespace: str
    labels: Mapping[str, str]
    ip: str
    ports: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest, ip: str, namespace: str | None = None) -> "Pod":
        """The pod of a manifest of a Pod, or of anything with a pod template such as a Deployment."""
        template = manifest["spec"].get("template", manifest)
        where = namespace or manifest["metadata"].get("namespace", "default")
        ports = {
            port["name"]: port["containerPort"]
            for container in template["spec"]["containers"]
            for port in container.get("ports") or ()
            if "name" in port
        }
        return cls(where, template["metadata"].get("labels") or {}, ip, ports)


End = Pod | Address


@dataclass(frozen=True)
class Network:
    """NetworkPolicies (networking.k8s.io/v1) in force together.

    Whether an ``ipBlock`` matches the addresses of pods is left to the network plugin, and differs between them.
    ``blocks_match_pods`` says which; what must be possible is asked without, what must not be possible with it.

    Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/ and the API reference of
    NetworkPolicySpec.
    """

    policies: Sequence[Manifest]
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels by namespace, besides the one with its name."""
    blocks_match_pods: bool = False

    def allows(self, source: End, target: End, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection may be opened: the policies of both ends must let it through."""
        return self._open(source, target, "Egress", target, port, protocol) and self._open(
            target, source, "Ingress", target, port, protocol
        )

    def isolates(self, pod: Pod, direction: str) -> bool:
        """Whether any policy is on a pod in a direction, ``Ingress`` or ``Egress``."""
        return any(True for _ in self._on(pod, direction))

    def _on(self, pod: Pod, direction: str) -> Iterator[Manifest]:
        for policy in self.policies:
            spec = policy["spec"]
            same = policy["metadata"].get("namespace", "default") == pod.namespace
            if same and direction in _types(spec) and _selects(spec.get("podSelector") or {}, pod.labels):
                yield policy

    def _open(self, end: End, other: End, direction: str, target: End, port: int, protocol: str) -> bool:
        """Whether the policies of one end, which is a pod or not subject to any, let the other one through."""
        if isinstance(end, Address):
            return True
        policies = list(self._on(end, direction))
        key, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        rules = [(policy, rule) for policy in policies for rule in policy["spec"].get(key) or ()]
        return not policies or any(
            _any_port(rule.get("ports"), target, port, protocol)
            and self._any_peer(rule.get(peers), other, policy["metadata"].get("namespace", "default"))
            for policy, rule in rules
        )

    def _any_peer(self, peers: Iterable[Manifest] | None, other: End, home: str) -> bool:
        """No peers, or an empty list, are everybody."""
        peers = list(peers or ())
        return not peers or any(self._is_peer(peer, other, home) for peer in peers)

    def _is_peer(self, peer: Manifest, other: End, home: str) -> bool:
        if "ipBlock" in peer:
            if set(peer) != {"ipBlock"}:
                raise ValueError("an ipBlock stands alone in its peer")
            return (isinstance(other, Address) or self.blocks_match_pods) and _within(peer["ipBlock"], other.ip)
        if not peer:
            raise ValueError("a peer says something")
        if isinstance(other, Address):
            return False
        if "namespaceSelector" in peer:
            labels = {**self.namespaces.get(other.namespace, {}), NAME: other.namespace}
            if not _selects(peer["namespaceSelector"] or {}, labels):
                return False
        elif other.namespace != home:
            return False
        return _selects(peer.get("podSelector") or {}, other.labels)


def _types(spec: Manifest) -> Sequence[str]:
    """Where ``policyTypes`` is left out: always Ingress, and Egress where there are egress rules."""
    return spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _any_port(ports: Iterable[Manifest] | None, target: End, port: int, protocol: str) -> bool:
    """No ports, or an empty list, are all ports of all protocols."""
    ports = list(ports or ())
    return not ports or any(_is_port(one, target, port, protocol) for one in ports)


def _is_port(wanted: Manifest, target: End, port: int, protocol: str) -> bool:
    if wanted.get("protocol", "TCP") != protocol:
        return False
    match wanted.get("port"):
        case None:
            return True
        case str(name):
            return isinstance(target, Pod) and target.ports.get(name) == port
        case number:
            return bool(number <= port <= wanted.get("endPort", number))


def _within(block: Manifest, address: str) -> bool:
    network = ip_network(block["cidr"])
    for exception in block.get("except") or ():
        if not _subnet(exception, network):
            raise ValueError(f"except {exception} is not strictly within {network}, which the API refuses")
    where = ip_address(address)
    return where in network and not any(where in ip_network(one) for one in block.get("except") or ())


def _subnet(inner: str, outer: Any) -> bool:
    network: Any = ip_network(inner)
    return bool(network.version == outer.version and network != outer and network.subnet_of(outer))


def _selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """An empty selector selects everything."""
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        _holds(requirement, labels) for requirement in selector.get("matchExpressions") or ()
    )


def _holds(requirement: Manifest, labels: Mapping[str, str]) -> bool:
    key, values = requirement["key"], requirement.get("values") or ()
    match requirement["operator"]:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case other:
            raise ValueError(f"operator {other!r}")
