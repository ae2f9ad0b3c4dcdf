"""The embedded engine with the chart's roles in force, and clients that are the hub's service account there."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cluster import IMAGES
from rendered_roles import NAMESPACE, granted
from rendering import Manifests
from running_engine import Lab, running_engine

from gpuspawner.labels import COMPONENT, HUB_LABEL
from gpuspawner.local.apiserver.access.attributes import Attributes, User
from gpuspawner.local.apiserver.access.authorizer import Authorizer, Decision
from gpuspawner.permissions import Permission

__all__ = ["NODES", "Account", "Asked", "account_of", "asking"]

RBAC = "rbac.authorization.k8s.io"
NODES = "dra-a100=1x40 cpu=1"
_PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Role": f"/apis/{RBAC}/v1/namespaces/{{namespace}}/roles",
    "RoleBinding": f"/apis/{RBAC}/v1/namespaces/{{namespace}}/rolebindings",
    "ClusterRole": f"/apis/{RBAC}/v1/clusterroles",
    "ClusterRoleBinding": f"/apis/{RBAC}/v1/clusterrolebindings",
}


class Account:
    """The service account of a rendered chart on a running engine."""

    def __init__(self, lab: Lab, rendered: Manifests, folder: Path) -> None:
        self.lab, self.engine, self.store = lab, lab.engine, lab.engine.store
        self.rendered = rendered
        self.name = f"system:serviceaccount:{NAMESPACE}:gpuspawner-hub"
        self._folder = folder

    @property
    def connect(self) -> dict[str, str]:
        """``c.GPUSpawner.connect`` of a hub that is this account."""
        return {
            "host": self.engine.url,
            "token_file": str(self._folder / "token"),
            "ca": str(self._folder / "ca.crt"),
        }

    async def install(self) -> None:
        """Make the account and its roles, and take a token for it."""
        for kind, path in _PATHS.items():
            for manifest in self.rendered.all(kind):
                if manifest["metadata"]["labels"]["app.kubernetes.io/component"] == "hub":
                    namespace = manifest["metadata"].get("namespace", "")
                    await self.lab.ok("POST", path.format(namespace=namespace), manifest)
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/gpuspawner-hub/token"
        issued = await self.lab.ok("POST", path, {"spec": {"expirationSeconds": 3600}})
        (self._folder / "token").write_text(issued["status"]["token"], encoding="utf-8")
        (self._folder / "ca.crt").write_text(self.engine.ca, encoding="utf-8")

    @contextmanager
    def without(self, left_out: Permission) -> Iterator[None]:
        """Take one verb on one resource out of the roles while the block runs."""
        kind = "clusterroles" if left_out.everywhere else "roles"
        (stored,) = [one for one in self.store.items(f"{kind}.{RBAC}") if one.name.startswith("gpuspawner-hub")]
        key = (f"{kind}.{RBAC}", stored.namespace or None, stored.name)
        before = stored.obj["rules"]
        self.store.modify(*key, lambda role: role.update(rules=_without(before, left_out)))
        try:
            yield
        finally:
            self.store.modify(*key, lambda role: role.update(rules=before))

    async def leave(self, kind: str, name: str, namespace: str = NAMESPACE, **content: Any) -> None:
        """An object of this hub that an earlier one left when it crashed."""
        labels = {HUB_LABEL: "gpuspawner", "component": COMPONENT}
        group = "/apis/resource.k8s.io/v1" if kind == "resourceclaimtemplates" else "/api/v1"
        body = {"metadata": {"name": name, "labels": labels}, **content}
        await self.lab.ok("POST", f"{group}/namespaces/{namespace}/{kind}", body)

    def names(self, resource: str) -> list[str]:
        """The names of all objects of a resource."""
        return [stored.name for stored in self.store.items(resource)]


def _without(rules: list[dict[str, Any]], left_out: Permission) -> list[dict[str, Any]]:
    """The rules one by one, but for the one that is left out."""
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if (group, resource, verb) != (left_out.group, left_out.resource, left_out.verb)
    ]


@asynccontextmanager
async def account_of(rendered: Manifests, folder: Path) -> AsyncIterator[Account]:
    """An engine on which the chart's roles hold."""
    mute = ("sh", "-c", "echo waiting for the licence server; exec sleep 1000")
    images: Mapping[str, Any] = {**IMAGES, "example.org/mute:1": mute}
    async with running_engine(folder / "engine", NODES, images, namespaces=[NAMESPACE]) as lab:
        account = Account(lab, rendered, folder)
        await account.install()
        yield account


class Asked:
    """What the account has asked of the API, and whether it might."""

    def __init__(self) -> None:
        self.allowed: set[Permission] = set()
        self.denied: set[Permission] = set()


@contextmanager
def asking(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """Note every request of the account, as the permission of its roles that allows it."""
    asked, decide = Asked(), Authorizer.decide
    known = {replace(one, without="") for one in granted(account.rendered)}

    def noting(self: Authorizer, user: User, what: Attributes) -> Decision:
        decision = decide(self, user, what)
        if user.name == account.name and what.resource:
            found = Permission(what.whole_resource, what.verb, "", what.group, everywhere=not what.namespace)
            if found not in known:  # a ClusterRole holds in each namespace, too
                found = replace(found, everywhere=True)
            (asked.allowed if decision.allowed else asked.denied).add(found)
        return decision

    with monkeypatch.context() as patch:
        patch.setattr(Authorizer, "decide", noting)
        yield asked
