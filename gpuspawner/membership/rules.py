"""Rules over a login that say who belongs to a workspace: names, claims, e-mail addresses, rosters. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Annotated, Any, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gpuspawner.membership.roles import Role
from gpuspawner.membership.roster import Roster
from gpuspawner.schema import Schema, closest

__all__ = [
    "EVERYONE",
    "AllRule",
    "AnyRule",
    "ClaimRule",
    "EmailRule",
    "Login",
    "NotRule",
    "RosterRule",
    "Rule",
    "Rules",
    "Verdict",
    "addresses_in",
    "any_of",
    "counting",
    "holds",
    "names_in",
    "rosters_in",
]

EVERYONE = "*"
Verdict: TypeAlias = bool | None
"""Whether a rule holds; None where that cannot be told now, as of claims that only the next login brings."""

_Counted: TypeAlias = frozenset[Role | None]
_ANY_LINE: _Counted = frozenset({None, *Role})
_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z][-a-z0-9]{0,61}[a-z0-9]", re.ASCII)


# What LTI 1.3 says of the course from which somebody has opened the hub: https://www.imsglobal.org/spec/lti/v1p3/
_OF_A_COURSE = "https://purl.imsglobal.org/spec/lti/claim/"
_COURSE = f"{_OF_A_COURSE}context"

# OpenID Connect's own claims, each a single text of which people may choose parts: a semicolon in them separates
# nothing. "a@example.edu;"@example.org is an address of example.org.
# https://openid.net/specs/openid-connect-core-1_0.html#StandardClaims
_SINGLE = frozenset({
    "sub", "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
    "website", "email", "gender", "birthdate", "zoneinfo", "locale", "phone_number",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Login:
    """Who has logged in, and what is known of them on a day.

    Most authenticators tell the claims at the login only, and they are not stored: ``complete`` is False where there
    may be more of them than ``claims`` says. ``addresses`` are the verified e-mail addresses, in lower case, None where
    they are not known now. Of ``rosters`` those that could be read are there, by path.

    A login by LTI is about the course from which somebody has opened the hub; what they are in another one it does not
    say. ``elsewhere``: the rule asks for another one, so what the claims say of a course tells nothing.
    """

    user: str
    day: date
    claims: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    addresses: frozenset[str] | None = None
    rosters: Mapping[str, Roster] = field(default_factory=dict)
    elsewhere: bool = False


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """True if any is; else None if any cannot be told; else False."""
    found: Verdict = False
    for verdict in verdicts:
        if verdict:
            return True
        if verdict is None:
            found = None
    return found


def _not(verdict: Verdict) -> Verdict:
    return None if verdict is None else not verdict


def _all_of(verdicts: Iterable[Verdict]) -> Verdict:
    return _not(any_of(map(_not, verdicts)))


class _Rule(Schema):
    def verdict(self, login: Login, counted: _Counted) -> Verdict:
        """Whether it holds of a login; of rosters the lines with a role of ``counted`` count."""
        raise NotImplementedError

    def gives(self, role: Role, login: Login) -> Verdict:
        """Whether lines of a roster in it say in so many words that this login has a role."""
        return False

    def inner(self) -> Iterator["Rule"]:
        """The rules it is made of."""
        return iter(())

    def is_elsewhere(self, login: Login) -> bool:
        """Whether it asks for another course than the one from which this login has opened the hub, by LTI."""
        return False


class ClaimRule(_Rule):
    """Membership by a claim of the login: ``{"claim": "groups", "matches": "course:cse151a:*"}``.

    ``claim`` is a key of the login's claims, or a dotted path into nested ones (``"realm_access.roles"``); where a
    value is a list, or a list written with semicolons as Shibboleth does, any element may match. ``matches`` is a glob
    and ``regex`` a regular expression of Python; both are about the whole of a value and, like ``equals``, heed upper
    and lower case. Numbers are compared as they are written; True, False and null match nothing.

    Of LTI's ``context`` it tells who is in, and never who is not: people open the hub from one course at a time.
    """

    claim: str = Field(min_length=1)
    equals: str | None = Field(default=None, min_length=1)
    matches: str | None = Field(default=None, min_length=1)
    regex: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_comparison(self) -> Self:
        if [self.equals, self.matches, self.regex].count(None) != 2:
            raise ValueError("exactly one of equals, matches and regex")
        try:
            re.compile(self.regex or "")
        except re.error as error:
            raise ValueError(f"a regular expression as regex ({error})") from None
        return self

    def holds(self, claims: Mapping[str, Any]) -> bool:
        """Whether these claims satisfy the rule; an absent claim never does."""
        texts = _values(claims, self.claim)
        return any(map(self._fits, texts if self.claim in _SINGLE else _parts(texts)))

    def verdict(self, login: Login, counted: _Counted) -> Verdict:
        if login.elsewhere and self.claim.startswith(_OF_A_COURSE):
            return None
        return self.holds(login.claims) or (False if login.complete and not self._asks_for_a_course() else None)

    def is_elsewhere(self, login: Login) -> bool:
        return self._asks_for_a_course() and not self.holds(login.claims)

    def _asks_for_a_course(self) -> bool:
        return self.claim == _COURSE or self.claim.startswith(f"{_COURSE}.")

    def _fits(self, value: str) -> bool:
        if self.equals is not None:
            return value == self.equals
        if self.matches is not None:
            return fnmatchcase(value, self.matches)
        return re.fullmatch(self.regex or "", value) is not None


def _domain(value: str) -> str:
    lowered = value.lower()
    if value.startswith("*."):
        raise ValueError(f'a domain such as {value[2:]}; its subdomains by "subdomains": True')
    if _DOMAIN.fullmatch(lowered) is None:
        raise ValueError("a domain such as example.edu, in ASCII")
    return lowered


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class EmailRule(_Rule):
    """Membership by the domain of an e-mail address: ``{"email_domain": "ucsd.edu"}``, or several domains.

    The addresses are those of the claims ``email`` (OpenID Connect, LTI) and ``mail`` (LDAP, Shibboleth). An ``email``
    with the claim ``email_verified`` false does not count: anybody could have written it there.
    """

    email_domain: Annotated[
        tuple[Annotated[str, AfterValidator(_domain)], ...],
        BeforeValidator(_as_list, json_schema_input_type=str | tuple[str, ...]),
        Field(min_length=1),
    ]
    subdomains: bool = Field(default=False, description="Whether addresses of its subdomains count as well.")

    def verdict(self, login: Login, counted: _Counted) -> Verdict:
        if login.addresses is None:
            return None
        return any(self._fits(address.rpartition("@")[2]) for address in login.addresses)

    def _fits(self, domain: str) -> bool:
        return any(domain == ours or (self.subdomains and domain.endswith(f".{ours}")) for ours in self.email_domain)


class RosterRule(_Rule):
    """Membership by a file with one line a person: ``{"roster": "/srv/jupyterhub/cse151a.csv"}``.

    The file is CSV with a header, or JSON: a list of objects, or one object a line. Its columns are ``user`` or
    ``email`` (or both) and, where wanted, ``role`` (member, manager, auditor or administrator), ``from`` and ``to``
    (days, both included). A line with a role counts for that role; among the members its managers and auditors get
    theirs as well. The file is read again when it changes; one with a mistake changes nothing. A relative path begins
    where the hub runs.
    """

    roster: str = Field(min_length=1)

    def verdict(self, login: Login, counted: _Counted) -> Verdict:
        roster = login.rosters.get(self.roster)
        if roster is None:
            return None
        lines = roster.of(login.user, login.addresses or ())
        if any(line.role in counted and line.is_current(login.day) for line in lines):
            return True
        return None if login.addresses is None and roster.by_email else False

    def gives(self, role: Role, login: Login) -> Verdict:
        return self.verdict(login, frozenset({role}))


class AnyRule(_Rule):
    """Holds where any of its rules does: ``{"any": ["ada", {"email_domain": "ucsd.edu"}]}``."""

    any_: tuple["Rule", ...] = Field(alias="any", min_length=1)

    def verdict(self, login: Login, counted: _Counted) -> Verdict:
        return any_of(_verdict(rule, login, counted) for rule in self.any_)

    def gives(self, role: Role, login: Login) -> Verdict:
        return any_of(_gives(rule, role, login) for rule in self.any_)

    def inner(self) -> Iterator["Rule"]:
        return iter(self.any_)

    def is_elsewhere(self, login: Login) -> bool:
        return all(_is_elsewhere(rule, login) for rule in self.any_)


class AllRule(_Rule):
    """Holds where all of its rules do: ``{"all": [{"email_domain": "ucsd.edu"}, {"roster": "cse151a.csv"}]}``."""

    all_: tuple["Rule", ...] = Field(alias="all", min_length=1)

    def verdict(self, login: Login, counted: _Counted) -> Verdict:
        seen = replace(login, elsewhere=True) if self.is_elsewhere(login) else login
        return _all_of(_verdict(rule, seen, counted) for rule in self.all_)

    def gives(self, role: Role, login: Login) -> Verdict:
        """Where one of its rosters does, and all the rest holds."""
        return _all_of((any_of(_gives(rule, role, login) for rule in self.all_), self.verdict(login, _ANY_LINE)))

    def inner(self) -> Iterator["Rule"]:
        return iter(self.all_)

    def is_elsewhere(self, login: Login) -> bool:
        return any(_is_elsewhere(rule, login) for rule in self.all_)


class NotRule(_Rule):
    """Holds where its rule does not: ``{"not": {"roster": "suspended.csv"}}``; use it within ``all``."""

    not_: "Rule" = Field(alias="not")

    def verdict(self, login: Login, counted: _Counted) -> Verdict:
        if login.complete and not login.elsewhere and _is_elsewhere(self.not_, login):
            return True
        return _not(_verdict(self.not_, login, _ANY_LINE))

    def inner(self) -> Iterator["Rule"]:
        yield self.not_


_KINDS: Mapping[str, type[_Rule]] = {
    "claim": ClaimRule,
    "email_domain": EmailRule,
    "roster": RosterRule,
    "any": AnyRule,
    "all": AllRule,
    "not": NotRule,
}


def _rule(value: Any) -> Any:
    if isinstance(value, _Rule) or (isinstance(value, str) and value):
        return value
    if not isinstance(value, Mapping):
        raise ValueError('a user name, or a rule such as {"claim": "groups", "matches": "course:*"}')
    kinds = [kind for kind in _KINDS if kind in value]
    if len(kinds) > 1:
        raise ValueError(f"one of {' and '.join(kinds)} in a rule; join rules by any, all and not")
    close = next((near for key in value if (near := closest(str(key), _KINDS))), "claim")
    return _KINDS[kinds[0] if kinds else close].model_validate(value)


Rule = Annotated[
    str | ClaimRule | EmailRule | RosterRule | AnyRule | AllRule | NotRule,
    BeforeValidator(_rule),
]
"""A user name, ``"*"`` for everyone, or a rule."""


def _rules(value: Any) -> Any:
    return [value] if isinstance(value, str | Mapping | _Rule) else value


Rules = Annotated[tuple[Rule, ...], BeforeValidator(_rules, json_schema_input_type=Rule | tuple[Rule, ...])]
"""Rules of which any may hold; a single one needs no list."""

for _kind in _KINDS.values():
    _kind.model_rebuild()


def holds(rules: Iterable[Rule], role: Role, login: Login) -> Verdict:
    """Whether any of the rules that say who has a role holds of a login."""
    counted = {None, role, Role.MANAGER} if role is Role.MEMBER else {None, role}
    return any_of(_verdict(rule, login, frozenset(counted)) for rule in rules)


def counting(members: Iterable[Rule], role: Role, login: Login) -> Verdict:
    """Whether a roster among the rules of the members says in so many words that this login has a role."""
    return any_of(_gives(rule, role, login) for rule in members)


def names_in(rules: Iterable[Rule]) -> Iterator[str]:
    """The user names in some rules; ``"*"`` as well."""
    for rule in rules:
        if isinstance(rule, str):
            yield rule
        else:
            yield from names_in(rule.inner())


def rosters_in(rules: Iterable[Rule]) -> Iterator[str]:
    """The paths of all rosters in some rules."""
    for rule in rules:
        if isinstance(rule, RosterRule):
            yield rule.roster
        elif not isinstance(rule, str):
            yield from rosters_in(rule.inner())


def addresses_in(claims: Mapping[str, Any]) -> frozenset[str]:
    """The e-mail addresses of some claims, in lower case, but for those which the provider has not verified."""
    found = [*_parts(_texts(claims.get("mail")))]
    if str(claims.get("email_verified")).lower() not in ("false", "0", "no"):
        found += _texts(claims.get("email"))
    return frozenset(address.lower() for address in found if re.fullmatch(r"[^@\s,;<>]+@[^@\s,;<>]+", address))


def _verdict(rule: Rule, login: Login, counted: _Counted) -> Verdict:
    return rule in (EVERYONE, login.user) if isinstance(rule, str) else rule.verdict(login, counted)


def _is_elsewhere(rule: Rule, login: Login) -> bool:
    return not isinstance(rule, str) and rule.is_elsewhere(login)


def _gives(rule: Rule, role: Role, login: Login) -> Verdict:
    return False if isinstance(rule, str) else rule.gives(role, login)


def _values(found: Any, path: str) -> list[str]:
    """Every text and number at a dotted path. A key may have dots of its own; in a list every element counts."""
    if isinstance(found, list | tuple | set | frozenset):
        return [value for element in found for value in _values(element, path)]
    if not path:
        return [*_texts(found)]
    if not isinstance(found, Mapping):
        return []
    ends = [at for at, letter in enumerate(path) if letter == "."] + [len(path)]
    return [value for at in ends if path[:at] in found for value in _values(found[path[:at]], path[at + 1 :])]


def _parts(texts: Iterable[str]) -> Iterator[str]:
    """Of ``"a;b"`` the whole and both parts."""
    for text in texts:
        yield text
        if ";" in text:
            # Shibboleth's SP writes a semicolon within a value as "\;".
            parts = (part.strip().replace("\\;", ";") for part in re.split(r"(?<!\\);", text))
            yield from filter(None, parts)


def _texts(found: Any) -> Iterator[str]:
    if isinstance(found, list | tuple | set | frozenset):
        for element in found:
            yield from _texts(element)
    elif isinstance(found, str | int | float) and not isinstance(found, bool):
        yield str(found)
