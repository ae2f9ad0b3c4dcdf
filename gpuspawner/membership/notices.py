"""Membership rules that can never match, found before anybody has logged in. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations

from gpuspawner.membership.roles import Role
from gpuspawner.membership.roster import Roster
from gpuspawner.membership.rules import (
    EVERYONE,
    AllRule,
    AnyRule,
    ClaimRule,
    EmailRule,
    NotRule,
    RosterRule,
    Rule,
    Verdict,
    any_of,
)

__all__ = ["Expected", "never_matching"]

_MAIL = ("email", "mail")


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of logins beforehand: ``claims`` they may have, None where it may be any, and the name that the
    authenticator makes of one (``normalize``); the ``rosters`` that could be read, by path, and the day."""

    claims: frozenset[str] | None
    normalize: Callable[[str], str]
    day: date
    rosters: Mapping[str, Roster] = field(default_factory=dict)


def never_matching(place: str, rules: Iterable[Rule], role: Role, expected: Expected) -> Iterator[str]:
    """One line for each rule that can never match: where it stands, and why.

    ``place`` is the path of the list of those who have the role.
    """
    judge = _Judge(expected, frozenset({None, role, Role.MANAGER} if role is Role.MEMBER else {None, role}))
    for index, rule in enumerate(rules):
        judge.fate(rule, f"{place}[{index}]")
    yield from judge.told


class _Judge:
    """Collects what can never match; a fate is True or False where it is sealed, None where the login decides."""

    def __init__(self, expected: Expected, counted: frozenset[Role | None]) -> None:
        self._expected = expected
        self._counted = counted
        self.told: list[str] = []

    def fate(self, rule: Rule, place: str) -> Verdict:
        match rule:
            case str():
                return self._name(rule, place)
            case ClaimRule():
                return self._claims(place, rule.claim)
            case EmailRule():
                return self._claims(place, *_MAIL)
            case RosterRule():
                return self._roster(rule, place)
            case AnyRule():
                return any_of([self.fate(inner, f"{place}.any[{n}]") for n, inner in enumerate(rule.any_)])
            case AllRule():
                return self._all(rule, place)
            case NotRule():
                return self._not(rule, place)

    def _never(self, place: str, why: str) -> Verdict:
        self.told.append(f"{place}: can never match: {why}")
        return False

    def _name(self, name: str, place: str) -> Verdict:
        if name == EVERYONE:
            return True
        becomes = self._expected.normalize(name)
        return None if becomes == name else self._never(place, f"a login as {name!r} is called {becomes!r} here")

    def _claims(self, place: str, *paths: str) -> Verdict:
        known = self._expected.claims
        if known is None or any(path == name or path.startswith(f"{name}.") for path in paths for name in known):
            return None
        told = f"only {', '.join(sorted(known))}" if known else "none"
        return self._never(place, f"of claims the authenticator tells {told}")

    def _roster(self, rule: RosterRule, place: str) -> Verdict:
        roster = self._expected.rosters.get(rule.roster)
        if roster is None:
            return None
        lines = [line for line in roster.lines if line.role in self._counted]
        if not lines:
            return self._never(place, "no line of the roster has the role for it")
        if all(line.to is not None and line.to < self._expected.day for line in lines):
            return self._never(place, "the days of all its lines are over")
        return None

    def _all(self, rule: AllRule, place: str) -> Verdict:
        fates = [self.fate(inner, f"{place}.all[{n}]") for n, inner in enumerate(rule.all_)]
        if False in fates:
            return False
        for one, other in combinations(rule.all_, 2):
            names = isinstance(one, str) and isinstance(other, str) and EVERYONE not in (one, other) and one != other
            if names:
                return self._never(place, f"nobody is both {one!r} and {other!r}")
            if _opposite(one, other) or _opposite(other, one):
                return self._never(place, "it wants a rule and its opposite")
        return True if all(fates) else None

    def _not(self, rule: NotRule, place: str) -> Verdict:
        counted, self._counted = self._counted, frozenset({None, *Role})
        fate = self.fate(rule.not_, f"{place}.not")
        self._counted = counted
        if fate is True:
            return self._never(place, "what it shuts out is everybody")
        return None if fate is None else True


def _opposite(one: Rule, other: Rule) -> bool:
    return isinstance(other, NotRule) and other.not_ == one
