"""What may this person start now, and if not, why: the trace of a launch that is not made, and all that is on offer."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from gpuspawner.admission import Decision, decide
from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.config import Settings
from gpuspawner.entitlement import WorkspaceOffer, entitlements
from gpuspawner.errors import LaunchError
from gpuspawner.limits.checks import day_of
from gpuspawner.limits.offers import offer_as_json
from gpuspawner.limits.trace import Check, midnight
from gpuspawner.limits.usage import Capacity, Held
from gpuspawner.request import LaunchRequest, parse_request

__all__ = ["Explanation", "explain", "times_of_membership"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would be decided on a launch with ``options`` at the time ``at``, and what else may be started then.

    ``request`` is None where the options cannot be understood or ask for what is not on offer. ``error`` is None where
    it may start; else ``allowed_from`` is when it might, None where nobody can know.
    """

    user: str
    server: str
    at: datetime
    options: Mapping[str, Any]
    request: LaunchRequest | None
    decision: Decision | None
    error: LaunchError | None
    offers: tuple[WorkspaceOffer, ...]

    @property
    def allowed(self) -> bool:
        """Whether it may start."""
        return self.error is None

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every limit that was looked at."""
        return self.error.checks if self.error is not None else self.decision.checks if self.decision else ()

    @property
    def allowed_from(self) -> datetime | None:
        """When it would be allowed, if that is known and not now."""
        return self.decision.allowed_from if self.decision is not None else None

    def as_json(self) -> dict[str, Any]:
        """For the API: CPU in cores, memory in bytes, times in seconds, costs in service units."""
        found: dict[str, Any] = {
            "user": self.user,
            "server": self.server,
            "at": self.at.isoformat(timespec="seconds"),
            "allowed": self.allowed,
            "options": dict(self.options),
            "request": _request_json(self.request) if self.request is not None else None,
            "allowed_from": self.allowed_from.isoformat() if self.allowed_from is not None else None,
            "checks": [check.as_json() for check in self.checks],
            "offers": [offer_as_json(offer) for offer in self.offers],
        }
        if self.decision is not None:
            found["room"] = list(self.decision.room)
            if self.allowed:
                found["cost"] = self.decision.payment.cost / MICRO
        if self.error is not None:
            found |= {"code": self.error.code, "reason": self.error.reason, "remedy": self.error.remedy}
        return found


def explain(
    options: Mapping[str, Any],
    *,
    user: str,
    server: str,
    workspaces: Collection[str],
    open_now: Collection[str],
    settings: Settings,
    usage: Iterable[Held],
    capacity: Capacity,
    now: datetime,
    accounts: Accounts | None = None,
) -> Explanation:
    """Decide on a launch that is not made. ``workspaces`` are those of the user, ``open_now`` those of them that are
    open; of the others it is told when they open or that they have ended."""
    held = list(usage)
    request: LaunchRequest | None = None
    decision: Decision | None = None
    error: LaunchError | None = None
    spaces = workspaces if options.get("workspace") in workspaces else open_now
    try:
        request = parse_request(options, user=user, server=server, workspaces=spaces, settings=settings, now=now)
        decision = decide(request, settings, held, capacity, now, accounts)
        error = decision.refusal
    except LaunchError as refusal:
        error = refusal
    offers = entitlements(user, open_now, settings, held, capacity, now, server=server, accounts=accounts)
    return Explanation(user, server, now, options, request, decision, error, offers)


def times_of_membership(settings: Settings, now: datetime) -> dict[str, datetime]:
    """When to ask whether somebody belongs to a workspace: now, or on its first or last day if it is not open now."""
    today, found = day_of(now, settings), {}
    for name, space in settings.workspaces.items():
        day = space.starts if space.starts is not None and today < space.starts else space.ends
        found[name] = now if day is None or space.is_open(today) else midnight(day, settings.timezone)
    return found


def _request_json(request: LaunchRequest) -> dict[str, Any]:
    found = asdict(request)
    return {key: found[key] for key in found if key not in ("user", "server", "asked")}
