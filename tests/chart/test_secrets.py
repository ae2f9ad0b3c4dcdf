"""Secrets that the chart makes: they outlive upgrades, rotate by deleting a key, or are the operator's own."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from helm_api import Cluster, cluster
from helm_python import Chart
from rendering import CHART, decoded, render

GENERATED = {"cookie-secret", "proxy-token", "crypt-keys", "admin-password", "service-token.helm-test"}
OWN = {"hub": {"existingSecret": "of-the-vault"}}


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("api")) as running:
        yield running


async def test_an_upgrade_keeps_every_secret_and_restarts_nothing_for_it(api: Cluster) -> None:
    await api.install("kept")
    secrets = api.secrets("kept-gpuspawner-secrets")
    pods = {part: api.pod_annotations(f"kept-gpuspawner-{part}") for part in ("hub", "proxy")}
    assert set(secrets) == GENERATED

    await api.upgrade("kept", {"proxy": {"service": {"annotations": {"changed": "yes"}}}})

    assert api.secrets("kept-gpuspawner-secrets") == secrets
    assert {part: api.pod_annotations(f"kept-gpuspawner-{part}") for part in ("hub", "proxy")} == pods


@pytest.mark.parametrize(("key", "restarted"), [("proxy-token", {"hub", "proxy"}), ("cookie-secret", {"hub"})])
async def test_a_key_that_is_deleted_is_made_anew_for_the_pods_that_read_it(
    api: Cluster, key: str, restarted: set[str]
) -> None:
    name = f"rotated-{key}"
    await api.install(name)
    before = api.secrets(f"{name}-gpuspawner-secrets")
    pods = {part: api.pod_annotations(f"{name}-gpuspawner-{part}") for part in ("hub", "proxy")}
    secret = api.get("secrets", f"{name}-gpuspawner-secrets")
    del secret["data"][key]
    api.store.update("secrets", secret)

    await api.upgrade(name)

    after = api.secrets(f"{name}-gpuspawner-secrets")
    assert {changed for changed in GENERATED if after[changed] != before[changed]} == {key}
    assert {part for part, old in pods.items() if api.pod_annotations(f"{name}-gpuspawner-{part}") != old} == restarted


async def test_generated_secrets_are_not_among_the_values_that_helm_keeps(api: Cluster) -> None:
    await api.install("values")
    kept = json.dumps(await asyncio.to_thread(api.helm.get_values, "values", all_values=True))
    assert not [text for text in api.secrets("values-gpuspawner-secrets").values() if text in kept]


async def test_uninstalling_leaves_the_claim_with_the_database_and_nothing_else(api: Cluster) -> None:
    await api.install("gone")
    await api.uninstall("gone")
    assert "gone-gpuspawner-hub" in api.names("persistentvolumeclaims")
    for resource in (
        "secrets",
        "configmaps",
        "services",
        "deployments.apps",
        "serviceaccounts",
        "roles.rbac.authorization.k8s.io",
    ):
        assert not [name for name in api.names(resource) if "gone" in name]


async def test_a_new_service_gets_a_token_and_the_others_keep_theirs(api: Cluster) -> None:
    await api.install("services", {"hub": {"services": {"reports": {}}}})
    before = api.secrets("services-gpuspawner-secrets")

    await api.upgrade("services", {"hub": {"services": {"reports": {}, "grades": {}, "own": {"api_token": "0" * 32}}}})

    after = api.secrets("services-gpuspawner-secrets")
    assert set(after) - set(before) == {"service-token.grades"}
    assert len(after["service-token.grades"]) >= 32
    assert {key: after[key] for key in before} == before


def test_secrets_are_long_enough_for_what_reads_them() -> None:
    secrets = decoded(render().one("Secret", "secrets"))
    assert len(bytes.fromhex(secrets["cookie-secret"])) == 32
    assert len(bytes.fromhex(secrets["crypt-keys"])) == 32
    assert len(secrets["admin-password"]) >= 32  # what JupyterHub's shared password asks for
    assert len(set(secrets.values())) == len(GENERATED)


def test_with_a_secret_of_the_operators_own_the_same_values_always_make_the_same_manifests() -> None:
    """What Argo CD and Flux need: they render without a cluster to look up things in."""
    first, second = (
        Chart.load(CHART).render(OWN | {"zone": "open"}, name="gitops", namespace="jupyter") for _ in range(2)
    )
    assert first == second


def test_hub_and_proxy_read_the_operators_own_secret_and_the_chart_makes_none() -> None:
    manifests = render(OWN)
    assert manifests.maybe("Secret", "secrets") is None
    pods = manifests.pods()
    [token] = pods["Deployment/gpuspawner-proxy"]["spec"]["containers"][0]["env"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "of-the-vault", "key": "proxy-token"}
    [config] = [volume for volume in pods["Deployment/gpuspawner-hub"]["spec"]["volumes"] if volume["name"] == "config"]
    own = [source["secret"] for source in config["projected"]["sources"] if "secret" in source][1:]
    assert {secret["name"] for secret in own} == {"of-the-vault"}
    needed = {item["key"] for secret in own if not secret.get("optional") for item in secret["items"]}
    wanted = {item["key"] for secret in own if secret.get("optional") for item in secret["items"]}
    assert needed == {"cookie-secret", "proxy-token"}
    assert wanted == GENERATED - needed | {"secret-config.json"}


def test_what_is_secret_in_the_values_is_in_a_secret_only() -> None:
    canary = "c4n4ry"
    said = {"hub": {"secretConfig": {"GenericOAuthenticator": {"client_secret": canary}}, "extraConfig": {"a": canary}}}
    manifests = render(said)
    assert canary in decoded(manifests.one("Secret", "secret-values"))["secret-values.json"]
    assert [item["kind"] for item in manifests if canary in json.dumps(item)] == []


def test_changed_secret_values_restart_the_hub_but_not_the_proxy() -> None:
    def pods(secret: str) -> list[dict[str, str]]:
        changed = render({"hub": {**OWN["hub"], "secretConfig": {"A": {"b": secret}}}}).pods()
        return [changed[f"Deployment/gpuspawner-{part}"]["metadata"]["annotations"] for part in ("hub", "proxy")]

    (hub, proxy), (other_hub, other_proxy) = pods("one"), pods("two")
    assert hub != other_hub
    assert proxy == other_proxy


def test_credentials_of_a_registry_are_made_where_images_are_pulled() -> None:
    said = {
        "imagePullSecret": {"create": True, "registry": "ghcr.io", "username": "ada", "password": "p:w"},
        "imagePullSecrets": [{"name": "another"}],
        "singleuser": {"namespace": "students"},
    }
    manifests = render(said)
    made = [item for item in manifests.all("Secret") if item["type"] == "kubernetes.io/dockerconfigjson"]
    assert {item["metadata"]["namespace"] for item in made} == {"jupyter", "students"}
    login = {"username": "ada", "password": "p:w", "auth": "YWRhOnA6dw=="}
    assert all(json.loads(decoded(item)[".dockerconfigjson"]) == {"auths": {"ghcr.io": login}} for item in made)
    names = [{"name": "gpuspawner-registry"}, {"name": "another"}]
    assert all(pod["spec"]["imagePullSecrets"] == names for pod in manifests.pods().values())
    values = json.loads(manifests.one("ConfigMap", "values")["data"]["values.json"])
    assert values["release"]["imagePullSecrets"] == ["gpuspawner-registry", "another"]
