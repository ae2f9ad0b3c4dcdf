"""The examples of whole institutions start as they are, log people in at a real provider, and give them their GPUs.

Of each, the values go through the chart; that the jupyterhub_config.py beside them says the same is a test of its own.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cluster import TINY_SERVER
from directory import PASSWORD, directory
from example_configs import EXAMPLES, from_file, from_values, values_of
from identity_provider import log_in_at_the_provider
from jupyterhub.utils import random_port
from kubernetes_schemas import VERSIONS, problems
from launching import launch, named, stop
from learning_platform import CLIENT_ID, INSTRUCTOR, LEARNER, learning_platform
from pod_security import violations
from rendering import render
from running_hub import ADMIN_TOKEN
from stand_in_kueue import StandInKueue
from traitlets.config import Config

from gpuspawner.authenticator import current_workspaces, managed_workspaces, with_workspaces
from gpuspawner.local.engine import Engine

SECRET = "0123456789abcdef" * 2
ROSTER = "user,email,role,from,to\n"


# The chart has services of its own, beside which a test has its.
TESTS_SERVICE = {"name": "tests", "api_token": ADMIN_TOKEN}
TESTS_ROLE = {
    "name": "tests",
    "services": ["tests"],
    "scopes": ["admin:users", "admin:groups", "admin:servers", "tokens", "shutdown"],
}
SITUATIONS = ("university", "hospital", "lab", "cloud", "kueue")


@pytest.fixture
async def cluster(tmp_path, monkeypatch) -> AsyncIterator[Engine]:
    """A cluster that has every image, with two A100, two T4 and two V100; the default kubeconfig names it."""
    engine = Engine(
        nodes="a100=1x2 t4=1x2 v100-16=1x2 cpu=1",
        images={"*": (sys.executable, TINY_SERVER)},
        data_dir=tmp_path / "engine",
        namespaces=("studies",),
        stop_grace=1.0,
    )
    await engine.start()
    engine.write_kubeconfig(tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    yield engine
    await engine.stop()


@pytest.fixture
def example(start_hub, cluster) -> Callable[..., Any]:
    """Start a hub with a configuration; only where it listens is the test's own."""

    async def start(c: Config, hub_port: int | None = None) -> Any:
        c.JupyterHub.pop("hub_connect_url", None)
        c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub_port or random_port()}/hub/"
        c.JupyterHub.allow_named_servers = True
        for trait, more in (("services", TESTS_SERVICE), ("load_roles", TESTS_ROLE)):
            if isinstance(c.JupyterHub.get(trait), list):
                c.JupyterHub[trait] = [*c.JupyterHub[trait], more]
        return await start_hub({section: dict(traits) for section, traits in c.items()})

    return start


def classes(cluster: Engine) -> list[str]:
    """The GPU classes that the pods of the cluster were launched for."""
    return sorted(pod["metadata"]["labels"]["gpuspawner/gpu-class"] for pod in named(cluster, "pods").values())


def plain(value: Any) -> Any:
    """As YAML has it: sets are lists."""
    match value:
        case dict():
            return {key: plain(inner) for key, inner in value.items()}
        case set() | frozenset():
            return sorted(value)
        case list() | tuple():
            return [plain(inner) for inner in value]
    return value


def said(c: Config) -> dict[str, dict[str, Any]]:
    """The sections of gpuspawner and of logins."""
    names = [name for name in c if name == "GPUSpawner" or name.endswith("Authenticator")]
    return {name: plain(dict(c[name])) for name in names}


def test_every_example_with_values_is_tested_here_and_is_in_the_table_of_examples():
    folders = {file.parent.name for file in EXAMPLES.glob("*/values.yaml")}
    assert folders == set(SITUATIONS)
    table = (EXAMPLES / "README.md").read_text()
    assert all(f"]({folder.name}/)" in table for folder in EXAMPLES.iterdir() if folder.is_dir())


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_values_of_an_example_and_its_configuration_file_say_the_same(name, monkeypatch):
    monkeypatch.setenv("HUB_PROXY_SECRET", SECRET)
    monkeypatch.setenv("LDAP_SERVER", "ldap.example.edu")
    c, values = from_file(name), values_of(name)
    found = said(c)
    ours = {"GPUSpawner": values["gpuspawner"], **values["hub"]["config"]}
    ours.pop("JupyterHub", None)
    if administrators := values["login"].get("administrators"):
        ours.setdefault("Authenticator", {})["admin_users"] = administrators
    if name == "hospital":  # its secret is read from the environment by a snippet
        assert found["TrustedHeaderAuthenticator"].pop("proxy_secrets") == [SECRET]
    assert found == ours
    named_in_values = with_workspaces(values["login"]["authenticator"])
    assert c.JupyterHub.authenticator_class.__bases__[-1] is named_in_values.__bases__[-1]
    for trait, value in values["hub"]["config"].get("JupyterHub", {}).items():
        assert c.JupyterHub[trait] == value


@pytest.mark.parametrize("name", SITUATIONS)
def test_helm_renders_the_values_of_an_example(name):
    rendered = render(values_of(name), namespace="default")
    values = json.loads(rendered.one("ConfigMap", "values")["data"]["values.json"])
    assert values["gpuspawner"] == values_of(name)["gpuspawner"]
    for item in rendered:
        assert problems(item, VERSIONS[0]) == problems(item, VERSIONS[-1]) == []
    assert {pod: found for pod, template in rendered.pods().items() if (found := violations(template))} == {}


async def test_the_university_knows_students_and_staff_of_a_course_by_their_groups(
    example, cluster, tmp_path, provider, stored_logins, monkeypatch
):
    await provider.says("ada", groups=["course:cse151a:fa26"])
    await provider.says("turing", groups=["staff:cse151a:fa26"])
    port = random_port()
    login = {**provider.endpoints(), "oauth_callback_url": f"http://127.0.0.1:{port}/hub/oauth_callback"}
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", login.pop("client_secret"))
    database = {"type": "sqlite", "existingSecret": ""}
    changes = {"hub": {"config": {"GenericOAuthenticator": login}, "database": database}}
    hub = await example(from_values(values_of("university"), tmp_path, changes), port)
    for name in ("ada", "turing"):
        assert (await log_in_at_the_provider(hub.person(), name)).status == 200
    assert hub.groups("ada") == {"everyone", "cse151a-fa26"}
    assert managed_workspaces(hub.user("turing")) == {"cse151a-fa26"}
    assert await launch(hub, "ada", {"workspace": "cse151a-fa26", "profile": "pytorch", "gpu_class": "large"}) == ""
    assert classes(cluster) == ["large"]


async def test_a_course_of_the_learning_platform_decides_what_a_student_gets(example, cluster, tmp_path, monkeypatch):
    for course in ("cse151a-fa26", "cogs118b-fa26"):
        (tmp_path / f"{course}.csv").write_text(ROSTER)
    monkeypatch.setenv("ROSTERS", str(tmp_path))
    with learning_platform() as lms:
        port = random_port()
        lms.config(port)
        monkeypatch.setenv("LMS_ISSUER", lms.url)
        monkeypatch.setenv("LMS_AUTHORIZE_URL", f"{lms.url}/authorize")
        monkeypatch.setenv("LMS_JWKS_URL", f"{lms.url}/jwks")
        monkeypatch.setenv("LMS_CLIENT_ID", CLIENT_ID)
        hub = await example(from_file("learning-platform"), port)
        await lms.open_hub(hub.person(), "prof", "4711", INSTRUCTOR)
        page = await lms.open_hub(hub.person(), "ada", "4711", LEARNER)
        assert page.status == 200
    assert hub.groups("ada") == {"everyone", "cse151a-fa26"}
    assert managed_workspaces(hub.user("prof")) == {"cse151a-fa26"}
    assert managed_workspaces(hub.user("ada")) == set()

    large = {"workspace": "cse151a-fa26", "profile": "pytorch", "gpu_class": "large"}
    assert await launch(hub, "ada", large) == ""
    assert classes(cluster) == ["large"]
    told = await launch(hub, "ada", {**large, "gpu_class": "small"}, "second")
    assert "1 GPU each member may hold" in told
    await stop(hub, "ada")


async def test_the_hospitals_studies_are_open_to_their_rosters_alone(example, cluster, tmp_path, monkeypatch):
    (tmp_path / "cardiac-ct.csv").write_text(ROSTER + "ada,,manager,,\ngrace,,,,\nmallory,,,,2026-01-31\n")
    (tmp_path / "stroke-mri.csv").write_text(ROSTER + "grace,,,,\n")
    monkeypatch.setenv("HUB_PROXY_SECRET", SECRET)
    values = values_of("hospital", **{"/srv/studies": str(tmp_path)})
    hub = await example(from_values(values, tmp_path))

    async def log_in(name: str, affiliation: str = "staff@hospital.example.org") -> int:
        headers = {"X-Proxy-Secret": SECRET, "X-Remote-User": name, "X-Affiliation": affiliation}
        return (await hub.person().get("login", params={"next": "/hub/home"}, headers=headers)).status

    for name in ("ada", "grace", "mallory"):
        assert await log_in(name) == 200
    assert await log_in("officer", "privacy-office@hospital.example.org") == 200
    assert (await hub.person().get("login", headers={"X-Remote-User": "eve"})).status == 403
    assert current_workspaces(hub.user("grace")) == {"cardiac-ct", "stroke-mri"}
    assert managed_workspaces(hub.user("ada")) == {"cardiac-ct"}
    assert current_workspaces(hub.user("mallory")) == set()
    assert "do not belong to any workspace" in await launch(hub, "mallory", {})
    assert "do not belong to any workspace" in await launch(hub, "officer", {})

    cluster.store.create("configmaps", of_studies("ConfigMap", "hospital-ca", data={"ca.crt": "a certificate"}))
    for found in render(values, namespace="default").all("ConfigMap"):
        if found["metadata"]["namespace"] == "studies":
            cluster.store.create("configmaps", found)
    for claim in ("study-cardiac-ct", "study-stroke-mri"):
        _bound_claim(cluster, claim)
    assert await launch(hub, "grace", {"workspace": "stroke-mri"}) == ""
    [pod] = named(cluster, "pods", "studies").values()
    claims = {v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"] if "persistentVolumeClaim" in v}
    assert "study-stroke-mri" in claims
    assert "study-cardiac-ct" not in claims
    environment = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
    assert environment["HTTPS_PROXY"] == "http://192.0.2.10:3128"
    told = await launch(hub, "grace", {"workspace": "cardiac-ct"}, "second")
    assert "1 server" in told
    told = await launch(hub, "ada", {"image": "docker.io/library/python:3"})
    assert "offers no choice of image" in told


async def test_the_labs_groups_pay_from_a_pool_and_may_bring_an_image(example, cluster, tmp_path):
    async with directory(tmp_path / "ldap") as ldap:
        await ldap.add("cse151a", "mallory")
        login = {
            "server_address": "localhost",
            "server_port": ldap.port,
            "tls_kwargs": {"ca_certs_file": ldap.ca},
        }
        changes = {"hub": {"config": {"LDAPAuthenticator": login}}}
        hub = await example(from_values(values_of("lab"), tmp_path, changes))
        runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}}
        cluster.store.create("runtimeclasses.node.k8s.io", {**runtime, "handler": "nvidia"})
        await hub.login("grace", PASSWORD)
        await hub.login("mallory", PASSWORD)
    assert current_workspaces(hub.user("grace")) == {"protein-folding", "thesis"}
    assert current_workspaces(hub.user("mallory")) == {"thesis"}
    assert hub.user("grace").admin

    own = {"workspace": "protein-folding", "gpu_class": "a100", "image": "ghcr.io/our-lab/alphafold:3"}
    assert await launch(hub, "grace", own) == ""
    [pod] = named(cluster, "pods").values()
    assert pod["spec"]["containers"][0]["image"] == "ghcr.io/our-lab/alphafold:3"
    told = await launch(hub, "mallory", {"workspace": "thesis", "gpu_class": "a100"})
    assert "a100" in told.lower()
    assert await launch(hub, "mallory", {"workspace": "thesis", "gpu_class": "t4"}) == ""
    assert classes(cluster) == ["a100", "t4"]


async def test_the_cloud_takes_v100_by_the_label_that_its_nodes_have(example, cluster, tmp_path):
    values = values_of("cloud")
    values["login"], values["hub"] = {"authenticator": "dummy"}, {"config": {"Authenticator": {"allow_all": True}}}
    hub = await example(from_values(values, tmp_path))
    for manifest in render(values, namespace="default").all("PriorityClass"):
        cluster.store.create("priorityclasses.scheduling.k8s.io", manifest)
    await hub.login("ada", "any")
    assert await launch(hub, "ada", {"profile": "pytorch"}) == ""
    [pod] = named(cluster, "pods").values()
    terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [[one["key"] for one in term["matchExpressions"]] for term in terms["nodeSelectorTerms"]] == [
        ["nvidia.com/gpu.product"],
        ["cloud.google.com/gke-accelerator"],
    ]


async def test_the_one_machine_gives_its_gpu_to_whoever_has_an_account(example, cluster, tmp_path):
    """But for its engine's folder, its proxy and the machine's accounts, which other tests log in with."""
    c = from_file("one-machine")
    assert c.JupyterHub.authenticator_class.__bases__[-1] is with_workspaces("pam").__bases__[-1]
    c.JupyterHub.authenticator_class = with_workspaces("dummy")
    c.Authenticator.allow_all = True
    c.JupyterHub.pop("proxy_class")
    assert c.GPUSpawner.connect == {"kubeconfig": "/var/lib/gpuspawner/kubeconfig"}
    c.GPUSpawner.connect = {"kubeconfig": str(tmp_path / "kubeconfig")}
    hub = await example(c)
    await hub.login("ada", "any")
    assert await launch(hub, "ada", {"profile": "gpu"}) == ""
    assert classes(cluster) == ["gpu"]


async def test_a_launch_waits_until_kueue_admits_it_to_the_nodes_that_kueue_names(example, cluster, tmp_path):
    values = values_of("kueue")
    values["login"], values["hub"] = {"authenticator": "dummy"}, {"config": {"Authenticator": {"allow_all": True}}}
    hub = await example(from_values(values, tmp_path))
    await hub.login("ada", "any")
    kueue = StandInKueue(cluster)
    launching = asyncio.ensure_future(launch(hub, "ada", {"workspace": "teaching", "gpus": 1}))
    queued = await kueue.queued.get()
    assert queued["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "teaching"
    assert queued["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "interactive"
    async for event in hub.user("ada").spawners[""].progress():
        if "waits in the cluster's queue" in event["message"]:
            break
    assert not launching.done()
    kueue.admit(queued, {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"})
    assert await launching == ""
    await stop(hub, "ada")
    assert named(cluster, "pods") == {}


def of_studies(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """An object of the servers' namespace, made by hand."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "studies"}, **more}


def _bound_claim(cluster: Engine, name: str) -> None:
    """A claim that has its volume."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    cluster.store.create("persistentvolumeclaims", of_studies("PersistentVolumeClaim", name, spec=spec))
    cluster.store.update_status("persistentvolumeclaims", "studies", name, {"phase": "Bound"})
