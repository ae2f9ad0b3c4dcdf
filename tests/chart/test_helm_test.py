"""The pod of `helm test`: what it runs, as whom, and what it may."""

import json
from typing import Any

import pytest
from helm_python import HelmRenderError
from network_rules import Network, Pod
from rendering import decoded, merged, render

from gpuspawner.cli import build_parser
from gpuspawner.values.derive import sections
from gpuspawner.values.document import parse_secrets, parse_values

CHOSEN = {
    "hub": {"baseUrl": "/jupyter/"},
    "proxy": {"service": {"port": 8080}},
    "tests": {"user": "probe", "workspace": "lab", "profile": "cpu", "gpuClass": "small", "timeoutSeconds": 60},
}


def asked(values: dict[str, Any]) -> Any:
    """The options that the pod gives the command, as the command reads them."""
    (container,) = render(values).one("Pod", "smoke-test")["spec"]["containers"]
    program, *words = container["command"]
    assert program == "gpuspawner"
    return build_parser().parse_args(words)


def test_it_runs_the_smoke_test_by_the_hubs_and_the_proxys_services() -> None:
    options = asked({})
    assert options.hub == "http://gpuspawner-hub.jupyter.svc:8081/hub/api"
    assert options.url == "http://gpuspawner-proxy-public.jupyter.svc:80"
    assert (options.command, options.user, options.timeout) == ("smoke-test", "smoke-test", 600)
    assert (options.workspace, options.profile, options.gpu_class) == (None, None, None)


def test_it_launches_what_the_values_say() -> None:
    options = asked(CHOSEN)
    assert options.hub == "http://gpuspawner-hub.jupyter.svc:8081/jupyter/hub/api"
    assert options.url == "http://gpuspawner-proxy-public.jupyter.svc:8080"
    assert (options.user, options.workspace, options.profile) == ("probe", "lab", "cpu")
    assert (options.gpu_class, options.timeout) == ("small", 60)


def test_where_the_proxy_speaks_https_for_a_public_name_only_the_hub_is_asked() -> None:
    assert asked({"proxy": {"tls": {"existingSecret": "certificate"}}}).url is None


def test_its_token_may_make_one_user_and_act_as_that_user() -> None:
    manifests = render(CHOSEN)
    (container,) = manifests.one("Pod", "smoke-test")["spec"]["containers"]
    (token,) = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if one["name"] == "JUPYTERHUB_API_TOKEN"]
    values = parse_values(
        manifests.one("ConfigMap", "values")["data"]["values.json"],
        decoded(manifests.one("Secret", "secret-values"))["secret-values.json"],
    )
    secrets = decoded(manifests.one("Secret", "secrets"))
    hub = sections(values, parse_secrets(secrets))["JupyterHub"]
    (service,) = [one for one in hub["services"] if one["api_token"] == secrets[token["key"]]]
    (role,) = [one for one in hub["load_roles"] if service["name"] in one.get("services", ())]
    assert set(role["scopes"]) == {"admin:users!user=probe", "tokens!user=probe"}
    assert service["name"] != "probe", (
        "JupyterHub takes a service of a user's name for the user, who may not be deleted"
    )


def test_the_user_may_not_have_the_services_name() -> None:
    with pytest.raises(HelmRenderError, match=r"tests.user: found .helm-test., which is the name of the service"):
        render({"tests": {"user": "helm-test"}})


@pytest.mark.parametrize("target", ["hub", "proxy"])
def test_it_reaches_hub_and_proxy_through_their_network_policies(target: str) -> None:
    closed = {"proxy": {"networkPolicy": {"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "nginx"}}}]}]}}}
    manifests = render(closed)
    network = Network(manifests.all("NetworkPolicy"), {})
    test = Pod.of(manifests.one("Pod", "smoke-test"), "10.244.0.9")
    pod = Pod.of(manifests.one("Deployment", target), "10.244.0.10")
    assert network.allows(test, pod, {"hub": 8081, "proxy": 8000}[target])
    assert not network.allows(Pod("jupyter", {"app": "other"}, "10.244.0.8"), pod, {"hub": 8081, "proxy": 8000}[target])
    assert not network.allows(test, pod, 8001)


def test_it_is_no_part_of_the_release_and_switched_off_it_leaves_no_token_behind() -> None:
    annotations = render().one("Pod", "smoke-test")["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "test"
    off = render(merged(CHOSEN, {"tests": {"enabled": False}}))
    assert not off.all("Pod")
    assert "service-token.helm-test" not in decoded(off.one("Secret", "secrets"))
    assert "helm-test" not in json.loads(off.one("ConfigMap", "values")["data"]["values.json"])["hub"]["loadRoles"]
