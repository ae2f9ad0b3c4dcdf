"""What a pod needs beside it: namespaces, Services, certificates."""

import json
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_security import violations
from small_hub import MONDAY, ask, small_hub

from gpuspawner.admission import Capacity, admit
from gpuspawner.companions import build_namespace, build_secret, build_service, dns_name, namespace_of
from gpuspawner.errors import ConfigurationError
from gpuspawner.pod import build_pod, pod_name
from gpuspawner.server import Server

QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "servers"}, "spec": {}}
HUB = small_hub(namespace="jhub", user_namespaces={})
PEM = {"ssl.key": "KEY", "ssl.crt": "CERTIFICATE", "notebooks-ca_trust.crt": "AUTHORITIES"}


def test_without_user_namespaces_there_is_one_for_all() -> None:
    hub = small_hub(namespace="jhub")
    assert namespace_of("ada", hub) == "jhub"
    assert build_namespace("ada", hub) is None


@given(st.text(max_size=80), st.text(max_size=80))
def test_every_user_has_a_valid_namespace(user: str, other: str) -> None:
    made = build_namespace(user, HUB)
    assert made is not None
    kubernetes_validate.validate(made, "1.36", strict=True)
    name = made["metadata"]["name"]
    assert name.startswith("jhub-")
    assert len(name) <= 63
    assert made["metadata"]["annotations"]["hub.jupyter.org/username"] == user
    long = small_hub(user_namespaces={"name": f"{'a' * 40}-{{username}}"})
    assert len(namespace_of(user, long)) <= 63
    if user != other:
        assert namespace_of(user, long) != namespace_of(other, long)


def test_the_labels_that_say_whose_it_is_cannot_be_configured_away() -> None:
    labels = {"gpuspawner/hub": "other", "team": "{username}"}
    hub = small_hub(user_namespaces={"labels": labels, "annotations": {"hub.jupyter.org/username": "eve"}})
    made = build_namespace("ada", hub)
    assert made is not None
    assert (made["metadata"]["labels"]["gpuspawner/hub"], made["metadata"]["labels"]["team"]) == ("jupyterhub", "ada")
    assert made["metadata"]["annotations"] == {"hub.jupyter.org/username": "ada"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user_namespaces": {"name": "shared"}}, "with {username}"),
        ({"user_namespaces": {"name": "{workspace}-{username}"}}, "with {username}"),
        ({"user_namespaces": {"name": "{unescaped_username}"}}, "with {username}"),
        ({"user_namespaces": {"name": "-{username}"}}, "with {username}"),
        ({"user_namespaces": {"label": {}}}, "did you mean 'labels'?"),
        ({"user_namespaces": "yes"}, "allowed: a mapping"),
        ({"user_namespaces": {"objects": [{"kind": "Secret"}]}}, "allowed: a manifest of ConfigMap (v1), LimitRange"),
        ({"user_namespaces": {"objects": [{**QUOTA, "apiVersion": "v2"}]}}, "ResourceQuota (v1)"),
        ({"user_namespaces": {"objects": [{**QUOTA, "metadata": {}}]}}, "allowed: a manifest with metadata.name"),
        ({"user_namespaces": {"objects": [{**QUOTA, "metadata": {"name": "../../pods"}}]}}, "with metadata.name"),
        (
            {"user_namespaces": {"objects": [{**QUOTA, "metadata": {"name": "a", "namespace": "kube-system"}}]}},
            "allowed: no metadata.namespace",
        ),
        ({"services": "perhaps"}, "True or False"),
        ({"dns_name": "svc"}, "a host name with {pod_name}"),
    ],
)
def test_mistakes_are_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        small_hub(**changes)
    assert said in "\n".join(error.value.problems)


def test_a_service_selects_the_pod_of_its_server_alone_and_goes_with_it() -> None:
    def pod(user: str, server: str) -> dict[str, Any]:
        granted = admit(ask(HUB, {"gpus": 0}, user=user, server=server), HUB, [], Capacity(), MONDAY)
        return build_pod(granted, Server({}, None, []), HUB)

    server = Server({}, None, [], port=9999)
    service = build_service("ada", "two", server, HUB, {"name": pod_name("ada", "two"), "uid": "u-1"})
    kubernetes_validate.validate(service, "1.36", strict=True)
    selector = service["spec"]["selector"].items()
    servers = [("ada", ""), ("ada", "two"), ("bob", "two")]
    assert [selector <= pod(*one)["metadata"]["labels"].items() for one in servers] == [False, True, False]
    assert service["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert service["spec"]["ports"][0]["port"] == 9999


def test_a_server_is_reached_by_address_or_by_name() -> None:
    assert Server({}, None, []).url("10.0.0.7") == "http://10.0.0.7:8888/"
    assert Server({}, None, []).url("fd00::7") == "http://[fd00::7]:8888/"
    host = dns_name("ada", "two", HUB)
    assert host == "jupyter-ada--two.jhub-ada.svc.cluster.local"
    assert Server({}, None, [], host=host, https=True).url("10.0.0.7") == f"https://{host}:8888/"
    assert dns_name("ada", "", small_hub(dns_name="{pod_name}.example.org")) == "jupyter-ada.example.org"


def test_certificates_travel_in_the_secret_and_are_mounted_as_files() -> None:
    server = Server({"JUPYTERHUB_API_TOKEN": "s3cret"}, None, [], certificates=PEM)
    secret = build_secret("ada", "", server, HUB)
    kubernetes_validate.validate(secret, "1.36", strict=True)
    assert secret["stringData"] == {"JUPYTERHUB_API_TOKEN": "s3cret", **PEM}
    granted = admit(ask(HUB, {"gpus": 0}), HUB, [], Capacity(), MONDAY)
    pod = build_pod(granted, server, HUB)
    kubernetes_validate.validate(pod, "1.36", strict=True)
    assert violations(pod) == []
    assert not any(text in json.dumps(pod) for text in ("s3cret", "CERTIFICATE"))
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "certificates"]
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    assert {item["key"] for item in volume["secret"]["items"]} == set(PEM), "the token is no file"
    (mount,) = [one for one in pod["spec"]["containers"][0]["volumeMounts"] if one["name"] == "certificates"]
    assert mount == {"name": "certificates", "mountPath": "/etc/jupyterhub/ssl", "readOnly": True}


def test_certificates_travel_in_a_secret_whatever_becomes_of_the_token() -> None:
    server = Server({"JUPYTERHUB_API_TOKEN": "s3cret"}, None, [], certificates=PEM)
    assert build_secret("ada", "", server, small_hub(token_in_secret=False))["stringData"] == PEM
