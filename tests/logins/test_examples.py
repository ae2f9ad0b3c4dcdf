"""The examples of whole institutions start as they are, log people in at a real provider, and give them their GPUs."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cluster import TINY_SERVER
from directory import PASSWORD, directory
from jupyterhub.utils import random_port
from launching import launch, named, stop
from learning_platform import CLIENT_ID, INSTRUCTOR, LEARNER, learning_platform
from traitlets.config import Config

from gpuspawner.authenticator import current_workspaces, managed_workspaces
from gpuspawner.local.engine import Engine

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRET = "0123456789abcdef" * 2
ROSTER = "user,email,role,from,to\n"


@pytest.fixture
async def cluster(tmp_path, monkeypatch) -> AsyncIterator[Engine]:
    """A cluster that has every image, with two A100 and two T4; the default kubeconfig names it."""
    engine = Engine(
        nodes="a100=1x2 t4=1x2 cpu=1", images={"*": (sys.executable, TINY_SERVER)}, data_dir=tmp_path / "engine"
    )
    await engine.start()
    engine.write_kubeconfig(tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    yield engine
    await engine.stop()


@pytest.fixture
def example(start_hub, cluster) -> Callable[..., Any]:
    """Start a hub with the configuration of an example; only where it listens is the test's own."""

    async def start(name: str, hub_port: int | None = None) -> Any:
        c = Config()
        file = EXAMPLES / name / "jupyterhub_config.py"
        exec(compile(file.read_text(), file, "exec"), {"get_config": lambda: c, "__file__": str(file)})  # noqa: S102
        c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub_port or random_port()}/hub/"
        c.JupyterHub.allow_named_servers = True
        return await start_hub({section: dict(traits) for section, traits in c.items()})

    return start


def classes(cluster: Engine) -> list[str]:
    """The GPU classes that the pods of the cluster were launched for."""
    return sorted(pod["metadata"]["labels"]["gpuspawner/gpu-class"] for pod in named(cluster, "pods").values())


async def test_the_universitys_courses_decide_what_a_student_gets(example, cluster, tmp_path, monkeypatch):
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
        hub = await example("university", port)
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
    monkeypatch.setenv("STUDIES", str(tmp_path))
    monkeypatch.setenv("HUB_PROXY_SECRET", SECRET)
    hub = await example("hospital")

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

    for claim in ("study-cardiac-ct", "study-stroke-mri"):
        _bound_claim(cluster, claim)
    assert await launch(hub, "grace", {"workspace": "stroke-mri"}) == ""
    [pod] = named(cluster, "pods").values()
    claims = {v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"] if "persistentVolumeClaim" in v}
    assert "study-stroke-mri" in claims
    assert "study-cardiac-ct" not in claims
    told = await launch(hub, "grace", {"workspace": "cardiac-ct"}, "second")
    assert "1 server" in told
    told = await launch(hub, "ada", {"image": "docker.io/library/python:3"})
    assert "offers no choice of image" in told


async def test_the_labs_groups_pay_from_a_pool_and_may_bring_an_image(example, cluster, tmp_path, monkeypatch):
    async with directory(tmp_path / "ldap") as ldap:
        await ldap.add("cse151a", "mallory")
        monkeypatch.setenv("LDAP_SERVER", "localhost")
        monkeypatch.setenv("LDAP_PORT", str(ldap.port))
        monkeypatch.setenv("LDAP_CA", ldap.ca)
        hub = await example("lab-group")
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


def _bound_claim(cluster: Engine, name: str) -> None:
    """A claim that somebody has made by hand, and that has its volume."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": name, "namespace": "default"}
    manifest = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
    cluster.store.create("persistentvolumeclaims", manifest)
    cluster.store.update_status("persistentvolumeclaims", "default", name, {"phase": "Bound"})
