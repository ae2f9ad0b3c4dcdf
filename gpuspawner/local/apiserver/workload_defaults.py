"""What the server fills in in workloads, budgets and policies, and what a new one starts with.

Sources: the ``defaults.go`` of ``pkg/apis/{apps,batch,networking}/v1`` and the strategies below ``pkg/registry`` of
https://github.com/kubernetes/kubernetes.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from gpuspawner.local.apiserver.pod_defaults import default_all, default_pod

__all__ = ["NEW_WORKLOADS", "WORKLOADS"]

Object = dict[str, Any]


def _template(obj: Object) -> None:
    template = obj["spec"].setdefault("template", {})
    template.setdefault("metadata", {})
    default_pod(template)


def _spec(obj: Object) -> Object:
    spec: Object = obj.setdefault("spec", {})
    return spec


def _deployment(obj: Object) -> None:
    spec = _spec(obj)
    default_all(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        default_all(strategy.setdefault("rollingUpdate", {}), {"maxUnavailable": "25%", "maxSurge": "25%"})
    _template(obj)


def _replica_set(obj: Object) -> None:
    _spec(obj).setdefault("replicas", 1)
    _template(obj)


def _daemon_set(obj: Object) -> None:
    spec = _spec(obj)
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        default_all(strategy.setdefault("rollingUpdate", {}), {"maxUnavailable": 1, "maxSurge": 0})
    _template(obj)


def _stateful_set(obj: Object) -> None:
    spec = _spec(obj)
    default_all(spec, {"replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady"})
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    default_all(
        spec.setdefault("persistentVolumeClaimRetentionPolicy", {}), {"whenDeleted": "Retain", "whenScaled": "Retain"}
    )
    for claim in spec.get("volumeClaimTemplates", []):
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}}
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    _template(obj)


def _job_spec(spec: Object) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    default_all(spec, {"parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False})
    spec.setdefault("manualSelector", False)
    if "podFailurePolicy" in spec:
        spec.setdefault("podReplacementPolicy", "Failed")
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")


def _job(obj: Object) -> None:
    _job_spec(_spec(obj))
    _template(obj)


def _cron_job(obj: Object) -> None:
    spec = _spec(obj)
    default_all(spec, {"concurrencyPolicy": "Allow", "suspend": False})
    default_all(spec, {"successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1})
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    _template({"spec": template.setdefault("spec", {})})


def _network_policy(obj: Object) -> None:
    spec = _spec(obj)
    spec.setdefault("podSelector", {})
    if "policyTypes" not in spec:
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for rule in (*spec.get("ingress", []), *spec.get("egress", [])):
        for port in rule.get("ports", []):
            port.setdefault("protocol", "TCP")


def _empty_status(obj: Object) -> None:
    obj["status"] = {}


def _new_daemon_set(obj: Object) -> None:
    counts = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    obj["status"] = dict.fromkeys(counts, 0)


def _new_replicas(obj: Object) -> None:
    obj["status"] = {"replicas": 0}


def _new_stateful_set(obj: Object) -> None:
    obj["status"] = {"replicas": 0, "availableReplicas": 0}


def _new_ingress(obj: Object) -> None:
    obj["status"] = {"loadBalancer": {}}


def _new_job(obj: Object) -> None:
    """Select the job's pods by the job's own uid, as the strategy of jobs does."""
    obj["status"] = {}
    spec, metadata = obj["spec"], obj["metadata"]
    if spec.get("manualSelector"):
        return
    uid = metadata["uid"] = str(uuid4())
    labels = spec["template"]["metadata"].setdefault("labels", {})
    name = metadata.get("name", "")
    for prefix in ("batch.kubernetes.io/", ""):
        labels |= {f"{prefix}controller-uid": uid, f"{prefix}job-name": name}
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


WORKLOADS: dict[str, Callable[[Object], None]] = {
    "cronjobs.batch": _cron_job,
    "daemonsets.apps": _daemon_set,
    "deployments.apps": _deployment,
    "jobs.batch": _job,
    "networkpolicies.networking.k8s.io": _network_policy,
    "replicasets.apps": _replica_set,
    "statefulsets.apps": _stateful_set,
}
"""By resource: fills in at every write."""

NEW_WORKLOADS: dict[str, Callable[[Object], None]] = {
    "cronjobs.batch": _empty_status,
    "daemonsets.apps": _new_daemon_set,
    "deployments.apps": _empty_status,
    "ingresses.networking.k8s.io": _new_ingress,
    "jobs.batch": _new_job,
    "poddisruptionbudgets.policy": _empty_status,
    "replicasets.apps": _new_replicas,
    "statefulsets.apps": _new_stateful_set,
}
"""By resource: what only a new object gets."""
