"""Stopping a server through JupyterHub although nobody has asked for it over HTTP, and telling why."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from gpuspawner.errors import LaunchError

__all__ = ["stop_server"]

logger = logging.getLogger(__name__)


async def stop_server(hub: Mapping[str, Any], user_name: str, server: str, cause: LaunchError) -> bool:
    """Stop a server as JupyterHub's own handlers do; ``hub`` are the settings of its web application.

    Returns whether it runs no more. False where it is not ready to be stopped, as while it starts or while a hub that
    restarts checks it: a hub ends if a server is being stopped when it looks at its proxy for the first time.
    """
    if not _is_up(hub["app"]):
        return False
    try:
        user = hub["users"][user_name]
    except KeyError:
        return True
    spawner = user.spawners.get(server)
    if spawner is None or not spawner.active:
        return True
    if spawner.pending == "stop" and spawner._stop_future is not None:
        await asyncio.wait({spawner._stop_future})
        return not spawner.active
    if spawner.pending:
        return False
    spawner.ended_by = cause
    spawner._stop_pending = True
    spawner._stop_future = asyncio.ensure_future(_stop(hub["proxy"], user, server))
    try:
        await asyncio.shield(spawner._stop_future)
    finally:
        spawner._stop_future = None
        spawner._stop_pending = False
    return True


def _is_up(app: Any) -> bool:
    return bool(app._start_future.done())


async def _stop(proxy: Any, user: Any, server: str) -> None:
    try:
        await proxy.delete_user(user, server)
    except Exception:  # the hub removes routes of servers that do not run at its next look at the proxy
        logger.exception("The route to %s/%s is not deleted", user.name, server)
    await user.stop(server)


async def start_server(hub: Mapping[str, Any], user_name: str, server: str, options: dict[str, Any]) -> None:
    """Start a server as JupyterHub's own handlers do, and wait until it runs. Raises whatever keeps it from that."""
    user = hub["users"][user_name]
    starting = user.spawn(server, options=options)
    spawner = user.spawners[server]
    spawner._spawn_pending = True

    async def start() -> None:
        await starting
        spawner._proxy_pending = True
        try:
            await hub["proxy"].add_user(user, server)
        except Exception:
            await user.stop(server)
            raise
        finally:
            spawner._proxy_pending = False
        spawner.add_poll_callback(_stop, hub["proxy"], user, server)

    spawner._spawn_future = future = asyncio.ensure_future(start())
    try:
        await asyncio.wait({future})
    finally:
        spawner._spawn_pending = False
    if future.exception() is None:
        spawner._spawn_future = None
    future.result()
