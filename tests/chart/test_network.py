"""Who reaches whom under the chart's NetworkPolicies, with the labels that its pods and the spawner's really have."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from helm_python.errors import HelmRenderError
from network_rules import Address, Network, Pod
from rendered_servers import server_pod, settings_of
from rendering import merged, render

from gpuspawner.companions import build_namespace, build_namespace_objects

OTHER_NAMESPACE = {"singleuser": {"namespace": "servers"}}
PROXIED = {"zone": "restricted", "restrictedZone": {"httpProxy": {"url": "http://192.0.2.10:3128"}}}
ISOLATED = {"zone": "restricted"}
TLS = {"proxy": {"tls": {"existingSecret": "certificate"}}}
OWN_NAMESPACES = {"gpuspawner": {"user_namespaces": {}}}
PORT = {"hub": {"config": {"GPUSpawner": {"port": 9000}}}}

METADATA = [
    Address("169.254.169.254"),
    Address("100.100.100.200"),
    Address("168.63.129.16"),
    Address("fd00:ec2::254"),
    Address("fd20:ce::254"),
    Address("64:ff9b::a9fe:a9fe"),
]
INTERNET = Address("203.0.113.5")
INTERNET_6 = Address("2001:db8::5")
INSTITUTION = Address("10.20.0.5")
INSTITUTION_6 = Address("fd12:3456::5")
LINK_LOCAL = Address("169.254.0.9")
HTTP_PROXY = Address("192.0.2.10")
DNS = Pod("kube-system", {"k8s-app": "kube-dns"}, "10.244.0.2")
OPENSHIFT_DNS = Pod("openshift-dns", {"dns.operator.openshift.io/daemonset-dns": "default"}, "10.244.0.3")
NODE_DNS_POD = Pod("kube-system", {"k8s-app": "node-local-dns"}, "10.244.0.4")
DNS_SERVICE = Address("10.96.0.10")
NODE_DNS = Address("169.254.20.10")
STRANGER = Pod("somewhere", {"app": "jupyterhub", "component": "singleuser-server"}, "10.244.9.1")
NEIGHBOUR = Pod("jupyter", {"app": "grafana"}, "10.244.9.2")

SQUID = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "squid"}}}


def block(cidr: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr}}


@dataclass(frozen=True)
class Cast:
    """The pods of a release, and what they may do; ``can`` must hold on every network plugin, ``cannot`` as well."""

    policies: tuple[Mapping[str, Any], ...]
    hub: Pod
    proxy: Pod
    server: Pod
    other: Pod
    labels: Mapping[str, Mapping[str, str]]

    def can(self, source: Pod | Address, target: Pod | Address, port: int, protocol: str = "TCP") -> bool:
        return Network(self.policies, self.labels).allows(source, target, port, protocol)

    def cannot(self, source: Pod | Address, target: Pod | Address, port: int, protocol: str = "TCP") -> bool:
        network = Network(self.policies, self.labels, blocks_match_pods=True)
        return not network.allows(source, target, port, protocol)


def cast(values: Mapping[str, Any], name: str = "gpuspawner", namespace: str = "jupyter") -> Cast:
    """A release with a server of Ada, and one of Grace."""
    manifests = render(values, name, namespace)
    settings = settings_of(manifests)
    server = Pod.of(server_pod(manifests), "10.244.0.12")
    other = Pod.of(server_pod(manifests, user="grace"), "10.244.0.13")
    labels, policies = {}, manifests.all("NetworkPolicy")
    if settings.user_namespaces is not None:
        for user in ("ada", "grace"):
            made = (build_namespace(user, settings) or {})["metadata"]
            labels[made["name"]] = made["labels"]
            for policy in build_namespace_objects(settings):
                policies.append({**policy, "metadata": {**policy["metadata"], "namespace": made["name"]}})
    return Cast(
        policies=tuple(policies),
        hub=Pod.of(manifests.one("Deployment", "hub"), "10.244.0.10"),
        proxy=Pod.of(manifests.one("Deployment", "proxy"), "10.244.0.11"),
        server=server,
        other=other,
        labels=labels,
    )


EVERYWHERE = pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="open"),
        pytest.param(OTHER_NAMESPACE, id="open, servers apart"),
        pytest.param(OWN_NAMESPACES, id="open, a namespace for each user"),
        pytest.param(PROXIED, id="restricted"),
        pytest.param(ISOLATED, id="restricted without proxy"),
        pytest.param({**PROXIED, **OTHER_NAMESPACE}, id="restricted, servers apart"),
        pytest.param({**PROXIED, **OWN_NAMESPACES}, id="restricted, a namespace for each user"),
        pytest.param(TLS, id="TLS"),
    ],
)


@EVERYWHERE
def test_hub_proxy_and_servers_reach_each_other_as_they_must(values: dict[str, Any]) -> None:
    it = cast(values)
    needed = [
        (it.proxy, it.hub, 8081),
        (it.server, it.hub, 8081),
        (it.hub, it.proxy, 8001),
        (it.hub, it.server, 8888),
        (it.proxy, it.server, 8888),
        (INTERNET, it.proxy, 8000),
        (NEIGHBOUR, it.proxy, 8000),
    ]
    for source, target, port in needed:
        assert it.can(source, target, port), (source, target, port)
    for source in (it.hub, it.proxy, it.server):
        for target in (DNS, NODE_DNS):
            assert it.can(source, target, 53, "UDP")
            assert it.can(source, target, 53)
        assert it.can(source, OPENSHIFT_DNS, 5353, "UDP")
        assert it.can(source, NODE_DNS_POD, 53, "UDP")


def test_names_are_looked_up_at_private_addresses_too_where_nothing_is_restricted() -> None:
    """NodeLocal DNSCache with kube-proxy: the address of DNS's Service is one of the node's own."""
    for values, open_ in (({}, True), (PROXIED, False)):
        it = cast(values)
        for source in (it.hub, it.proxy, it.server):
            assert it.can(source, DNS_SERVICE, 53, "UDP") is (open_ or source is it.hub)
    told = cast({**PROXIED, "singleuser": {"networkPolicy": {"dnsServers": [block("10.96.0.10/32")]}}})
    assert told.can(told.server, DNS_SERVICE, 53, "UDP")


@EVERYWHERE
def test_nobody_reaches_more_of_them_than_that(values: dict[str, Any]) -> None:
    it = cast(values)
    forbidden = [
        (it.server, it.other, 8888),
        (it.server, it.proxy, 8001),
        (it.server, it.proxy, 8000),
        (it.server, it.hub, 22),
        (it.proxy, it.server, 22),
        (it.proxy, INTERNET, 443),
        (it.proxy, INSTITUTION, 443),
        (it.hub, it.server, 22),
        (it.hub, it.proxy, 22),
        (INTERNET, it.hub, 8081),
        (INSTITUTION, it.server, 8888),
        (INSTITUTION, it.proxy, 8001),
        (STRANGER, it.hub, 8081),
        (STRANGER, it.proxy, 8001),
        (STRANGER, it.server, 8888),
        (NEIGHBOUR, it.hub, 8081),
        (NEIGHBOUR, it.server, 8888),
    ]
    for source, target, port in forbidden:
        assert it.cannot(source, target, port), (source, target, port)


@EVERYWHERE
def test_no_pod_reaches_where_a_cloud_tells_credentials(values: dict[str, Any]) -> None:
    it = cast(merged(values, {"singleuser": {"networkPolicy": {"egress": {"nonPrivateIPs": True}}}}))
    for source in (it.hub, it.proxy, it.server):
        for address in METADATA:
            for port in (53, 80, 988, 32526):
                assert it.cannot(source, address, port), (source, address)
    for source in (it.proxy, it.server):
        assert all(it.cannot(source, address, port) for address in METADATA for port in (443, 6443))


@pytest.mark.parametrize(
    "extra",
    [
        [{"ports": [{"port": 80}]}],
        [{}],
        [{"to": [block("0.0.0.0/0"), block("::/0")]}],
        [
            {
                "to": [
                    block("168.0.0.0/7"),
                    {"ipBlock": {"cidr": "100.64.0.0/10", "except": ["100.99.0.0/16"]}},
                ]
            }
        ],
        [
            {
                "to": [
                    block("fd00::/8"),
                    block("64:ff9b::/96"),
                    block("fc00::/7"),
                ]
            }
        ],
    ],
)
def test_rules_of_the_operators_own_leave_that_out_though_rules_add_up(extra: list[dict[str, Any]]) -> None:
    it = cast({"singleuser": {"networkPolicy": {"egress": {"privateIPs": True, "extra": extra}}}})
    for address in METADATA:
        assert it.cannot(it.server, address, 80), address
    assert it.can(it.server, INSTITUTION, 80)
    assert it.can(it.server, INSTITUTION_6, 80)


@pytest.mark.parametrize(("cidr", "inside"), [("100.99.0.0/16", "100.99.1.1"), ("169.254.170.0/24", "169.254.170.23")])
def test_a_block_of_the_operators_own_keeps_what_it_has(cidr: str, inside: str) -> None:
    it = cast({"singleuser": {"networkPolicy": {"egress": {"extra": [{"to": [block(cidr)]}]}}}})
    assert it.can(it.server, Address(inside), 80)


def test_a_rule_that_names_just_the_metadata_address_is_meant_so() -> None:
    to = [block("169.254.169.254/32")]
    extra = [{"to": to, "ports": [{"port": 988}]}]
    it = cast({"singleuser": {"networkPolicy": {"egress": {"extra": extra}}}})
    assert it.can(it.server, METADATA[0], 988)
    assert it.cannot(it.server, METADATA[0], 80)
    only_dns = cast({"singleuser": {"networkPolicy": {"dnsServers": to}}})
    assert only_dns.can(only_dns.server, METADATA[0], 53, "UDP")
    assert only_dns.cannot(only_dns.server, METADATA[0], 80)
    assert only_dns.cannot(only_dns.server, DNS, 53, "UDP")


@pytest.mark.parametrize(
    ("egress", "internet", "institution"),
    [
        ({}, True, False),
        ({"privateIPs": True}, True, True),
        ({"privateIPs": True, "nonPrivateIPs": False}, False, True),
        ({"nonPrivateIPs": False}, False, False),
    ],
)
def test_in_an_open_zone_servers_reach_the_internet_and_the_institution_as_the_values_say(
    egress: dict[str, Any], internet: bool, institution: bool
) -> None:
    it = cast({"singleuser": {"networkPolicy": {"egress": egress}}})
    for address in (INTERNET, INTERNET_6):
        assert it.can(it.server, address, 443) is internet
    for address in (INSTITUTION, INSTITUTION_6, Address("172.31.0.1"), Address("192.168.1.1"), Address("100.65.0.1")):
        assert it.can(it.server, address, 443) is institution
    assert it.cannot(it.server, LINK_LOCAL, 80)
    assert it.cannot(it.server, Address("fe80::1"), 80)
    assert institution or it.cannot(it.server, NEIGHBOUR, 80)


@pytest.mark.parametrize("where", [{}, OTHER_NAMESPACE, OWN_NAMESPACES], ids=["one", "apart", "each"])
def test_in_a_restricted_zone_servers_reach_the_http_proxy_and_nothing_else_outside(where: dict[str, Any]) -> None:
    it = cast({**PROXIED, **where})
    assert it.can(it.server, HTTP_PROXY, 3128)
    for target in (INTERNET, INTERNET_6, INSTITUTION, INSTITUTION_6, LINK_LOCAL, NEIGHBOUR, STRANGER, it.other):
        for port in (22, 53, 80, 443, 3128, 8081, 8888):
            assert it.cannot(it.server, target, port), (target, port)
            assert it.cannot(it.server, target, port, "UDP"), (target, port)
    for port in (22, 80, 443):
        assert it.cannot(it.server, HTTP_PROXY, port)
    isolated = cast(ISOLATED)
    assert isolated.cannot(isolated.server, HTTP_PROXY, 3128)


@pytest.mark.parametrize(
    ("proxy", "target", "port"),
    [
        ({"url": "http://192.0.2.10"}, HTTP_PROXY, 80),
        ({"url": "https://192.0.2.10/"}, HTTP_PROXY, 443),
        ({"url": "http://[2001:db8::10]:3128"}, Address("2001:db8::10"), 3128),
        (
            {"url": "http://squid.net.svc:3128", "egress": {"to": [SQUID]}},
            Pod("net", {"app": "squid"}, "10.244.5.5"),
            3129,
        ),
        (
            {"existingSecret": "proxy", "egress": {"to": [block("192.0.2.0/28")], "ports": [{"port": 3128}]}},
            HTTP_PROXY,
            3128,
        ),
    ],
)
def test_the_way_to_the_http_proxy_follows_from_its_address_or_is_said(
    proxy: dict[str, Any], target: Pod | Address, port: int
) -> None:
    it = cast({"zone": "restricted", "restrictedZone": {"httpProxy": proxy}})
    assert it.can(it.server, target, port)
    assert it.cannot(it.server, INTERNET, port)


def test_a_restricted_zone_has_the_ways_out_that_are_named() -> None:
    pacs = [{"to": [block("10.20.0.5/32")], "ports": [{"port": 11112}]}]
    it = cast({"zone": "restricted", "singleuser": {"networkPolicy": {"egress": {"extra": pacs}}}})
    assert it.can(it.server, INSTITUTION, 11112)
    assert it.cannot(it.server, INSTITUTION, 443)


def egress(**rules: Any) -> dict[str, Any]:
    return {"singleuser": {"networkPolicy": {"egress": rules}}}


def proxy(**settings: Any) -> dict[str, Any]:
    return {"restrictedZone": {"httpProxy": settings}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"singleuser": {"networkPolicy": {"enabled": False}}}, "singleuser.networkPolicy.enabled: found false"),
        (egress(privateIPs=True), "singleuser.networkPolicy.egress.privateIPs: found true"),
        (egress(extra=[{"ports": [{"port": 443}]}]), "singleuser.networkPolicy.egress.extra: a rule without `to`"),
        (egress(extra=[{"to": [block("0.0.0.0/0")]}]), "the block 0.0.0.0/0"),
        (egress(extra=[{"to": [block("169.254.169.254/32")]}]), "the block 169.254.169.254/32"),
        (proxy(url="http://proxy.example.org:3128"), "say where proxy.example.org is"),
        (proxy(url="http://ada:secret@192.0.2.10:3128"), "restrictedZone.httpProxy.existingSecret"),
        (proxy(url="proxy:3128"), "which is no URL of an HTTP proxy"),
        (proxy(existingSecret="proxy"), "restrictedZone.httpProxy.egress: missing"),
        (proxy(existingSecret="proxy", url="http://192.0.2.10:3128"), "Leave one of the two out"),
        (
            {**proxy(existingSecret="proxy", egress={"to": [SQUID]}), **OWN_NAMESPACES},
            "no namespace that gpuspawner.user_namespaces makes has that Secret",
        ),
        (proxy(egress={"ports": [{"port": 80}]}), "restrictedZone.httpProxy.egress: a rule without `to`"),
    ],
)
def test_a_restricted_zone_that_would_not_be_closed_is_not_installed(values: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmRenderError) as refused:
        render({"zone": "restricted", **values})
    assert words in " ".join(str(refused.value).split())
    assert "secret@" not in str(refused.value)


def test_whoever_is_named_reaches_hub_proxy_and_servers_too() -> None:
    prometheus = Pod("monitoring", {"app": "prometheus"}, "10.244.7.7")
    from_there = {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]}
    it = cast(
        {
            "hub": {"networkPolicy": {"ingress": [{**from_there, "ports": [{"port": 8081}]}]}},
            "proxy": {"networkPolicy": {"ingress": [from_there], "egress": [{"to": [block("203.0.113.0/24")]}]}},
            "singleuser": {"networkPolicy": {"ingress": [{**from_there, "ports": [{"port": 8787}]}]}},
        }
    )
    assert it.can(prometheus, it.hub, 8081)
    assert it.can(prometheus, it.proxy, 8000)
    assert it.can(prometheus, it.server, 8787)
    assert it.can(it.proxy, INTERNET, 443)
    for target, port in ((it.proxy, 8001), (it.server, 8888), (it.hub, 22)):
        assert it.cannot(prometheus, target, port)
    assert it.cannot(INTERNET, it.proxy, 8000)


def test_a_pod_of_the_releases_namespace_may_say_that_it_needs_the_hub() -> None:
    it = cast({})
    label = {"hub.jupyter.org/network-access-hub": "true"}
    assert it.can(Pod("jupyter", label, "10.244.8.1"), it.hub, 8081)
    assert it.cannot(Pod("somewhere", label, "10.244.8.2"), it.hub, 8081)


def test_the_hub_reaches_the_kubernetes_api_on_nodes_that_no_address_and_no_selector_means() -> None:
    """As with Cilium, whose ipBlocks match neither nodes nor pods: an empty ``to`` is all that lets it through."""
    node = Pod("", {}, "192.168.7.7")
    for values in ({}, PROXIED, {"hub": {"networkPolicy": {"egress": [{"to": [block("203.0.113.0/24")]}]}}}):
        it = cast(values)
        assert it.can(it.hub, node, 6443)
        assert it.can(it.hub, node, 443)
        assert it.cannot(it.server, node, 6443)
    other = cast({"hub": {"networkPolicy": {"kubernetesApiPorts": [16443]}}})
    assert other.can(other.hub, node, 16443)


def test_the_hub_goes_where_it_must_and_only_there_if_told() -> None:
    it = cast({})
    for target in (INTERNET, INTERNET_6, INSTITUTION, NEIGHBOUR):
        assert it.can(it.hub, target, 5432)
    api = [{"to": [block("10.96.0.1/32")], "ports": [{"port": 443}]}]
    told = cast({"hub": {"networkPolicy": {"kubernetesApiPorts": [], "egress": api}}})
    assert told.can(told.hub, Address("10.96.0.1"), 443)
    assert told.cannot(told.hub, INTERNET, 443)
    assert told.cannot(told.hub, INTERNET, 5432)
    assert told.can(told.hub, told.server, 8888)
    assert told.can(told.hub, told.proxy, 8001)


def test_the_port_of_servers_is_the_one_that_the_hub_tells_them() -> None:
    it = cast(PORT)
    assert it.can(it.hub, it.server, 9000)
    assert it.can(it.proxy, it.server, 9000)
    assert it.cannot(it.proxy, it.server, 8888)


def test_two_releases_of_a_namespace_are_strangers() -> None:
    one, two = cast({}, "one"), cast({}, "two")
    both = replace(one, policies=one.policies + two.policies)
    assert both.can(one.server, one.hub, 8081)
    assert both.can(two.server, two.hub, 8081)
    for source, target, port in (
        (one.server, two.hub, 8081),
        (one.proxy, two.server, 8888),
        (one.hub, two.proxy, 8001),
        (one.server, two.server, 8888),
    ):
        assert both.cannot(source, target, port)


def test_a_hub_that_is_named_otherwise_is_known_by_that_name() -> None:
    it = cast({"gpuspawner": {"hub_name": "teaching"}})
    assert it.server.labels["gpuspawner/hub"] == "teaching"
    assert it.can(it.server, it.hub, 8081)
    assert it.cannot(it.server, INSTITUTION, 443)


@pytest.mark.parametrize(
    "values", [{"gpuspawner": {"user_namespaces": {}}}, {"hub": {"config": {"GPUSpawner": {"user_namespaces": {}}}}}]
)
def test_with_a_namespace_for_each_user_the_hub_makes_the_policy_in_each(values: dict[str, Any]) -> None:
    manifests = render(values)
    assert manifests.maybe("NetworkPolicy", "singleuser") is None
    [policy] = build_namespace_objects(settings_of(manifests))
    assert policy["spec"]["podSelector"]["matchLabels"]["gpuspawner/hub"] == "gpuspawner"
    off = merged(values, {"singleuser": {"networkPolicy": {"enabled": False}}})
    assert build_namespace_objects(settings_of(render(off))) == []


def test_the_operators_own_policy_of_that_name_takes_its_place() -> None:
    own = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "gpuspawner-singleuser"},
        "spec": {"podSelector": {}},
    }
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "gpuspawner-singleuser"}, "spec": {}}
    for objects, left in (([own], 1), ([quota], 2)):
        settings = settings_of(render({"gpuspawner": {"user_namespaces": {"objects": objects}}}))
        assert len(build_namespace_objects(settings)) == left


def test_servers_in_a_namespace_that_the_chart_does_not_know_are_refused() -> None:
    for values in ({"gpuspawner": {"namespace": "lab"}}, {"hub": {"config": {"GPUSpawner": {"namespace": "lab"}}}}):
        with pytest.raises(HelmRenderError, match="Say it as singleuser"):
            render(values)
    assert render({"gpuspawner": {"namespace": "lab"}, "singleuser": {"namespace": "lab"}})


def test_each_policy_can_be_left_out() -> None:
    off = {"networkPolicy": {"enabled": False}}
    manifests = render({"hub": off, "proxy": off, "singleuser": off})
    assert not manifests.all("NetworkPolicy")
