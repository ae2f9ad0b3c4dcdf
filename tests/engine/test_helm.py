"""The real Helm (its Go SDK) on the engine, with a tiny chart: Deployment, Service, hooks and a test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helm_python import Config, HelmError
from running_engine import Lab, running_engine
from workloads import pods

CHART = Path(__file__).parent.parent / "data" / "tiny-chart"
LONGEST, WAIT = 40, "watcher"


@dataclass
class Helm:
    """Helm's commands on one engine, each in a thread of its own."""

    lab: Lab
    config: Config

    async def __call__(self, command: Callable[..., Any], *words: Any, **options: Any) -> Any:
        return await asyncio.to_thread(command, *words, timeout=LONGEST, **options)


@asynccontextmanager
async def helm_on_engine(folder: Path) -> AsyncIterator[Helm]:
    async with running_engine(folder / "engine") as lab:
        lab.engine.write_kubeconfig(folder / "kubeconfig", namespace="demo")
        with Config(kubeconfig_path=folder / "kubeconfig", namespace="demo") as config:
            yield Helm(lab, config)


def text(lab: Lab) -> str:
    return str(lab.store.get("configmaps", "demo", "one")["data"]["index.html"])


async def test_helm_installs_upgrades_rolls_back_and_uninstalls(tmp_path: Path) -> None:
    async with helm_on_engine(tmp_path) as helm:
        lab, config = helm.lab, helm.config
        assert (await helm(config.install, CHART, "one", {}, wait=WAIT))["status"] == "deployed"
        assert len(pods(lab)) == 1
        assert lab.store.get("jobs.batch", "demo", "one-before")["status"]["succeeded"] == 1
        await helm(config.upgrade, CHART, "one", {"text": "changed", "replicas": 2}, wait=WAIT)
        assert text(lab) == "changed"
        assert len(pods(lab)) == 2
        await helm(config.rollback, "one", wait=WAIT)
        assert text(lab) == "hello"
        assert lab.store.get("deployments.apps", "demo", "one")["status"]["readyReplicas"] == 1
        assert [one["revision"] for one in await asyncio.to_thread(config.history, "one")] == [1, 2, 3]
        await helm(config.uninstall, "one", wait=WAIT)
        left = {resource for resource in ("deployments.apps", "replicasets.apps", "services", "secrets")
                if lab.store.items(resource, "demo")}  # fmt: skip
        assert left == set()


async def test_an_upgrade_that_cannot_start_fails_and_is_undone(tmp_path: Path) -> None:
    async with helm_on_engine(tmp_path) as helm:
        await helm(helm.config.install, CHART, "one", {}, wait=WAIT)
        with pytest.raises(HelmError, match="must be greater than or equal to 0"):
            await helm(helm.config.upgrade, CHART, "one", {"replicas": -1}, wait=WAIT, rollback_on_failure=True)
        assert helm.lab.store.get("deployments.apps", "demo", "one")["spec"]["replicas"] == 1
        assert len(pods(helm.lab)) == 1
