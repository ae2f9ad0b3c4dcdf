"""All controllers of the room, following one store."""

from collections.abc import Callable
from typing import Protocol

from gpuspawner.local.apiserver.disruption import BUDGETS
from gpuspawner.local.apiserver.store import Object, Store
from gpuspawner.local.controllers.budgets import DisruptionBudgets
from gpuspawner.local.controllers.cron_jobs import CronJobs
from gpuspawner.local.controllers.daemon_sets import DaemonSets
from gpuspawner.local.controllers.deployments import Deployments
from gpuspawner.local.controllers.endpoints import ServiceEndpoints
from gpuspawner.local.controllers.jobs import Jobs
from gpuspawner.local.controllers.replica_sets import ReplicaSets
from gpuspawner.local.controllers.stateful_sets import StatefulSets

__all__ = ["ControllerManager"]

_FOLLOWED = (
    *("deployments.apps", "replicasets.apps", "daemonsets.apps", "statefulsets.apps", "jobs.batch", "cronjobs.batch"),
    *("services", BUDGETS),
)


class _Controller(Protocol):
    stop: Callable[[], None]

    def on_change(self, resource: str, type_: str, obj: Object) -> None: ...


class ControllerManager:
    """Runs the controllers of workloads and Services.

    Parameters
    ----------
    job_backoff
        Seconds that a Job waits after its first failed pod.
    """

    def __init__(self, store: Store, *, job_backoff: float = 10.0) -> None:
        self._store = store
        self._job_backoff = job_backoff
        self._controllers: tuple[_Controller, ...] = ()
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Take in what the store holds and follow it; needs a running event loop."""
        store = self._store
        jobs = Jobs(store, backoff=self._job_backoff)
        workloads = (Deployments(store), ReplicaSets(store), DaemonSets(store), StatefulSets(store), jobs)
        self._controllers = (*workloads, CronJobs(store), ServiceEndpoints(store), DisruptionBudgets(store))
        for resource in _FOLLOWED:
            for stored in store.items(resource):
                self._on_change(resource, "ADDED", stored.obj)
        self._unsubscribe = store.subscribe(self._on_change)

    def stop(self) -> None:
        """Control nothing more."""
        if self._unsubscribe:
            self._unsubscribe()
            self._unsubscribe = None
        for controller in self._controllers:
            controller.stop()
        self._controllers = ()

    def _on_change(self, resource: str, type_: str, obj: Object) -> None:
        for controller in self._controllers:
            controller.on_change(resource, type_, obj)
