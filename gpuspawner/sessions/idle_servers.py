"""Idle servers and JupyterHub: what it knows of their activity, what they are asked to report, and the downgrade."""

import asyncio
import logging
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

from jupyterhub import orm
from sqlalchemy.orm import Session

from gpuspawner._compat import SpawnRefused
from gpuspawner.activity.prometheus import PrometheusSource
from gpuspawner.activity.watch import DOWNGRADED, IdleWatch
from gpuspawner.config import Settings
from gpuspawner.errors import LaunchError
from gpuspawner.launcher import Launcher
from gpuspawner.notebook.reporter import EVERY, URL
from gpuspawner.sessions.idle import IdlePolicy
from gpuspawner.sessions.notices import Level, Notice
from gpuspawner.sessions.sessions import Sessions
from gpuspawner.sessions.stopping import start_server, stop_server

__all__ = ["begin_watch", "report_variables", "stop_or_downgrade"]

logger = logging.getLogger(__name__)

_IDLE_WATCH = "gpuspawner_idle"
"""Where the settings of JupyterHub's web application hold the :class:`IdleWatch`."""

_Key = tuple[str, str]


def begin_watch(hub: MutableMapping[str, Any], launcher: Launcher, sessions: Sessions, db: Session) -> None:
    """Look after idle servers, where any server of this hub could end for that."""
    settings = launcher.settings
    if not _in_force(settings):
        return
    policy = settings.idle or IdlePolicy()
    source = PrometheusSource(policy.prometheus, policy.every) if policy.prometheus else None
    watch = IdleWatch(settings, launcher.view, sessions, clock=launcher.now, activity=_activity(db), source=source)
    hub[_IDLE_WATCH] = watch
    watch.begin()


def report_variables(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which a server is asked to report its use, given those that JupyterHub has for it."""
    if not _in_force(settings):
        return {}
    every = (settings.idle or IdlePolicy()).every
    return {URL: f"{environment['JUPYTERHUB_API_URL'].rstrip('/')}/gpuspawner/activity", EVERY: str(every)}


def _in_force(settings: Settings) -> bool:
    some = (profile.idle for profile in settings.catalog.profiles.values())
    return settings.idle is not None or settings.profiles_by_user or any(some)


def _activity(db: Session) -> Callable[[], Mapping[_Key, datetime]]:
    """When each server was last active, as JupyterHub keeps it: in UTC, without saying so."""

    def activity() -> Mapping[_Key, datetime]:
        query = db.query(orm.User.name, orm.Spawner.name, orm.Spawner.last_activity)
        found = query.join(orm.Spawner, orm.Spawner.user_id == orm.User.id).filter(orm.Spawner.server_id.is_not(None))
        return {(user, server): at.replace(tzinfo=UTC) for user, server, at in found if at is not None}

    return activity


async def stop_or_downgrade(
    hub: Mapping[str, Any], sessions: Callable[[], Sessions], user: str, server: str, cause: LaunchError
) -> bool:
    """Stop a server as :func:`stop_server` does; one that is downgraded starts again without GPU, in the background."""
    downgrade = _downgrade(hub, sessions(), user, server) if cause.code == DOWNGRADED else None
    stopped = await stop_server(hub, user, server, cause)
    if stopped and downgrade is not None:
        task = asyncio.create_task(_start_again(hub, sessions(), user, server, cause, downgrade))
        _STARTING.add(task)
        task.add_done_callback(_STARTING.discard)
    return stopped


_STARTING: set[asyncio.Task[None]] = set()


def _downgrade(hub: Mapping[str, Any], sessions: Sessions, user: str, server: str) -> dict[str, Any] | None:
    """The options of the launch without GPU, for the time that was left; None where the server does not run."""
    lease = sessions.lease(user, server)
    spawner = hub["users"][user].spawners.get(server) if user in hub["users"] else None
    if lease is None or spawner is None:
        return None
    options = {key: value for key, value in (spawner.user_options or {}).items() if key != "gpu_class"}
    profile = sessions.settings.catalog.profiles.get(lease.profile)
    left = round((lease.ends - sessions.now()).total_seconds())
    if profile is not None:
        left = min(max(left, profile.runtime.min), profile.runtime.max)
    return {**options, "workspace": lease.workspace, "profile": lease.profile, "gpus": 0, "runtime": max(1, left)}


async def _start_again(
    hub: Mapping[str, Any], sessions: Sessions, user: str, server: str, cause: LaunchError, options: dict[str, Any]
) -> None:
    name = f"Your server {server}" if server else "Your server"
    try:
        await start_server(hub, user, server, options)
    except Exception as error:
        logger.exception("%s/%s is not started again without its GPU", user, server)
        refused = error.error if isinstance(error, SpawnRefused) else LaunchError("", "Start it again.")
        told = f"{name} was stopped. {cause.reason} It could not be started again without GPU. "
        told += f"{refused.reason} {refused.remedy}".strip()
        level = Level.DANGER
    else:
        told = (
            f"{name} was started again without its GPU. {cause.reason} Your files are as they were; what was in memory "
            "is gone. Stop it and start it with a GPU when you need one."
        )
        level = Level.WARNING
    sessions.notices.tell(
        Notice(
            kind=DOWNGRADED,
            user=user,
            server=server,
            at=sessions.now(),
            level=level,
            sentence=told,
            data={"cause": cause.code},
        )
    )
