"""The evaluator of NetworkPolicies says what Kubernetes' documentation says of the same policies."""

from typing import Any

import pytest
from network_rules import Address, Network, Pod

WEB = Pod("default", {"app": "web"}, "10.1.0.1", {"http": 8080})
DB = Pod("default", {"app": "db"}, "10.1.0.2", {"sql": 6379})
OTHER = Pod("other", {"app": "web"}, "10.1.1.1")
OUTSIDE = Address("203.0.113.5")


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "default"}, "spec": {"podSelector": {}, **spec}}


DOCUMENTED = policy(
    podSelector={"matchLabels": {"app": "db"}},
    policyTypes=["Ingress", "Egress"],
    ingress=[
        {
            "from": [
                {"ipBlock": {"cidr": "172.17.0.0/16", "except": ["172.17.1.0/24"]}},
                {"namespaceSelector": {"matchLabels": {"project": "myproject"}}},
                {"podSelector": {"matchLabels": {"app": "web"}}},
            ],
            "ports": [{"protocol": "TCP", "port": 6379}],
        }
    ],
    egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}], "ports": [{"protocol": "TCP", "port": 5978}]}],
)
"""The example of the documentation's page, with other label values."""


@pytest.mark.parametrize(
    ("source", "target", "port", "allowed"),
    [
        (WEB, DB, 6379, True),
        (WEB, DB, 6380, False),
        (OTHER, DB, 6379, False),
        (Pod("mine", {}, "10.1.2.1"), DB, 6379, True),
        (Address("172.17.0.9"), DB, 6379, True),
        (Address("172.17.1.9"), DB, 6379, False),
        (OUTSIDE, DB, 6379, False),
        (DB, Address("10.0.0.7"), 5978, True),
        (DB, Address("10.0.0.7"), 443, False),
        (DB, WEB, 5978, False),
        (WEB, OUTSIDE, 443, True),
    ],
)
def test_the_example_of_the_documentation_means_what_its_text_says(
    source: Pod | Address, target: Pod | Address, port: int, allowed: bool
) -> None:
    network = Network([DOCUMENTED], {"mine": {"project": "myproject"}})
    assert network.allows(source, target, port) is allowed
    assert not network.allows(source, target, port, "UDP") or source is WEB


@pytest.mark.parametrize(
    ("spec", "into", "out"),
    [
        ({}, False, True),
        ({"policyTypes": ["Egress"]}, True, False),
        ({"policyTypes": ["Ingress", "Egress"]}, False, False),
        ({"ingress": [{}]}, True, True),
        ({"ingress": [{"from": [], "ports": []}]}, True, True),
        ({"egress": [{"ports": [{"port": 443}]}]}, False, True),
        ({"egress": [{"ports": [{"port": 400, "endPort": 450}]}]}, False, True),
        ({"egress": [{"ports": [{"port": 400, "endPort": 442}]}]}, False, False),
        ({"egress": [{"ports": [{"port": 443, "protocol": "UDP"}]}]}, False, False),
        ({"egress": [{"to": [{"namespaceSelector": {}}]}]}, False, False),
    ],
)
def test_a_policy_denies_what_it_is_on_but_does_not_allow(spec: dict[str, Any], into: bool, out: bool) -> None:
    network = Network([policy(**spec)])
    assert network.allows(OUTSIDE, WEB, 8080) is into
    assert network.allows(WEB, OUTSIDE, 443) is out
    assert network.isolates(WEB, "Ingress") is ("Ingress" in spec.get("policyTypes", ["Ingress"]))
    assert not network.isolates(OTHER, "Ingress")


def test_policies_add_up() -> None:
    only_dns = policy(policyTypes=["Egress"], egress=[{"ports": [{"port": 53, "protocol": "UDP"}]}])
    only_web = policy(policyTypes=["Egress"], egress=[{"ports": [{"port": 443}]}])
    network = Network([only_dns, only_web])
    assert network.allows(WEB, OUTSIDE, 53, "UDP")
    assert network.allows(WEB, OUTSIDE, 443)
    assert not network.allows(WEB, OUTSIDE, 80)


def test_selectors_of_namespace_and_pod_in_one_peer_must_both_match() -> None:
    peer = {
        "namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]},
        "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["db"]}]},
    }
    network = Network([policy(ingress=[{"from": [peer], "ports": [{"port": "http"}]}])])
    assert network.allows(OTHER, WEB, 8080)
    assert not network.allows(OTHER, WEB, 8081)
    assert not network.allows(DB, WEB, 8080)
    assert not network.allows(OUTSIDE, WEB, 8080)


def test_whether_a_block_of_addresses_matches_pods_is_the_plugins_choice() -> None:
    anywhere = [policy(policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}])]
    assert not Network(anywhere).allows(WEB, OTHER, 80)
    assert Network(anywhere, blocks_match_pods=True).allows(WEB, OTHER, 80)


def test_what_the_api_would_refuse_is_no_policy() -> None:
    outside = policy(egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]}}]}])
    with pytest.raises(ValueError, match="strictly within"):
        Network([outside]).allows(WEB, OUTSIDE, 80)
    with pytest.raises(ValueError, match="says something"):
        Network([policy(egress=[{"to": [{}]}])]).allows(WEB, OUTSIDE, 80)
