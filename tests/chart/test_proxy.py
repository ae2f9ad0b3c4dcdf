"""The proxy and its Services, as the chart renders them."""

from typing import Any

from rendering import render

HUB = "http://gpuspawner-hub.jupyter.svc:8081"


def proxy(values: dict[str, Any] | None = None) -> dict[str, Any]:
    """The spec of the proxy's pod."""
    spec: dict[str, Any] = render(values).pods()["Deployment/gpuspawner-proxy"]["spec"]
    return spec


def command(values: dict[str, Any] | None = None) -> list[str]:
    return list(proxy(values)["containers"][0]["command"])


def public(**service: Any) -> dict[str, Any]:
    """The spec of the public Service."""
    spec: dict[str, Any] = render({"proxy": {"service": service}}).one("Service", "proxy-public")["spec"]
    return spec


def test_what_has_no_route_goes_to_the_hub_and_what_fails_to_its_page() -> None:
    assert command()[0] == "configurable-http-proxy"
    assert {f"--default-target={HUB}", f"--error-target={HUB}/hub/error"} <= set(command())
    assert f"--error-target={HUB}/jupyter/hub/error" in command({"hub": {"baseUrl": "/jupyter/"}})


def test_the_proxy_has_the_token_in_its_environment_and_nothing_else_of_the_secret() -> None:
    [token] = proxy()["containers"][0]["env"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "gpuspawner-secrets", "key": "proxy-token"}
    assert "volumes" not in proxy()


def test_the_proxy_runs_as_nobody_with_a_file_system_that_cannot_be_written() -> None:
    assert proxy()["securityContext"]["runAsUser"] == 65534
    assert proxy()["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    assert proxy()["automountServiceAccountToken"] is False


def test_probes_ask_the_proxy_itself() -> None:
    for probe in ("livenessProbe", "readinessProbe"):
        asked = proxy()["containers"][0][probe]["httpGet"]
        assert asked == {"path": "/_chp_healthz", "port": "http", "scheme": "HTTP"}


def test_there_is_one_proxy_and_it_ends_before_the_next_one_starts() -> None:
    spec = render().one("Deployment", "proxy")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_proxy_itself_serves_https_with_a_certificate_of_a_secret() -> None:
    said = {"proxy": {"tls": {"existingSecret": "hub-tls"}, "service": {"type": "LoadBalancer"}}}
    asked = {"--port=8443", "--redirect-port=8000", "--redirect-to=443", "--ssl-key=/etc/proxy/tls/tls.key"}
    assert asked <= set(command(said))
    assert "--port=8000" not in command(said)
    container = proxy(said)["containers"][0]
    assert container["livenessProbe"]["httpGet"] == {"path": "/_chp_healthz", "port": "https", "scheme": "HTTPS"}
    assert [port["name"] for port in container["ports"]] == ["http", "https", "api"]
    [certificate] = [volume for volume in proxy(said)["volumes"] if volume["name"] == "tls"]
    assert certificate["secret"] == {"secretName": "hub-tls", "defaultMode": 0o440}
    ports = render(said).one("Service", "proxy-public")["spec"]["ports"]
    assert [(port["port"], port["targetPort"]) for port in ports] == [(80, "http"), (443, "https")]


def test_the_proxys_api_is_no_part_of_the_public_service() -> None:
    assert [port["targetPort"] for port in public()["ports"]] == ["http"]
    api = render().one("Service", "proxy-api")["spec"]
    assert [port["targetPort"] for port in api["ports"]] == ["api"]
    assert "type" not in api


def test_the_public_service_is_inside_the_cluster_unless_the_values_say_otherwise() -> None:
    assert public()["type"] == "ClusterIP"


def test_a_load_balancer_is_configured_by_its_service() -> None:
    spec = public(
        type="LoadBalancer",
        loadBalancerClass="tailscale",
        loadBalancerSourceRanges=["10.0.0.0/8"],
        externalTrafficPolicy="Local",
        port=8080,
        annotations={"internal": "true"},
    )
    assert spec["loadBalancerClass"] == "tailscale"
    assert spec["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert spec["externalTrafficPolicy"] == "Local"
    assert spec["ports"][0]["port"] == 8080


def test_a_node_port_can_be_chosen_and_is_never_asked_of_a_cluster_ip() -> None:
    assert public(type="NodePort", nodePort=30080)["ports"][0]["nodePort"] == 30080
    assert "nodePort" not in public(type="NodePort")["ports"][0]
    assert "nodePort" not in public(nodePort=30080, externalTrafficPolicy="Local")["ports"][0]
    assert "externalTrafficPolicy" not in public(externalTrafficPolicy="Local")


def test_arguments_and_environment_of_the_proxy_can_be_added() -> None:
    said = {"proxy": {"extraArgs": ["--log-level=debug"], "extraEnv": {"NODE_OPTIONS": "--max-old-space-size=512"}}}
    assert command(said)[-1] == "--log-level=debug"
    env = {variable["name"]: variable for variable in proxy(said)["containers"][0]["env"]}
    assert env["NODE_OPTIONS"]["value"] == "--max-old-space-size=512"


def test_every_service_selects_the_pods_of_its_deployment_and_no_others() -> None:
    manifests = render()
    pods = {name: pod["metadata"]["labels"] for name, pod in manifests.pods().items()}
    for service, pod in (("hub", "hub"), ("proxy-public", "proxy"), ("proxy-api", "proxy")):
        selector = manifests.one("Service", service)["spec"]["selector"]
        selected = {name for name, labels in pods.items() if selector.items() <= labels.items()}
        assert selected == {f"Deployment/gpuspawner-{pod}"}
