"""The labels and annotations of a hub's objects: those that Zero-to-JupyterHub's tools read, and our own."""

from gpuspawner.config import Settings
from gpuspawner.names import safe_slug

__all__ = [
    "BUDGET",
    "CLASS_LABEL",
    "COMPONENT",
    "ENDED_BY",
    "ENDS",
    "HUB_LABEL",
    "IDLE",
    "IDLE_AFTER",
    "IDLE_ENDS",
    "LAUNCH",
    "LIMITED_BY",
    "MAINTENANCE",
    "PLACEHOLDER",
    "PROFILE_LABEL",
    "QUEUE",
    "RUNTIME",
    "SERVER",
    "STORAGE_COMPONENT",
    "USER",
    "WARNED",
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
PLACEHOLDER = "gpuspawner/placeholder"
"""Label of a pod that keeps room for launches and gives way to them; its value is the GPU class."""
QUEUE = "kueue.x-k8s.io/queue-name"
"""Label of Kueue's: the LocalQueue in which it lets a pod wait. A patch of the pod puts it there."""
LAUNCH = "gpuspawner/launch"
"""Annotation that tells the pods of two launches of one server apart."""
RUNTIME = "gpuspawner/runtime"
"""Annotation: the runtime granted at launch, in seconds, where it is not the pod's ``activeDeadlineSeconds``."""
ENDS = "gpuspawner/ends"
"""Annotation: when a server that was extended ends (RFC 3339)."""
LIMITED_BY = "gpuspawner/limited-by"
"""Annotation: why a server was granted less runtime than it asked for: :data:`BUDGET`."""
BUDGET = "budget"
MAINTENANCE = "gpuspawner/maintenance"
"""Annotation of a node: when its servers end, because it is taken out of service (RFC 3339). Of a server's pod: of
which such time its member was told, or ``cordoned``."""
ENDED_BY = "gpuspawner/ended-by"
"""Annotation: why the hub ends a server, as JSON: ``code``, ``reason``, ``remedy``."""
WARNED = "gpuspawner/warned-"
"""Annotations, one for each kind of end: of which end a member was warned last, and how many seconds ahead."""
IDLE = "gpuspawner/idle"
"""Annotation of a server that is idle, as JSON: ``state``, ``since``, ``why``, and when its member was ``warned``."""
IDLE_ENDS = "gpuspawner/idle-ends"
"""Annotation: when a server that is idle ends unless it is used (RFC 3339)."""
IDLE_AFTER = "gpuspawner/idle-after"
"""Annotation: the ``idle`` of the profile it was launched with, in seconds; 0 is never."""


def common_labels(settings: Settings) -> dict[str, str]:
    """The labels of everything that a hub makes."""
    return {"app": "jupyterhub", "app.kubernetes.io/managed-by": "gpuspawner", HUB_LABEL: settings.hub_name}


def owner_labels(user: str, name: str) -> dict[str, str]:
    """The labels that tell one server from the others."""
    return {USER: safe_slug(user), SERVER: safe_slug(name) if name else ""}
