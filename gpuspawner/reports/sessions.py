"""Sessions as a table tells them: what ran, for how long, what it cost and why it ended."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.config import Settings
from gpuspawner.ledger.records import Page, Session, SessionFilter
from gpuspawner.ledger.store import Store
from gpuspawner.quantity import MICRO
from gpuspawner.reports.causes import OPEN, why_ended

__all__ = ["COLUMNS", "SessionLine", "every_session", "session_line", "sessions_page"]

COLUMNS = (
    "id", "user", "server", "workspace", "profile", "gpu_class", "gpus", "cpu", "memory", "opened", "started", "ended",
    "seconds", "units", "held", "settled", "cause", "why",
)  # fmt: skip
"""Of the CSV; the keys of :meth:`SessionLine.as_json`."""
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class SessionLine:
    """One session. ``gpu_class`` is the class it landed on, or, before that, the first of its choice; None without GPU.

    ``seconds`` are how long it ran or has run, ``micro`` what it has cost until now in micro-units, ``titles`` the
    names for people of workspace, profile and GPU class. Times are in the hub's time zone.
    """

    session: Session
    gpu_class: str | None
    seconds: int
    micro: int
    opened: datetime
    started: datetime | None
    ended: datetime | None
    workspace_title: str
    profile_title: str
    gpu_title: str

    @property
    def settled(self) -> bool:
        """Whether it is over and has its charge."""
        return self.session.settled

    @property
    def why(self) -> str:
        """Why it ended, in words; of one that is not over, how it is."""
        if self.settled:
            return why_ended(self.session.cause)
        return "Running" if self.session.started else "Starting"

    def as_json(self) -> dict[str, Any]:
        """For the API and as a row of the CSV: service units, seconds, bytes, cores."""
        asked = self.session
        return {
            "id": asked.id,
            "user": asked.user,
            "server": asked.server,
            "workspace": asked.workspace,
            "profile": asked.profile,
            "gpu_class": self.gpu_class,
            "gpus": asked.gpus,
            "cpu": asked.cpu,
            "memory": asked.memory,
            "opened": _say(self.opened),
            "started": _say(self.started),
            "ended": _say(self.ended),
            "seconds": self.seconds,
            "units": self.micro / MICRO,
            "held": 0.0 if self.settled else asked.held / MICRO,
            "settled": self.settled,
            "cause": asked.cause if self.settled else OPEN,
            "why": self.why,
        }


def session_line(session: Session, settings: Settings, accounts: Accounts, now: datetime) -> SessionLine:
    """A session as it is now."""
    zone = settings.timezone
    gpu_class = (session.gpu_class or next(iter(session.gpu_classes), None)) if session.gpus else None
    until = session.ended or (None if session.settled else now)
    ran = (until - session.started).total_seconds() if until and session.started else 0.0
    return SessionLine(
        session=session,
        gpu_class=gpu_class,
        seconds=max(0, round(ran)),
        micro=accounts.accrued(session.id, now) if session.charged is None else session.charged,
        opened=session.opened.astimezone(zone),
        started=session.started and session.started.astimezone(zone),
        ended=session.ended and session.ended.astimezone(zone),
        workspace_title=settings.workspace_title(session.workspace),
        profile_title=settings.catalog.profile_title(session.profile),
        gpu_title=settings.catalog.class_title(gpu_class or ""),
    )


async def sessions_page(
    store: Store,
    where: SessionFilter,
    settings: Settings,
    accounts: Accounts,
    now: datetime,
    *,
    after: str | None = None,
    limit: int = 50,
) -> Page[SessionLine]:
    """A page of the sessions of a filter, the last opened first. Raises as :meth:`Store.sessions`."""
    page = await store.sessions(where, after=after, limit=limit)
    return Page(tuple(session_line(session, settings, accounts, now) for session in page.rows), page.next)


async def every_session(
    store: Store, where: SessionFilter, settings: Settings, accounts: Accounts, now: datetime
) -> AsyncIterator[tuple[SessionLine, ...]]:
    """All of them, page by page, for downloads. Raises ``StoreUnavailableError``."""
    after: str | None = None
    while True:
        page = await sessions_page(store, where, settings, accounts, now, after=after, limit=_PAGE)
        yield page.rows
        after = page.next
        if after is None:
            return


def _say(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
