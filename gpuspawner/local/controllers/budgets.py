"""The status of PodDisruptionBudgets."""

from gpuspawner.local.apiserver.binding import set_condition
from gpuspawner.local.apiserver.disruption import BUDGETS, budget_status
from gpuspawner.local.apiserver.store import Object, Store, timestamp
from gpuspawner.local.controllers.work import WorkQueue

__all__ = ["DisruptionBudgets"]

_COUNTED = ("deployments.apps", "replicasets.apps", "statefulsets.apps", "pods")


class DisruptionBudgets:
    """Says in each budget how many of its pods may go now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue = WorkQueue(self._reconcile)
        self.stop = self._queue.stop

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Take in one change of the store."""
        if resource == BUDGETS and type_ != "DELETED":
            self._queue.add_object(obj)
        elif resource in _COUNTED:
            for stored in self._store.items(BUDGETS, obj["metadata"]["namespace"]):
                self._queue.add(stored.namespace, stored.name)

    def _reconcile(self, namespace: str, name: str) -> None:
        budget = self._store.find(BUDGETS, namespace, name)
        if budget is None:
            return
        counts = budget_status(self._store, budget)
        status = counts | {"observedGeneration": budget["metadata"]["generation"]}
        status["conditions"] = budget.get("status", {}).get("conditions", [])
        enough = bool(counts["disruptionsAllowed"])
        condition = {"type": "DisruptionAllowed", "status": str(enough), "message": ""}
        condition |= {"reason": "SufficientPods" if enough else "InsufficientPods"}
        condition |= {"observedGeneration": budget["metadata"]["generation"]}
        set_condition(status, condition | {"lastTransitionTime": timestamp(self._store.clock())})
        if status != budget.get("status"):
            self._store.update_status(BUDGETS, namespace, name, status)
