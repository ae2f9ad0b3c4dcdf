"""What a kube-apiserver adds to a pod, and what it refuses."""

from typing import Any

import pytest
from running_api import Api, claim, pod, running_api

PODS = "/api/v1/namespaces/demo/pods"
HARDENED = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
TIGHT = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "c", "image": "x:1"} | fields


async def refusal(api: Api, body: Any, path: str = PODS, status: int = 403) -> str:
    """Send a create that must be refused and return the sentence."""
    got, answer = await api.call("POST", path, body)
    assert got == status, answer
    return str(answer["message"])


async def test_a_missing_namespace_is_named() -> None:
    async with running_api() as api:
        assert await refusal(api, pod("p"), status=404) == 'namespaces "demo" not found'


async def test_a_token_is_mounted_unless_the_pod_or_its_account_says_no() -> None:
    async with running_api() as api:
        await api.create_namespace()
        account = {"metadata": {"name": "quiet"}, "automountServiceAccountToken": False}
        await api.ok("POST", "/api/v1/namespaces/demo/serviceaccounts", account)
        with_token = await api.create_pod("one")
        assert with_token["spec"]["volumes"][0]["name"].startswith("kube-api-access-")
        for index, spec in enumerate(({"automountServiceAccountToken": False}, {"serviceAccountName": "quiet"})):
            created = await api.create_pod(f"without-{index}", **spec)
            assert "volumes" not in created["spec"]
        said = await refusal(api, pod("p", serviceAccountName="nobody"))
        assert said.endswith('error looking up service account demo/nobody: serviceaccount "nobody" not found')


async def test_a_namespace_is_furnished_for_the_token_volume() -> None:
    async with running_api(ca="the certificate") as api:
        await api.create_namespace()
        names = {
            item["metadata"]["name"] for item in (await api.ok("GET", "/api/v1/namespaces/demo/configmaps"))["items"]
        }
        assert names == {"kube-root-ca.crt", "openshift-service-ca.crt"}
        root = await api.ok("GET", "/api/v1/namespaces/demo/configmaps/kube-root-ca.crt")
        assert root["data"] == {"ca.crt": "the certificate"}


async def test_priority_comes_from_the_class() -> None:
    async with running_api() as api:
        await api.create_namespace()
        classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
        await api.ok("POST", classes, {"metadata": {"name": "exam"}, "value": 1000, "preemptionPolicy": "Never"})
        spec = (await api.create_pod("one", priorityClassName="exam"))["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
        assert "no PriorityClass with name none was found" in await refusal(api, pod("p", priorityClassName="none"))
        assert "must not be provided in pod spec" in await refusal(api, pod("p", priority=7))
        await api.ok("POST", classes, {"metadata": {"name": "usual"}, "value": 5, "globalDefault": True})
        assert (await api.create_pod("two"))["spec"]["priorityClassName"] == "usual"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"hostNetwork": True}, "host namespaces (hostNetwork=true)"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
        (
            {"containers": [container(securityContext={"privileged": True})]},
            'privileged (container "c" must not set securityContext.privileged=true)',
        ),
        (
            {"containers": [container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}})]},
            'non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add)',
        ),
        (
            {"containers": [container(ports=[{"containerPort": 80, "hostPort": 80}])]},
            'hostPort (container "c" uses hostPort 80)',
        ),
    ],
)
async def test_the_baseline_refuses(spec: dict[str, Any], said: str) -> None:
    async with running_api() as api:
        await api.create_namespace("demo", **{"pod-security.kubernetes.io/enforce": "baseline"})
        message = await refusal(api, pod("p", **spec))
        assert message == f'pods "p" is forbidden: violates PodSecurity "baseline:latest": {said}'


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, None),
        ({"securityContext": HARDENED | {"runAsUser": 0}}, "runAsUser=0 (pod must not set runAsUser=0)"),
        (
            {"securityContext": HARDENED | {"runAsNonRoot": False}},
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            {"volumes": [{"name": "v", "nfs": {"path": "/", "server": "s"}}]},
            'restricted volume types (volume "v" uses restricted volume type "nfs")',
        ),
    ],
)
async def test_restricted_refuses_more(spec: dict[str, Any], said: str | None) -> None:
    hardened = {"securityContext": HARDENED, "containers": [container(securityContext=TIGHT)]}
    async with running_api() as api:
        await api.create_namespace("demo", **{"pod-security.kubernetes.io/enforce": "restricted"})
        if said is None:
            await api.ok("POST", PODS, pod("p", **hardened | spec))
        else:
            assert (await refusal(api, pod("p", **hardened | spec))).endswith(f": {said}")


async def test_a_warning_level_admits_and_warns() -> None:
    async with running_api() as api:
        await api.create_namespace("demo", **{"pod-security.kubernetes.io/warn": "restricted"})
        async with api.request("POST", PODS, pod("p")) as response:
            assert response.status == 201
            assert 'would violate PodSecurity \\"restricted:latest\\"' in response.headers["Warning"]


async def test_a_limit_range_gives_defaults_and_sets_bounds() -> None:
    limits = {"type": "Container", "default": {"memory": "512Mi"}, "defaultRequest": {"memory": "256Mi"},
              "max": {"memory": "1Gi"}, "min": {"memory": "128Mi"}}  # fmt: skip
    async with running_api() as api:
        await api.create_namespace()
        await api.ok(
            "POST", "/api/v1/namespaces/demo/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [limits]}}
        )
        created = await api.create_pod("p")
        resources = created["spec"]["containers"][0]["resources"]
        assert resources == {"limits": {"memory": "512Mi"}, "requests": {"memory": "256Mi"}}
        assert created["status"]["qosClass"] == "Burstable"
        big = pod("big", containers=[container(resources={"limits": {"memory": "2Gi"}})])
        assert "maximum memory usage per Container is 1Gi, but limit is 2Gi" in await refusal(api, big)


async def test_a_quota_frees_what_ends_and_counts_claims_and_objects() -> None:
    quotas = "/api/v1/namespaces/demo/resourcequotas"
    async with running_api() as api:
        await api.create_namespace()
        hard = {"pods": "1", "count/configmaps": "3", "requests.storage": "10Gi", "requests.cpu": "1500m"}
        await api.ok("POST", quotas, {"metadata": {"name": "q"}, "spec": {"hard": hard}})

        async def used() -> Any:
            return (await api.ok("GET", f"{quotas}/q"))["status"]["used"]

        assert await used() == {"pods": "0", "count/configmaps": "2", "requests.storage": "0", "requests.cpu": "0"}
        one = [container(resources={"requests": {"cpu": "1"}})]
        await api.create_pod("one", node="n1", containers=one)
        assert await refusal(api, pod("two", containers=one)) == (
            'pods "two" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=1, '
            "used: pods=1,requests.cpu=1, limited: pods=1,requests.cpu=1500m"
        )
        api.store.update_status("pods", "demo", "one", {"phase": "Succeeded"})
        assert (await used())["pods"] == "0"
        await api.create_pod("two", containers=one)
        claims = "/api/v1/namespaces/demo/persistentvolumeclaims"
        await api.ok("POST", claims, claim("home", "8Gi"))
        assert "requests.storage=4Gi" in await refusal(api, claim("more", "4Gi"), claims)
        await api.ok("POST", "/api/v1/namespaces/demo/configmaps", {"metadata": {"name": "third"}})
        await refusal(api, {"metadata": {"name": "fourth"}}, "/api/v1/namespaces/demo/configmaps")
        await api.ok("DELETE", "/api/v1/namespaces/demo/pods/two")
        assert await used() == {"pods": "0", "count/configmaps": "3", "requests.storage": "8Gi", "requests.cpu": "0"}


async def test_a_quota_with_a_scope_counts_only_its_pods() -> None:
    scope = {"scopeName": "PriorityClass", "operator": "In", "values": ["exam"]}
    async with running_api() as api:
        await api.create_namespace()
        await api.ok("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": "exam"}, "value": 1})
        spec = {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [scope]}}
        await api.ok("POST", "/api/v1/namespaces/demo/resourcequotas", {"metadata": {"name": "q"}, "spec": spec})
        for name in ("free-1", "free-2"):
            await api.create_pod(name)
        await api.create_pod("exam-1", priorityClassName="exam")
        await refusal(api, pod("exam-2", priorityClassName="exam"))


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"containers": []}, "spec.containers", "Required value"),
        ({"containers": [{"name": "c"}]}, "spec.containers[0].image", "Required value"),
        ({"containers": [container(name="No")]}, "spec.containers[0].name", "RFC 1123 label"),
        ({"containers": [container(), container()]}, "spec.containers[1].name", 'Duplicate value: "c"'),
        (
            {"containers": [container(volumeMounts=[{"name": "v", "mountPath": "/v"}])]},
            "spec.containers[0].volumeMounts[0].name",
            'Not found: "v"',
        ),
        ({"restartPolicy": "Sometimes"}, "spec.restartPolicy", 'supported values: "Always", "Never", "OnFailure"'),
        (
            {"containers": [container(resources={"requests": {"nvidia.com/gpu": "1"}})]},
            "spec.containers[0].resources.limits",
            "Limit must be set for non overcommitable resources",
        ),
        (
            {"containers": [container(resources={"limits": {"nvidia.com/gpu": "500m"}})]},
            "spec.containers[0].resources.limits[nvidia.com/gpu]",
            "must be an integer",
        ),
        (
            {"containers": [container(resources={"limits": {"gpu": "1"}})]},
            "spec.containers[0].resources.limits",
            "must be a standard resource for containers",
        ),
        ({"nodeSelector": {"a": "not valid"}}, "spec.nodeSelector", "a valid label must be"),
        ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds", "must be between 1 and 2147483647"),
        ({"tolerations": [{"key": "a", "effect": "Never"}]}, "spec.tolerations[0].effect", "Unsupported value"),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {}}]},
            "spec.volumes[0].persistentVolumeClaim.claimName",
            "Required value",
        ),
    ],
)
async def test_a_pod_that_makes_no_sense_is_told_which_field(spec: dict[str, Any], field: str, words: str) -> None:
    async with running_api() as api:
        await api.create_namespace()
        status, body = await api.call("POST", PODS, pod("p", **spec))
        assert (status, body["reason"]) == (422, "Invalid")
        cause = next(cause for cause in body["details"]["causes"] if cause["field"] == field)
        assert words in cause["message"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"containers": {}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            {"containers": [container(env=[{"name": "A", "value": 1}])]},
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            {"terminationGracePeriodSeconds": 1.5},
            "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.terminationGracePeriodSeconds",
        ),
        (
            {"containers": [container(resources={"limits": {"cpu": "much"}})]},
            "quantities must match the regular expression",
        ),
    ],
)
async def test_a_value_of_the_wrong_type_is_told_in_gos_words(spec: dict[str, Any], said: str) -> None:
    async with running_api() as api:
        await api.create_namespace()
        message = await refusal(api, pod("p", **spec), status=400)
        assert message.startswith(f'Pod in version "v1" cannot be handled as a Pod: {said}')


async def test_quantities_are_written_canonically() -> None:
    resources = {"limits": {"cpu": 0.5, "memory": "1024Mi", "nvidia.com/gpu": 1}}
    async with running_api() as api:
        await api.create_namespace()
        created = await api.create_pod("p", containers=[container(resources=resources)])
        limits = created["spec"]["containers"][0]["resources"]["limits"]
        assert limits == {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"}
        assert created["spec"]["containers"][0]["resources"]["requests"] == limits


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("x", "Always"),
        ("x:latest", "Always"),
        ("x:1", "IfNotPresent"),
        ("r:5000/x", "Always"),
        ("x@sha256:0", "IfNotPresent"),
    ],
)
async def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    async with running_api() as api:
        await api.create_namespace()
        created = await api.create_pod("p", containers=[{"name": "c", "image": image}])
        assert created["spec"]["containers"][0]["imagePullPolicy"] == policy
