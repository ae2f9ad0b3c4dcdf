"""Jobs: pods that run to their end, counted once each.

Source: ``pkg/controller/job/job_controller.go`` of https://github.com/kubernetes/kubernetes. Not served: Indexed
completion (refused), pod failure policies, success policies.
"""

from datetime import datetime

from gpuspawner.local.apiserver.binding import set_condition
from gpuspawner.local.apiserver.operations import DeleteOptions, Operations
from gpuspawner.local.apiserver.resources import BY_KEY
from gpuspawner.local.apiserver.store import Object, Store, clone
from gpuspawner.local.controllers.pods import Pods, is_active, is_ready
from gpuspawner.local.controllers.work import WorkQueue

__all__ = ["Jobs"]

_RESOURCE = "jobs.batch"
_TRACKING = "batch.kubernetes.io/job-tracking"
_LONGEST_BACKOFF = 600.0
_REACHED = "Reached expected number of succeeded pods"
_TOO_OFTEN = "Job has reached the specified backoff limit"
_TOO_LONG = "Job was active longer than specified deadline"


class Jobs:
    """Runs every Job.

    Parameters
    ----------
    backoff
        Seconds after the first failed pod before another one is made; doubled each time.
    """

    def __init__(self, store: Store, *, backoff: float = 10.0) -> None:
        self._store = store
        self._backoff = backoff
        self._operations = Operations(store)
        self._pods = Pods(store, "job-controller")
        self._queue = WorkQueue(self._reconcile)
        self.stop = self._queue.stop

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Take in one change of the store."""
        if resource == _RESOURCE and type_ == "DELETED":
            self._release_all(obj)
        elif resource == _RESOURCE:
            self._queue.add_object(obj)
        elif resource == "pods":
            self._queue.add_controller(obj, "Job")

    def _reconcile(self, namespace: str, name: str) -> None:
        job = self._store.find(_RESOURCE, namespace, name)
        if job is None or "deletionTimestamp" in job["metadata"]:
            return
        status = clone(job.get("status", {}))
        pods = self._count(job, status)
        if _ended(status):
            self._release_all(job)
            self._expire(job, status)
            return
        if job["spec"].get("suspend"):
            for pod in filter(is_active, pods):
                self._pods.delete(job, pod)
        else:
            status.setdefault("startTime", self._pods.now())
            self._advance(job, status, pods)
        active = [pod for pod in self._pods.owned(job) if is_active(pod)]
        terminating = sum("deletionTimestamp" in pod["metadata"] for pod in self._pods.owned(job))
        counts = {"active": len(active), "ready": sum(map(is_ready, active)), "terminating": terminating}
        for key, count in counts.items():
            status.pop(key, None)
            if count or key != "active":
                status[key] = count
        self._pods.set_status(_RESOURCE, job, status)

    def _advance(self, job: Object, status: Object, pods: list[Object]) -> None:
        spec = job["spec"]
        active = [pod for pod in pods if is_active(pod)]
        succeeded, failed = status.get("succeeded", 0), status.get("failed", 0)
        restarts = sum(_restarts(pod) for pod in active) if spec["template"]["spec"]["restartPolicy"] != "Never" else 0
        wanted = spec.get("completions")
        if (wanted is not None and succeeded >= wanted) or (wanted is None and succeeded and not active):
            self._end(job, status, active, "Complete", "CompletionsReached", _REACHED)
        elif failed > spec["backoffLimit"] or (restarts and failed + restarts > spec["backoffLimit"]):
            self._end(job, status, active, "Failed", "BackoffLimitExceeded", _TOO_OFTEN)
        elif self._overdue(job, status):
            self._end(job, status, active, "Failed", "DeadlineExceeded", _TOO_LONG)
        else:
            missing = spec["parallelism"] if wanted is None else min(spec["parallelism"], wanted - succeeded)
            missing = 0 if wanted is None and succeeded else missing - len(active)
            wait = self._pause(job, status, pods)
            if missing > 0 and wait > 0:
                self._queue.add_after(wait, job["metadata"]["namespace"], job["metadata"]["name"])
                return
            for _ in range(missing):
                self._pods.create(job, spec["template"], finalizers=[_TRACKING])
            for pod in Pods.least_missed(active)[: max(0, -missing)]:
                self._pods.delete(job, pod)

    def _count(self, job: Object, status: Object) -> list[Object]:
        """Count each pod that ended, once: the finalizer that keeps it goes when it has been counted."""
        ended = []
        for pod in self._pods.owned(job):
            gone = "deletionTimestamp" in pod["metadata"] and not pod["spec"].get("nodeName")
            phase = pod.get("status", {}).get("phase")
            if _TRACKING in pod["metadata"].get("finalizers", []) and (phase in ("Succeeded", "Failed") or gone):
                ended.append(pod)
        for pod in ended:
            key = "succeeded" if pod.get("status", {}).get("phase") == "Succeeded" else "failed"
            status[key] = status.get(key, 0) + 1
        if ended:
            self._pods.set_status(_RESOURCE, job, clone(status))
        for pod in ended:
            self._release(pod)
        return self._pods.owned(job)

    def _end(self, job: Object, status: Object, active: list[Object], kind: str, reason: str, message: str) -> None:
        for pod in active:
            self._pods.delete(job, pod)
        now = self._pods.now()
        target = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
        for condition in (target, kind):
            said = {"type": condition, "status": "True", "reason": reason, "message": message}
            set_condition(status, said | {"lastProbeTime": now, "lastTransitionTime": now})
        if kind == "Complete":
            status["completionTime"] = now
            self._pods.event(job, "Normal", "Completed", "Job completed")
        else:
            self._pods.event(job, "Warning", reason, message)

    def _overdue(self, job: Object, status: Object) -> bool:
        deadline = job["spec"].get("activeDeadlineSeconds")
        if deadline is None:
            return False
        left = float(deadline) - self._since(status["startTime"])
        if left > 0:
            self._queue.add_after(left, job["metadata"]["namespace"], job["metadata"]["name"])
        return left <= 0

    def _pause(self, job: Object, status: Object, pods: list[Object]) -> float:
        """Seconds until the next pod may be made, after one has failed."""
        failed = status.get("failed", 0)
        ends = [_finished(pod) for pod in pods if pod.get("status", {}).get("phase") == "Failed"]
        last = max((end for end in ends if end), default=None)
        if not failed or last is None:
            return 0.0
        return min(self._backoff * 2.0 ** int(failed - 1), _LONGEST_BACKOFF) - self._since(last)

    def _expire(self, job: Object, status: Object) -> None:
        seconds, metadata = job["spec"].get("ttlSecondsAfterFinished"), job["metadata"]
        if seconds is None:
            return
        end = next(c["lastTransitionTime"] for c in status["conditions"] if c["type"] in ("Complete", "Failed"))
        left = float(seconds) - self._since(end)
        if left > 0:
            self._queue.add_after(left, metadata["namespace"], metadata["name"])
        else:
            options = DeleteOptions(uid=metadata["uid"])
            self._operations.delete(BY_KEY[_RESOURCE], metadata["namespace"], metadata["name"], options)

    def _since(self, when: str) -> float:
        return (self._store.clock() - datetime.fromisoformat(when)).total_seconds()

    def _release_all(self, job: Object) -> None:
        for pod in self._pods.owned(job):
            self._release(pod)

    def _release(self, pod: Object) -> None:
        metadata = pod["metadata"]
        if _TRACKING not in metadata.get("finalizers", []):
            return

        def let_go(new: Object) -> None:
            new["metadata"]["finalizers"].remove(_TRACKING)

        self._store.modify("pods", metadata["namespace"], metadata["name"], let_go)


def _ended(status: Object) -> bool:
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in status.get("conditions", []))


def _restarts(pod: Object) -> int:
    return sum(int(state.get("restartCount", 0)) for state in pod.get("status", {}).get("containerStatuses", []))


def _finished(pod: Object) -> str | None:
    states = pod.get("status", {}).get("containerStatuses", [])
    ends = [state["state"]["terminated"].get("finishedAt") for state in states if "terminated" in state["state"]]
    return max((end for end in ends if end), default=None)
