"""The labels and annotations of a hub's objects: those that Zero-to-JupyterHub's tools read, and our own."""

from gpuspawner.config import Settings
from gpuspawner.names import safe_slug

__all__ = [
    "CLASS_LABEL",
    "COMPONENT",
    "HUB_LABEL",
    "PROFILE_LABEL",
    "SERVER",
    "STORAGE_COMPONENT",
    "USER",
    "WORKSPACE_LABEL",
    "common_labels",
    "owner_labels",
]

COMPONENT = "singleuser-server"
STORAGE_COMPONENT = "singleuser-storage"
HUB_LABEL = "gpuspawner/hub"
WORKSPACE_LABEL = "gpuspawner/workspace"
PROFILE_LABEL = "gpuspawner/profile"
CLASS_LABEL = "gpuspawner/gpu-class"
USER = "hub.jupyter.org/username"
SERVER = "hub.jupyter.org/servername"


def common_labels(settings: Settings) -> dict[str, str]:
    """The labels of everything that a hub makes."""
    return {"app": "jupyterhub", "app.kubernetes.io/managed-by": "gpuspawner", HUB_LABEL: settings.hub_name}


def owner_labels(user: str, name: str) -> dict[str, str]:
    """The labels that tell one server from the others."""
    return {USER: safe_slug(user), SERVER: safe_slug(name) if name else ""}
