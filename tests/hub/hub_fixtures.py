"""A real JupyterHub for one test, with the authenticator and the configuration the test wants."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cluster import IMAGES, NODES, section
from running_hub import RunningHub
from traitlets.config import Config

from gpuspawner import configure, with_workspaces
from gpuspawner.local.engine import Engine

StartHub = Callable[..., Awaitable[RunningHub]]


@pytest.fixture(autouse=True)
def no_hub_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Tests that run inside somebody's JupyterHub, and files which plugins leave in the working directory."""
    for name in [name for name in os.environ if name.startswith(("JUPYTERHUB_", "CONFIGPROXY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return


@pytest.fixture
async def start_hub(tmp_path: Path) -> AsyncIterator[StartHub]:
    """Start a hub: ``await start_hub({"JupyterHub": {...}, "GPUSpawner": {...}}, authenticator=cls_or_name)``.

    A second call stops the first hub and starts a new one on the same database, as a restart does.
    """
    running: list[RunningHub] = []

    async def start(
        config: Mapping[str, Mapping[str, Any]] | None = None, *, authenticator: Any = "dummy"
    ) -> RunningHub:
        if running:
            await running.pop().stop()
        sections = {name: dict(section) for name, section in (config or {}).items()}
        sections.setdefault("JupyterHub", {}).setdefault("authenticator_class", authenticator)
        running.append(await RunningHub.start(tmp_path, sections))
        return running[-1]

    yield start
    for hub in running:
        await hub.stop()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """The embedded engine with two A100, two T4 and a node without GPU."""
    engine = Engine(nodes=NODES, images=IMAGES, data_dir=tmp_path / "engine", stop_grace=1.0)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
def kubespawner_on_engine(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make KubeSpawner use the engine, also where it has been imported or used before; the kubeconfig."""
    from kubernetes_asyncio.config import kube_config
    from kubespawner import KubeSpawner, clients

    kubeconfig = tmp_path / "kubeconfig"
    engine.write_kubeconfig(kubeconfig)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    monkeypatch.setattr(clients, "_client_cache", {})
    monkeypatch.setattr(KubeSpawner, "reflectors", {})
    clients.load_config.cache_clear()
    return kubeconfig


@pytest.fixture
async def start_gpu_hub(engine: Engine, start_hub: StartHub, tmp_path: Path) -> StartHub:
    """Start a hub with gpuspawner on the engine: ``await start_gpu_hub(namespace=..., ...)``.

    ``login`` holds the sections of another authenticator than JupyterHub's dummy.
    """

    async def start(
        *,
        hub: Mapping[str, Any] | None = None,
        authenticator: str = "dummy",
        login: Mapping[str, Mapping[str, Any]] | None = None,
        **changes: Any,
    ) -> RunningHub:
        c = Config(
            {
                "JupyterHub": {"allow_named_servers": True, "cleanup_servers": False, **(hub or {})},
                "GPUSpawner": section(engine, tmp_path, **changes),
                "Authenticator": {"allow_all": True},
            }
        )
        c.merge(Config({name: dict(traits) for name, traits in (login or {}).items()}))
        configure(c)
        return await start_hub(c, authenticator=with_workspaces(authenticator))

    return start
