"""How people reach the hub: Ingress, Gateway API and the certificates that cert-manager makes."""

from typing import Any

import kubernetes_validate
import pytest
from helm_python import HelmRenderError
from rendering import Manifest, render

ISSUER = {"cert-manager.io/cluster-issuer": "letsencrypt"}
TLS = [{"hosts": ["hub.example.edu"], "secretName": "hub-tls"}]


def ingress(base: str = "/", **said: Any) -> Manifest:
    return render({"ingress": {"enabled": True, **said}, "hub": {"baseUrl": base}}).one("Ingress")


def routes(**said: Any) -> list[Manifest]:
    return render({"httpRoute": {"enabled": True, **said}}).all("HTTPRoute")


def gateway(**said: Any) -> dict[str, Any]:
    return {"create": True, "className": "envoy-gateway", **said}


def test_without_values_nothing_is_open_to_the_outside() -> None:
    manifests = render()
    assert not [item for item in manifests if item["kind"] in ("Ingress", "HTTPRoute", "Gateway")]
    assert {service["spec"].get("type", "ClusterIP") for service in manifests.all("Service")} == {"ClusterIP"}


def test_an_ingress_sends_each_host_to_the_proxy() -> None:
    found = ingress(hosts=["hub.example.edu", "jupyter.example.edu"], className="nginx")
    kubernetes_validate.validate(found, "1.37", strict=True)
    assert found["spec"]["ingressClassName"] == "nginx"
    assert [rule["host"] for rule in found["spec"]["rules"]] == ["hub.example.edu", "jupyter.example.edu"]
    [path] = found["spec"]["rules"][0]["http"]["paths"]
    backend = {"service": {"name": "gpuspawner-proxy-public", "port": {"name": "http"}}}
    assert path == {"path": "/", "pathType": "Prefix", "backend": backend}


def test_an_ingress_without_host_answers_to_all() -> None:
    [rule] = ingress()["spec"]["rules"]
    assert "host" not in rule


def test_an_ingress_takes_the_hubs_path_only() -> None:
    [rule] = ingress(base="/jupyter/")["spec"]["rules"]
    assert rule["http"]["paths"][0]["path"] == "/jupyter/"


def test_an_ingress_can_have_other_paths_before_the_hubs() -> None:
    about = {"path": "/about", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
    [rule] = ingress(extraPaths=[about])["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/about", "/"]


def test_cert_manager_makes_the_certificate_that_an_ingress_names() -> None:
    found = ingress(hosts=["hub.example.edu"], annotations=ISSUER, tls=TLS)
    assert found["metadata"]["annotations"] == ISSUER
    assert found["spec"]["tls"] == TLS


def test_an_ingress_speaks_https_to_a_proxy_that_does() -> None:
    said = {"ingress": {"enabled": True}, "proxy": {"tls": {"existingSecret": "inside"}}}
    [rule] = render(said).one("Ingress")["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"]["port"] == {"name": "https"}


def test_a_route_is_attached_to_gateways_that_there_are() -> None:
    parents = [{"name": "public", "namespace": "gateways", "sectionName": "https"}]
    [route] = routes(
        parentRefs=parents, hostnames=["hub.example.edu"], annotations={"a": "b"}, timeouts={"request": "0s"}
    )
    assert route["spec"]["parentRefs"] == parents
    assert route["spec"]["hostnames"] == ["hub.example.edu"]
    assert route["metadata"]["annotations"] == {"a": "b"}
    [rule] = route["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert rule["backendRefs"] == [{"name": "gpuspawner-proxy-public", "port": 80}]
    assert rule["timeouts"] == {"request": "0s"}


def test_a_gateway_of_ones_own_ends_tls_and_sends_http_on_to_https() -> None:
    said = {
        "enabled": True,
        "hostnames": ["hub.example.edu", "jupyter.example.edu"],
        "gateway": gateway(annotations=ISSUER, tlsSecret="hub-tls"),
    }
    manifests = render({"httpRoute": said})
    [made] = manifests.all("Gateway")
    assert made["metadata"]["annotations"] == ISSUER
    listeners = {listener["name"]: listener for listener in made["spec"]["listeners"]}
    assert listeners["http"]["port"] == 80
    # cert-manager asks for certificates of listeners that have a name and end TLS.
    for name, host in (("https-0", "hub.example.edu"), ("https-1", "jupyter.example.edu")):
        assert listeners[name]["hostname"] == host
        assert listeners[name]["tls"] == {"mode": "Terminate", "certificateRefs": [{"name": "hub-tls"}]}
    by_name = {route["metadata"]["name"]: route["spec"] for route in manifests.all("HTTPRoute")}
    [redirect] = by_name["gpuspawner-to-https"]["rules"][0]["filters"]
    assert redirect["requestRedirect"]["scheme"] == "https"
    assert by_name["gpuspawner-to-https"]["parentRefs"] == [{"name": "gpuspawner", "sectionName": "http"}]
    assert {parent["sectionName"] for parent in by_name["gpuspawner"]["parentRefs"]} == {"https-0", "https-1"}


def test_a_gateway_without_certificate_serves_http() -> None:
    [route] = routes(gateway=gateway())
    assert route["spec"]["parentRefs"] == [{"name": "gpuspawner", "sectionName": "http"}]
    assert "hostnames" not in route["spec"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: found none"),
        (
            {"httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}], "gateway": gateway()}},
            "httpRoute.parentRefs: found Gateways although httpRoute.gateway.create makes one",
        ),
        ({"httpRoute": {"enabled": True, "gateway": {"create": True}}}, "httpRoute.gateway.className: found nothing"),
        (
            {"httpRoute": {"enabled": True, "gateway": gateway()}, "proxy": {"tls": {"existingSecret": "a"}}},
            "the proxy would send the Gateway's requests on to HTTPS for ever",
        ),
        ({"imagePullSecret": {"create": True}}, "imagePullSecret.create: found true without registry"),
        ({"singleuser": {"createNamespace": True}}, "singleuser.createNamespace: found true without"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused_with_what_to_do(values: dict[str, Any], told: str) -> None:
    with pytest.raises(HelmRenderError) as refused:
        render(values)
    assert told in str(refused.value)
