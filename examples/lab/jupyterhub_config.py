"""A lab with one GPU server: accounts in the department's LDAP directory, a pool of service units for each project.

The same as values.yaml beside it.
"""

import os

from gpuspawner import configure, with_workspaces

c = get_config()  # noqa: F821

BASE = os.environ.get("LDAP_BASE", "dc=example,dc=edu")
PROJECTS = f"ou=groups,{BASE}"

# Who logs in: everybody in the directory's group of the lab, with the password they have there, over StartTLS.
c.JupyterHub.authenticator_class = with_workspaces("ldap")
c.LDAPAuthenticator.server_address = os.environ["LDAP_SERVER"]
c.LDAPAuthenticator.server_port = int(os.environ.get("LDAP_PORT", "389"))
c.LDAPAuthenticator.bind_dn_template = [f"uid={{username}},ou=people,{BASE}"]
c.LDAPAuthenticator.user_search_base = f"ou=people,{BASE}"
c.LDAPAuthenticator.user_attribute = "uid"
c.LDAPAuthenticator.tls_kwargs = {"ca_certs_file": os.environ.get("LDAP_CA", "/etc/ssl/certs/ca-certificates.crt")}
# The directory writes the groups of a person into memberOf; without that, look for "by search" in the manual.
c.LDAPAuthenticator.auth_state_attributes = ["memberOf"]
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"grace"}

c.GPUSpawner.timezone = "Europe/Zurich"
# On k3s NVIDIA's runtime is not the default one.
c.GPUSpawner.pod_template = {"spec": {"runtimeClassName": "nvidia"}}
c.GPUSpawner.gpu_classes = {
    "t4": {
        "display_name": "T4, 16 GB",
        "memory": "16Gi",
        "rate": 0.25,
        "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
    },
    "a100": {
        "display_name": "A100, 80 GB",
        "memory": "80Gi",
        "rate": 1,
        "accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-80GB"}],
    },
}
c.GPUSpawner.profiles = {
    "pytorch": {
        "display_name": "PyTorch",
        "description": "PyTorch, JupyterLab and TensorBoard",
        "image": "quay.io/jupyter/pytorch-notebook:cuda12-2026-11-02",
        "images": ["ghcr.io/our-lab/*"],  # what members build themselves
        "gpu_classes": ["t4", "a100"],
        "gpus": {"default": 1, "max": 4},
        "cpu": {"default": 4, "max": 32},
        "memory": {"default": "32G", "max": "256G"},
        "runtime": {"default": "12h", "max": "48h"},
        "extend_to": "96h",
        "apps": [{"display_name": "TensorBoard", "port": 6006}],
    },
}
# Nights and mornings are half the price, so that long runs go there.
c.GPUSpawner.off_peak = {"hours": "20:00-08:00", "rate": 0.5}
# A GPU that nobody uses goes back, after a warning; on a quiet weekend it may rest for longer.
c.GPUSpawner.idle = {"after": "1h", "after_when_quiet": "6h"}

c.GPUSpawner.workspaces = {
    # A project is a group of the directory, and pays from one pool, which a new quarter fills again.
    "protein-folding": {
        "display_name": "Protein folding",
        "members": [{"claim": "memberOf", "equals": f"cn=gpu-lab,{PROJECTS}"}],
        "managers": ["grace"],
        "quota": {"t4": 4, "a100": 4},
        "budget": {"pool": 2000, "renews": "quarterly", "carry_over": {"pool": 500}},
        "idle_gpu": "downgrade",  # the notebook goes on without its GPU
    },
    # Students of a course who work in the lab for a term: little, and only a small GPU.
    "thesis": {
        "display_name": "Theses",
        "members": [{"claim": "memberOf", "equals": f"cn=cse151a,{PROJECTS}"}],
        "managers": ["grace"],
        "quota": {"t4": 2},
        "per_member": {"gpus": 1, "servers": 1},
        "per_launch": {"runtime": "24h"},
        "budget": {"per_member": 20, "renews": "weekly"},
    },
}
# What one of them leaves idle the other may use, as long as one A100 and one T4 stay free for whoever comes next.
c.GPUSpawner.cohorts = {
    "lab": {"workspaces": ["protein-folding", "thesis"], "borrowing": True, "reserve": {"t4": 1, "a100": 1}},
}

# Last: check all of it, and register gpuspawner's spawner and pages.
configure(c)
