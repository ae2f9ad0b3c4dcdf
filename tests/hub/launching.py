"""Launching and stopping servers through a hub's REST API, for the tests of GPUSpawner."""

import asyncio
from typing import Any

import aiohttp
from running_hub import RunningHub

from gpuspawner.local.engine import Engine


async def launch(hub: RunningHub, user: str, options: dict[str, Any], server: str = "") -> str:
    """Ask for a server, and wait until it runs or has failed; what was said where it was refused, else nothing."""
    where = f"users/{user}/servers/{server}" if server else f"users/{user}/server"
    answer = await hub.api("POST", where, json=options)
    spawner = hub.user(user).spawners.get(server)
    if answer.status == 202 and spawner is not None and spawner._spawn_future:
        starting = spawner._spawn_future  # which is gone from the spawner once it has succeeded
        await asyncio.wait({starting})
        failed = starting.exception()
        return str(failed or "")
    return "" if answer.status in (201, 202) else str((await answer.json())["message"])


async def stop(hub: RunningHub, user: str, server: str = "", **options: Any) -> None:
    """Stop a server, and wait until it has stopped; ``remove=True`` deletes a named one."""
    where = f"users/{user}/servers/{server}" if server else f"users/{user}/server"
    answer = await hub.api("DELETE", where, json=options or None)
    assert answer.status in (202, 204), await answer.text()
    spawner = hub.user(user).spawners.get(server)
    stopping = getattr(spawner, "_stop_future", None)
    if stopping:
        await asyncio.wait({stopping})


async def environment(hub: RunningHub, user: str, server: str = "") -> dict[str, str]:
    """The environment of a running server's process, whose paths are folders of this machine."""
    url = hub.user(user).spawners[server].server.url
    async with aiohttp.ClientSession() as session, session.get(url + "env") as answer:
        found: dict[str, str] = await answer.json()
        return found


async def from_inside(hub: RunningHub, method: str, path: str, server: str = "", **kwargs: Any) -> tuple[int, Any]:
    """A request from within a server, with nothing but what its environment has."""
    inside = await environment(hub, "ada", server)
    headers = {"Authorization": f"token {inside['JUPYTERHUB_API_TOKEN']}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{inside['JUPYTERHUB_API_URL']}/gpuspawner/{path}", **kwargs) as answer,
    ):
        return answer.status, await answer.json()


def named(engine: Engine, resource: str, namespace: str | None = "default") -> dict[str, dict[str, Any]]:
    """The objects of a resource by name."""
    return {found["metadata"]["name"]: found for found in engine.store.list(resource, namespace)[0]}
