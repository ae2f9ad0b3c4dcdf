"""The hub's Deployment and what it needs, as the chart renders them."""

import json
from importlib.metadata import version
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import HelmRenderError
from rendering import CHART, Manifests, merged, render

GPU_LABELS = {"nvidia.com/gpu.present", "amd.com/gpu.product-name", "cloud.google.com/gke-accelerator"}


def hub(values: dict[str, Any] | None = None) -> dict[str, Any]:
    """The spec of the hub's pod."""
    spec: dict[str, Any] = render(values).pods()["Deployment/gpuspawner-hub"]["spec"]
    return spec


def container(values: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = hub(values)["containers"][0]
    return found


def volume(spec: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [volume for volume in spec["volumes"] if volume["name"] == name]
    return dict(found)


def mounts(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}


def restarts(values: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether the hub's pod is another one with other values."""
    own = {"hub": {"existingSecret": "own"}}
    first, second = (render(merged(own, said)).one("Deployment", "hub") for said in (values, others))
    return bool(first["spec"]["template"] != second["spec"]["template"])


def test_the_charts_version_is_the_packages() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == version("gpuspawner")


@pytest.mark.parametrize("kubernetes", ["1.30", "1.37"])
def test_what_a_plain_install_makes_is_what_kubernetes_knows(kubernetes: str) -> None:
    for manifest in render():
        kubernetes_validate.validate(manifest, kubernetes, strict=True)


def test_a_hub_is_one_pod_that_ends_before_the_next_one_starts() -> None:
    spec = render().one("Deployment", "hub")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_the_hub_runs_as_nobody_special_and_writes_to_its_volume_and_tmp_only() -> None:
    spec = hub()
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context = spec["containers"][0]["securityContext"]
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {path for path, mount in mounts(spec).items() if not mount.get("readOnly")}
    assert writable == {"/srv/jupyterhub", "/tmp"}


def test_openshift_picks_users_itself_where_the_values_say_null() -> None:
    said = {"hub": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}}
    assert set(hub(said)["securityContext"]) == {"runAsNonRoot", "fsGroupChangePolicy", "seccompProfile"}


def test_values_and_secrets_are_mounted_where_the_hub_looks_for_them() -> None:
    config = volume(hub(), "config")
    secrets = [source["secret"] for source in config["projected"]["sources"] if "secret" in source]
    paths = {item["path"] for secret in secrets for item in secret["items"]}
    generated = {"cookie-secret", "proxy-token", "crypt-keys", "admin-password", "service-token.helm-test"}
    assert paths == {"secret-values.json", "secret-config.json", *generated}
    assert config["projected"]["defaultMode"] == 0o440
    assert mounts(hub())["/etc/gpuspawner"] == {"name": "config", "mountPath": "/etc/gpuspawner", "readOnly": True}
    assert json.loads(render().one("ConfigMap", "values")["data"]["values.json"])["hub"]["baseUrl"] == "/"
    assert {"name": "GPUSPAWNER_VALUES", "value": "/etc/gpuspawner"} in container()["env"]


def test_why_a_hub_does_not_start_is_in_its_pods_status() -> None:
    assert container()["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize(("base", "path"), [("/", "/hub/health"), ("/jupyter/", "/jupyter/hub/health")])
def test_probes_ask_the_hub_below_its_path(base: str, path: str) -> None:
    probed = container({"hub": {"baseUrl": base}})
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert probed[probe]["httpGet"] == {"path": path, "port": "http"}


def test_a_probe_can_be_changed_and_left_out() -> None:
    probed = container({"hub": {"livenessProbe": {"enabled": False}, "startupProbe": {"failureThreshold": 900}}})
    assert "livenessProbe" not in probed
    assert probed["startupProbe"]["failureThreshold"] == 900


def test_sqlite_is_on_a_claim_that_outlives_the_release() -> None:
    claim = render({"hub": {"database": {"pvc": {"size": "5Gi", "annotations": {"backup": "daily"}}}}}).one(
        "PersistentVolumeClaim", "hub"
    )
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep", "backup": "daily"}
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}
    assert volume(hub(), "data")["persistentVolumeClaim"] == {"claimName": "gpuspawner-hub"}


def test_sqlite_can_be_on_a_claim_of_the_operators_own() -> None:
    said = {"hub": {"database": {"pvc": {"existingClaim": "ours", "subPath": "hub"}}}}
    assert render(said).all("PersistentVolumeClaim") == []
    assert volume(hub(said), "data")["persistentVolumeClaim"] == {"claimName": "ours"}
    assert mounts(hub(said))["/srv/jupyterhub"]["subPath"] == "hub"


def test_an_external_database_is_read_from_a_secret_and_needs_no_claim() -> None:
    said = {"hub": {"database": {"type": "external", "existingSecret": "postgres", "key": "uri"}}}
    assert render(said).all("PersistentVolumeClaim") == []
    assert volume(hub(said), "data")["emptyDir"] == {}
    sources = volume(hub(said), "config")["projected"]["sources"]
    assert {"secret": {"name": "postgres", "items": [{"key": "uri", "path": "database-url"}]}} in sources


def test_an_external_database_without_its_url_is_refused() -> None:
    with pytest.raises(HelmRenderError, match=r"hub[.]database[.]existingSecret: found nothing"):
        render({"hub": {"database": {"type": "external"}}})


def test_the_environment_is_texts_and_references() -> None:
    reference = {"secretKeyRef": {"name": "smtp", "key": "password"}}
    said = {"hub": {"extraEnv": {"PORT": 25, "MAIL": "yes", "SMTP_PASSWORD": {"valueFrom": reference}}}}
    env = {variable["name"]: variable for variable in container(said)["env"]}
    assert env["PORT"]["value"] == "25"
    assert env["MAIL"]["value"] == "yes"
    assert env["SMTP_PASSWORD"]["valueFrom"] == reference


def test_what_values_say_is_quoted_and_stays_a_text() -> None:
    said = {"hub": {"extraEnv": {"A": '"\n- name: B', "C": "{{ .Release.Name }}"}, "labels": {"course": "0123"}}}
    env = {variable["name"]: variable["value"] for variable in container(said)["env"]}
    assert env["A"] == '"\n- name: B'
    assert env["C"] == "{{ .Release.Name }}"
    assert render(said).pods()["Deployment/gpuspawner-hub"]["metadata"]["labels"]["course"] == "0123"


def test_whatever_a_pod_can_say_can_be_added() -> None:
    sidecar = {"name": "cloud-sql-proxy", "image": "cloud-sql-proxy:2.14.0"}
    spec = hub(
        {
            "hub": {
                "extraVolumes": [{"name": "extra", "emptyDir": {}}],
                "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
                "extraContainers": [sidecar],
                "initContainers": [sidecar | {"name": "before"}],
                "extraPodSpec": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["ldap"]}]},
                "extraArgs": ["--debug"],
                "nodeSelector": {"pool": "core"},
                "tolerations": [{"key": "core", "operator": "Exists"}],
                "topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
                ],
                "priorityClassName": "system-cluster-critical",
            }
        }
    )
    assert volume(spec, "extra")["emptyDir"] == {}
    assert "/extra" in mounts(spec)
    assert [container["name"] for container in spec["containers"]] == ["hub", "cloud-sql-proxy"]
    assert [container["name"] for container in spec["initContainers"]] == ["before"]
    assert spec["hostAliases"] == [{"ip": "10.0.0.1", "hostnames": ["ldap"]}]
    assert spec["containers"][0]["args"][-1] == "--debug"
    assert spec["nodeSelector"] == {"pool": "core"}
    assert spec["tolerations"] == [{"key": "core", "operator": "Exists"}]
    assert spec["topologySpreadConstraints"][0]["topologyKey"] == "topology.kubernetes.io/zone"
    assert spec["priorityClassName"] == "system-cluster-critical"


def test_pods_of_the_chart_keep_away_from_gpu_nodes_unless_their_affinity_is_said() -> None:
    for pod in ("hub", "proxy"):
        affinity = render().pods()[f"Deployment/gpuspawner-{pod}"]["spec"]["affinity"]["nodeAffinity"]
        [term] = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
        wanted = term["preference"]["matchExpressions"]
        assert {(one["key"], one["operator"]) for one in wanted} == {(label, "DoesNotExist") for label in GPU_LABELS}
    own = {"podAntiAffinity": {}}
    assert hub({"hub": {"affinity": own}})["affinity"] == own


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, f"ghcr.io/gpuspawner/hub:{version('gpuspawner')}"),
        ({"name": "registry.example.edu/hub", "tag": "1.2"}, "registry.example.edu/hub:1.2"),
        ({"tag": "1", "digest": f"sha256:{'0' * 64}"}, f"ghcr.io/gpuspawner/hub:1@sha256:{'0' * 64}"),
    ],
)
def test_images_are_named_by_tag_and_digest(image: dict[str, str], reference: str) -> None:
    assert container({"hub": {"image": image}})["image"] == reference


def test_a_drain_may_take_the_hub_down_unless_the_values_say_otherwise() -> None:
    spec = render().one("PodDisruptionBudget", "hub")["spec"]
    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert (
        render({"hub": {"pdb": {"maxUnavailable": 0}}}).one("PodDisruptionBudget", "hub")["spec"]["maxUnavailable"] == 0
    )
    assert render({"hub": {"pdb": {"enabled": False}}}).maybe("PodDisruptionBudget", "hub") is None


@pytest.mark.parametrize(
    "changed",
    [
        {"hub": {"config": {"JupyterHub": {"allow_named_servers": True}}}},
        {"gpuspawner": {"timezone": "America/Los_Angeles"}},
        {"hub": {"extraConfig": {"a": "pass"}}},
        {"hub": {"extraFiles": {"logo": {"mountPath": "/logo.svg", "stringData": "<svg/>"}}}},
        {"login": {"authenticator": "generic-oauth"}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_the_hub_restarts_when_what_it_reads_has_changed(changed: dict[str, Any]) -> None:
    assert restarts({}, changed)


def test_the_hub_does_not_restart_for_what_others_read() -> None:
    assert not restarts({}, {"proxy": {"service": {"type": "LoadBalancer"}}, "ingress": {"enabled": True}})


@pytest.mark.parametrize("release", ["a", "gpuspawner", "x" * 53, "teaching-of-the-department-of-computer-science-hub"])
def test_names_and_labels_are_ones_that_kubernetes_takes(release: str) -> None:
    manifests = render({"ingress": {"enabled": True}}, name=release)
    for item in manifests:
        assert len(item["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in item["metadata"]["labels"].values())
        kubernetes_validate.validate(item, "1.37", strict=True)


def test_names_can_be_chosen() -> None:
    assert named(render({"fullnameOverride": "jupyter"})) == "jupyter-hub"
    assert named(render({"nameOverride": "jupyter"})) == "gpuspawner-jupyter-hub"
    assert named(render(name="teaching")) == "teaching-gpuspawner-hub"
    assert named(render(name="gpuspawner-teaching")) == "gpuspawner-teaching-hub"


def named(manifests: Manifests) -> str:
    [name] = [
        item["metadata"]["name"] for item in manifests.all("Deployment") if item["metadata"]["name"].endswith("hub")
    ]
    return str(name)


def test_labels_of_ones_own_are_on_every_object_and_change_no_selector() -> None:
    said = {
        "commonLabels": {"cost-center": "4711", "app.kubernetes.io/component": "mine", "app.kubernetes.io/name": "x"}
    }
    plain, labelled = render(), render(said)
    assert all(item["metadata"]["labels"]["cost-center"] == "4711" for item in labelled)
    for kind, name in (("Deployment", "hub"), ("Deployment", "proxy"), ("Service", "hub")):
        assert plain.one(kind, name)["spec"]["selector"] == labelled.one(kind, name)["spec"]["selector"]


def test_an_upgrade_of_the_chart_alone_restarts_nothing() -> None:
    """Labels of pods say no version: the proxy would lose everybody's connections for it."""
    for name, pod in render().pods().items():
        if name.startswith("Pod/"):
            continue  # of a test, and made anew for each
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(pod["metadata"]["labels"])


def test_only_the_hub_has_a_token_of_the_kubernetes_api() -> None:
    tokens = {name: pod["spec"]["automountServiceAccountToken"] for name, pod in render().pods().items()}
    assert {name for name, mounted in tokens.items() if mounted} == {"Deployment/gpuspawner-hub"}


def test_without_values_there_is_something_that_works_on_any_cluster() -> None:
    section = values_of(render())["gpuspawner"]
    assert set(section["profiles"]) == {"notebook", "gpu"}
    assert section["profiles"]["notebook"]["image"].startswith("quay.io/jupyter/scipy-notebook:")
    image = {"singleuser": {"image": {"name": "registry.example.edu/lab", "tag": "7"}}}
    assert values_of(render(image))["gpuspawner"]["profiles"]["notebook"]["image"] == "registry.example.edu/lab:7"


def test_a_setting_alone_keeps_what_there_is_at_first() -> None:
    section = values_of(render({"gpuspawner": {"storage": {"size": "50Gi"}}}))["gpuspawner"]
    assert section["storage"] == {"size": "50Gi"}
    assert set(section["profiles"]) == {"notebook", "gpu"}


def test_whoever_says_profiles_gets_these_and_no_others() -> None:
    said = {"gpuspawner": {"profiles": {"mine": {"image": "example.org/mine:1"}}}}
    assert values_of(render(said))["gpuspawner"] == said["gpuspawner"]


def values_of(manifests: Manifests) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manifests.one("ConfigMap", "values")["data"]["values.json"])
    return found
