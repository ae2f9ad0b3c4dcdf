"""A whole hub that is the chart's service account: it does everything with exactly the rules that are rendered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from cluster import name_services
from hub_account import Account, account_of, asking
from hub_fixtures import StartHub, no_hub_in_the_environment, start_hub
from launching import launch, stop
from rendered_roles import NAMESPACE, OBJECTS, granted, manifests
from running_hub import RunningHub
from traitlets.config import Config

from gpuspawner import configure, with_workspaces
from gpuspawner.bookkeeping.runs import FINALIZER
from gpuspawner.cluster.client import ApiError
from gpuspawner.labels import QUEUE
from gpuspawner.sessions.sessions import Sessions

__all__ = ["no_hub_in_the_environment", "start_hub"]

PROFILE: dict[str, Any] = {
    "image": "example.org/notebook:1",
    "runtime": {"default": "1h", "max": "1h"},
    "extend_to": "2h",
    "gpu_classes": ["a100"],
    "gpus": {"default": 0, "max": 1},
}
A100 = {"device_class": "gpu.nvidia.com", "product": "NVIDIA A100-SXM4-80GB"}
SECTION: dict[str, Any] = {
    "hub_name": "gpuspawner",
    "namespace": NAMESPACE,
    "start_timeout": 60,
    "gpu_classes": {"a100": {"accepts": [A100], "rate": 3600.0}},
    "profiles": {"gpu": PROFILE, "crash": PROFILE | {"image": "example.org/crash:1"}},
    "workspaces": {"everyone": {"members": "*", "budget": {"per_member": 1e9, "renews": "never"}}},
}
QUEUED = {"metadata": {"labels": {QUEUE: "teaching"}}}
CLAIM = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
GPU = {"profile": "gpu", "gpu_class": "a100", "gpus": 1}


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[Callable[[str], Any]]:
    """Start the engine with the roles of a variant of the chart's values."""
    async with AsyncExitStack() as stack:

        async def account(variant: str) -> Account:
            return await stack.enter_async_context(account_of(manifests(variant), tmp_path / "cluster"))

        yield account


async def started(start_hub: StartHub, account: Account, **changes: Any) -> RunningHub:
    """The hub, or the same hub anew."""
    c = Config({"GPUSpawner": {**SECTION, **changes, "connect": account.connect}, "Authenticator": {"allow_all": True}})
    c.JupyterHub.allow_named_servers = True
    c.JupyterHub.cleanup_servers = False
    configure(c)
    return await start_hub(c, authenticator=with_workspaces("dummy"))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - in the hub's objects
            await asyncio.sleep(0.01)


def bare(permissions: Any) -> set[tuple[str, str, str]]:
    return {(one.group, one.resource, one.verb) for one in permissions}


async def leave(account: Account, namespace: str, *, services: bool) -> None:
    """What a hub that crashed in the middle of a launch has left: all that it makes for a server."""
    await account.leave("secrets", "jupyter-ada", namespace)
    spec: dict[str, Any] = {"spec": {"devices": {"requests": [CLAIM]}}}
    await account.leave("resourceclaimtemplates", "jupyter-ada", namespace, spec=spec)
    if services:
        await account.leave("services", "jupyter-ada", namespace, spec={"ports": [{"port": 1}]})
    spec = {"containers": [{"name": "notebook", "image": "example.org/silent:1"}], "nodeName": "cpu-0"}
    await account.leave("pods", "jupyter-ada", namespace, spec=spec)


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("everything", {"services": True, "storage": {"delete_with_user": True}, "pod_template": QUEUED}),
        (
            "user-namespaces",
            {"user_namespaces": {"name": "jupyter-{username}", "delete_with_user": True, "objects": OBJECTS}},
        ),
    ],
)
async def test_a_hub_does_everything_with_exactly_the_rendered_rules(
    accounts: Any,
    start_hub: StartHub,
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    changes: dict[str, Any],
) -> None:
    account = await accounts(variant)
    name_services(account.engine, monkeypatch)
    where = "jupyter-ada" if "user_namespaces" in changes else NAMESPACE
    with asking(account, monkeypatch) as asked:
        hub = await started(start_hub, account, **changes)
        await hub.login("ada", "x")
        assert await launch(hub, "ada", GPU) == ""
        pod = account.store.get("pods", where, "jupyter-ada")
        assert FINALIZER in pod["metadata"]["finalizers"], "it is charged before it is gone"
        sessions: Sessions = hub.app.tornado_settings["gpuspawner_sessions"]
        assert (await sessions.extend("ada", "", 1800)).runtime == 5400
        assert "no module named torch" in await launch(hub, "ada", {"profile": "crash"}, server="crash")
        await until(lambda: account.names("pods") == account.names("secrets") == ["jupyter-ada"])

        hub = await started(start_hub, account, **changes)
        assert await hub.user("ada").spawner.poll() is None, "the server is found again"
        await stop(hub, "ada")
        await until(lambda: not account.names("pods"))
        assert not account.names("secrets")
        assert not account.names("resourceclaimtemplates.resource.k8s.io")
        await leave(account, where, services="services" in changes)
        assert await launch(hub, "ada", GPU) == "", "what is there already is taken over or replaced"
        await stop(hub, "ada")

        if "pod_template" in changes:  # what asks Kueue while a server waits in its queue; the engine has none
            with pytest.raises(ApiError, match="404"):
                await hub.app.tornado_settings["gpuspawner_launcher"].client.pending_workloads(NAMESPACE, "teaching")
        assert (await hub.api("DELETE", "users/ada")).status == 204
        await until(
            lambda: not account.names("persistentvolumeclaims") and "jupyter-ada" not in account.names("namespaces")
        )
    assert asked.denied == set()
    assert bare(asked.allowed) == bare(granted(account.rendered)), "and a rule that nothing needs would not be there"


async def test_without_cluster_wide_capacity_servers_run_and_nobody_sees_numbers(
    accounts: Any, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await accounts("devices-own-namespace")
    with asking(account, monkeypatch) as asked:
        hub = await started(start_hub, account)
        ada = await hub.login("ada", "x")
        form = await (await ada.get("spawn")).text()
        assert "free now" not in form
        assert await launch(hub, "ada", GPU) == ""
        hub = await started(start_hub, account)
        assert await hub.user("ada").spawner.poll() is None
        await stop(hub, "ada")
    tried = {("", "nodes", "list"), ("", "pods", "list"), ("resource.k8s.io", "resourceclaims", "list")}
    assert bare(asked.denied) == tried, "it looks whether it may see more, and goes on with what it may"
    assert all(one.everywhere for one in asked.denied)
