"""The state of the GPUs for whoever asks; the same for the page and the API."""

from typing import Any

from jupyterhub.user import User

from gpuspawner.authenticator import current_workspaces
from gpuspawner.entitlement import WorkspaceOffer
from gpuspawner.reports.status import StatusReport, status_report
from gpuspawner.web.asking import Asking
from gpuspawner.web.entitled import offers_to

__all__ = ["status_for"]

_FIRST_SYNC = 5.0
_ANOTHER = "\0"
"""The name of no server: what all running ones hold counts."""


async def status_for(handler: Asking) -> StatusReport:
    """With what they could start themselves, for people. Raises ``LaunchError``, ``UnavailableError``."""
    launcher, user = handler.launcher, handler.current_user
    await launcher.synced(_FIRST_SYNC)
    mine = isinstance(user, User) and handler.reads_own(user.name)
    offers = await _offers(launcher, user) if mine else None
    return status_report(
        launcher.settings,
        launcher.live.now(()),
        launcher.gpus.now(),
        offers,
        waiting=launcher.gpus.waiting,
        unknown=launcher.view.capacity_unknown or "",
    )


async def _offers(launcher: Any, user: Any) -> tuple[WorkspaceOffer, ...]:
    settings, now = await user.spawner.my_settings(), launcher.now()
    return await offers_to(user.name, current_workspaces(user, now), settings, launcher, now, server=_ANOTHER)
