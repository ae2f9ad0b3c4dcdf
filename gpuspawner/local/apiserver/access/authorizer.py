"""Role-based access control over the stored roles and bindings.

Sources: plugin/pkg/auth/authorizer/rbac and pkg/registry/rbac of Kubernetes 1.36.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpuspawner.local.apiserver.access.attributes import MASTERS, Attributes, User, forbidden
from gpuspawner.local.apiserver.access.rules import Rule, rule_allows, shown, uncovered
from gpuspawner.local.apiserver.access.validation import RBAC
from gpuspawner.local.apiserver.resources import Resource
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store

__all__ = ["EVERYTHING", "Authorizer", "Decision"]

Object = dict[str, Any]
EVERYTHING: tuple[Rule, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may be served, and what Kubernetes says about it."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Decides by the roles and bindings of a store; the group ``system:masters`` may do all."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(self, user: User, asked: Attributes) -> Decision:
        """Whether ``user`` may do what is asked."""
        if MASTERS in user.groups:
            return Decision(allowed=True)
        errors = []
        for source, rules, error in self._granted(user, asked.namespace):
            if error:
                errors.append(error)
            elif any(rule_allows(rule, asked) for rule in rules):
                return Decision(allowed=True, reason=f"RBAC: allowed by {source}")
        joined = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        return Decision(allowed=False, reason=f"RBAC: {joined}" if errors else "")

    def require(self, user: User, asked: Attributes) -> None:
        """Raise StatusError 403 unless ``user`` may do what is asked."""
        decision = self.decide(user, asked)
        if not decision.allowed:
            raise forbidden(user, asked, decision.reason)

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """All rules that hold for a user in a namespace, the cluster's among them."""
        if MASTERS in user.groups:
            return list(EVERYTHING)
        return [rule for _, rules, _ in self._granted(user, namespace) for rule in rules]

    def guard_write(self, user: User, resource: Resource, new: Object, old: Object | None) -> None:
        """Refuse (StatusError 403, 404) a role or binding that gives more than ``user`` has.

        Whoever may ``escalate`` the role, or ``bind`` it, is not held to that.
        """
        if resource.group != RBAC or MASTERS in user.groups:
            return
        metadata = new["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        if "roleRef" in new:
            same = old is not None and old.get("roleRef") == new["roleRef"]
            if same and old is not None and old.get("subjects") == new.get("subjects"):
                return
            reference = new["roleRef"]
            plural = f"{reference.get('kind', '').lower()}s"
            may = Attributes("bind", RBAC, plural, namespace=namespace, name=reference.get("name", ""))
            if self.decide(user, may).allowed:
                return
            rules = self._role(reference, namespace).get("rules") or []
        else:
            rules = new.get("rules") or []
            may = Attributes("escalate", RBAC, resource.plural, namespace=namespace, name=name)
            if (old is not None and old.get("rules") == new.get("rules")) or self.decide(user, may).allowed:
                return
            if new.get("aggregationRule") and (old is None or old.get("aggregationRule") != new["aggregationRule"]):
                rules = list(EVERYTHING)
        missing = uncovered(self.rules(user, namespace), rules)
        if missing:
            groups = " ".join(f'"{group}"' for group in user.groups)
            told = "\n".join(sorted(shown(rule) for rule in missing))
            why = f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:'
            raise StatusError.forbidden(resource.key, name, f"{why}\n{told}")

    def _granted(self, user: User, namespace: str) -> Iterator[tuple[str, list[Rule], str]]:
        """Each binding of a user: what it is, the rules of its role, and an error if the role is missing."""
        for binding in self._bindings("clusterrolebindings", None):
            yield from self._binding(user, binding, f'ClusterRoleBinding "{binding["metadata"]["name"]}"', "")
        if namespace:
            for binding in self._bindings("rolebindings", namespace):
                source = f'RoleBinding "{binding["metadata"]["name"]}/{namespace}"'
                yield from self._binding(user, binding, source, namespace)

    def _binding(
        self, user: User, binding: Object, source: str, namespace: str
    ) -> Iterator[tuple[str, list[Rule], str]]:
        subject = next((one for one in binding.get("subjects", []) if _is_meant(one, user, namespace)), None)
        if subject is None:
            return
        reference = binding["roleRef"]
        whom = subject["name"] + (
            f"/{subject.get('namespace') or namespace}" if subject["kind"] == "ServiceAccount" else ""
        )
        told = f'{source} of {reference["kind"]} "{reference["name"]}" to {subject["kind"]} "{whom}"'
        try:
            yield told, self._role(reference, namespace).get("rules") or [], ""
        except StatusError:
            yield told, [], f'{reference["kind"].lower()}.{RBAC} "{reference["name"]}" not found'

    def _bindings(self, plural: str, namespace: str | None) -> list[Object]:
        return [stored.obj for stored in self._store.items(f"{plural}.{RBAC}", namespace)]

    def _role(self, reference: Object, namespace: str) -> Object:
        plural = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
        key, where = f"{plural}.{RBAC}", namespace if plural == "roles" else None
        found = self._store.find(key, where, reference.get("name", ""))
        if found is None:
            raise StatusError.not_found(key, reference.get("name", ""))
        return found


def _is_meant(subject: Object, user: User, namespace: str) -> bool:
    if subject["kind"] == "Group":
        return subject["name"] in user.groups
    if subject["kind"] == "User":
        return bool(subject["name"] == user.name)
    where = subject.get("namespace") or namespace
    return bool(where) and user.name == f"{_SERVICE_ACCOUNT}{where}:{subject['name']}"
