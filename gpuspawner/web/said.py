"""What became of a form that somebody has sent, told once on the page that follows."""

from collections import deque
from dataclasses import dataclass
from typing import Any

__all__ = ["Said", "say", "take_said"]

_KEY = "gpuspawner_said"
_KEPT = 5


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence; ``kind`` is ``success``, ``info``, ``warning`` or ``danger``, ``remedy`` what to do next."""

    sentence: str
    kind: str = "success"
    remedy: str = ""


def say(user: Any, said: Said) -> None:
    """Keep it for the next page that this user of JupyterHub opens; the hub's memory holds it, a restart forgets it."""
    user.settings.setdefault(_KEY, {}).setdefault(user.name, deque(maxlen=_KEPT)).append(said)


def take_said(user: Any) -> tuple[Said, ...]:
    """What is to be told a user, once; nothing to nobody."""
    kept = (getattr(user, "settings", None) or {}).get(_KEY)
    return tuple(kept.pop(user.name, ())) if kept else ()
