"""Past launches against a changed configuration: which of them it would have refused, whose, when, and why. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any

from gpuspawner.admission import Granted, admit
from gpuspawner.budgets.accounts import Accounts
from gpuspawner.config import Settings
from gpuspawner.errors import DeniedError, LaunchError
from gpuspawner.ledger.records import Grant, Session
from gpuspawner.limits.usage import Capacity, Held
from gpuspawner.request import parse_request

__all__ = ["Refused", "Replay", "replay"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A past launch that the configuration would have refused, and the limit that refuses it first."""

    session: Session
    limit: str
    rule: str
    reason: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "id": self.session.id,
            "at": self.session.opened.isoformat(),
            "user": self.session.user,
            "server": self.session.server,
            "workspace": self.session.workspace,
            "profile": self.session.profile,
            "limit": self.limit,
            "rule": self.rule,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Replay:
    """What would have become of so many past ``launches``."""

    launches: int
    refused: tuple[Refused, ...]

    def by(self, part: str) -> Mapping[str, int]:
        """How many are refused by ``"rule"`` or ``"limit"``, or of each ``"user"`` or ``"workspace"``; most first."""
        own = part in ("limit", "rule")
        return dict(Counter(getattr(one if own else one.session, part) for one in self.refused).most_common())

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"launches": self.launches, "refused": [one.as_json() for one in self.refused]}


def replay(
    sessions: Iterable[Session],
    settings: Settings,
    grants: Iterable[Grant] = (),
    shown: Callable[[Session], bool] = lambda session: True,
) -> Replay:
    """Let past launches happen again, in their order, under a configuration.

    Each asks for the workspace, the profile and the options of its time; what it then did not name takes the defaults
    of this configuration. One that is refused holds nothing and costs nothing; one that may start holds what this
    configuration holds for it until it really ended, and is charged by the rates of this configuration. Whether its
    user would still belong to the workspace is not asked, and what was free in the cluster then is not known.

    All of them happen; those that are not ``shown`` are left out of what is told.
    """
    hub = _Hub(settings, grants)
    refused, launches = [], 0
    for session in sorted(sessions, key=lambda session: (session.opened, session.id)):
        denial = hub.launch(session)
        if shown(session):
            launches += 1
            refused += [denial] if denial is not None else []
    return Replay(launches, tuple(refused))


class _Hub:
    """A hub of the past: what is held and what is spent."""

    def __init__(self, settings: Settings, grants: Iterable[Grant]) -> None:
        self.settings = settings
        self.accounts = Accounts(settings.workspaces, settings.timezone)
        for grant in grants:
            if grant.workspace in settings.workspaces:
                self.accounts.grant(grant)
        self._running: dict[str, tuple[Session, Granted, Held]] = {}
        self._ends: list[tuple[datetime, str]] = []

    def launch(self, session: Session) -> Refused | None:
        """What becomes of one launch, after all that ended before it."""
        now = session.opened.astimezone(self.settings.timezone)
        self._let_end(now)
        if session.workspace not in self.settings.workspaces:
            reason = f"There is no workspace {session.workspace!r}."
            return Refused(session, "workspaces", "c.GPUSpawner.workspaces", reason)
        options = {**session.options, "workspace": session.workspace, "profile": session.profile}
        usage = [held for _, _, held in self._running.values()]
        try:
            request = parse_request(
                options,
                user=session.user,
                server=session.server,
                workspaces=[session.workspace],
                settings=self.settings,
                now=now,
            )
            granted = admit(request, self.settings, usage, Capacity(), now, self.accounts)
        except LaunchError as error:
            return _refused(session, error)
        self._begin(session, granted)
        return None

    def _begin(self, session: Session, granted: Granted) -> None:
        held = granted.held
        if session.gpu_class in held.gpu_classes:
            held = replace(held, gpu_classes=(session.gpu_class,))
        ends = (session.started or session.opened) + timedelta(seconds=granted.request.runtime)
        if session.ended is not None:
            ends = min(ends, session.ended)
        self._running[session.id] = session, granted, held
        self.accounts.hold(replace(session, price=granted.price.to_json(), held=granted.cost, charged=None))
        heappush(self._ends, (ends, session.id))

    def _let_end(self, now: datetime) -> None:
        while self._ends and self._ends[0][0] <= now:
            at, launch = heappop(self._ends)
            session, granted, held = self._running.pop(launch)
            charged = 0
            if session.started is not None and session.started < at:
                gpu_class = held.gpu_classes[0] if held.gpu_classes else None
                gpus, cpu = granted.request.gpus, granted.request.cpu
                charged = granted.price.charge(gpu_class, gpus, cpu, session.started, at, granted.cost)
            self.accounts.settle(launch, charged)


def _refused(session: Session, error: LaunchError) -> Refused:
    first = next((check for check in error.checks if not check.allowed), None)
    if first is not None:
        return Refused(session, first.limit, first.rule, error.reason)
    return Refused(session, "workspace" if isinstance(error, DeniedError) else "options", "", error.reason)
