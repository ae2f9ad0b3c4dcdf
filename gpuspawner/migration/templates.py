"""KubeSpawner's templates in ours: the same variables, and braces that are meant as braces."""

import re
from typing import Any

from gpuspawner.names import LAUNCH_VARIABLES

__all__ = ["literal", "templated"]

_VARIABLE = re.compile(r"(?<!\{)\{(" + "|".join(LAUNCH_VARIABLES) + r")\}(?!\})")
_ESCAPES = {"username": "escaped_username", "servername": "escaped_servername", "user_server": "escaped_user_server"}


def templated(value: Any, slug_scheme: str = "safe") -> Any:
    """A value that KubeSpawner fills in, for us to fill in; with the scheme of its version 6 where the hub keeps it."""
    if isinstance(value, str):
        if slug_scheme == "escape":
            value = _VARIABLE.sub(lambda found: f"{{{_ESCAPES.get(found[1], found[1])}}}", value)
        return re.sub(r"\{\{(.*?)\}\}", _braces, value)
    return _each(value, lambda inner: templated(inner, slug_scheme))


def literal(value: Any) -> Any:
    """A value that KubeSpawner leaves as it is, so that we leave it, too."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: f"{{{{{found[1]}}}}}", value)
    return _each(value, literal)


def _braces(found: re.Match[str]) -> str:
    return found[0] if found[1] in LAUNCH_VARIABLES else f"{{{found[1]}}}"


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: change(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [change(inner) for inner in value]
    return value
