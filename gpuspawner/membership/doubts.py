"""What is doubtful in how people log in and belong: headers, rosters that cannot be read, rules that never match."""

from collections.abc import Iterator
from typing import Any

from traitlets import TraitError
from traitlets.config import Config

from gpuspawner.config import SECTION, Settings
from gpuspawner.errors import ConfigurationError
from gpuspawner.logins.trusted_header import TrustedHeaderAuthenticator
from gpuspawner.membership.login_facts import notices_of
from gpuspawner.membership.rosters import Rosters
from gpuspawner.membership.rules import ClaimRule, EmailRule, RosterRule, Rule

__all__ = ["doubts"]


def doubts(
    settings: Settings, c: Config, kind: type[Any], rosters: Rosters, *, asked: bool
) -> tuple[list[str], list[str]]:
    """Mistakes and notes, a line each.

    ``kind`` is the authenticator's class, ``rosters`` have been read; ``asked``: the rules are, as they are with
    ``with_workspaces(...)`` only.
    """
    mistakes = list(_of_headers(c)) if issubclass(kind, TrustedHeaderAuthenticator) else []
    mistakes += [f"roster {path}: {problem}" for path, found in rosters.problems.items() for problem in found]
    notes = [f"roster {path}: {note}" for path, roster in rosters.current.items() for note in roster.notes]
    notes += notices_of(settings, kind, c, rosters.current)
    if not asked and any(_unanswered(settings)):
        notes.append(
            f"{SECTION}.workspaces: there are rules over claims, e-mail addresses or rosters, and "
            "c.JupyterHub.authenticator_class is not with_workspaces(...): nobody looks at them"
        )
    return mistakes, notes


def _of_headers(c: Config) -> Iterator[str]:
    try:
        TrustedHeaderAuthenticator(config=c)
    except ConfigurationError as error:
        yield from error.problems
    except TraitError as error:
        yield f"c.TrustedHeaderAuthenticator: {error}"


def _unanswered(settings: Settings) -> Iterator[bool]:
    def asks(rule: Rule) -> bool:
        if isinstance(rule, str):
            return False
        return isinstance(rule, ClaimRule | EmailRule | RosterRule) or any(map(asks, rule.inner()))

    yield from (asks(rule) for _, _, rules in settings.rules() for rule in rules)
