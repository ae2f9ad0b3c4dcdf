"""The admission steps of a create: namespace, service account, priority, tolerations, Pod Security, quota."""

from typing import Any

from gpuspawner.local.apiserver.limit_range import apply_limit_ranges, check_limit_ranges
from gpuspawner.local.apiserver.pod_defaults import containers
from gpuspawner.local.apiserver.pod_security import enforce_pod_security, warn_of_pod_security
from gpuspawner.local.apiserver.quota import admit_to_quotas
from gpuspawner.local.apiserver.resources import Resource
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store, random_suffix

__all__ = ["admit", "check_namespace", "mutate"]

Object = dict[str, Any]
_SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, not a password
_NODE_PROBLEMS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def check_namespace(store: Store, resource: Resource, namespace: str, name: str) -> None:
    """Refuse new content in a namespace that is missing (404) or terminating (403)."""
    found = store.find("namespaces", None, namespace)
    if found is None:
        raise StatusError.not_found("namespaces", namespace)
    if found.get("status", {}).get("phase") == "Terminating":
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        raise StatusError.forbidden(resource.key, name, why, [cause])


def mutate(store: Store, resource: Resource, obj: Object) -> None:
    """Fill in, in place, what depends on other objects."""
    if resource.key == "pods":
        apply_limit_ranges(store, obj)
        _service_account(store, obj)
        _priority(store, obj)
        _runtime_class(store, obj)
        _tolerate_node_problems(obj["spec"])
    elif resource.key == "persistentvolumeclaims" and "storageClassName" not in obj["spec"]:
        name = default_storage_class(store)
        if name:
            obj["spec"]["storageClassName"] = name


def admit(store: Store, resource: Resource, obj: Object) -> list[str]:
    """Refuse (StatusError 403) what Pod Security or a quota does not allow; return warnings."""
    if not resource.namespaced:
        return []
    if resource.key == "pods":
        warnings = enforce_pod_security(store, obj)
    else:
        of_job = obj.get("spec", {}).get("jobTemplate", obj) if resource.group == "batch" else obj
        template = of_job["spec"].get("template", {}) if resource.group in ("apps", "batch") else {}
        spec = template.get("spec")
        warnings = warn_of_pod_security(store, obj["metadata"]["namespace"], spec) if spec else []
    check_limit_ranges(store, resource.key, obj)
    admit_to_quotas(store, resource.stored_as, obj)
    return warnings


def default_storage_class(store: Store) -> str | None:
    """Return the name of the StorageClass that claims without one get."""
    for stored in store.items("storageclasses.storage.k8s.io"):
        if stored.obj["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true":
            return stored.name
    return None


def _service_account(store: Store, pod: Object) -> None:
    spec, metadata = pod["spec"], pod["metadata"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    account = store.find("serviceaccounts", metadata["namespace"], name)
    if account is None:
        where = f"error looking up service account {metadata['namespace']}/{name}"
        raise StatusError.forbidden("pods", metadata["name"], f'{where}: serviceaccount "{name}" not found')
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    if "imagePullSecrets" not in spec and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        _mount_token(spec)


def _mount_token(spec: Object) -> None:
    unmounted = [
        c for c in containers(spec) if _TOKEN_PATH not in (m.get("mountPath") for m in c.get("volumeMounts", []))
    ]
    if not unmounted:
        return
    name = f"kube-api-access-{random_suffix()}"
    spec.setdefault("volumes", []).append(
        {"name": name, "projected": {"sources": _token_sources(), "defaultMode": 420}}
    )
    for container in unmounted:
        mount = {"name": name, "readOnly": True, "mountPath": _TOKEN_PATH}
        container.setdefault("volumeMounts", []).append(mount)


def _token_sources() -> list[Object]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    service = {"name": "openshift-service-ca.crt", "items": [{"key": "service-ca.crt", "path": "service-ca.crt"}]}
    return [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
        {"configMap": service},
    ]


def _priority(store: Store, pod: Object) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName", "")
    policy, value = "PreemptLowerPriority", _SYSTEM_PRIORITIES.get(name, 0)
    if name and name not in _SYSTEM_PRIORITIES:
        found = store.find("priorityclasses.scheduling.k8s.io", None, name)
        if found is None:
            why = f"no PriorityClass with name {name} was found"
            raise StatusError.forbidden("pods", pod["metadata"]["name"], why)
        value, policy = found.get("value", 0), found.get("preemptionPolicy", policy)
    elif not name:
        defaults = [s.obj for s in store.items("priorityclasses.scheduling.k8s.io") if s.obj.get("globalDefault")]
        if defaults:
            chosen = min(defaults, key=lambda one: one.get("value", 0))
            spec["priorityClassName"] = chosen["metadata"]["name"]
            value, policy = chosen.get("value", 0), chosen.get("preemptionPolicy", policy)
    if "priority" in spec and spec["priority"] != value:
        why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
        why += f"priority admission controller computed {value} from the given PriorityClass name"
        raise StatusError.forbidden("pods", pod["metadata"]["name"], why)
    spec["priority"] = value
    spec.setdefault("preemptionPolicy", policy)


def _runtime_class(store: Store, pod: Object) -> None:
    """Refuse a pod whose runtime class is missing; add what its class costs and where it runs."""
    spec, name = pod["spec"], pod["spec"].get("runtimeClassName")
    if not name:
        return
    found = store.find("runtimeclasses.node.k8s.io", None, name)
    if found is None:
        why = f'pod rejected: RuntimeClass "{name}" not found'
        raise StatusError.forbidden("pods", pod["metadata"]["name"], why)
    if found.get("overhead", {}).get("podFixed"):
        spec["overhead"] = dict(found["overhead"]["podFixed"])
    scheduling = found.get("scheduling", {})
    if scheduling.get("nodeSelector"):
        spec["nodeSelector"] = scheduling["nodeSelector"] | spec.get("nodeSelector", {})
    known = spec.get("tolerations", [])
    wanted = [one for one in scheduling.get("tolerations", []) if one not in known]
    if wanted:
        spec["tolerations"] = [*known, *wanted]


def _tolerate_node_problems(spec: Object) -> None:
    tolerations = spec.setdefault("tolerations", [])
    for key in _NODE_PROBLEMS:
        known = any(
            toleration.get("key", key) == key and toleration.get("effect", "NoExecute") == "NoExecute"
            for toleration in tolerations
        )
        if not known:
            wait = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            tolerations.append(wait)
