"""What a login may choose now, by all that the running hub knows: for the launch page, the page of GPUs and the API."""

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from gpuspawner.config import Settings
from gpuspawner.entitlement import WorkspaceOffer, entitlements

if TYPE_CHECKING:
    from gpuspawner.launcher import Launcher

__all__ = ["offers_to"]


async def offers_to(
    user: str, workspaces: Collection[str], settings: Settings, launcher: "Launcher", now: datetime, *, server: str
) -> tuple[WorkspaceOffer, ...]:
    """What a user may have for a server of this name; limits by budgets only once the ledger has answered.

    ``settings`` are the hub's, or those of this user where each has profiles of their own.
    """
    known = await launcher.books.ready()
    return entitlements(
        user,
        workspaces,
        settings,
        launcher.usage(),
        launcher.capacity(),
        now,
        server=server,
        availability=launcher.availability(settings, workspaces),
        accounts=launcher.accounts if known else None,
    )
