"""A university with a learning management system: students open the hub from their course, which says what they get."""

import os

from gpuspawner import configure, with_workspaces

c = get_config()  # noqa: F821

# LTI 1.3. The LMS (Canvas, Moodle, Blackboard) shows these values where the hub is registered as a tool.
c.JupyterHub.authenticator_class = with_workspaces("ltiauthenticator.lti13.auth.LTI13Authenticator")
c.LTI13Authenticator.issuer = os.environ["LMS_ISSUER"]
c.LTI13Authenticator.authorize_url = os.environ["LMS_AUTHORIZE_URL"]
c.LTI13Authenticator.jwks_endpoint = os.environ["LMS_JWKS_URL"]
c.LTI13Authenticator.client_id = {os.environ["LMS_CLIENT_ID"]}
c.LTI13Authenticator.username_key = "preferred_username"
c.Authenticator.allow_all = True  # whom the LMS sends

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
# One home for each person and course; what belongs to the course is the same for all, and read only.
c.GPUSpawner.storage = {"size": "20Gi", "per": "workspace"}
c.GPUSpawner.off_peak = {"hours": "01:00-16:00", "rate": 0.5}
c.GPUSpawner.idle = {"after": "30m", "after_when_quiet": "6h", "cpu_servers": "2h"}

COURSE, ROLE = (f"https://purl.imsglobal.org/spec/lti/claim/{name}" for name in ("context.id", "roles"))
ROSTERS = os.environ.get("ROSTERS", "/srv/rosters")
"""Where the registrar's nightly export puts one file for each course: email, role, from, to."""
TERMS = ["2026-09-21", "2027-01-04", "2027-03-29"]
"""The first days of the academic year's terms."""


def course(title: str, lms: str, roster: str, ends: str, quota: dict, exceptions: list | None = None) -> dict:
    """One course: who opens the hub from it, or is on the registrar's roster, is a member; who teaches manages it."""
    here = {"claim": COURSE, "equals": lms}
    return {
        "display_name": title,
        "starts": TERMS[0],
        "ends": ends,
        "members": [here, {"roster": f"{ROSTERS}/{roster}.csv"}],
        "managers": [{"all": [here, {"claim": ROLE, "matches": "*membership#Instructor"}]}],
        "quota": quota,
        "per_member": {"gpus": 1, "cpu": 8, "memory": "64G", "servers": 2},
        "budget": {"per_member": 10, "pool": 2000, "renews": "weekly", "carry_over": {"per_member": 5}},
        "exceptions": exceptions or [],
    }


c.GPUSpawner.workspaces = {
    # Whoever can log in, for what belongs to no course.
    "everyone": {
        "display_name": "Everyone",
        "members": "*",
        "profiles": ["python"],
        "per_member": {"servers": 1},
    },
    "cse151a-fa26": course(
        "CSE 151A, Fall 2026",
        lms=os.environ.get("LMS_CSE151A", "4711"),
        roster="cse151a-fa26",
        ends="2026-12-18",
        quota={"small": 8, "large": 2},
        # The week before the project is due: twice the GPUs, and two for each team's speaker.
        exceptions=[
            {
                "from": "2026-11-30",
                "to": "2026-12-04",
                "quota": {"small": 16, "large": 4},
                "per_member": {"gpus": 2},
            }
        ],
    ),
    "cogs118b-fa26": course(
        "COGS 118B, Fall 2026",
        lms=os.environ.get("LMS_COGS118B", "4712"),
        roster="cogs118b-fa26",
        ends="2026-12-18",
        quota={"small": 8},
    ),
}
# Courses share what the department has bought: one may use what the other leaves idle, but for two small GPUs.
c.GPUSpawner.cohorts = {
    "cse": {"workspaces": ["cse151a-fa26", "cogs118b-fa26"], "borrowing": True, "reserve": {"small": 2}},
}
# Over all of their courses nobody holds more than two GPUs.
c.GPUSpawner.per_member = {"gpus": 2, "servers": 3}

# Last: check all of it, and register gpuspawner's spawner and pages.
configure(c)
