"""What is known of an authenticator's logins before anybody has logged in."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from gpuspawner.errors import ConfigurationError
from gpuspawner.schema import nearest

__all__ = ["LoginFacts", "authenticator_named", "configured", "facts_of"]

ENTRY_POINTS = "jupyterhub.authenticators"

_BASE = "jupyterhub.auth.Authenticator"
_PAM = "jupyterhub.auth.PAMAuthenticator"
# Those whose authenticate() says a name and at most groups.
_WITHOUT_CLAIMS = {
    "firstuseauthenticator.firstuseauthenticator.FirstUseAuthenticator",
    "jupyterhub.auth.DummyAuthenticator",
    "jupyterhub.auth.NullAuthenticator",
    _PAM,
    "jupyterhub.authenticators.shared.SharedPasswordAuthenticator",
    "nativeauthenticator.nativeauthenticator.NativeAuthenticator",
}


@dataclass(frozen=True, slots=True)
class LoginFacts:
    """``claims``: the claims a login may have, None where it may be any; ``normalize``: a name as the hub has it."""

    claims: frozenset[str] | None
    normalize: Callable[[str], str]


def authenticator_named(name: str) -> object:
    """What an entry point of ``jupyterhub.authenticators`` or an import path names.

    Raises :exc:`ConfigurationError` where it names nothing.
    """
    installed = {entry.name.lower(): entry for entry in entry_points(group=ENTRY_POINTS)}
    if name.lower() in installed:
        return installed[name.lower()].load()
    if "." in name:
        try:
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


def facts_of(kind: type[Authenticator], c: Config) -> LoginFacts:
    """What is known of the logins of an authenticator class with this configuration."""
    names = configured(kind, c, "username_map")
    author = _author(kind, "normalize_username")
    lowers = author == _BASE or (author == _PAM and not configured(kind, c, "pam_normalize_username"))

    def normalize(name: str) -> str:
        return str(names.get(name.lower(), name.lower())) if lowers else name

    decides = _author(kind, "authenticate")
    if configured(kind, c, "post_auth_hook") is not None or decides not in _WITHOUT_CLAIMS:
        return LoginFacts(None, normalize)
    groups = decides == _PAM or configured(kind, c, "manage_groups")
    return LoginFacts(frozenset({"groups"} if groups else ()), normalize)


def _author(kind: type[Authenticator], method: str) -> str:
    """The class that defines what an authenticator does in this matter."""
    author = next(base for base in kind.__mro__ if method in vars(base))
    return f"{author.__module__}.{author.__qualname__}"
