"""What `gpuspawner check` says of the people: how they log in, rosters that cannot be read, rules that never match."""

from logging import Logger, NullHandler
from pathlib import Path
from typing import Any

from traitlets.config import Config

from gpuspawner.authenticator import WorkspaceAuthenticator
from gpuspawner.config import Settings
from gpuspawner.membership.doubts import doubts
from gpuspawner.membership.login_facts import authenticator_named, expected_of
from gpuspawner.membership.rosters import Rosters

__all__ = ["look"]


def look(settings: Settings, c: Config, *, elsewhere: bool = False) -> tuple[list[str], list[str]]:
    """Mistakes and notes, a line each; rosters with a relative path are looked for where the command runs.

    ``elsewhere``: the hub runs in a container, and a roster that is not here is no mistake.
    """
    named = c.JupyterHub.get("authenticator_class", "default")
    kind: Any = authenticator_named(named) if isinstance(named, str) else named
    silent = Logger("silent")
    silent.addHandler(NullHandler())
    rosters = Rosters(settings.rosters(), expected_of(kind, c, settings.today()).normalize, silent)
    rosters.read()
    mistakes, notes = doubts(settings, c, kind, rosters, asked=issubclass(kind, WorkspaceAuthenticator))
    away = sorted(path for path in settings.rosters() if elsewhere and not Path(path).exists())
    for path in away:
        mistakes = [one for one in mistakes if not one.startswith(f"roster {path}: ")]
        notes.append(
            f"roster {path}: not looked at; it has to be in the hub's container, by hub.extraFiles or a volume"
        )
    return mistakes, notes
