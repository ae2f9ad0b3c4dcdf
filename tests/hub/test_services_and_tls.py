"""Servers that are reached by the DNS name of a Service, and by HTTPS with certificates for both sides."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from cluster import DOMAIN, name_services
from jupyterhub.utils import make_ssl_context
from launching import environment, launch, named, stop
from running_hub import ADMIN_TOKEN, RunningHub
from tornado.httpclient import AsyncHTTPClient

from gpuspawner.local.engine import Engine

CPU = {"profile": "cpu"}


@pytest.fixture
def cluster_dns(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of Services lead to the pods that they select, as in a cluster."""
    name_services(engine, monkeypatch)


@pytest.fixture
async def http_client_of_its_own() -> AsyncIterator[None]:
    """JupyterHub 5 speaks through one client for the whole loop, which takes its certificates when it is made."""
    AsyncHTTPClient().close()
    yield
    AsyncHTTPClient.configure(None)
    AsyncHTTPClient().close()


@asynccontextmanager
async def session(hub: RunningHub) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests with the certificate of the hub, which are the only ones that servers and the hub answer."""
    app = hub.app
    context = make_ssl_context(app.internal_ssl_key, app.internal_ssl_cert, cafile=app.internal_ssl_ca)
    connector = aiohttp.TCPConnector(ssl=context, resolver=aiohttp.ThreadedResolver())
    async with aiohttp.ClientSession(connector=connector) as made:
        yield made


async def test_a_server_with_a_service_is_reached_by_its_name(
    start_gpu_hub: Any, engine: Engine, cluster_dns: None
) -> None:
    hub = await start_gpu_hub(services=True, http_timeout=15)
    await hub.login("ada", "x")
    for _ in range(2):
        assert await launch(hub, "ada", CPU) == ""
        assert hub.user("ada").spawner.server.url.startswith(f"http://jupyter-ada.default{DOMAIN}:8888/")
        assert (await environment(hub, "ada"))["JUPYTERHUB_USER"] == "ada"
        await stop(hub, "ada")
        assert not named(engine, "services"), "the Service is gone with the pod"


async def test_somebody_elses_service_of_that_name_is_left_alone(
    start_gpu_hub: Any, engine: Engine, cluster_dns: None
) -> None:
    engine.store.create(
        "services", {"metadata": {"name": "jupyter-ada", "namespace": "default"}, "spec": {"selector": {"a": "b"}}}
    )
    hub = await start_gpu_hub(services=True, http_timeout=15)
    await hub.login("ada", "x")
    assert "services/jupyter-ada" in await launch(hub, "ada", CPU)
    assert named(engine, "services")["jupyter-ada"]["spec"]["selector"] == {"a": "b"}


async def test_with_internal_ssl_hub_and_server_show_each_other_certificates(
    http_client_of_its_own: None, start_gpu_hub: Any, engine: Engine, cluster_dns: None
) -> None:
    ssl_on = {"internal_ssl": True}
    hub = await start_gpu_hub(hub=ssl_on, http_timeout=15)
    headers = {"Authorization": f"token {ADMIN_TOKEN}"}
    async with session(hub) as client:
        assert (await client.post(hub.url / "api/users/ada", headers=headers)).status == 201
        answer = await client.post(hub.url / "api/users/ada/server", headers=headers, json=CPU)
        assert answer.status in (201, 202), await answer.text()
        spawner = hub.user("ada").spawner
        if spawner._spawn_future:
            await spawner._spawn_future
        url = spawner.server.url
        assert url.startswith(f"https://jupyter-ada.default{DOMAIN}:8888/")
        told = await (await client.get(url + "env")).json()
        assert told["JUPYTERHUB_SSL_KEYFILE"].endswith("/ssl.key")
    secret = named(engine, "secrets")["jupyter-ada"]["data"]
    assert {"ssl.key", "ssl.crt", "notebooks-ca_trust.crt", "JUPYTERHUB_API_TOKEN"} <= set(secret)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as stranger:
        with pytest.raises(aiohttp.ClientError):
            await stranger.get(url + "env")
    hub = await start_gpu_hub(hub=ssl_on, http_timeout=15)
    assert await hub.user("ada").spawner.poll() is None
    assert hub.user("ada").spawner.server.url == url, "a hub that restarts finds it again"
