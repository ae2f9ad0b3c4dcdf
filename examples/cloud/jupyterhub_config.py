"""A cloud whose autoscaler adds V100 nodes (AWS, Google Cloud, Azure) on demand. The same as values.yaml beside it."""

from gpuspawner import configure, with_workspaces

c = get_config()  # noqa: F821

# The secret of the OAuth app is in the environment, as OAUTH_CLIENT_SECRET.
c.JupyterHub.authenticator_class = with_workspaces("github")
c.GitHubOAuthenticator.client_id = "Iv1.0123456789abcdef"
c.GitHubOAuthenticator.oauth_callback_url = "https://gpu.example.org/hub/oauth_callback"
c.GitHubOAuthenticator.allowed_organizations = ["example-org"]
c.GitHubOAuthenticator.scope = ["read:org"]
c.Authenticator.admin_users = {"grace"}
c.JupyterHub.allow_named_servers = True  # one with a GPU and one without

c.GPUSpawner.timezone = "UTC"
c.GPUSpawner.gpu_classes = {
    "v100": {
        "display_name": "V100, 16 GB",
        "memory": "16Gi",
        "rate": 1,
        "autoscaled": True,
        "accepts": [
            # AWS and Azure, by NVIDIA's GPU feature discovery; Google's nodes have a label from the beginning.
            {"resource": "nvidia.com/gpu", "product": ["Tesla-V100-SXM2-16GB", "Tesla-V100-PCIE-16GB"]},
            {
                "resource": "nvidia.com/gpu",
                "product": "nvidia-tesla-v100",
                "product_label": "cloud.google.com/gke-accelerator",
            },
        ],
    },
}
c.GPUSpawner.profiles = {
    "cpu": {
        "display_name": "No GPU",
        "description": "For writing code and looking at results",
        "image": "quay.io/jupyter/pytorch-notebook:2026-11-02",
        "cpu": {"default": 1, "max": 4},
        "memory": {"default": "4G", "max": "16G"},
    },
    "pytorch": {
        "display_name": "PyTorch",
        "description": "PyTorch with CUDA; a node takes some minutes where none has a GPU free",
        "image": "quay.io/jupyter/pytorch-notebook:cuda12-2026-11-02",
        "gpu_classes": ["v100"],
        "gpus": {"default": 1, "min": 1, "max": 1},
        "cpu": {"default": 4, "max": 5},  # of 6 of the smallest of these machines
        "memory": {"default": "48G", "max": "52G"},  # of 60 GB
        "runtime": {"default": "4h", "max": "12h"},
        "deadlines": {"node": "25m"},  # drivers are installed on a new node
    },
}
# A GPU costs as long as its node is there.
c.GPUSpawner.idle = {"after": "20m", "cpu_servers": "1h"}
c.GPUSpawner.workspaces = {
    "everyone": {
        "display_name": "Everyone",
        "members": "*",
        "quota": {"v100": 8},
        "per_member": {"gpus": 1, "servers": 2},
        "budget": {"per_member": 20, "renews": "monthly"},
    },
}

# Last: check all of it, and register gpuspawner's spawner and pages.
configure(c)
