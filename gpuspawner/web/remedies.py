"""What would start instead of a launch that was refused or has failed, for a server as JupyterHub has it."""

import logging
from collections.abc import Mapping
from typing import Any

from gpuspawner.authenticator import current_workspaces
from gpuspawner.errors import LaunchError, Remedy
from gpuspawner.remedies import Situation, remedies_of

__all__ = ["remedies_for", "situation_of"]

logger = logging.getLogger(__name__)


def situation_of(spawner: Any, *, paid: bool = True, server: str | None = None) -> Situation:
    """What a launch of this server, or of another one (``server``) of its user, depends on now.

    Without ``paid``, or while the balances are not known, no budget is looked at.
    """
    launcher = spawner.launcher
    return Situation(
        user=spawner.user.name,
        server=spawner.name if server is None else server,
        workspaces=current_workspaces(spawner.user, launcher.now()),
        settings=spawner.settings_of_user,
        now=launcher.now(),
        usage=launcher.usage(),
        capacity=launcher.capacity(),
        accounts=launcher.accounts if paid and launcher.books.known else None,
    )


def remedies_for(
    spawner: Any, error: LaunchError, options: Mapping[str, Any], *, paid: bool = True, server: str | None = None
) -> tuple[Remedy, ...]:
    """What would start instead of a launch with these options; see :func:`situation_of`."""
    try:
        return remedies_of(error, options, situation_of(spawner, paid=paid, server=server))
    except Exception:  # nobody must lose the words of a refusal for want of its buttons
        logger.exception("No remedies for %s of %s/%s", error.code, spawner.user.name, spawner.name)
        return ()
