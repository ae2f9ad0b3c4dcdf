"""CronJobs: a Job whenever the schedule says so.

Source: ``pkg/controller/cronjob/cronjob_controllerv2.go`` of https://github.com/kubernetes/kubernetes.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from gpuspawner.local.apiserver.operations import DeleteOptions, Operations, WriteOptions
from gpuspawner.local.apiserver.resources import BY_KEY
from gpuspawner.local.apiserver.schedules import due_times
from gpuspawner.local.apiserver.store import Object, Store, clone, timestamp
from gpuspawner.local.controllers.pods import Pods, controller_of, controller_reference
from gpuspawner.local.controllers.work import WorkQueue

__all__ = ["CronJobs"]

_RESOURCE, _JOBS = "cronjobs.batch", "jobs.batch"
_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_LONGEST_LOOK_BACK = timedelta(days=2)


class CronJobs:
    """Starts the Jobs of every CronJob. A run that was missed while the engine was away is made up for once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events = Pods(store, "cronjob-controller")
        self._operations = Operations(store)
        self._queue = WorkQueue(self._reconcile)
        self.stop: Callable[[], None] = self._queue.stop

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Take in one change of the store."""
        if resource == _RESOURCE and type_ != "DELETED":
            self._queue.add_object(obj)
        elif resource == _JOBS:
            self._queue.add_controller(obj, "CronJob")

    def _reconcile(self, namespace: str, name: str) -> None:
        found = self._store.find(_RESOURCE, namespace, name)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return
        jobs = self._jobs(found)
        status = clone(found.get("status", {}))
        for kind, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            ended = [job for job in jobs if _ended(job) == kind]
            for job in ended[: max(0, len(ended) - found["spec"][limit])]:
                self._delete(job)
        if not found["spec"]["suspend"]:
            self._start_if_due(found, status, [job for job in jobs if _ended(job) is None])
        completed = [job["status"].get("completionTime") for job in jobs if _ended(job) == "Complete"]
        if completed:
            status["lastSuccessfulTime"] = max(filter(None, completed))
        status["active"] = [_reference(job) for job in self._jobs(found) if _ended(job) is None]
        self._events.set_status(_RESOURCE, found, status)

    def _start_if_due(self, found: Object, status: Object, active: list[Object]) -> None:
        spec, metadata, now = found["spec"], found["metadata"], self._store.clock()
        since = datetime.fromisoformat(status.get("lastScheduleTime") or metadata["creationTimestamp"])
        due, after = due_times(spec["schedule"], spec.get("timeZone"), max(since, now - _LONGEST_LOOK_BACK), now)
        self._queue.add_after((after - now).total_seconds(), metadata["namespace"], metadata["name"])
        deadline = spec.get("startingDeadlineSeconds")
        if due is None or (deadline is not None and (now - due).total_seconds() > deadline):
            return
        if active and spec["concurrencyPolicy"] == "Forbid":
            return
        if spec["concurrencyPolicy"] == "Replace":
            for job in active:
                self._delete(job)
        self._start(found, due)
        status["lastScheduleTime"] = timestamp(due)

    def _start(self, found: Object, due: datetime) -> None:
        metadata, template = found["metadata"], clone(found["spec"]["jobTemplate"])
        about = {key: template["metadata"][key] for key in ("labels", "annotations") if key in template["metadata"]}
        about["annotations"] = about.get("annotations", {}) | {_SCHEDULED: timestamp(due)}
        name = f"{metadata['name']}-{int(due.timestamp()) // 60}"
        about |= {"name": name, "ownerReferences": [controller_reference(found)]}
        if self._store.find(_JOBS, metadata["namespace"], name) is not None:
            return
        body = {"metadata": about, "spec": template["spec"]}
        self._operations.create(BY_KEY[_JOBS], metadata["namespace"], body, WriteOptions())
        self._events.event(found, "Normal", "SuccessfulCreate", f"Created job {name}")

    def _jobs(self, found: Object) -> list[Object]:
        """The Jobs of a CronJob, oldest first."""
        everyone = [stored.obj for stored in self._store.items(_JOBS, found["metadata"]["namespace"])]
        mine = [job for job in everyone if (controller_of(job) or {}).get("uid") == found["metadata"]["uid"]]
        return sorted(mine, key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["name"]))

    def _delete(self, job: Object) -> None:
        metadata = job["metadata"]
        options = DeleteOptions(uid=metadata["uid"])
        self._operations.delete(BY_KEY[_JOBS], metadata["namespace"], metadata["name"], options)


def _ended(job: Object) -> str | None:
    true = (one["type"] for one in job.get("status", {}).get("conditions", []) if one["status"] == "True")
    return next((kind for kind in true if kind in ("Complete", "Failed")), None)


def _reference(job: Object) -> Object:
    metadata = job["metadata"]
    about = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "namespace": metadata["namespace"]}
    return about | {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
