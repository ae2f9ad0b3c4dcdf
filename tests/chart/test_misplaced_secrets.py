"""A secret in values that others can read stops the installation, with the place where it belongs."""

import json
from typing import Any

import pytest
from helm_python import HelmRenderError
from rendering import render

from gpuspawner.values.misplaced import misplaced_secrets

CANARY = "c4n4ry-in-plain-sight"
CLIENT = {"client_id": "gpuspawner", "token_url": "https://id.example.edu/token", "username_key": "sub"}
PRIVATE_KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n"
BELOW_SECRET_CONFIG = "a ConfigMap is no place for secrets; say it below hub.secretConfig, by the same class and name"
FROM_A_SECRET = "a pod's spec is no place for secrets; take it from a Secret, with valueFrom and secretKeyRef"
BASE64 = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCg=="


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"hub": {"config": {"GenericOAuthenticator": {**CLIENT, "client_secret": CANARY}}}},
            f"hub.config.GenericOAuthenticator.client_secret: {BELOW_SECRET_CONFIG}",
        ),
        ({"hub": {"config": {"DummyAuthenticator": {"password": CANARY}}}}, "hub.config.DummyAuthenticator.password"),
        (
            {"hub": {"config": {"TrustedHeaderAuthenticator": {"proxy_secrets": [CANARY]}}}},
            "hub.config.TrustedHeaderAuthenticator.proxy_secrets",
        ),
        ({"hub": {"config": {"CryptKeeper": {"keys": [CANARY]}}}}, "hub.config.CryptKeeper.keys"),
        (
            {"hub": {"config": {"LTI11Authenticator": {"consumers": {"lms": CANARY}}}}},
            "hub.config.LTI11Authenticator.consumers",
        ),
        (
            {"hub": {"config": {"JupyterHub": {"services": [{"name": "a", "api_token": CANARY}]}}}},
            "hub.config.JupyterHub.services[0].api_token",
        ),
        (
            {"hub": {"config": {"JupyterHub": {"db_url": f"postgresql://hub:{CANARY}@db/hub"}}}},
            "hub.config.JupyterHub.db_url",
        ),
        (
            {"gpuspawner": {"ledger_url": f"postgresql://hub:{CANARY}@db/hub"}},
            "gpuspawner.ledger_url: a ConfigMap is no place for secrets; say it below hub.secretConfig.GPUSpawner",
        ),
        ({"gpuspawner": {"environment": {"WANDB_API_KEY": CANARY}}}, "gpuspawner.environment.WANDB_API_KEY"),
        (
            {
                "gpuspawner": {
                    "pod_template": {
                        "spec": {"containers": [{"name": "notebook", "env": [{"name": "HF_TOKEN", "value": CANARY}]}]}
                    }
                }
            },
            "gpuspawner.pod_template.spec.containers[0].env[0][HF_TOKEN].value",
        ),
        (
            {"hub": {"extraEnv": {"PGPASSWORD": CANARY}}},
            f"hub.extraEnv.PGPASSWORD: {FROM_A_SECRET}",
        ),
        ({"hub": {"extraEnv": {"PGPASSWORD": {"value": CANARY}}}}, f"hub.extraEnv.PGPASSWORD: {FROM_A_SECRET}"),
        (
            {
                "hub": {
                    "extraContainers": [{"name": "a", "image": "b:1", "env": [{"name": "A_TOKEN", "value": CANARY}]}]
                }
            },
            f"hub.extraContainers[0].env[0][A_TOKEN].value: {FROM_A_SECRET}",
        ),
        ({"proxy": {"extraEnv": {"HTTPS_PROXY": f"http://me:{CANARY}@proxy"}}}, "proxy.extraEnv.HTTPS_PROXY"),
        (
            {"hub": {"extraFiles": {"saml.pem": {"mountPath": "/saml.pem", "stringData": PRIVATE_KEY}}}},
            "hub.extraFiles.saml.pem: a ConfigMap is no place for secrets; say secret: true beside it",
        ),
        ({"hub": {"extraFiles": {"k": {"mountPath": "/k", "binaryData": BASE64}}}}, "hub.extraFiles.k"),
        (
            {"singleuser": {"extraFiles": {"a": {"mountPath": "/a.yaml", "data": {"api_token": CANARY}}}}},
            "singleuser.extraFiles.a: a ConfigMap is no place for secrets; say secret: true beside it",
        ),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_a_secret_that_others_could_read_is_refused_by_its_path(values: dict[str, Any], told: str) -> None:
    with pytest.raises(HelmRenderError) as refused:
        render(values)
    lines = str(refused.value).split(":\n", 1)[1].splitlines()
    assert any(line.startswith(told) for line in lines)
    assert CANARY not in str(refused.value)
    assert misplaced_secrets(values) == lines, "the template and gpuspawner check say the same"


def test_all_of_them_are_told_at_once() -> None:
    hub = {"config": {"A": {"password": CANARY}, "B": {"token": CANARY}}, "extraEnv": {"X_TOKEN": CANARY}}
    with pytest.raises(HelmRenderError) as refused:
        render({"hub": hub})
    told = str(refused.value).split(":\n", 1)[1].splitlines()
    assert misplaced_secrets({"hub": hub}) == told
    assert [line.partition(": ")[0] for line in told] == [
        "hub.config.A.password",
        "hub.config.B.token",
        "hub.extraEnv.X_TOKEN",
    ]


def test_what_only_sounds_like_a_secret_is_none() -> None:
    values: dict[str, Any] = {
        "gpuspawner": {
            "gpu_classes": {"token": {"accepts": [{"resource": "nvidia.com/gpu"}]}},
            "profiles": {"password": {"image": "example.org/notebook:1"}},
            "workspaces": {"secret": {"members": ["keys"], "quota": {"token": 1}}},
            "image_pull_secrets": ["registry"],
            "token_in_secret": False,
            "idle": {"prometheus": {"url": "http://prometheus:9090", "token_file": "/run/token"}},
            "pod_template": {
                "spec": {
                    "containers": [
                        {
                            "name": "notebook",
                            "env": [
                                {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
                            ],
                        }
                    ]
                }
            },
        },
        "hub": {
            "config": {
                "GenericOAuthenticator": CLIENT,
                "JupyterHub": {"cookie_secret_file": "/secret", "oauth_token_expires_in": 60},
                "NativeAuthenticator": {"check_common_password": True, "minimum_password_length": 12},
            },
            "extraEnv": {"PGPASSWORD": {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}},
            "extraFiles": {"key": {"mountPath": "/k", "stringData": PRIVATE_KEY, "secret": True}},
        },
    }
    render(values)
    assert misplaced_secrets(values) == []


def test_what_may_be_secret_is_in_secrets_alone() -> None:
    rendered = render(
        {
            "hub": {
                "secretConfig": {"GenericOAuthenticator": {"client_secret": CANARY}},
                "extraConfig": {"mail": f"password = '{CANARY}'"},
                "services": {"reports": {"api_token": CANARY}},
                "extraFiles": {"key": {"mountPath": "/k", "stringData": CANARY, "secret": True}},
            }
        }
    )
    assert CANARY not in json.dumps([item for item in rendered if item["kind"] != "Secret"])
    assert {item["metadata"]["name"] for item in rendered.all("Secret")} >= {
        "gpuspawner-secret-values",
        "gpuspawner-secrets",
    }
