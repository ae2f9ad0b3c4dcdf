"""What Helm prints after an installation: where the hub is, and what to do next."""

from typing import Any

import pytest
from rendering import render

OWN = {"gpuspawner": {"profiles": {"a": {"image": "example.org/a:1"}}}, "login": {"authenticator": "generic-oauth"}}
HTTP = "WARNING: people reach the hub by HTTP"


def notes(*parts: dict[str, Any]) -> str:
    said: dict[str, Any] = {}
    for part in parts:
        said |= part
    return render(said).notes


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "kubectl --namespace jupyter port-forward service/gpuspawner-proxy-public 8000:http"),
        ({"proxy": {"service": {"type": "LoadBalancer"}}}, "get service gpuspawner-proxy-public"),
        ({"proxy": {"service": {"type": "NodePort"}}}, "Its port on every node"),
        ({"ingress": {"enabled": True, "hosts": ["hub.example.edu"]}}, "  http://hub.example.edu/\n"),
        ({"ingress": {"enabled": True}}, "get ingress gpuspawner"),
        (
            {
                "ingress": {"enabled": True, "hosts": ["hub.example.edu"], "tls": [{"secretName": "a"}]},
                "hub": {"baseUrl": "/jupyter/"},
            },
            "  https://hub.example.edu/jupyter/\n",
        ),
        (
            {"httpRoute": {"enabled": True, "hostnames": ["hub.example.edu"], "parentRefs": [{"name": "a"}]}},
            "  https://hub.example.edu/\n",
        ),
        ({"httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}]}}, "kubectl get gateways"),
    ],
    ids=str,
)
def test_the_notes_say_where_the_hub_is(values: dict[str, Any], line: str) -> None:
    assert line in notes(values)


def test_the_first_three_steps_are_to_wait_to_log_in_and_to_say_what_there_is() -> None:
    said = notes()
    assert "1. Wait until the hub is up:" in said
    assert "kubectl --namespace jupyter rollout status deployment/gpuspawner-hub" in said
    assert '2. Log in as "admin" with the password' in said
    assert (
        "get secret gpuspawner-secrets --output 'go-template={{ index .data \"admin-password\" | base64decode }}'"
        in said
    )
    assert "3. Say in a values file which GPUs" in said


def test_the_password_is_said_of_the_administrator_that_there_is_and_of_the_secret_it_is_in() -> None:
    said = notes({"login": {"administrators": ["ada"]}}, {"hub": {"existingSecret": "of-the-vault"}})
    assert '2. Log in as "ada"' in said
    assert "get secret of-the-vault" in said


def test_with_a_login_and_profiles_the_third_step_is_a_test() -> None:
    said = notes(OWN)
    assert "2. Log in at the address above, by generic-oauth." in said
    assert "helm test gpuspawner --namespace jupyter" in said
    assert "WARNING" not in said


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        ({}, False),
        ({"ingress": {"enabled": True}}, True),
        ({"ingress": {"enabled": True, "tls": [{"secretName": "a"}]}}, False),
        ({"proxy": {"service": {"type": "LoadBalancer"}}}, True),
        ({"proxy": {"service": {"type": "LoadBalancer"}, "tls": {"existingSecret": "a"}}}, False),
        ({"httpRoute": {"enabled": True, "gateway": {"create": True, "className": "a"}}}, True),
        ({"httpRoute": {"enabled": True, "gateway": {"create": True, "className": "a", "tlsSecret": "b"}}}, False),
    ],
    ids=str,
)
def test_http_without_tls_is_warned_of_where_others_come(values: dict[str, Any], warned: bool) -> None:
    assert (HTTP in notes(values)) is warned


def test_what_is_for_a_first_look_only_is_warned_of() -> None:
    assert "only administrators can log in" in notes()
    assert "the values name no GPU classes" in notes()
    assert "NetworkPolicies are off in part" in notes(OWN, {"singleuser": {"networkPolicy": {"enabled": False}}})


def test_an_upgrade_that_cannot_find_the_secrets_says_that_they_are_made_anew() -> None:
    warning = "WARNING: the Secret gpuspawner-secrets was not found"
    assert warning in render(upgrade=True).notes
    assert warning not in render({"hub": {"existingSecret": "of-the-vault"}}, upgrade=True).notes
    assert warning not in notes()


def test_no_secret_is_in_the_notes() -> None:
    manifests = render()
    [secret] = [item for item in manifests.all("Secret") if item["metadata"]["name"].endswith("-secrets")]
    assert not [value for value in secret["data"].values() if value in manifests.notes]
