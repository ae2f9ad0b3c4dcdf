"""A posted launch form to ``user_options``, and what was posted where the form is shown again."""

import json
import re
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gpuspawner.request import OPTIONS as KEYS

__all__ = ["ANY", "NO_GPU", "OPTIONS", "Posted", "linked", "options_from_form", "posted", "take_link"]

ANY = "any"
NO_GPU = "none"
"""The form's choices besides the GPU classes; the configuration allows no class of these names."""
OPTIONS = "options"
"""The form field of a button that asks for a whole launch: its options as JSON."""

_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{0,12})?", re.ASCII)
_NOT_OPTIONS = {"_xsrf"}
_PREFIX = "opt-"
_JUPYTERHUBS = {"next", "display_name"}
"""Parameters of JupyterHub's own."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What a member has just asked for, and for which server."""

    server: str
    options: Mapping[str, Any]


_linked: ContextVar[Mapping[str, Any] | None] = ContextVar("gpuspawner_linked", default=None)
_posted: ContextVar[Posted | None] = ContextVar("gpuspawner_posted", default=None)


def posted() -> Posted | None:
    """What the request being answered has posted; None while the form is shown for the first time.

    JupyterHub shows the form of the *default* server again when a named server's launch is refused, and forgets
    what was chosen. Each request runs in a task of its own, so a context variable holds what it posted.
    """
    return _posted.get()


def linked() -> Mapping[str, Any] | None:
    """The options that the link of the request being answered fills the form in with."""
    return _linked.get()


def take_link(arguments: MutableMapping[str, list[bytes]]) -> None:
    """Take the options of a launch out of a request's query, as what :func:`linked` fills the form in with.

    They are named as JupyterHub 6 has it, such as ``opt-profile``. JupyterHub would start the server by such a link at
    once, in 5.5 by any parameter at all; a link that somebody sends must not spend the budget of whoever opens it.
    """
    prefixed = {key: key.removeprefix(_PREFIX) for key in arguments if key.startswith(_PREFIX)}
    named = prefixed or {key: key for key in arguments}
    found = {name: arguments[key] for key, name in named.items() if name in KEYS}
    for key in [key for key in arguments if key not in _JUPYTERHUBS]:
        del arguments[key]
    if found:
        texts = {name: [value.decode("utf8", "replace") for value in values] for name, values in found.items()}
        _linked.set(options_from_form(texts))


def options_from_form(formdata: Mapping[str, list[Any]], spawner: Any = None) -> dict[str, Any]:
    """``user_options`` from form data or query arguments, which arrive as lists of strings; nothing is checked here.

    Empty fields and uploaded files are dropped, a field that came several times stays a list. ``memory_gb``,
    ``memory_gib``, ``runtime_hours`` and ``wait_minutes`` become ``memory``, ``runtime`` and ``wait`` in Kubernetes'
    notation; ``gpu_class`` of ``"none"`` becomes 0 GPUs. A field ``options`` that holds a JSON object stands for all.
    """
    options: dict[str, Any] = {}
    whole = _whole(formdata.get(OPTIONS))
    for key, values in formdata.items():
        given = [value.strip() for value in values if isinstance(value, str) and value.strip()]
        if given and key not in _NOT_OPTIONS:
            options[key] = given[0] if len(given) == 1 else given
    _convert(options, "memory_gb", "memory", lambda text: f"{text}G")
    _convert(options, "memory_gib", "memory", lambda text: f"{text}Gi")
    _convert(options, "runtime_hours", "runtime", lambda text: _duration(text, 3600, "h"))
    _convert(options, "wait_minutes", "wait", lambda text: _duration(text, 60, "m"))
    if options.get("gpu_class") == NO_GPU:
        del options["gpu_class"]
        options["gpus"] = "0"
    if whole is not None:
        options = whole
    if spawner is not None:
        _posted.set(Posted(spawner.name, options))
    return options


def _whole(values: list[Any] | None) -> dict[str, Any] | None:
    try:
        found = json.loads(values[0]) if values else None
    except (TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _convert(options: dict[str, Any], field: str, option: str, convert: Any) -> None:
    value = options.pop(field, None)
    if value is not None:
        options.setdefault(option, convert(value) if isinstance(value, str) else value)


def _duration(amount: str, size: int, unit: str) -> str:
    if _NUMBER.fullmatch(amount) is None:
        return f"{amount}{unit}"
    seconds = int(Decimal(amount) * size)
    for length, name in ((3600, "h"), (60, "m")):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{name}"
    return f"{seconds}s"
