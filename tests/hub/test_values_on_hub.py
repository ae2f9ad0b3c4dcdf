"""From values to a hub: the chart rendered by Helm, its files as mounted, a real hub process on the embedded engine."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from cluster import TINY_SERVER
from following import follow
from hub_account import Account
from hub_process import HubProcess
from jupyterhub.utils import random_port
from launching import named
from rendering import Manifests, decoded, render
from running_engine import running_engine
from running_hub import Person
from stand_in_proxy import StandInProxy

from gpuspawner.local.engine import Engine


@dataclass
class Installed:
    """A release whose hub runs."""

    hub: HubProcess
    proxy: StandInProxy
    engine: Engine
    secrets: dict[str, str]
    rendered: Manifests


@pytest.fixture(scope="module")
async def installed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installed]:
    """The chart with hardly a value but where everybody really listens: names of Services mean nothing here.

    To the cluster the hub is its service account, with the rendered roles and no more.
    """
    folder = tmp_path_factory.mktemp("installed")
    images = {"*": (sys.executable, TINY_SERVER)}
    async with (
        running_engine(folder / "engine", "a100=1x1 cpu=1", images, namespaces=["jupyter"]) as lab,
        StandInProxy() as proxy,
    ):
        connect = {"host": lab.engine.url, "token_file": str(folder / "token"), "ca": str(folder / "ca.crt")}
        here = f"http://127.0.0.1:{random_port()}"
        hub = {"JupyterHub": {"hub_bind_url": here, "hub_connect_url": here}}
        rendered = render(
            {
                "imagePullSecrets": [{"name": "registry"}],
                "monitoring": {"serviceMonitor": {"enabled": True}},
                "gpuspawner": {"connect": connect, "pod_template": {"metadata": {"labels": {"team": "platform"}}}},
                "hub": {
                    "baseUrl": "/jupyter/",
                    "config": {**hub, "ConfigurableHTTPProxy": {"api_url": proxy.api_url}},
                    "extraConfig": {"10-named": "c.JupyterHub.allow_named_servers = True"},
                },
            }
        )
        await Account(lab, rendered, folder).install()
        secrets = decoded(rendered.one("Secret", "secrets"))
        proxy.token = secrets["proxy-token"]
        async with HubProcess(rendered, folder, f"{proxy.url}/jupyter") as process:
            yield Installed(process, proxy, lab.engine, secrets, rendered)


async def log_in(installed: Installed) -> Person:
    """The first administrator."""
    admin = installed.hub.person()
    assert await admin.log_in("admin", installed.secrets["admin-password"])
    return admin


async def test_the_generated_password_lets_the_first_administrator_in_and_nobody_else(installed: Installed) -> None:
    assert not await installed.hub.person().log_in("admin", "admin")
    assert not await installed.hub.person().log_in("ada", installed.secrets["admin-password"])
    admin = await log_in(installed)
    assert (await admin.get("admin")).status == 200


async def test_a_first_launch_gives_a_notebook_that_people_reach_through_the_proxy(installed: Installed) -> None:
    admin = await log_in(installed)
    ready = await follow(admin, "", {})
    assert ready.get("ready"), ready
    [pod] = named(installed.engine, "pods", "jupyter").values()
    assert pod["metadata"]["labels"]["gpuspawner/hub"] == "gpuspawner"
    assert pod["metadata"]["labels"]["gpuspawner/profile"] == "notebook"
    assert pod["metadata"]["labels"]["team"] == "platform"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    async with admin.session.get(f"{installed.proxy.url}/jupyter/user/admin/env") as answer:
        environment = await answer.json()
    assert environment["JUPYTERHUB_SERVICE_PREFIX"] == "/jupyter/user/admin/"


async def test_servers_and_logins_outlive_a_hub_that_is_restarted_with_the_same_files(installed: Installed) -> None:
    admin = await log_in(installed)
    assert "Start another one" in await (await admin.get("home")).text()  # a snippet allows it
    before = {name: pod["metadata"]["uid"] for name, pod in named(installed.engine, "pods", "jupyter").items()}
    assert before
    await installed.hub.stop()
    async with admin.session.get(f"{installed.proxy.url}/jupyter/user/admin/env") as answer:
        assert answer.status == 200  # people go on working meanwhile
    await installed.hub.start()
    page = await admin.get("home", allow_redirects=False)
    assert page.status == 200
    async with admin.session.get(installed.hub.url / "api/users/admin", headers=admin.xsrf_header()) as answer:
        servers = (await answer.json())["servers"]
    assert servers[""]["ready"]
    assert before == {name: pod["metadata"]["uid"] for name, pod in named(installed.engine, "pods", "jupyter").items()}


async def test_prometheus_reads_the_metrics_with_its_token_which_opens_nothing_else(installed: Installed) -> None:
    [endpoint] = installed.rendered.one("ServiceMonitor", "hub")["spec"]["endpoints"]
    secret = endpoint["authorization"]["credentials"]
    headers = {"Authorization": f"{endpoint['authorization']['type']} {installed.secrets[secret['key']]}"}
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{installed.proxy.url}{endpoint['path']}") as answer:
            assert answer.status == 403
        async with session.get(f"{installed.proxy.url}{endpoint['path']}", headers=headers) as answer:
            assert answer.status == 200
            assert 'gpuspawner_gpus{gpu_class="gpu",state="free"}' in await answer.text()
        async with session.get(installed.hub.url / "api/users", headers=headers) as answer:
            assert answer.status == 403


async def test_helm_test_launches_a_server_that_answers_through_the_proxy_and_stops_it(installed: Installed) -> None:
    [container] = installed.rendered.one("Pod", "smoke-test")["spec"]["containers"]
    here = {"--hub": f"{installed.hub.url}/api", "--url": installed.proxy.url}
    words = [
        f"{name}={here.get(name, value)}" for name, _, value in (w.partition("=") for w in container["command"][2:])
    ]
    [token] = [one["valueFrom"]["secretKeyRef"]["key"] for one in container["env"] if "valueFrom" in one]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gpuspawner.cli", container["command"][1], *words,
        env={**os.environ, "JUPYTERHUB_API_TOKEN": installed.secrets[token]},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert "smoke-test launches notebook in everyone" in said
    assert f"It answers at {installed.proxy.url}/jupyter/user/smoke-test/." in said
    assert not [name for name in named(installed.engine, "pods", "jupyter") if "smoke" in name]


def test_nothing_secret_is_in_the_hubs_log(installed: Installed) -> None:
    assert "JupyterHub" in installed.hub.said
    for name, secret in installed.secrets.items():
        assert secret not in installed.hub.said, name
