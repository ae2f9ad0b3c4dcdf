"""``load_values(c)``: the files that the Helm chart mounts, to the configuration of a hub."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.authenticators.shared import SharedPasswordAuthenticator
from traitlets.config import Config

from gpuspawner import load_values
from gpuspawner.authenticator import WorkspaceAuthenticator
from gpuspawner.config import section_of
from gpuspawner.errors import ConfigurationError

RELEASE = {
    "name": "gpuspawner",
    "namespace": "jupyter",
    "userNamespace": "servers",
    "hubPort": 8081,
    "hubUrl": "http://gpuspawner-hub.jupyter:8081",
    "proxyApiUrl": "http://gpuspawner-proxy-api.jupyter:8001",
}
PASSWORD = "correct-horse-battery-staple-0123"

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load values as mounted: ``load(values, secret=..., cookie_secret="...")``."""

    def write(values: Mapping[str, Any], secret: Mapping[str, Any] | None = None, **files: str) -> Config:
        (tmp_path / "values.json").write_text(json.dumps({"release": RELEASE, **values}))
        if secret is not None:
            (tmp_path / "secret-values.json").write_text(json.dumps(secret))
        for name, text in files.items():
            (tmp_path / name.replace("_", "-")).write_text(text)
        c = Config()
        load_values(c, tmp_path)
        return c

    return write


def mistakes(load: Load, values: Mapping[str, Any], secret: Mapping[str, Any] | None = None, **files: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(values, secret, **files)
    return raised.value.problems


def test_the_hub_finds_its_proxy_and_is_found_by_name_from_every_namespace(load: Load) -> None:
    c = load({"hub": {"baseUrl": "/jupyter/"}}, proxy_token="token-of-the-proxy\n")
    assert c.JupyterHub.hub_bind_url == "http://:8081"
    assert c.JupyterHub.hub_connect_url == "http://gpuspawner-hub.jupyter:8081"
    assert c.JupyterHub.base_url == "/jupyter/"
    assert c.ConfigurableHTTPProxy == {
        "should_start": False,
        "api_url": "http://gpuspawner-proxy-api.jupyter:8001",
        "auth_token": "token-of-the-proxy",
    }
    assert c.JupyterHub.cleanup_servers is False
    assert section_of(c)["hub_name"] == "gpuspawner"
    assert section_of(c)["namespace"] == "servers"


def test_without_a_login_only_the_generated_administrator_gets_in(load: Load) -> None:
    c = load({}, admin_password=PASSWORD)
    kind = c.JupyterHub.authenticator_class
    assert issubclass(kind, WorkspaceAuthenticator)
    assert issubclass(kind, SharedPasswordAuthenticator)
    assert c.SharedPasswordAuthenticator.admin_password == PASSWORD
    assert c.Authenticator == {"admin_users": ["admin"], "allowed_users": ["admin"]}


def test_with_another_login_nobody_becomes_an_administrator_by_the_name_admin(load: Load) -> None:
    c = load({"login": {"authenticator": "pam"}}, admin_password=PASSWORD)
    assert "Authenticator" not in c
    assert "SharedPasswordAuthenticator" not in c


def test_what_the_user_says_wins_over_what_the_chart_derives_and_a_snippet_over_both(load: Load) -> None:
    hub = {"config": {"JupyterHub": {"cleanup_servers": True, "base_url": "/a/"}}}
    snippets = {"20-last": "c.JupyterHub.base_url += 'c/'", "10-first": "get_config().JupyterHub.base_url = '/b/'"}
    c = load({"hub": hub}, {"hub": {"extraConfig": snippets}})
    assert c.JupyterHub.cleanup_servers is True
    assert c.JupyterHub.base_url == "/b/c/"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"hub": {"config": {"JupyterHub": {"nosuch": 1}}}}, "hub.config.JupyterHub.nosuch: unknown key"),
        (
            {"hub": {"config": {"JupyterHub": {"prot": 1}}}},
            "hub.config.JupyterHub.prot: unknown key; did you mean 'port'?",
        ),
        ({"hub": {"config": {"JupyterHub": {"port": "x"}}}}, "hub.config.JupyterHub.port: found 'x', allowed: an int"),
        ({"gpuspawner": {"profiles": {"lab": {}}}}, "gpuspawner.profiles['lab'].image: missing; it is required"),
        ({"hub": {"baseUrl": "jupyter"}}, "hub.baseUrl: found 'jupyter', allowed: a path such as / or /jupyter/"),
        ({"login": {"authenticators": "pam"}}, "login.authenticators: unknown key; did you mean 'authenticator'?"),
    ],
)
def test_a_mistake_is_told_with_its_path_in_the_values(load: Load, values: Any, told: str) -> None:
    assert mistakes(load, values) == [told]


def test_a_snippet_that_fails_is_told_by_its_name_and_line(load: Load) -> None:
    secret = {"hub": {"extraConfig": {"mail": "import smtplib\nc.Hub.nosuch = boom\n"}}}
    assert mistakes(load, {}, secret) == ["hub.extraConfig.mail, line 2: NameError: name 'boom' is not defined"]
