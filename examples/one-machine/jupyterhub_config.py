"""One trusted workstation with GPUs: its own accounts, its own GPUs, servers as local processes."""

from pathlib import Path

from gpuspawner import configure, with_workspaces

c = get_config()  # noqa: F821

STATE = Path("/var/lib/gpuspawner")
"""Where `gpuspawner engine --data-dir` keeps homes and its kubeconfig."""

c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:8081"
c.JupyterHub.cleanup_servers = False  # a restart of the hub leaves servers alone

# Accounts of this machine. All servers run as the engine's user: this keeps friends apart, not adversaries.
c.JupyterHub.authenticator_class = with_workspaces("pam")
c.LocalAuthenticator.allowed_groups = {"gpu-users"}
c.LocalAuthenticator.admin_groups = {"sudo"}

# A proxy from PyPI that passes streams through as they come: pip install 'gpuspawner[demo]'.
c.JupyterHub.proxy_class = "traefik_file"
c.TraefikFileProviderProxy.traefik_api_url = "http://127.0.0.1:8099"
c.TraefikFileProviderProxy.traefik_api_username = "jupyterhub"
c.TraefikFileProviderProxy.extra_static_config = {
    "global": {"checkNewVersion": False},
    # Without this, uploads that take longer than a minute are cut off.
    "entryPoints": {"http": {"transport": {"respondingTimeouts": {"readTimeout": "0s"}}}},
}

c.GPUSpawner.connect = {"kubeconfig": str(STATE / "kubeconfig")}
c.GPUSpawner.gpu_classes = {
    "gpu": {"display_name": "GPU of this machine", "accepts": [{"resource": "nvidia.com/gpu"}]},
}
c.GPUSpawner.profiles = {
    "gpu": {
        "display_name": "JupyterLab with GPU",
        "image": "jupyterlab",
        "gpu_classes": ["gpu"],
        "gpus": {"default": 1, "min": 1, "max": 2},
        "cpu": {"default": 4, "max": 16},
        "memory": {"default": "16G", "max": "64G"},
        "runtime": {"default": "8h", "max": "24h"},
    },
    "cpu": {
        "display_name": "JupyterLab without GPU",
        "image": "jupyterlab",
        "cpu": {"default": 2, "max": 8},
        "memory": {"default": "4G", "max": "32G"},
        "runtime": {"default": "12h", "max": "24h"},
        "allow_gpu_nodes": True,  # the one machine is a GPU node
    },
}
c.GPUSpawner.workspaces = {
    "everyone": {"display_name": "Everyone", "members": "*", "per_member": {"gpus": 2, "servers": 2}},
}

# Last: check all of it, and register gpuspawner's spawner and pages.
configure(c)
