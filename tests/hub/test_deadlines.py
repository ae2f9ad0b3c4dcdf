"""The deadlines of a launch in a real hub: from its profile and its member, known before JupyterHub reads them."""

from collections.abc import Callable
from typing import Any

import pytest
from cluster import SECTION

from gpuspawner.spawner import GPUSpawner

PROFILES = {
    "cpu": {
        **SECTION["profiles"]["cpu"],
        "wait": {"default": "10m", "max": "2h"},
        "deadlines": {"node": "5m", "storage": "1m", "image": "1h", "setup": "2m", "answer": "30s"},
    }
}
PHASES = 5 * 60 + 60 + 3600 + 2 * 60 + 30 + 60


@pytest.fixture
def read_by_jupyterhub(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """``start_timeout`` as it is when JupyterHub calls ``start()``, which is where it reads it."""
    seen: list[int] = []
    start: Callable[[GPUSpawner], Any] = GPUSpawner.start

    def noted(self: GPUSpawner) -> Any:
        seen.append(self.start_timeout)
        return start(self)

    monkeypatch.setattr(GPUSpawner, "start", noted)
    return seen


async def test_jupyterhub_gives_a_launch_the_time_that_its_profile_and_its_member_allow(
    start_gpu_hub: Any, read_by_jupyterhub: list[int]
) -> None:
    hub = await start_gpu_hub(profiles=PROFILES, workspaces={"everyone": {"members": "*"}}, start_timeout=10**6)
    await hub.login("ada", "x")
    for options in ({"profile": "cpu"}, {"profile": "cpu", "wait": "2h"}, {"profile": "cpu", "wait": "1m"}):
        answer = await hub.api("POST", "users/ada/server", json=options)
        assert answer.status in (201, 202), await answer.text()
        await hub.api("DELETE", "users/ada/server")
    assert read_by_jupyterhub == [PHASES + 600, PHASES + 7200, PHASES + 60]


async def test_a_site_may_bound_all_of_a_launch(start_gpu_hub: Any, read_by_jupyterhub: list[int]) -> None:
    hub = await start_gpu_hub(profiles=PROFILES, workspaces={"everyone": {"members": "*"}}, start_timeout=300)
    await hub.login("ada", "x")
    await hub.api("POST", "users/ada/server", json={"profile": "cpu"})
    assert read_by_jupyterhub == [300]


async def test_nobody_waits_longer_than_their_profile_allows(start_gpu_hub: Any) -> None:
    hub = await start_gpu_hub(profiles=PROFILES, workspaces={"everyone": {"members": "*"}})
    await hub.login("ada", "x")
    answer = await hub.api("POST", "users/ada/server", json={"profile": "cpu", "wait": "3h"})
    message = (await answer.json())["message"]
    assert (answer.status, message) == (
        400,
        "Not started: You asked for a wait of 3 h; the profile CPU allows 1 min to 2 h. Ask for at most 2 h.",
    )


async def test_a_site_s_own_hook_still_runs_and_its_timeout_counts(
    start_gpu_hub: Any, read_by_jupyterhub: list[int]
) -> None:
    async def hook(spawner: GPUSpawner) -> None:
        spawner.environment["FROM_THE_HOOK"] = "1"
        spawner.start_timeout = 222

    hub = await start_gpu_hub(
        profiles=PROFILES, workspaces={"everyone": {"members": "*"}}, start_timeout=10**6, pre_spawn_hook=hook
    )
    await hub.login("ada", "x")
    await hub.api("POST", "users/ada/server", json={"profile": "cpu"})
    assert read_by_jupyterhub == [222]
    assert hub.user("ada").spawner.get_env()["FROM_THE_HOOK"] == "1"
