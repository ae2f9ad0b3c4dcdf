"""Why a session ended, in words: the ledger keeps a code. Pure."""

__all__ = ["OPEN", "why_ended"]

OPEN = "runs"
"""What stands in for a cause while a session is not over."""

_WORDS = {
    "stopped": "Stopped",
    "cancelled": "Cancelled before it ran",
    "never_ran": "Did not start",
    "runtime_limit": "Its time was over",
    "budget_used_up": "The budget was used up",
    "idle": "Its GPU was idle",
    "downgraded": "Its GPU was idle: started again without it",
    "left_workspace": "No member of the workspace any more",
    "exited": "The server's process ended",
    "out_of_memory": "Used more memory than it had",
    "evicted": "Moved off its node",
    "maintenance": "Its machine was taken out of service",
    "preempted": "Gave way to a launch of higher priority",
    "node_lost": "Its node failed",
    "node_refused": "Its node could not take it",
    "deleted": "Deleted in the cluster",
    "unseen_end": "Ended while nobody looked",
    "silent": "The server did not answer",
    "too_slow": "Took too long to start",
    "image_name": "The image's name is wrong",
    "image_missing": "The image does not exist",
    "image_delayed": "The image could not be pulled",
    "setup": "The node could not set it up",
    "gpus_taken": "No GPU came free in time",
    "no_such_gpu": "The cluster has no such GPU",
    "too_many_gpus": "No node has so many GPUs",
    "too_large": "No node is large enough",
    "nodes_full": "No node had room in time",
    "nodes_closed": "Its nodes were closed",
    "launch_failed": "Did not start",
    "server_failed": "The server failed",
    "api_unreachable": "Kubernetes did not answer",
}


def why_ended(cause: str | None) -> str:
    """The words for a cause; those of one that is not known are its code's."""
    if cause is None:
        return ""
    return _WORDS.get(cause) or cause.replace("_", " ").capitalize()
