"""How a server ended or failed to start while nobody looked: kept in JupyterHub's database for the next page."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from gpuspawner.errors import LaunchError, Way

__all__ = ["Ending"]

_KEY = "ended"
_LONGEST_DETAIL = 4000


class Ending(BaseModel):
    """Why a server ended (``ran``), or why a launch failed that its member had stopped to watch.

    ``at`` is when, in the hub's time zone; ``detail`` is the raw text of Kubernetes or of the server's log. ``options``
    are those of the launch; ``ways`` and ``at_most`` say what may help, as the error did.
    """

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    ran: bool
    code: str
    reason: str
    remedy: str = ""
    detail: str = ""
    options: dict[str, Any] = {}
    ways: tuple[Way, ...] = ()
    at_most: dict[str, float] = {}

    @classmethod
    def of(cls, error: LaunchError, at: datetime, *, ran: bool, options: Mapping[str, Any] | None = None) -> "Ending":
        """The ending of a launch with these options by an error."""
        return cls(
            at=at,
            ran=ran,
            code=error.code,
            reason=error.reason,
            remedy=error.remedy,
            detail=error.detail[-_LONGEST_DETAIL:],
            options=dict(options or {}),
            ways=error.ways,
            at_most=dict(error.at_most),
        )

    @property
    def error(self) -> LaunchError:
        """What is left of the error, enough to ask for remedies."""
        error = LaunchError(self.reason, self.remedy, self.detail)
        error.code, error.ways, error.at_most = self.code, self.ways, self.at_most
        return error

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | None) -> "Ending | None":
        """The ending in a spawner's state, None without one. The state is as somebody's database has it."""
        try:
            return cls.model_validate((state or {})[_KEY])
        except (KeyError, TypeError, AttributeError, ValidationError):
            return None

    def state(self) -> dict[str, Any]:
        """What goes into the spawner's state."""
        return {_KEY: self.model_dump(mode="json")}
