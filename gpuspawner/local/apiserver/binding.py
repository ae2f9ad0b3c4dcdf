"""Binding a pod to a node."""

from typing import Any

from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store, timestamp

__all__ = ["bind", "set_condition"]

Object = dict[str, Any]


def set_condition(status: Object, condition: Object) -> None:
    """Put a condition into a status, in place of the one of its type; an equal ``status`` keeps its transition time."""
    conditions = [dict(one) for one in status.get("conditions", [])]
    for index, standing in enumerate(conditions):
        if standing["type"] == condition["type"]:
            if standing["status"] == condition["status"]:
                condition = condition | {"lastTransitionTime": standing.get("lastTransitionTime")}
            conditions[index] = condition
            break
    else:
        conditions.append(condition)
    status["conditions"] = conditions


def bind(store: Store, namespace: str, name: str, node: str) -> Object:
    """Assign a pod to a node and say so in its PodScheduled condition.

    StatusError 404 if the pod is gone; 409 if it is being deleted or has a node already.
    """
    pod = store.stored("pods", namespace, name).obj
    if pod["metadata"].get("deletionTimestamp"):
        raise StatusError.conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        why = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        raise StatusError.conflict("pods/binding", name, why)

    def assign(new: Object) -> None:
        new["spec"]["nodeName"] = node
        condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
        set_condition(new["status"], condition | {"lastTransitionTime": timestamp(store.clock())})

    return store.modify("pods", namespace, name, assign)
