"""The engine holds service accounts to their roles, in kube-apiserver's words."""

import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from running_api import Api, pod, running_api

from gpuspawner.local.apiserver.access.attributes import Attributes
from gpuspawner.local.apiserver.access.rules import rule_allows

Object = dict[str, Any]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


class Desk:
    """An API server with a service account ``demo/hub``, and what it is answered."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.token = ""

    async def role(self, *rules: Object, name: str = "hub", cluster: bool = False) -> None:
        """Give the service account a role, or a cluster role everywhere."""
        kind, where = ("ClusterRole", "") if cluster else ("Role", "/namespaces/demo")
        await self.api.ok("POST", f"{RBAC}{where}/{kind.lower()}s", {"metadata": {"name": name}, "rules": list(rules)})
        await self.bind(kind, name, cluster)

    async def bind(self, kind: str, name: str, cluster: bool = False, **subject: str) -> None:
        where = "" if cluster else "/namespaces/demo"
        plural = "clusterrolebindings" if cluster else "rolebindings"
        who = {"kind": "ServiceAccount", "name": "hub", "namespace": "demo"} | subject
        binding = {"metadata": {"name": name}, "roleRef": {"kind": kind, "name": name}, "subjects": [who]}
        await self.api.ok("POST", f"{RBAC}{where}/{plural}", binding)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request as the service account."""
        async with self.api.request(method, path, body, token=self.token, **headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else text

    async def refusal(self, method: str, path: str, body: Any = None, **headers: str) -> str:
        status, answer = await self.call(method, path, body, **headers)
        assert (status, answer["reason"]) == (403, "Forbidden"), answer
        return str(answer["message"])

    async def issue(self, **spec: Any) -> str:
        request = await self.api.ok("POST", "/api/v1/namespaces/demo/serviceaccounts/hub/token", {"spec": spec})
        return str(request["status"]["token"])


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with running_api() as api:
        await api.create_namespace()
        await api.ok("POST", "/api/v1/namespaces/demo/serviceaccounts", {"metadata": {"name": "hub"}})
        found = Desk(api)
        found.token = await found.issue()
        yield found


HUB = 'User "system:serviceaccount:demo:hub" cannot'


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        (
            "GET",
            "/api/v1/namespaces/demo/pods",
            (f'pods is forbidden: {HUB} list resource "pods" in API group "" in the namespace "demo"'),
        ),
        (
            "GET",
            "/api/v1/namespaces/demo/pods?watch=1",
            (f'pods is forbidden: {HUB} watch resource "pods" in API group "" in the namespace "demo"'),
        ),
        ("GET", "/api/v1/pods", f'pods is forbidden: {HUB} list resource "pods" in API group "" at the cluster scope'),
        (
            "GET",
            "/api/v1/namespaces/demo/pods/a/log",
            (f'pods "a" is forbidden: {HUB} get resource "pods/log" in API group "" in the namespace "demo"'),
        ),
        (
            "GET",
            "/api/v1/nodes/n1",
            (f'nodes "n1" is forbidden: {HUB} get resource "nodes" in API group "" at the cluster scope'),
        ),
        (
            "GET",
            "/api/v1/namespaces/demo",
            (
                f'namespaces "demo" is forbidden: {HUB} get resource "namespaces" in API '
                'group "" in the namespace "demo"'
            ),
        ),
        (
            "DELETE",
            "/apis/coordination.k8s.io/v1/namespaces/demo/leases",
            (
                f"leases.coordination.k8s.io is forbidden: "
                f'{HUB} deletecollection resource "leases" in API group "coordination.k8s.io" in the namespace "demo"'
            ),
        ),
        (
            "GET",
            "/apis/kueue.x-k8s.io/v1beta1/clusterqueues/a",
            (
                f'clusterqueues.kueue.x-k8s.io "a" is forbidden: '
                f'{HUB} get resource "clusterqueues" in API group "kueue.x-k8s.io" at the cluster scope'
            ),
        ),
        ("GET", "/metrics", f'forbidden: {HUB} get path "/metrics"'),
    ],
)
async def test_without_a_role_everything_is_refused_in_kubernetes_words(
    desk: Desk, method: str, path: str, said: str
) -> None:
    assert await desk.refusal(method, path) == said


async def test_the_details_of_a_refusal_name_group_kind_and_object(desk: Desk) -> None:
    _, answer = await desk.call("GET", "/apis/coordination.k8s.io/v1/namespaces/demo/leases/a")
    assert answer["details"] == {"name": "a", "group": "coordination.k8s.io", "kind": "leases"}


async def test_a_role_holds_in_its_namespace_only(desk: Desk) -> None:
    await desk.api.create_namespace("other")
    await desk.role(PODS)
    assert (await desk.call("GET", "/api/v1/namespaces/demo/pods"))[0] == 200
    assert 'in the namespace "other"' in await desk.refusal("GET", "/api/v1/namespaces/other/pods")
    assert "at the cluster scope" in await desk.refusal("GET", "/api/v1/pods")
    assert "cannot create" in await desk.refusal("POST", "/api/v1/namespaces/demo/pods", pod("a"))


async def test_a_cluster_role_bound_in_a_namespace_holds_there_only(desk: Desk) -> None:
    await desk.api.ok("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "reader"}, "rules": [PODS]})
    await desk.bind("ClusterRole", "reader")
    assert (await desk.call("GET", "/api/v1/namespaces/demo/pods"))[0] == 200
    assert (await desk.call("GET", "/api/v1/pods"))[0] == 403


async def test_a_cluster_role_binding_holds_everywhere(desk: Desk) -> None:
    await desk.role(PODS, cluster=True)
    assert (await desk.call("GET", "/api/v1/pods"))[0] == 200
    assert (await desk.call("GET", "/api/v1/namespaces/demo/pods"))[0] == 200


async def test_what_is_taken_away_is_refused_from_the_next_request_on(desk: Desk) -> None:
    await desk.role(PODS)
    assert (await desk.call("GET", "/api/v1/namespaces/demo/pods"))[0] == 200
    await desk.api.ok("DELETE", f"{RBAC}/namespaces/demo/rolebindings/hub")
    assert (await desk.call("GET", "/api/v1/namespaces/demo/pods"))[0] == 403


async def test_a_binding_of_a_role_that_is_missing_is_named_in_the_refusal(desk: Desk) -> None:
    await desk.bind("Role", "gone")
    said = await desk.refusal("GET", "/api/v1/namespaces/demo/pods")
    assert said.endswith('in the namespace "demo": RBAC: role.rbac.authorization.k8s.io "gone" not found')


@pytest.mark.parametrize("group", ["system:serviceaccounts", "system:serviceaccounts:demo", "system:authenticated"])
async def test_a_service_account_is_in_its_groups(desk: Desk, group: str) -> None:
    await desk.api.ok("POST", f"{RBAC}/namespaces/demo/roles", {"metadata": {"name": "hub"}, "rules": [PODS]})
    subject = {"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}
    body = {"metadata": {"name": "hub"}, "roleRef": {"kind": "Role", "name": "hub"}, "subjects": [subject]}
    await desk.api.ok("POST", f"{RBAC}/namespaces/demo/rolebindings", body)
    assert (await desk.call("GET", "/api/v1/namespaces/demo/pods"))[0] == 200


RULES: list[tuple[Object, Attributes, bool]] = [
    (PODS, Attributes("get", "", "pods", name="a"), True),
    (PODS, Attributes("get", "", "pods", "log", name="a"), False),
    (PODS, Attributes("get", "apps", "pods"), False),
    (PODS | {"resources": ["pods/log"]}, Attributes("get", "", "pods", "log"), True),
    (PODS | {"resources": ["pods/log"]}, Attributes("get", "", "pods"), False),
    (PODS | {"resources": ["*/log"]}, Attributes("get", "", "pods", "log"), True),
    (PODS | {"resources": ["*/log"]}, Attributes("get", "", "pods", "status"), False),
    (PODS | {"resources": ["*"]}, Attributes("get", "", "pods", "log"), True),
    (PODS | {"apiGroups": ["*"]}, Attributes("list", "apps", "pods"), True),
    (PODS | {"verbs": ["*"]}, Attributes("deletecollection", "", "pods"), True),
    (PODS | {"resourceNames": ["a"]}, Attributes("get", "", "pods", name="a"), True),
    (PODS | {"resourceNames": ["a"]}, Attributes("get", "", "pods", name="b"), False),
    (PODS | {"resourceNames": ["a"]}, Attributes("list", "", "pods"), False),
    ({"nonResourceURLs": ["/metrics"], "verbs": ["get"]}, Attributes("get", path="/metrics"), True),
    ({"nonResourceURLs": ["/metrics"], "verbs": ["get"]}, Attributes("get", path="/metrics/a"), False),
    ({"nonResourceURLs": ["/metrics/*"], "verbs": ["get"]}, Attributes("get", path="/metrics/a"), True),
    ({"nonResourceURLs": ["*"], "verbs": ["get"]}, Attributes("post", path="/a"), False),
    (PODS | {"resources": ["*"]}, Attributes("get", path="/metrics"), False),
]


@pytest.mark.parametrize(("rule", "asked", "allowed"), RULES)
def test_a_rule_allows_what_it_names(rule: Object, asked: Attributes, allowed: bool) -> None:
    assert rule_allows(rule, asked) is allowed


async def test_a_list_of_one_name_needs_a_rule_for_that_name_only(desk: Desk) -> None:
    await desk.role(PODS | {"resourceNames": ["a"], "verbs": ["list", "watch"]})
    base = "/api/v1/namespaces/demo/pods?fieldSelector=metadata.name"
    assert (await desk.call("GET", f"{base}%3Da"))[0] == 200
    assert 'pods "b" is forbidden' in await desk.refusal("GET", f"{base}%3Db")
    assert (await desk.call("GET", "/api/v1/namespaces/demo/pods"))[0] == 403


async def test_an_apply_that_would_create_needs_create(desk: Desk) -> None:
    await desk.role({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]})
    path = "/api/v1/namespaces/demo/configmaps/a?fieldManager=test"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    headers = {"Content_Type": "application/apply-patch+yaml"}
    assert f'configmaps "a" is forbidden: {HUB} create' in await desk.refusal("PATCH", path, body, **headers)
    await desk.api.ok("POST", "/api/v1/namespaces/demo/configmaps", body)
    assert (await desk.call("PATCH", path, body, **headers))[0] in (200, 409)


async def test_anonymous_and_authenticated_users_read_what_is_public(desk: Desk) -> None:
    for path, anonymous in (("/version", 200), ("/livez", 200), ("/apis", 403), ("/openapi/v2", 403)):
        async with desk.api.request("GET", path, token=None) as response:
            assert response.status == anonymous, path
        assert (await desk.call("GET", path))[0] == 200


async def test_the_engines_own_token_is_of_the_masters(desk: Desk) -> None:
    kinds = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    me = (await desk.api.ok("POST", kinds, {}))["status"]["userInfo"]
    assert "system:masters" in me["groups"]


async def test_a_service_account_hears_who_it_is(desk: Desk) -> None:
    status, answer = await desk.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert status == 201
    who = answer["status"]["userInfo"]
    assert who["username"] == "system:serviceaccount:demo:hub"
    assert who["groups"] == ["system:serviceaccounts", "system:serviceaccounts:demo", "system:authenticated"]
    account = desk.api.store.get("serviceaccounts", "demo", "hub")
    assert who["uid"] == account["metadata"]["uid"]
    assert list(who["extra"]) == ["authentication.kubernetes.io/credential-id"]


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        ({"verb": "get", "resource": "pods", "namespace": "demo"}, True),
        ({"verb": "get", "resource": "pods", "namespace": "demo", "name": "a"}, True),
        ({"verb": "get", "resource": "pods", "subresource": "log", "namespace": "demo"}, False),
        ({"verb": "get", "resource": "pods"}, False),
        ({"verb": "delete", "resource": "pods", "namespace": "demo"}, False),
    ],
)
async def test_a_service_account_may_ask_what_it_may_do(desk: Desk, attributes: Object, allowed: bool) -> None:
    await desk.role(PODS)
    body = {"spec": {"resourceAttributes": attributes}}
    _, answer = await desk.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    reason = 'RBAC: allowed by RoleBinding "hub/demo" of Role "hub" to ServiceAccount "hub/demo"'
    assert answer["status"] == {"allowed": allowed} | ({"reason": reason} if allowed else {})
    assert answer["spec"] == {"resourceAttributes": attributes}


async def test_a_review_that_asks_nothing_is_invalid(desk: Desk) -> None:
    status, answer = await desk.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {}})
    assert status == 422
    assert "exactly one of nonResourceAttributes or resourceAttributes must be specified" in answer["message"]


async def test_a_service_account_may_list_its_rules(desk: Desk) -> None:
    await desk.role(PODS)
    body = {"spec": {"namespace": "demo"}}
    _, answer = await desk.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)
    assert PODS in answer["status"]["resourceRules"]
    assert answer["status"]["incomplete"] is False
    body = {"spec": {"namespace": "default"}}
    _, answer = await desk.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)
    assert PODS not in answer["status"]["resourceRules"]


ROLES = {
    "apiGroups": ["rbac.authorization.k8s.io"],
    "resources": ["roles", "rolebindings"],
    "verbs": ["create", "patch"],
}


async def test_nobody_grants_what_they_do_not_have(desk: Desk) -> None:
    await desk.role(PODS, ROLES)
    more = {"metadata": {"name": "more"}, "rules": [PODS | {"verbs": ["get", "delete"]}]}
    said = await desk.refusal("POST", f"{RBAC}/namespaces/demo/roles", more)
    assert said == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "system:serviceaccount:demo:hub" '
        '(groups=["system:serviceaccounts" "system:serviceaccounts:demo" "system:authenticated"]) is attempting to '
        'grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}'
    )
    own = {"metadata": {"name": "own"}, "rules": [PODS | {"resourceNames": ["a"]}]}
    assert (await desk.call("POST", f"{RBAC}/namespaces/demo/roles", own))[0] == 201
    patch = {"rules": more["rules"]}
    path = f"{RBAC}/namespaces/demo/roles/own"
    assert "delete" in await desk.refusal("PATCH", path, patch, Content_Type="application/merge-patch+json")


async def test_nobody_binds_a_role_that_has_more_than_they(desk: Desk) -> None:
    await desk.role(PODS, ROLES)
    everything = {"metadata": {"name": "mine"}, "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}}
    everything["subjects"] = [{"kind": "ServiceAccount", "name": "hub", "namespace": "demo"}]
    said = await desk.refusal("POST", f"{RBAC}/namespaces/demo/rolebindings", everything)
    assert '{NonResourceURLs:["*"], Verbs:["*"]}' in said
    own = everything | {"roleRef": {"kind": "Role", "name": "hub"}}
    assert (await desk.call("POST", f"{RBAC}/namespaces/demo/rolebindings", own))[0] == 201


async def test_whoever_may_escalate_and_bind_is_not_held_to_that(desk: Desk) -> None:
    may = ROLES | {"resources": ["roles"], "verbs": ["escalate", "bind"]}
    await desk.role(ROLES, may)
    more = {"metadata": {"name": "more"}, "rules": [PODS]}
    assert (await desk.call("POST", f"{RBAC}/namespaces/demo/roles", more))[0] == 201
    binding = {"metadata": {"name": "more"}, "roleRef": {"kind": "Role", "name": "more"}}
    assert (await desk.call("POST", f"{RBAC}/namespaces/demo/rolebindings", binding))[0] == 201


async def test_an_aggregated_cluster_role_has_the_rules_of_those_it_selects(desk: Desk) -> None:
    selector = {"clusterRoleSelectors": [{"matchLabels": {"aggregate": "yes"}}]}
    await desk.api.ok("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "sum"}, "aggregationRule": selector})
    for name, labels in (("b", {"aggregate": "yes"}), ("c", {})):
        rule = PODS | {"resources": [name]}
        body = {"metadata": {"name": name, "labels": labels}, "rules": [rule]}
        await desk.api.ok("POST", f"{RBAC}/clusterroles", body)
    found = await desk.api.ok("GET", f"{RBAC}/clusterroles/sum")
    assert found["rules"] == [PODS | {"resources": ["b"]}]


@pytest.mark.parametrize(
    ("plural", "body", "said"),
    [
        (
            "namespaces/demo/roles",
            {"rules": [{"apiGroups": [""], "resources": ["pods"]}]},
            (
                'Role.rbac.authorization.k8s.io "a" is invalid: rules[0].verbs: Required value: verbs must '
                "contain at least one value"
            ),
        ),
        (
            "namespaces/demo/roles",
            {"rules": [{"verbs": ["get"], "resources": ["pods"]}]},
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        ),
        (
            "namespaces/demo/roles",
            {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/a"]}]},
            'rules[0].nonResourceURLs: Invalid value: ["/a"]: namespaced rules cannot apply to non-resource URLs',
        ),
        (
            "clusterrolebindings",
            {"roleRef": {"kind": "Role", "name": "a"}},
            'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
        ),
        (
            "clusterrolebindings",
            {"roleRef": {"kind": "ClusterRole", "name": "a"}, "subjects": [{"kind": "ServiceAccount", "name": "hub"}]},
            "subjects[0].namespace: Required value",
        ),
        (
            "namespaces/demo/rolebindings",
            {"roleRef": {"kind": "Role", "name": "a"}, "subjects": [{"kind": "Robot", "name": "hub"}]},
            'subjects[0].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User"',
        ),
        ("clusterroles", {"metadata": {"name": "a%b"}}, "metadata.name: Invalid value: \"a%b\": may not contain '%'"),
    ],
)
async def test_roles_and_bindings_are_validated(desk: Desk, plural: str, body: Object, said: str) -> None:
    status, answer = await desk.api.call("POST", f"{RBAC}/{plural}", {"metadata": {"name": "a"}} | body)
    assert status == 422
    assert said in answer["message"]


async def test_the_role_of_a_binding_is_fixed(desk: Desk) -> None:
    await desk.role(PODS)
    path = f"{RBAC}/namespaces/demo/rolebindings/hub"
    body = {"roleRef": {"name": "other"}}
    status, answer = await desk.api.call("PATCH", path, body, Content_Type="application/merge-patch+json")
    assert status == 422
    assert "roleRef: Invalid value:" in answer["message"]
    assert "cannot change roleRef" in answer["message"]


async def test_a_token_says_whose_it_is_and_ends(desk: Desk) -> None:
    token = await desk.issue(expirationSeconds=600)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["sub"] == "system:serviceaccount:demo:hub"
    assert claims["exp"] - claims["iat"] == 600
    desk.token = token
    assert (await desk.call("GET", "/apis"))[0] == 200
    desk.api.clock.advance(600)
    assert (await desk.call("GET", "/apis"))[0] == 401


async def test_a_token_of_a_volume_is_extended_as_kubernetes_does(desk: Desk) -> None:
    claims = jwt.decode(await desk.issue(expirationSeconds=3607), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607


async def test_a_token_dies_with_its_service_account_and_not_with_a_namesake(desk: Desk) -> None:
    await desk.api.ok("DELETE", "/api/v1/namespaces/demo/serviceaccounts/hub")
    assert (await desk.call("GET", "/apis"))[0] == 401
    await desk.api.ok("POST", "/api/v1/namespaces/demo/serviceaccounts", {"metadata": {"name": "hub"}})
    assert (await desk.call("GET", "/apis"))[0] == 401


async def test_a_bound_token_dies_with_its_pod(desk: Desk) -> None:
    await desk.api.create_pod("a", serviceAccountName="hub")
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "a"}
    desk.token = await desk.issue(boundObjectRef=reference)
    assert (await desk.call("GET", "/apis"))[0] == 200
    _, answer = await desk.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert answer["status"]["userInfo"]["extra"]["authentication.kubernetes.io/pod-name"] == ["a"]
    await desk.api.ok("DELETE", "/api/v1/namespaces/demo/pods/a?gracePeriodSeconds=0")
    assert (await desk.call("GET", "/apis"))[0] == 401


async def test_a_token_for_others_is_none_here(desk: Desk) -> None:
    desk.token = await desk.issue(audiences=["vault"])
    assert (await desk.call("GET", "/apis"))[0] == 401


async def test_a_token_signed_by_another_is_none_here(desk: Desk) -> None:
    async with running_api() as other:
        await other.create_namespace()
        await other.ok("POST", "/api/v1/namespaces/demo/serviceaccounts", {"metadata": {"name": "hub"}})
        request = await other.ok("POST", "/api/v1/namespaces/demo/serviceaccounts/hub/token", {})
    desk.token = request["status"]["token"]
    assert (await desk.call("GET", "/apis"))[0] == 401


@pytest.mark.parametrize(
    ("spec", "status", "said"),
    [
        (
            {"expirationSeconds": 10},
            422,
            ("spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes"),
        ),
        ({"boundObjectRef": {"kind": "Node", "name": "a"}}, 400, "cannot bind token to object of type Node"),
        ({"boundObjectRef": {"kind": "Pod", "name": "gone"}}, 404, 'pods "gone" not found'),
        (
            {"boundObjectRef": {"kind": "Pod", "name": "other"}},
            400,
            ('cannot bind token for serviceaccount "hub" to pod running with different serviceaccount name.'),
        ),
        (
            {"boundObjectRef": {"kind": "Pod", "name": "own", "uid": "x"}},
            409,
            ("the UID in the bound object reference (x) does not match the UID in record"),
        ),
    ],
)
async def test_a_token_that_cannot_be_issued(desk: Desk, spec: Object, status: int, said: str) -> None:
    await desk.api.create_pod("other")
    await desk.api.create_pod("own", serviceAccountName="hub")
    found, answer = await desk.api.call("POST", "/api/v1/namespaces/demo/serviceaccounts/hub/token", {"spec": spec})
    assert found == status
    assert said in answer["message"]


async def test_tokens_are_issued_only_to_those_who_may_ask(desk: Desk) -> None:
    path = "/api/v1/namespaces/demo/serviceaccounts/hub/token"
    assert 'create resource "serviceaccounts/token"' in await desk.refusal("POST", path, {})
    await desk.role({"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]})
    assert (await desk.call("POST", path, {}))[0] == 201
