"""Who can install the chart: an administrator of one namespace, where the hub is to see no more than that namespace."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rendered_roles import NAMESPACE, manifests
from rendering import Manifests, render
from running_engine import Lab, running_engine

from gpuspawner.local.apiserver.resources import RESOURCES

RBAC = "/apis/rbac.authorization.k8s.io/v1"
WRITE = ["create", "delete", "deletecollection", "patch", "update"]
READ = ["get", "list", "watch"]
ADMIN: list[dict[str, Any]] = [
    {
        "apiGroups": [""],
        "resources": ["configmaps", "events", "persistentvolumeclaims", "secrets", "serviceaccounts", "services"],
        "verbs": READ + WRITE,
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": READ + WRITE},
    {"apiGroups": [""], "resources": ["namespaces", "pods/log", "resourcequotas", "limitranges"], "verbs": READ},
    {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": READ + WRITE},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "networkpolicies"], "verbs": READ + WRITE},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": READ + WRITE},
    {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": READ + WRITE},
]
"""Of Kubernetes' ClusterRole ``admin`` what the chart is about. Source: bootstrappolicy of Kubernetes 1.36."""


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running_engine(tmp_path, namespaces=[NAMESPACE]) as found:
        await found.ok("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "teacher"}})
        yield found


async def login(lab: Lab, rules: list[dict[str, Any]], *, everywhere: bool = False) -> str:
    """The token of somebody who has these rights in the namespace."""
    kind, plural = ("ClusterRole", "clusterroles") if everywhere else ("Role", "roles")
    where = "" if everywhere else f"/namespaces/{NAMESPACE}"
    body: dict[str, Any] = {"metadata": {"name": "teacher"}, "rules": rules}
    await lab.ok("POST", f"{RBAC}{where}/{plural}", body)
    subjects = [{"kind": "ServiceAccount", "name": "teacher", "namespace": NAMESPACE}]
    body = {"metadata": {"name": "teacher"}, "roleRef": {"kind": kind, "name": "teacher"}, "subjects": subjects}
    await lab.ok("POST", f"{RBAC}{where}/{kind.lower()}bindings", body)
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/teacher/token"
    issued = await lab.ok("POST", path, {"spec": {}})
    return str(issued["status"]["token"])


async def install(lab: Lab, rendered: Manifests, token: str) -> dict[str, str]:
    """Create every object, as Helm does; what was said of those that were refused, by kind."""
    refused = {}
    for manifest in rendered:
        annotations = manifest["metadata"].get("annotations") or {}
        if annotations.get("helm.sh/hook"):
            continue
        group, _, version = manifest["apiVersion"].rpartition("/")
        (served,) = [
            one for one in RESOURCES if (one.group, one.version, one.kind) == (group, version, manifest["kind"])
        ]
        base = f"/apis/{manifest['apiVersion']}" if group else f"/api/{version}"
        where = f"/namespaces/{manifest['metadata']['namespace']}" if served.namespaced else ""
        async with lab.request("POST", f"{base}{where}/{served.plural}", manifest, token=token) as response:
            if response.status != 201:
                refused[manifest["kind"]] = (await response.json())["message"]
    return refused


async def test_an_administrator_of_the_namespace_installs_a_hub_that_sees_no_more(lab: Lab) -> None:
    token = await login(lab, ADMIN)
    assert await install(lab, manifests("own-namespace"), token) == {}


async def test_for_numbers_of_the_whole_cluster_it_takes_more(lab: Lab) -> None:
    token = await login(lab, ADMIN)
    refused = await install(lab, render(namespace=NAMESPACE), token)
    assert set(refused) == {"ClusterRole", "ClusterRoleBinding"}
    assert "cannot create resource" in refused["ClusterRole"]


async def test_nobody_gives_the_hub_more_than_they_have(lab: Lab) -> None:
    roles = ["clusterroles", "clusterrolebindings"]
    more = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": roles, "verbs": ["create"]}
    token = await login(lab, [*ADMIN, more], everywhere=True)
    refused = await install(lab, render(namespace=NAMESPACE), token)
    assert "attempting to grant RBAC permissions not currently held" in refused["ClusterRole"]
    assert '{APIGroups:[""], Resources:["nodes"], Verbs:["list"]}' in refused["ClusterRole"]
    assert "pods" not in refused["ClusterRole"], "those they may list"
