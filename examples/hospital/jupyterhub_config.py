"""A hospital: its web server logs people in (Shibboleth); each approved study is a workspace with a roster.

The same as values.yaml beside it, but for what the cluster does there: servers in a zone of their own.
"""

import os
from pathlib import Path

from gpuspawner import configure, with_workspaces

c = get_config()  # noqa: F821

STUDIES = Path(os.environ.get("STUDIES", "/srv/studies"))
"""One file for each study, written by the office that approves them: user, role, from, to."""

# Apache with mod_shib stands before the hub and says who it is, beside a secret that only the two know.
c.JupyterHub.authenticator_class = with_workspaces("trusted-header")
c.TrustedHeaderAuthenticator.proxy_secrets = [os.environ["HUB_PROXY_SECRET"]]
c.TrustedHeaderAuthenticator.claim_headers = {"affiliation": "X-Affiliation", "mail": "X-Mail"}
c.TrustedHeaderAuthenticator.logout_redirect_url = "/Shibboleth.sso/Logout"
c.Authenticator.allow_all = True  # whom the web server lets in; without a study they can start nothing
c.Authenticator.auth_refresh_age = 600
# The memberships of a login must not outlive the day.
c.JupyterHub.cookie_max_age_days = 0.5

c.GPUSpawner.timezone = "America/New_York"
c.GPUSpawner.administrators = [{"claim": "affiliation", "equals": "research-it@hospital.example.org"}]

c.GPUSpawner.gpu_classes = {
    "imaging": {
        "display_name": "80 GB, for whole volumes",
        "memory": "80Gi",
        "rate": 1,
        "accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-80GB"}],
    },
}
c.GPUSpawner.profiles = {
    "monai": {
        "display_name": "MONAI",
        "description": "Medical imaging, checked and signed by research IT",
        "image": "registry.hospital.example.org/research/monai:2026.2",  # no choice of image: none is unchecked
        "gpu_classes": ["imaging"],
        "gpus": {"default": 1, "min": 0, "max": 2},
        "cpu": {"default": 8, "max": 32},
        "memory": {"default": "64G", "max": "256G"},
        "runtime": {"default": "8h", "max": "12h"},
        "idle": "1h",
    },
}
# Data of one study is mounted in the servers of that study and in no other; homes are kept apart by study, too.
c.GPUSpawner.storage = {
    "size": "50Gi",
    "per": "workspace",
    "volumes": {
        "cardiac-ct": {"claim": "study-cardiac-ct", "mount_path": "/data", "workspaces": ["cardiac-ct"]},
        "stroke-mri": {"claim": "study-stroke-mri", "mount_path": "/data", "workspaces": ["stroke-mri"]},
    },
}
# A person runs one thing at a time, whichever study it is for.
c.GPUSpawner.per_member = {"servers": 1, "gpus": 2}
c.GPUSpawner.idle = {"cpu_servers": "2h"}


def study(name: str, title: str, approved_until: str) -> dict:
    """A workspace as long as the approval lasts; who is on its roster is in, with the role and the days it says."""
    return {
        "display_name": title,
        "ends": approved_until,
        "members": [{"roster": str(STUDIES / f"{name}.csv")}],
        "auditors": [{"claim": "affiliation", "equals": "privacy-office@hospital.example.org"}],
        "leavers": "stop",  # whoever is taken off the roster is out at once
        "quota": {"imaging": 4},
        "budget": {"pool": 500, "renews": "monthly", "when_used_up": "end"},
    }


c.GPUSpawner.workspaces = {
    "cardiac-ct": study("cardiac-ct", "Cardiac CT (protocol 2026-114)", "2028-06-30"),
    "stroke-mri": study("stroke-mri", "Stroke MRI (protocol 2026-207)", "2027-12-31"),
}

# Last: check all of it, and register gpuspawner's spawner and pages.
configure(c)
