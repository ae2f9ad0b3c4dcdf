"""``hub.config`` held against the classes of a hub: what they take is never called a mistake."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jupyterhub.app import JupyterHub
from jupyterhub.auth import Authenticator
from jupyterhub.crypto import CryptKeeper
from jupyterhub.proxy import ConfigurableHTTPProxy
from jupyterhub.spawner import Spawner
from traitlets.config import Configurable

from gpuspawner.authenticator import with_workspaces
from gpuspawner.config import KEYS
from gpuspawner.spawner import GPUSpawner
from gpuspawner.values.document import Secrets, of_chart
from gpuspawner.values.known_traits import problems_of_traits

LOGINS = ("auth0", "cilogon", "generic-oauth", "github", "google", "ldap", "native", "pam", "trusted-header")


def defaults_in_json(kind: type[Configurable]) -> Iterator[tuple[str, Any]]:
    """Every trait's default that values can say, as they say it: sets and tuples are lists there."""
    for name, trait in kind.class_own_traits(config=True).items():
        value = trait.default_value
        value = list(value) if isinstance(value, set | frozenset | tuple) else value
        try:
            said = json.loads(json.dumps(value))
        except TypeError:
            continue
        if said == value and not (said is None and not trait.allow_none):
            yield name, said


def mistakes(config: dict[str, Any], login: type[Authenticator] = Authenticator) -> list[str]:
    return problems_of_traits(of_chart({"hub": {"config": config}}), Secrets(), login)


@pytest.mark.parametrize("kind", [JupyterHub, CryptKeeper, ConfigurableHTTPProxy, GPUSpawner, Spawner])
def test_every_default_of_the_hubs_own_classes_may_be_said(kind: Any) -> None:
    said = {name: value for name, value in defaults_in_json(kind) if name not in KEYS}
    assert mistakes({kind.__name__: said}) == []


@pytest.mark.parametrize("name", [*LOGINS, "ltiauthenticator.lti13.auth.LTI13Authenticator"])
def test_every_default_of_a_login_may_be_said(name: str) -> None:
    login = with_workspaces(name)
    for base in login.mro():
        if issubclass(base, Configurable) and base.__name__ in login.section_names():
            assert mistakes({base.__name__: dict(defaults_in_json(base))}, login) == []


@pytest.mark.parametrize(
    ("login", "section"),
    [
        (
            "generic-oauth",
            {
                "GenericOAuthenticator": {
                    "allowed_groups": ["a"],
                    "admin_groups": ["b"],
                    "username_claim": "sub",
                    "scope": ["openid"],
                    "tls_verify": False,
                    "extra_authorize_params": {"prompt": "login"},
                },
                "OAuthenticator": {"client_id": "gpuspawner", "allow_all": True},
            },
        ),
        (
            "ldap",
            {
                "LDAPAuthenticator": {
                    "server_address": "ldap.example.edu",
                    "bind_dn_template": "uid={username}",
                    "tls_strategy": "on_connect",
                    "tls_kwargs": {"ca_certs_file": "/ca.crt"},
                }
            },
        ),
        (
            "ltiauthenticator.lti13.auth.LTI13Authenticator",
            {"LTI13Authenticator": {"client_id": ["1"], "issuer": "https://lms.example.edu"}},
        ),
        ("trusted-header", {"TrustedHeaderAuthenticator": {"claim_headers": {"mail": "X-Mail"}}}),
        ("native", {"NativeAuthenticator": {"open_signup": True}}),
        (
            "dummy",
            {
                "Authenticator": {"allowed_users": ["ada"], "delete_invalid_users": True, "username_map": {"a": "b"}},
                "JupyterHub": {
                    "services": [{"name": "a", "command": ["b"]}],
                    "load_groups": {"a": ["b"]},
                    "tornado_settings": {"headers": {"X": "y"}},
                    "spawner_class": "simple",
                    "template_paths": ["/templates"],
                },
                "Spawner": {"cmd": "jupyterhub-singleuser", "args": ["--debug"], "environment": {"A": "b"}},
                "SimpleLocalProcessSpawner": {"home_dir_template": "/tmp/{username}"},
                "ConfigurableHTTPProxy": {"command": ["configurable-http-proxy"], "concurrency": 5},
            },
        ),
    ],
)
def test_what_hubs_say_is_taken(login: str, section: dict[str, Any]) -> None:
    assert mistakes(section, with_workspaces(login)) == []
