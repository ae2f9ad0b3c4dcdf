"""The table of resources that the engine serves."""

from dataclasses import dataclass, field

__all__ = ["BY_KEY", "BY_PATH", "RESOURCES", "Resource"]

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource of the Kubernetes API."""

    group: str
    """API group; empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = _VERBS
    has_generation: bool = False
    """Whether the server counts the changes of ``spec`` in ``metadata.generation``."""
    storage: str = ""
    """Key of the resource whose objects this one shows in another shape (``events.k8s.io`` shows ``events``)."""
    name_rule: str = "subdomain"
    """``subdomain`` or ``label`` (RFC 1123), ``label1035`` (services) or ``segment`` (of a path: RBAC)."""
    categories: tuple[str, ...] = field(default=())
    custom: bool = False
    """Whether a CustomResourceDefinition of another project defines it; any ``spec`` and ``status`` are kept."""

    @property
    def key(self) -> str:
        """The name used in messages and in the store: ``pods``, ``leases.coordination.k8s.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def stored_as(self) -> str:
        """The store's name of the resource that holds the objects."""
        return self.storage or self.key

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> str:
        """The kind as messages write it: ``Pod``, ``Lease.coordination.k8s.io``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def singular(self) -> str:
        """The kind in lower case."""
        return self.kind.lower()


_REVIEW = ("create",)


def _workload(group: str, plural: str, kind: str, *short: str, scaled: bool = False) -> Resource:
    parts = ("scale", "status") if scaled else ("status",)
    return Resource(group, "v1", plural, kind, True, short, parts, has_generation=True, categories=("all",))


def _custom(group: str, plural: str, kind: str, *short: str) -> Resource:
    return Resource(group, "v1", plural, kind, True, short, ("status",), has_generation=True, custom=True)


RESOURCES: tuple[Resource, ...] = (
    Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",)),
    Resource("", "v1", "endpoints", "Endpoints", short_names=("ep",)),
    Resource("", "v1", "events", "Event", short_names=("ev",)),
    Resource("", "v1", "limitranges", "LimitRange", short_names=("limits",)),
    Resource("", "v1", "namespaces", "Namespace", False, ("ns",), ("finalize", "status"), name_rule="label"),
    Resource("", "v1", "nodes", "Node", False, ("no",), ("status",)),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("pvc",), ("status",)),
    Resource("", "v1", "persistentvolumes", "PersistentVolume", False, ("pv",), ("status",)),
    Resource(
        "",
        "v1",
        "pods",
        "Pod",
        True,
        ("po",),
        ("binding", "eviction", "log", "status"),
        has_generation=True,
        categories=("all",),
    ),
    Resource("", "v1", "resourcequotas", "ResourceQuota", True, ("quota",), ("status",)),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",), ("token",)),
    Resource("", "v1", "services", "Service", True, ("svc",), ("status",), name_rule="label1035", categories=("all",)),
    _workload("apps", "daemonsets", "DaemonSet", "ds"),
    _workload("apps", "deployments", "Deployment", "deploy", scaled=True),
    _workload("apps", "replicasets", "ReplicaSet", "rs", scaled=True),
    _workload("apps", "statefulsets", "StatefulSet", "sts", scaled=True),
    Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False, verbs=_REVIEW),
    Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, verbs=_REVIEW),
    Resource("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False, verbs=_REVIEW),
    _workload("batch", "cronjobs", "CronJob", "cj"),
    _workload("batch", "jobs", "Job"),
    Resource("coordination.k8s.io", "v1", "leases", "Lease"),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", has_generation=True),
    Resource("events.k8s.io", "v1", "events", "Event", short_names=("ev",), storage="events"),
    _custom("gateway.networking.k8s.io", "gateways", "Gateway", "gtw"),
    _custom("gateway.networking.k8s.io", "httproutes", "HTTPRoute"),
    _custom("monitoring.coreos.com", "prometheusrules", "PrometheusRule", "promrule"),
    _custom("monitoring.coreos.com", "servicemonitors", "ServiceMonitor", "smon"),
    Resource("networking.k8s.io", "v1", "ingresses", "Ingress", True, ("ing",), ("status",), has_generation=True),
    Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", False, has_generation=True),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, ("netpol",), has_generation=True),
    Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False),
    Resource(
        "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",), ("status",), has_generation=True
    ),
    Resource(
        "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False, name_rule="segment"
    ),
    Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False, name_rule="segment"),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", name_rule="segment"),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", name_rule="segment"),
    Resource("resource.k8s.io", "v1", "deviceclasses", "DeviceClass", False, has_generation=True),
    Resource("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim", subresources=("status",)),
    Resource("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate"),
    Resource("resource.k8s.io", "v1", "resourceslices", "ResourceSlice", False, has_generation=True),
    Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, ("pc",), has_generation=True),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",)),
)

BY_KEY: dict[str, Resource] = {resource.key: resource for resource in RESOURCES}
BY_PATH: dict[tuple[str, str, str], Resource] = {(r.group, r.version, r.plural): r for r in RESOURCES}
