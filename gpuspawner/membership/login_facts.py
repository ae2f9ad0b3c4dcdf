"""What is known of an authenticator's logins before anybody has logged in."""

from collections.abc import Iterator, Mapping
from datetime import date
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from gpuspawner.config import SECTION, Settings
from gpuspawner.errors import ConfigurationError
from gpuspawner.membership.notices import Expected, never_matching
from gpuspawner.membership.roster import Roster
from gpuspawner.schema import nearest

__all__ = ["authenticator_named", "configured", "expected_of", "notices_of"]

ENTRY_POINTS = "jupyterhub.authenticators"

_BASE = "jupyterhub.auth.Authenticator"
_PAM = "jupyterhub.auth.PAMAuthenticator"
_HEADERS = "gpuspawner.logins.trusted_header.TrustedHeaderAuthenticator"
# Those whose authenticate() says a name and at most groups, or headers that are configured.
_WITHOUT_CLAIMS = {
    "firstuseauthenticator.firstuseauthenticator.FirstUseAuthenticator",
    "jupyterhub.auth.DummyAuthenticator",
    "jupyterhub.auth.NullAuthenticator",
    _HEADERS,
    _PAM,
    "jupyterhub.authenticators.shared.SharedPasswordAuthenticator",
    "nativeauthenticator.nativeauthenticator.NativeAuthenticator",
}


def authenticator_named(name: str) -> object:
    """What an entry point of ``jupyterhub.authenticators`` or an import path names.

    Raises :exc:`ConfigurationError` where it names nothing.
    """
    installed = {entry.name.lower(): entry for entry in entry_points(group=ENTRY_POINTS)}
    try:
        if name.lower() in installed:
            return installed[name.lower()].load()
        if "." in name:
            return import_item(name)
    except ImportError as error:
        raise ConfigurationError([f"with_workspaces: cannot import {name!r}: {error}"]) from error
    known = ", ".join(sorted(installed))
    hint = nearest(name, installed)
    raise ConfigurationError(
        [f"with_workspaces: no authenticator is called {name!r}{hint}" + ("" if known in hint else f" Known: {known}")]
    )


def configured(kind: type[Authenticator], c: Config, trait: str) -> Any:
    """What a trait of an authenticator would be, without making one: the section of the most special class wins."""
    found = [c[name][trait] for name in kind.section_names() if name in c and trait in c[name]]
    if found:
        return found[-1]
    make: Any = kind.__new__  # not __init__, which may want a database
    return getattr(make(kind), trait)


def expected_of(
    kind: type[Authenticator], c: Config, day: date, rosters: Mapping[str, Roster] = MappingProxyType({})
) -> Expected:
    """What is known of the logins of an authenticator class with this configuration."""
    names = configured(kind, c, "username_map")
    author = _author(kind, "normalize_username")
    lowers = author == _BASE or (author == _PAM and not configured(kind, c, "pam_normalize_username"))

    def normalize(name: str) -> str:
        return str(names.get(name.lower(), name.lower())) if lowers else name

    claims, decides = None, _author(kind, "authenticate")
    if configured(kind, c, "post_auth_hook") is None and decides in _WITHOUT_CLAIMS:
        groups = decides == _PAM or configured(kind, c, "manage_groups")
        claims = frozenset({"groups"} if groups else ())
        if decides == _HEADERS:
            claims |= configured(kind, c, "claim_headers").keys()
    return Expected(claims, normalize, day, rosters)


def notices_of(
    settings: Settings, kind: type[Authenticator], c: Config, rosters: Mapping[str, Roster]
) -> Iterator[str]:
    """One line for each membership rule that can never match with this authenticator."""
    expected = expected_of(kind, c, settings.today(), rosters)
    for place, role, rules in settings.rules():
        yield from never_matching(f"{SECTION}.{place}", rules, role, expected)


def _author(kind: type[Authenticator], method: str) -> str:
    """The class that defines what an authenticator does in this matter."""
    author = next(base for base in kind.__mro__ if method in vars(base))
    return f"{author.__module__}.{author.__qualname__}"
