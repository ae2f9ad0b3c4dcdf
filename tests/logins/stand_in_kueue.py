"""What Kueue does to plain pods that name a queue: its webhook gates them, and its controller admits them."""

import asyncio
import copy
from typing import Any

from gpuspawner.local.engine import Engine

__all__ = ["StandInKueue"]

QUEUE, MANAGED, GATE = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/managed", "kueue.x-k8s.io/admission"


class StandInKueue:
    """From now on pods with a queue wait in ``queued`` for :meth:`admit`.

    As Kueue's documentation says of plain pods: a label and a finalizer of its own and a scheduling gate are added;
    with the admission the gate goes and the flavor's node labels become the pod's node selector; of a pod that is
    deleted the finalizer is taken off.
    """

    def __init__(self, engine: Engine) -> None:
        self.queued: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._store = engine.store
        self._create = engine.store.create
        engine.store.create = self._gate  # type: ignore[method-assign]
        delete = engine.store.delete

        def let_go(resource: str, namespace: str | None, name: str, *args: Any, **kwargs: Any) -> Any:
            if resource == "pods":
                engine.store.modify(resource, namespace, name, _without_finalizer)
            return delete(resource, namespace, name, *args, **kwargs)

        engine.store.delete = let_go  # type: ignore[method-assign]

    def _gate(self, resource: str, raw: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if resource != "pods" or QUEUE not in raw["metadata"].get("labels", {}):
            return self._create(resource, raw, *args, **kwargs)
        gated = copy.deepcopy(raw)
        gated["metadata"]["labels"][MANAGED] = "true"
        gated["metadata"].setdefault("finalizers", []).append(MANAGED)
        gated["spec"]["schedulingGates"] = [{"name": GATE}]
        made = self._create(resource, gated, *args, **kwargs)
        self.queued.put_nowait(gated)
        return made

    def admit(self, pod: dict[str, Any], node_labels: dict[str, str]) -> None:
        """Its turn has come, on nodes with these labels."""

        def admitted(found: dict[str, Any]) -> None:
            found["spec"].pop("schedulingGates")
            found["spec"]["nodeSelector"] = {**found["spec"].get("nodeSelector", {}), **node_labels}

        self._store.modify("pods", pod["metadata"]["namespace"], pod["metadata"]["name"], admitted)


def _without_finalizer(pod: dict[str, Any]) -> None:
    pod["metadata"]["finalizers"] = [name for name in pod["metadata"].get("finalizers", []) if name != MANAGED]
