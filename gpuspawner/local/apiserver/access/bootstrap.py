"""The roles that a cluster begins with, and roles that collect the rules of others.

Sources: plugin/pkg/auth/authorizer/rbac/bootstrappolicy and pkg/controller/clusterroleaggregation of Kubernetes 1.36.
"""

from functools import partial
from typing import Any

from gpuspawner.local.apiserver.access.attributes import ANONYMOUS, MASTERS
from gpuspawner.local.apiserver.access.authorizer import EVERYTHING
from gpuspawner.local.apiserver.access.rules import Rule
from gpuspawner.local.apiserver.access.validation import RBAC
from gpuspawner.local.apiserver.selectors import selects
from gpuspawner.local.apiserver.store import Store

__all__ = ["AggregatedRoles", "add_bootstrap_roles"]

Object = dict[str, Any]
_ROLES, _BINDINGS = f"clusterroles.{RBAC}", f"clusterrolebindings.{RBAC}"
_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_AUTHENTICATED = "system:authenticated"
_BOOTSTRAP: dict[str, tuple[list[Rule], list[str]]] = {
    "cluster-admin": (list(EVERYTHING), [MASTERS]),
    "system:basic-user": (
        [
            {
                "apiGroups": ["authorization.k8s.io"],
                "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                "verbs": ["create"],
            },
            {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
        ],
        [_AUTHENTICATED],
    ),
    "system:discovery": (
        [
            {
                "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH],
                "verbs": ["get"],
            }
        ],
        [_AUTHENTICATED],
    ),
    "system:public-info-viewer": (
        [{"nonResourceURLs": _HEALTH, "verbs": ["get"]}],
        [_AUTHENTICATED, *ANONYMOUS.groups],
    ),
}
"""Rules, and the groups that have them, by name of the role and of its binding."""


def add_bootstrap_roles(store: Store) -> None:
    """Add, where missing, the cluster roles that every authenticated or anonymous user needs, and cluster-admin."""
    for name, (rules, groups) in _BOOTSTRAP.items():
        metadata: Object = {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        }
        if store.find(_ROLES, None, name) is None:
            store.create(_ROLES, {"metadata": metadata, "rules": rules})
        if store.find(_BINDINGS, None, name) is None:
            subjects = [{"apiGroup": RBAC, "kind": "Group", "name": group} for group in groups]
            role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
            store.create(_BINDINGS, {"metadata": metadata, "subjects": subjects, "roleRef": role})


class AggregatedRoles:
    """Keeps the rules of a ClusterRole with an ``aggregationRule`` those of the roles that it selects."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Look at all cluster roles when one has changed."""
        if resource != _ROLES:
            return
        roles = [stored.obj for stored in self._store.items(_ROLES)]
        for role in roles:
            selectors = role.get("aggregationRule", {}).get("clusterRoleSelectors")
            if not selectors:
                continue
            rules: list[Rule] = []
            for selected in sorted(roles, key=lambda one: str(one["metadata"]["name"])):
                if selected is not role and any(
                    selects(selector, selected["metadata"].get("labels", {})) for selector in selectors
                ):
                    rules += [rule for rule in selected.get("rules") or [] if rule not in rules]
            if rules != (role.get("rules") or []):
                self._store.modify(_ROLES, None, role["metadata"]["name"], partial(_set_rules, rules))


def _set_rules(rules: list[Rule], role: Object) -> None:
    role["rules"] = rules
