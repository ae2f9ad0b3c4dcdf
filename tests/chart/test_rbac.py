"""What the chart lets the hub do: exactly what the configuration uses, and who is bound to it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendered_roles import NAMESPACE, VARIANTS, granted, manifests
from rendered_servers import settings_of
from rendering import Manifests, render

from gpuspawner.permissions import Permission, permissions

GOLDEN = Path(__file__).parents[1] / "data" / "rbac"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "kubernetes.md"
VERSIONED = ("    app.kubernetes.io/version:", "    helm.sh/chart:")
FILES = ("rbac/serviceaccount.yaml", "rbac/role.yaml", "rbac/clusterrole.yaml")


def bare(found: list[Permission] | tuple[Permission, ...]) -> list[Permission]:
    return sorted((replace(one, without="") for one in found), key=repr)


def text(rendered: Manifests) -> str:
    """The hub's roles as Helm renders them, comments and all, without the chart's version."""
    lines = "---\n".join(rendered.texts[path] for path in FILES if path in rendered.texts).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(VERSIONED))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_roles_allow_what_the_configuration_uses_and_nothing_else(variant: str) -> None:
    rendered, values = manifests(variant), VARIANTS[variant]
    wide = values.get("capacity", {}).get("clusterWide", True)
    needed = permissions(settings_of(rendered), cluster_wide=wide, internal_ssl=variant == "tls")
    assert bare(granted(rendered)) == bare(needed)


@pytest.mark.parametrize(
    "claim", ["claim-{username}", "c-{userid}", "{safe_user_server}", "course", "{workspace}", None]
)
@pytest.mark.parametrize("create", [True, False])
def test_claims_of_whatever_name(claim: str | None, create: bool) -> None:
    storage = {"claim": claim, "create": create, "delete_with_user": True}
    rendered = render({"gpuspawner": {"storage": {key: value for key, value in storage.items() if value is not None}}})
    assert bare(granted(rendered)) == bare(permissions(settings_of(rendered)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_permission_is_given_twice(variant: str) -> None:
    found = granted(manifests(variant))
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_roles_are_those_that_were_reviewed(variant: str) -> None:
    """To take new ones over, write ``text(manifests(variant))`` to the file, and look at the difference."""
    assert text(manifests(variant)) == (GOLDEN / f"{variant}.yaml").read_text(encoding="utf-8")


def test_every_reviewed_file_is_of_a_variant() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_allowed_by_wildcard_and_no_role_can_be_changed(variant: str) -> None:
    for one in granted(manifests(variant)):
        assert "*" not in (one.group, one.resource, one.verb)
        assert one.verb in ("create", "delete", "get", "list", "patch", "watch")
        assert one.resource not in ("pods/exec", "pods/ephemeralcontainers", "serviceaccounts/token", "nodes/proxy")
        assert one.group in ("", "resource.k8s.io", "networking.k8s.io", "visibility.kueue.x-k8s.io")


def test_cluster_wide_the_hub_only_reads_and_sees_no_secret_of_others() -> None:
    for variant in VARIANTS:
        if "user-namespaces" in variant:
            continue
        for one in granted(manifests(variant)):
            if one.everywhere:
                assert one.verb in ("list", "watch"), variant
                assert one.resource != "secrets"


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_role_is_bound_to_the_hubs_service_account_alone(variant: str) -> None:
    rendered = manifests(variant)
    account = rendered.one("ServiceAccount", "hub")["metadata"]
    hub = rendered.one("Deployment", "hub")["spec"]["template"]["spec"]["serviceAccountName"]
    assert (account["name"], account["namespace"]) == (hub, NAMESPACE)
    for kind in ("Role", "ClusterRole"):
        roles = [one["metadata"]["name"] for one in rendered.all(kind)]
        bindings = [one for one in rendered.all(f"{kind}Binding") if one["subjects"][0]["name"] == account["name"]]
        assert [one["roleRef"]["name"] for one in bindings] == roles
        for binding in bindings:
            assert binding["roleRef"]["kind"] == kind
            assert binding["subjects"] == [
                {"kind": "ServiceAccount", "name": account["name"], "namespace": NAMESPACE},
            ]


def test_servers_in_a_namespace_of_their_own_take_the_role_there() -> None:
    rendered = manifests("servers-apart")
    for kind in ("Role", "RoleBinding"):
        assert rendered.one(kind, "hub")["metadata"]["namespace"] == "servers"
    assert rendered.one("ServiceAccount", "hub")["metadata"]["namespace"] == NAMESPACE


def test_two_hubs_of_one_name_do_not_share_a_cluster_role() -> None:
    names = {
        render(namespace=namespace).all("ClusterRole")[0]["metadata"]["name"] for namespace in ("biology", "physics")
    }
    assert len(names) == 2


def test_without_cluster_wide_capacity_there_is_no_cluster_role() -> None:
    rendered = manifests("own-namespace")
    assert not rendered.all("ClusterRole")
    assert not rendered.all("ClusterRoleBinding")


def test_where_rbac_is_somebody_elses_the_chart_makes_none() -> None:
    rendered = render({"rbac": {"create": False}})
    for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"):
        assert not rendered.all(kind)
    assert rendered.one("ServiceAccount", "hub")


def test_a_service_account_of_ones_own_gets_the_roles() -> None:
    rendered = render({"serviceAccount": {"create": False, "name": "mine"}})
    assert rendered.maybe("ServiceAccount", "hub") is None
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        assert rendered.all(kind)[0]["subjects"][0]["name"] == "mine"
    assert rendered.one("Deployment", "hub")["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_annotations_of_the_service_account() -> None:
    annotations = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/hub"}
    rendered = render({"serviceAccount": {"annotations": annotations}})
    assert rendered.one("ServiceAccount", "hub")["metadata"]["annotations"] == annotations


def test_the_hubs_token_is_mounted_by_its_pod_alone() -> None:
    rendered = render()
    assert rendered.one("ServiceAccount", "hub")["automountServiceAccountToken"] is False
    assert rendered.one("Deployment", "hub")["spec"]["template"]["spec"]["automountServiceAccountToken"] is True


def test_more_rules_are_added_where_the_values_ask_for_them() -> None:
    rule: dict[str, Any] = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}
    rendered = render({"rbac": {"extraRules": [rule], "extraClusterRules": [rule]}})
    assert rendered.one("Role", "hub")["rules"][-1] == rule
    assert rendered.all("ClusterRole")[0]["rules"][-1] == rule


def shown(title: str) -> str:
    """The YAML of a section of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n{title}\n")[2]
    return section.partition("```yaml\n")[2].partition("```")[0]


@pytest.mark.parametrize(
    ("title", "path"), [("### Where the servers are", FILES[1]), ("### In the whole cluster", FILES[2])]
)
def test_the_page_shows_the_roles_of_the_chart(title: str, path: str) -> None:
    (role,) = [
        one for one in yaml.safe_load_all(manifests("default").texts[path]) if one["kind"] in ("Role", "ClusterRole")
    ]
    page = yaml.safe_load(shown(title))
    assert page["rules"] == role["rules"]
    assert (page["kind"], page["metadata"]["name"]) == (role["kind"], role["metadata"]["name"])


def test_the_page_names_every_value_that_asks_for_more() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("### What asks for more")[2].partition("\n## ")[0]
    for resource in {one.resource for variant in VARIANTS for one in granted(manifests(variant))} - {
        one.resource for one in granted(manifests("default"))
    }:
        assert f"`{resource}`" in table, resource
