"""Whatever single rule of the chart's roles is left out, something that the hub does fails: none is one too many.

What the hub does is done by its own launcher and sessions, whose client shows the service account's token.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hub_account import Account, account_of
from rendered_roles import NAMESPACE, OBJECTS, granted, manifests

from gpuspawner.cluster.client import ApiError
from gpuspawner.config import load_settings
from gpuspawner.errors import LaunchError
from gpuspawner.feed import Feed
from gpuspawner.labels import QUEUE
from gpuspawner.launcher import Launcher
from gpuspawner.permissions import Permission
from gpuspawner.pod import Server
from gpuspawner.request import LaunchRequest
from gpuspawner.sessions.notices import Notices
from gpuspawner.sessions.sessions import Sessions

ENVIRONMENT = {"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/", "JUPYTERHUB_API_TOKEN": "secret"}
SERVER = Server(ENVIRONMENT, None, [])
TEMPLATES = "resourceclaimtemplates.resource.k8s.io"
PATIENCE = 20.0
NUMBERS = count(1)
PROFILE: dict[str, Any] = {
    "image": "example.org/notebook:1",
    "cpu": {"default": 1, "max": 1},
    "memory": {"default": "1G", "max": "1G"},
    "runtime": {"default": "1h", "max": "1h"},
    "extend_to": "2h",
}
GPUS = {"gpu_classes": ["a100"], "gpus": {"default": 1, "max": 1}}
SECTION: dict[str, Any] = {
    "hub_name": "gpuspawner",
    "namespace": NAMESPACE,
    "gpu_classes": {"a100": {"accepts": [{"device_class": "gpu.nvidia.com", "product": "NVIDIA A100-SXM4-80GB"}]}},
    "profiles": {"cpu": PROFILE, "gpu": PROFILE | GPUS, "mute": PROFILE | {"image": "example.org/mute:1"}},
    "workspaces": {"everyone": {"members": "*"}},
}
APART = {"user_namespaces": {"name": "jupyter-{username}", "delete_with_user": True, "objects": OBJECTS}}
SECTIONS: dict[str, dict[str, Any]] = {
    "everything": {
        "services": True,
        "storage": {"delete_with_user": True},
        "pod_template": {"metadata": {"labels": {QUEUE: "teaching"}}},
    },
    "devices-own-namespace": {},
    "user-namespaces": APART,
}
"""What the hub is configured with besides, by variant of the chart's values."""


async def no_second_try(seconds: float) -> None:
    raise AssertionError("the hub would try again")


class Desk:
    """A user of one test, and hubs that are the chart's service account."""

    def __init__(self, account: Account, variant: str, folder: Path, log: pytest.LogCaptureFixture) -> None:
        self.account, self.store, self.log = account, account.store, log
        self.user = f"user{next(NUMBERS)}"
        self.pod = f"jupyter-{self.user}"
        changes = SECTIONS[variant]
        self.namespace = self.pod if "user_namespaces" in changes else NAMESPACE
        ledger = f"sqlite:///{folder}/{self.user}.sqlite"
        section = {**SECTION, **changes, "connect": account.connect, "ledger_url": ledger}
        self._settings = load_settings(section)
        self._launchers: list[Launcher] = []

    async def hub(self) -> Launcher:
        """A hub that has just started."""
        launcher = Launcher(self._settings, owned=lambda user, server: True)
        launcher.objects._sleep = launcher.provision._sleep = no_second_try
        self._launchers.append(launcher)
        launcher.begin()
        async with asyncio.timeout(PATIENCE):
            await launcher.view.started()
        return launcher

    def asked(self, profile: str = "cpu") -> LaunchRequest:
        options: dict[str, Any] = {"user": self.user, "server": "", "workspace": "everyone", "profile": profile}
        options |= {"gpu_classes": ("a100",), "gpus": 1} if profile == "gpu" else {"gpu_classes": (), "gpus": 0}
        options |= {"cpu": 1.0, "memory": 10**9, "runtime": 3600}
        return LaunchRequest(**options, image=self._settings.catalog.profiles[profile].image)

    async def launch(self, hub: Launcher, profile: str = "cpu") -> Any:
        return await hub.launch(self.asked(profile), SERVER, Feed().tell, PATIENCE)

    async def stop(self, hub: Launcher) -> None:
        await hub.stop(self.user, "", 0)
        while hub._tasks:
            await asyncio.wait(set(hub._tasks))

    def left(self, *resources: str) -> list[str]:
        """What is there of the user's server."""
        return [resource for resource in resources if self.pod in self.account.names(resource)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds that the hub does in the background."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - in the hub's objects
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        for launcher in self._launchers:
            await launcher.close()
        for stored in self.store.items("pods"):
            self.store.delete("pods", stored.namespace, stored.name, grace_seconds=0)


Deed = Callable[[Desk], Awaitable[None]]


async def launch_and_stop(desk: Desk) -> None:
    hub = await desk.hub()
    await desk.launch(hub)
    assert desk.left("pods", "secrets") == ["pods", "secrets"]
    await desk.stop(hub)
    assert desk.left("pods", "secrets") == []


async def launch_where_a_hub_has_crashed(desk: Desk) -> None:
    """Its pod and Secret are there, the home and the user's namespace, too."""
    await desk.launch(await desk.hub())
    hub = await desk.hub()
    first = hub.view.pod(desk.namespace, desk.pod)
    assert first is not None
    assert (await desk.launch(hub)).uid != first.uid


async def launch_on_a_device(desk: Desk) -> None:
    hub = await desk.hub()
    pod = await desk.launch(hub, "gpu")
    assert desk.left(TEMPLATES) == [TEMPLATES]
    if hub.capacity().live:
        await desk.until(lambda: hub.view.class_of(pod, hub.settings.catalog) == "a100")
    await desk.stop(hub)
    assert desk.left(TEMPLATES) == []


async def launch_on_a_device_where_a_hub_has_crashed(desk: Desk) -> None:
    await desk.launch(await desk.hub(), "gpu")
    await desk.launch(await desk.hub(), "gpu")


async def publish_a_service(desk: Desk) -> None:
    hub = await desk.hub()
    pod = await desk.launch(hub)
    metadata = desk.store.get("pods", pod.namespace, pod.name)["metadata"]
    server = replace(SERVER, host=f"{desk.pod}.example.org")
    await hub.provision.publish(desk.asked(), server, {"metadata": metadata})
    assert desk.left("services") == ["services"]


async def publish_a_service_where_a_hub_has_crashed(desk: Desk) -> None:
    await desk.account.leave("services", desk.pod, spec={"ports": [{"port": 1}]})
    await publish_a_service(desk)
    ports = desk.store.get("services", desk.namespace, desk.pod)["spec"]["ports"]
    assert [port["port"] for port in ports] == [8888]


async def show_the_log_of_a_server_that_does_not_answer(desk: Desk) -> None:
    hub = await desk.hub()
    server = replace(SERVER, answers_within=0.3)
    with pytest.raises(LaunchError) as raised:
        await hub.launch(desk.asked("mute"), server, Feed().tell, PATIENCE)
    assert "waiting for the licence server" in raised.value.detail


async def hear_events(desk: Desk) -> None:
    hub = await desk.hub()
    with hub.events.follow(desk.namespace, desk.pod) as follower:
        await desk.launch(hub)
        await desk.until(lambda: follower.events or "The watch of events" in desk.log.text)
        assert follower.events


async def extend(desk: Desk) -> None:
    hub = await desk.hub()
    await desk.launch(hub)

    async def stop(*_: object) -> bool:
        return True

    sessions = Sessions(hub.settings, hub.client, hub.view, clock=hub.now, stop=stop, notices=Notices())
    sessions.follow(desk.user, "")
    lease = await sessions.extend(desk.user, "", 1800)
    assert lease.runtime == 5400


async def delete_a_user(desk: Desk) -> None:
    hub = await desk.hub()
    await desk.launch(hub)
    await desk.stop(hub)
    await hub.provision.delete_kept(desk.user, "")
    assert f"claim-{desk.user}" not in desk.account.names("persistentvolumeclaims")
    assert desk.pod not in desk.account.names("namespaces")


async def ask_kueue(desk: Desk) -> None:
    hub = await desk.hub()
    try:
        await hub.client.pending_workloads(NAMESPACE, "teaching")
    except ApiError as error:
        if error.status != 404:  # it may ask; the engine has no Kueue
            raise


def hear_of(resource: str, key: str, **content: Any) -> Deed:
    """The hub learns of an object of the cluster that is made while it runs."""

    async def hear(desk: Desk) -> None:
        hub = await desk.hub()
        (watch,) = [watch for watch in hub.view.watches if watch.resource == resource]
        namespace = None
        metadata = {"name": f"new-{desk.user}"}
        if resource in ("pods", "resourceclaims"):
            namespace = metadata["namespace"] = watch.namespace or "default"
        desk.store.create(key, {"metadata": metadata, **content})
        await desk.until(lambda: watch.knows((namespace or "", metadata["name"])) or watch.outage)
        assert watch.outage is None, watch.outage.reason
        desk.store.delete(key, namespace, metadata["name"], grace_seconds=0)

    hear.__name__ = f"hear_of_{resource}"
    return hear


CONTAINERS = [{"name": "main", "image": "example.org/silent:1"}]
HEAR_OF = {
    "nodes": hear_of("nodes", "nodes", spec={}, status={}),
    "pods": hear_of("pods", "pods", spec={"containers": CONTAINERS}, status={"phase": "Pending"}),
    "resourceclaims": hear_of("resourceclaims", "resourceclaims.resource.k8s.io", spec={}, status={}),
    "deviceclasses": hear_of("deviceclasses", "deviceclasses.resource.k8s.io", spec={}),
    "resourceslices": hear_of(
        "resourceslices",
        "resourceslices.resource.k8s.io",
        spec={
            "driver": "other",
            "nodeName": "cpu-0",
            "pool": {"name": "other", "generation": 1, "resourceSliceCount": 1},
        },
    ),
}
NEEDS: dict[tuple[str, str], Deed] = {
    ("pods", "create"): launch_and_stop,
    ("pods", "delete"): launch_and_stop,
    ("pods", "get"): launch_where_a_hub_has_crashed,
    ("pods", "patch"): extend,
    ("pods/log", "get"): show_the_log_of_a_server_that_does_not_answer,
    ("events", "list"): hear_events,
    ("events", "watch"): hear_events,
    ("secrets", "create"): launch_and_stop,
    ("secrets", "delete"): launch_and_stop,
    ("secrets", "get"): launch_where_a_hub_has_crashed,
    ("persistentvolumeclaims", "create"): launch_and_stop,
    ("persistentvolumeclaims", "get"): launch_where_a_hub_has_crashed,
    ("persistentvolumeclaims", "list"): delete_a_user,
    ("persistentvolumeclaims", "delete"): delete_a_user,
    ("services", "create"): publish_a_service,
    ("services", "get"): publish_a_service_where_a_hub_has_crashed,
    ("services", "delete"): publish_a_service_where_a_hub_has_crashed,
    ("resourceclaimtemplates", "create"): launch_on_a_device,
    ("resourceclaimtemplates", "delete"): launch_on_a_device,
    ("resourceclaimtemplates", "get"): launch_on_a_device_where_a_hub_has_crashed,
    ("localqueues/pendingworkloads", "get"): ask_kueue,
    ("namespaces", "create"): launch_and_stop,
    ("namespaces", "get"): launch_where_a_hub_has_crashed,
    ("namespaces", "delete"): delete_a_user,
    ("networkpolicies", "create"): launch_and_stop,
    ("networkpolicies", "patch"): launch_and_stop,
    **{(resource, verb): deed for resource, deed in HEAR_OF.items() for verb in ("list", "watch")},
}
"""What a permission is for."""

CLUSTER_WIDE = {(resource, verb) for resource in ("pods", "resourceclaims") for verb in ("list", "watch")}
RULES = {
    (one.resource, one.verb, one.everywhere and (one.resource, one.verb) in CLUSTER_WIDE): (variant, one)
    for variant in reversed(SECTIONS)
    for one in granted(manifests(variant))
}
"""Each rule, with a variant of the values that has it; those of the ClusterRole that may be the Role's, in both."""
PERMISSIONS = [pytest.param(*found, id=f"{found[0]}-{found[1].verb}-{found[1].resource}") for found in RULES.values()]
DEEDS = [
    pytest.param(variant, deed, id=f"{variant}-{deed.__name__}")
    for variant, deed in dict.fromkeys((variant, NEEDS[one.resource, one.verb]) for variant, one in RULES.values())
]


@pytest.fixture(scope="module")
async def accounts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Callable[[str], Awaitable[Account]]]:
    """The account of a variant, on an engine of its own for all tests of it."""
    started: dict[str, Account] = {}
    async with AsyncExitStack() as stack:

        async def account(variant: str) -> Account:
            if variant not in started:
                folder = tmp_path_factory.mktemp(variant)
                started[variant] = await stack.enter_async_context(account_of(manifests(variant), folder))
            return started[variant]

        yield account


@pytest.fixture
async def desk(
    accounts: Any, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Desk]:
    variant = request.node.callspec.params["variant"]
    caplog.set_level("INFO", "gpuspawner")
    found = Desk(await accounts(variant), variant, tmp_path, caplog)
    yield found
    await found.close()


@pytest.mark.parametrize(("variant", "deed"), DEEDS)
async def test_with_the_charts_roles_the_hub_does_all_that_it_is_for(desk: Desk, variant: str, deed: Deed) -> None:
    await deed(desk)


@pytest.mark.parametrize(("variant", "left_out"), PERMISSIONS)
async def test_without_any_one_permission_something_fails(desk: Desk, variant: str, left_out: Permission) -> None:
    with desk.account.without(left_out), pytest.raises((LaunchError, ApiError, AssertionError)) as raised:
        await NEEDS[left_out.resource, left_out.verb](desk)
    said = f"{raised.value} {getattr(raised.value, 'detail', '')} {raised.value.__cause__} {desk.log.text}"
    assert f'cannot {left_out.verb} resource "{left_out.resource}"' in said
