"""The demo's jupyterhub_config.py: what the hub offers first, then how `gpuspawner demo` wires it together."""

import os

import bcrypt

from gpuspawner import configure, with_workspaces

c = get_config()  # type: ignore[name-defined]  # noqa: F821

# --- What can be asked for -------------------------------------------------------------------------------------------

# A GPU class is a band of GPUs that members ask for by name. The demo's nodes pretend to have these cards.
c.GPUSpawner.gpu_classes = {
    "small": {
        "display_name": "Small, 16 GB",
        "description": "For coursework, inference and small models.",
        "memory": "16Gi",
        "rate": 0.25,  # service units per GPU and hour
        "accepts": [{"resource": "nvidia.com/gpu", "product": ["Tesla-T4"]}],
    },
    "medium": {
        "display_name": "Medium, 40-80 GB",
        "description": "For training and large models.",
        "memory": "40Gi",
        "rate": 1,
        "accepts": [
            {"resource": "nvidia.com/gpu", "product": ["NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB"]},
            {"resource": "nvidia.com/mig-3g.40gb"},
        ],
    },
}

# `gpuspawner demo --nodes this-machine`: whatever whole cards this machine has.
if os.environ.get("GPUSPAWNER_DEMO_NODES") == "this-machine":
    c.GPUSpawner.gpu_classes["small"] = {
        "display_name": "GPU of this machine",
        "accepts": [{"resource": "nvidia.com/gpu"}],
    }

# A profile is a ready-made environment. The engine knows no containers: every image here is this Python's JupyterLab.
c.GPUSpawner.profiles = {
    "pytorch": {
        "display_name": "PyTorch",
        "description": "JupyterLab on a GPU, for training and running models.",
        "icon": "fire",  # of Font Awesome, or the path of a picture
        "includes": ["JupyterLab 4", "Python 3"],
        "image": "quay.io/jupyter/pytorch-notebook:cuda12",
        "gpu_classes": ["small", "medium"],
        "gpus": {"default": 1, "min": 1, "max": 2},
        "cpu": {"default": 2, "min": 1, "max": 8},
        "memory": {"default": "4G", "min": "1G", "max": "32G"},
        "runtime": {"default": "2h", "max": "12h"},
        "extend_to": "24h",
    },
    "notebook": {
        "display_name": "Notebook without GPU",
        "description": "JupyterLab for writing, plotting and small data.",
        "icon": "book",
        "includes": ["JupyterLab 4", "Python 3"],
        "image": "quay.io/jupyter/scipy-notebook:latest",
        "cpu": {"default": 1, "min": 1, "max": 4},
        "memory": {"default": "2G", "min": "1G", "max": "8G"},
        "runtime": {"default": "6h", "max": "12h"},
        "allow_gpu_nodes": os.environ.get("GPUSPAWNER_DEMO_NODES") == "this-machine",
    },
}

# --- Who may have what -----------------------------------------------------------------------------------------------

c.GPUSpawner.workspaces = {
    "everyone": {"display_name": "Everyone", "members": "*", "quota": {"small": 2}, "per_member": {"servers": 2}},
    "cse151a": {
        "display_name": "CSE 151A",
        "members": ["student"],
        "managers": ["prof"],
        "quota": {"small": 2, "medium": 2},
        "per_member": {"gpus": 1, "cpu": 8, "memory": "32G", "servers": 2},
        "budget": {"per_member": 10, "renews": "weekly"},
    },
    "vision-lab": {
        "display_name": "Vision Lab",
        "members": ["researcher"],
        "quota": {"small": 2, "medium": 3},
        "budget": {"pool": 200, "renews": "monthly", "carry_over": {"pool": 100}},
    },
}

# Any other authenticator class or entry point name goes here, such as "generic-oauth"; its own section still applies.
c.JupyterHub.authenticator_class = with_workspaces("dummy")
c.DummyAuthenticator.password = "demo"  # noqa: S105 - for a demo on loopback
c.Authenticator.allowed_users = {"student", "researcher", "prof", "admin"}
c.Authenticator.admin_users = {"admin"}

c.JupyterHub.allow_named_servers = True

# --- How `gpuspawner demo` wires it together; a hub on Kubernetes has none of this ------------------------------------
# The Kubernetes API is the one of $KUBECONFIG, which the demo points at the embedded engine.

c.JupyterHub.bind_url = os.environ["GPUSPAWNER_DEMO_URL"]
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['GPUSPAWNER_DEMO_HUB_PORT']}"

# Servers outlive the hub, so that it can be restarted under them; the engine ends them with the demo.
c.JupyterHub.cleanup_servers = False

# The proxy outlives the hub, too. Its password is random, so a fast hash of it is as good as a slow one, and the
# proxy checks it several times for each new route.
password = os.environ["GPUSPAWNER_DEMO_PROXY_PASSWORD"]
c.JupyterHub.proxy_class = "traefik_file"
c.TraefikFileProviderProxy.should_start = False
c.TraefikFileProviderProxy.dynamic_config_file = os.environ["GPUSPAWNER_DEMO_PROXY_RULES"]
c.TraefikFileProviderProxy.traefik_api_url = os.environ["GPUSPAWNER_DEMO_PROXY_API"]
c.TraefikFileProviderProxy.traefik_api_username = "jupyterhub"
c.TraefikFileProviderProxy.traefik_api_password = password
c.TraefikFileProviderProxy.traefik_api_hashed_password = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()

# Last: check all of it, and register gpuspawner's spawner and pages.
configure(c)
