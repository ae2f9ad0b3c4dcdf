"""A university: campus accounts by OpenID Connect, a workspace for each course. The same as values.yaml beside it."""

import os

from gpuspawner import configure, with_workspaces

c = get_config()  # noqa: F821

HUB = os.environ.get("HUB_URL", "https://gpu.example.edu")
PROVIDER = os.environ.get("PROVIDER_URL", "https://id.example.edu/realms/campus/protocol/openid-connect")

# The secret that the provider shares with the hub is in the environment, as OAUTH_CLIENT_SECRET.
c.JupyterHub.authenticator_class = with_workspaces("generic-oauth")
c.JupyterHub.allow_named_servers = True
c.GenericOAuthenticator.client_id = "gpu-hub"
c.GenericOAuthenticator.oauth_callback_url = f"{HUB}/hub/oauth_callback"
c.GenericOAuthenticator.authorize_url = f"{PROVIDER}/auth"
c.GenericOAuthenticator.token_url = f"{PROVIDER}/token"
c.GenericOAuthenticator.userdata_url = f"{PROVIDER}/userinfo"
c.GenericOAuthenticator.scope = ["openid", "profile", "email", "groups"]
c.GenericOAuthenticator.username_claim = "preferred_username"
c.GenericOAuthenticator.allow_all = True
# Groups are asked for again every five minutes; it needs JUPYTERHUB_CRYPT_KEY in the hub's environment.
c.GenericOAuthenticator.enable_auth_state = True
c.Authenticator.admin_users = {"grace"}

c.GPUSpawner.timezone = "America/Los_Angeles"
# Classes are bands of GPU memory; the platform picks the card. Rates are service units per GPU and hour.
c.GPUSpawner.gpu_classes = {
    "small": {
        "display_name": "Small, 16 GB",
        "memory": "16Gi",
        "rate": 0.25,
        "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
    },
    "large": {
        "display_name": "Large, 80 GB",
        "memory": "80Gi",
        "rate": 1,
        "accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-80GB"}],
    },
}
c.GPUSpawner.profiles = {
    "python": {
        "display_name": "Python",
        "description": "JupyterLab for homework, without GPU and free of charge",
        "image": "quay.io/jupyter/scipy-notebook:2026-11-02",
        "cpu": {"default": 1, "max": 4},
        "memory": {"default": "4G", "max": "16G"},
    },
    "pytorch": {
        "display_name": "PyTorch",
        "description": "PyTorch with CUDA, JupyterLab and TensorBoard",
        "image": "quay.io/jupyter/pytorch-notebook:cuda12-2026-11-02",
        "gpu_classes": ["small", "large"],
        "gpus": {"default": 1, "max": 2},
        "cpu": {"default": 2, "max": 8},
        "memory": {"default": "8G", "max": "64G"},
        "runtime": {"default": "6h", "max": "12h"},
        "extend_to": "18h",
        "apps": [{"display_name": "TensorBoard", "port": 6006}],
    },
}
c.GPUSpawner.storage = {"size": "20Gi"}
c.GPUSpawner.off_peak = {"hours": "01:00-16:00", "rate": 0.5}
c.GPUSpawner.idle = {"after": "30m", "after_when_quiet": "6h", "cpu_servers": "2h"}
c.GPUSpawner.per_member = {"gpus": 2, "servers": 3}

c.GPUSpawner.workspaces = {
    # Whoever can log in, for what belongs to no course.
    "everyone": {
        "display_name": "Everyone",
        "members": "*",
        "profiles": ["python"],
        "per_member": {"servers": 1},
    },
    "cse151a-fa26": {
        "display_name": "CSE 151A, Fall 2026",
        "starts": "2026-09-21",
        "ends": "2026-12-18",
        "members": [{"claim": "groups", "equals": "course:cse151a:fa26"}],
        "managers": [{"claim": "groups", "equals": "staff:cse151a:fa26"}],
        "quota": {"small": 8, "large": 2},
        "per_member": {"gpus": 1, "cpu": 8, "memory": "64G", "servers": 2},
        "budget": {"per_member": 10, "pool": 2000, "renews": "weekly", "carry_over": {"per_member": 5}},
        # The week before the project is due: twice the GPUs.
        "exceptions": [{"from": "2026-11-30", "to": "2026-12-04", "quota": {"small": 16, "large": 4}}],
    },
    "vision-lab": {
        "display_name": "Vision lab",
        "members": [{"claim": "groups", "equals": "vision-lab"}],
        "managers": ["prof"],
        "quota": {"large": 4},
        "budget": {"pool": 5000, "renews": "quarterly"},
    },
}
# What one of them leaves idle the other may use, but for one large GPU.
c.GPUSpawner.cohorts = {
    "cse": {"workspaces": ["cse151a-fa26", "vision-lab"], "borrowing": True, "reserve": {"large": 1}},
}

# Last: check all of it, and register gpuspawner's spawner and pages.
configure(c)
