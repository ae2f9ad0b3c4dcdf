"""Within Zero-to-JupyterHub: the values of examples/ in a hub as that chart starts it, in the image that they name."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from cluster import TINY_SERVER
from following import follow
from hub_image import IMAGE, ROOT
from hub_process import HubProcess
from jupyterhub.utils import random_port
from kubernetes_schemas import VERSIONS, problems
from rendering import merged
from stand_in_proxy import StandInProxy
from z2jh_release import HUB_RULES, NAMESPACE, RELEASE, become_its_hub, write_release

from gpuspawner.config import load_settings
from gpuspawner.local.engine import Engine
from gpuspawner.permissions import permissions
from gpuspawner.spawner import GPUSpawner

EXAMPLE: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "z2jh-values.yaml").read_text())
RBAC: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "examples" / "z2jh-rbac.yaml").read_text()))
THEIRS: dict[str, Any] = yaml.safe_load((ROOT / "tests" / "data" / "kubespawner" / "values.yaml").read_text())
"""A release as it was with KubeSpawner."""


def rules(kind: str) -> list[dict[str, Any]]:
    """The rules of the one role of a kind in the example."""
    [role] = [item for item in RBAC if item["kind"] == kind]
    found: list[dict[str, Any]] = role["rules"]
    return found


def allowed(*roles: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Every verb on every resource of some roles."""
    return {
        (group, resource, verb)
        for role in roles
        for rule in role
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_example_lets_the_hub_do_what_it_needs_beyond_what_that_chart_does_and_no_more():
    settings = load_settings(EXAMPLE["hub"]["config"]["GPUSpawner"], inherited=GPUSpawner.class_trait_names())
    needed = permissions(settings)
    everywhere = {(one.group, one.resource, one.verb) for one in needed if one.everywhere}
    here = {(one.group, one.resource, one.verb) for one in needed if not one.everywhere}
    assert allowed(rules("ClusterRole")) == everywhere
    assert allowed(rules("Role")) == here - allowed(HUB_RULES)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_the_roles(version):
    assert [found for item in RBAC for found in problems(item, version)] == []


def test_the_page_has_the_same_snippet_as_the_example():
    page = (ROOT / "docs" / "how-to" / "zero-to-jupyterhub.md").read_text()
    snippet = EXAMPLE["hub"]["extraConfig"]["zz-gpuspawner"]
    assert "\n".join(f"      {line}" if line else "" for line in snippet.splitlines()) in page


@pytest.fixture
async def hub(tmp_path: Path, wheel: Path) -> AsyncIterator[SimpleNamespace]:
    """That chart's hub after the upgrade, under its own service account."""
    engine = Engine(
        "t4=1x2 cpu=1",
        {"*": (sys.executable, TINY_SERVER)},
        data_dir=tmp_path / "engine",
        namespaces=[NAMESPACE],
        stop_grace=1.0,
    )
    await engine.start()
    await become_its_hub(engine, RBAC, tmp_path / "kubeconfig")
    # Its own login, and what a pod's service account tells of the namespace.
    here = {
        "JupyterHub": {"authenticator_class": "dummy"},
        "Authenticator": {"allow_all": True},
        "GPUSpawner": {"namespace": NAMESPACE},
    }
    file = write_release(merged(THEIRS, EXAMPLE, {"hub": {"config": here}}), tmp_path / "mounted")
    async with StandInProxy("token-of-the-proxy") as proxy:
        process = HubProcess.of_command(
            [str(IMAGE / "bin" / "python"), "-m", "jupyterhub", "--config", str(file), "--upgrade-db"],
            tmp_path / "data",
            proxy.url,
            PATH="/usr/bin:/bin",
            PYTHONPATH=str(wheel.with_name("installed")),
            KUBECONFIG=str(tmp_path / "kubeconfig"),
            POD_NAMESPACE=NAMESPACE,
            PROXY_API_URL=proxy.api_url,
            CONFIGPROXY_AUTH_TOKEN=proxy.token,
            HUB_URL=f"http://127.0.0.1:{random_port()}",
        )
        async with process:
            yield SimpleNamespace(process=process, engine=engine)
    await engine.stop()


async def test_a_server_with_a_gpu_is_launched_and_that_charts_network_policies_know_it(hub):
    ada = hub.process.person()
    assert await ada.log_in("ada", "any")
    ready = await follow(ada, "", {"profile": "pytorch"})
    assert ready.get("ready"), ready
    [pod] = hub.engine.store.list("pods", NAMESPACE)[0]
    assert (
        pod["metadata"]["labels"].items()
        >= {
            "app": "jupyterhub",
            "component": "singleuser-server",
            "release": RELEASE,
            "hub.jupyter.org/network-access-hub": "true",
        }.items()
    )
    assert pod["spec"]["containers"][0]["image"] == "quay.io/jupyter/pytorch-notebook:cuda12-2026-11-02"
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    claims = [volume["persistentVolumeClaim"] for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
    assert claims == [{"claimName": "claim-ada"}]
    assert "orbidden" not in hub.process.said
