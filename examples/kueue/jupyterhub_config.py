"""A cluster that notebooks share with batch jobs, where Kueue says who goes next. The same as values.yaml beside it."""

import os

from gpuspawner import configure, with_workspaces

c = get_config()  # noqa: F821

HUB = os.environ.get("HUB_URL", "https://gpu.example.edu")
PROVIDER = os.environ.get("PROVIDER_URL", "https://id.example.edu/realms/campus/protocol/openid-connect")

# The secret that the provider shares with the hub is in the environment, as OAUTH_CLIENT_SECRET.
c.JupyterHub.authenticator_class = with_workspaces("generic-oauth")
c.GenericOAuthenticator.client_id = "gpu-hub"
c.GenericOAuthenticator.oauth_callback_url = f"{HUB}/hub/oauth_callback"
c.GenericOAuthenticator.authorize_url = f"{PROVIDER}/auth"
c.GenericOAuthenticator.token_url = f"{PROVIDER}/token"
c.GenericOAuthenticator.userdata_url = f"{PROVIDER}/userinfo"
c.GenericOAuthenticator.scope = ["openid", "profile", "email", "groups"]
c.GenericOAuthenticator.username_claim = "preferred_username"
c.GenericOAuthenticator.allow_all = True
c.Authenticator.admin_users = {"grace"}

c.GPUSpawner.gpu_classes = {
    "a100": {
        "display_name": "A100, 80 GB",
        "memory": "80Gi",
        "accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-80GB"}],
    },
}
c.GPUSpawner.profiles = {
    "pytorch": {
        "display_name": "PyTorch",
        "image": "quay.io/jupyter/pytorch-notebook:cuda12-2026-11-02",
        "gpu_classes": ["a100"],
        "gpus": {"default": 1, "min": 0, "max": 2},
        "cpu": {"default": 4, "max": 16},
        "memory": {"default": "16G", "max": "128G"},
        "runtime": {"default": "4h", "max": "12h"},
        "wait": {"default": "2h", "max": "24h"},  # for Kueue's word; nothing else of a launch counts against it
    },
}
# Whoever works at a notebook goes before jobs that run by themselves.
c.GPUSpawner.pod_template = {"metadata": {"labels": {"kueue.x-k8s.io/priority-class": "interactive"}}}
c.GPUSpawner.idle = {"after": "30m"}
c.GPUSpawner.workspaces = {
    "teaching": {
        "display_name": "Teaching",
        "members": "*",
        "per_member": {"gpus": 1, "servers": 1},
        "pod": {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "teaching"}}},
    },
    "research": {
        "display_name": "Research",
        "members": [{"claim": "groups", "equals": "gpu-research"}],
        "per_member": {"gpus": 4},
        "pod": {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "research"}}},
    },
}

# Last: check all of it, and register gpuspawner's spawner and pages.
configure(c)
