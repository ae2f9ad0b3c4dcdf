"""PodDisruptionBudgets: how many pods a drain may take away now, and evictions that would take one too many.

Sources: ``pkg/controller/disruption`` and ``pkg/registry/core/pod/storage/eviction.go`` of
https://github.com/kubernetes/kubernetes.
"""

from typing import Any

from gpuspawner.local.apiserver.selectors import selects
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store

__all__ = ["BUDGETS", "budget_status", "check_eviction"]

Object = dict[str, Any]
BUDGETS = "poddisruptionbudgets.policy"
_ENDED = ("Succeeded", "Failed")


def budget_status(store: Store, budget: Object) -> Object:
    """Return the counts of a budget's status as the pods are now."""
    spec, namespace = budget.get("spec", {}), budget["metadata"]["namespace"]
    pods = [stored.obj for stored in store.items("pods", namespace) if _covers(budget, stored.obj)]
    pods = [pod for pod in pods if pod.get("status", {}).get("phase") not in _ENDED]
    healthy = sum(_is_ready(pod) for pod in pods)
    if isinstance(spec.get("minAvailable"), int):
        expected, desired = len(pods), spec["minAvailable"]
    else:
        expected = _expected(store, pods)
        if "minAvailable" in spec:
            desired = _share(spec["minAvailable"], expected)
        else:
            desired = max(0, expected - _share(spec.get("maxUnavailable", 0), expected))
    allowed = max(0, healthy - desired) if expected else 0
    return {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
    }


def check_eviction(store: Store, pod: Object) -> None:
    """Refuse (StatusError 429 or 500) an eviction that a budget does not allow."""
    if pod.get("status", {}).get("phase") != "Running" or "deletionTimestamp" in pod["metadata"]:
        return
    everyone = [stored.obj for stored in store.items(BUDGETS, pod["metadata"]["namespace"])]
    budgets = [budget for budget in everyone if _covers(budget, pod)]
    if not budgets:
        return
    if len(budgets) > 1:
        why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise StatusError(500, "InternalError", why)
    budget, status = budgets[0], budget_status(store, budgets[0])
    if not _is_ready(pod):
        policy = budget["spec"].get("unhealthyPodEvictionPolicy", "IfHealthyBudget")
        enough = status["currentHealthy"] >= status["desiredHealthy"] > 0
        if policy == "AlwaysAllow" or enough:
            return
    if not status["disruptionsAllowed"]:
        needs = f"needs {status['desiredHealthy']} healthy pods and has {status['currentHealthy']} currently"
        name = budget["metadata"]["name"]
        cause = {"reason": "DisruptionBudget", "message": f"The disruption budget {name} {needs}"}
        why = "Cannot evict pod as it would violate the pod's disruption budget."
        raise StatusError(429, "TooManyRequests", why, {"causes": [cause]})


def _covers(budget: Object, pod: Object) -> bool:
    selector = budget.get("spec", {}).get("selector")
    return selector is not None and selects(selector, pod["metadata"].get("labels", {}))


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _expected(store: Store, pods: list[Object]) -> int:
    """How many pods those who made these want; a pod that nobody made counts for itself."""
    wanted: dict[str, int] = {}
    for pod in pods:
        owner = _controller(pod)
        while owner is not None:
            found = _find(store, pod["metadata"]["namespace"], owner)
            if found is None:
                break
            wanted_by, above = found, _controller(found)
            if above is None:
                wanted[wanted_by["metadata"]["uid"]] = wanted_by.get("spec", {}).get("replicas", 1)
                break
            owner = above
        else:
            wanted[pod["metadata"]["uid"]] = 1
    return sum(wanted.values())


def _controller(obj: Object) -> Object | None:
    owners: list[Object] = obj["metadata"].get("ownerReferences", [])
    return next((owner for owner in owners if owner.get("controller")), None)


def _find(store: Store, namespace: str, owner: Object) -> Object | None:
    group = owner["apiVersion"].rpartition("/")[0]
    return store.find(
        f"{owner['kind'].lower()}s.{group}" if group else f"{owner['kind'].lower()}s", namespace, owner["name"]
    )


def _share(value: Any, total: int) -> int:
    """A number, or a percentage rounded up."""
    text = str(value)
    return -(-int(text[:-1]) * total // 100) if text.endswith("%") else int(text)
