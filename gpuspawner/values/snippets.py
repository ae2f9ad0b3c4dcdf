"""``hub.extraConfig``: Python in the values, run like a configuration file; mistakes are told by name and line."""

import linecache
import traceback
from collections.abc import Mapping
from typing import Any

from traitlets.config import Config

from gpuspawner.errors import ConfigurationError

__all__ = ["run_snippets"]

_PATH = "hub.extraConfig"


def run_snippets(snippets: Mapping[str, str], c: Config, custom: Mapping[str, Any]) -> None:
    """Run every snippet in the order of their names, all in one namespace with ``c``, ``get_config()`` and ``custom``.

    Raises
    ------
    ConfigurationError
        Where one cannot be compiled or raises anything: its name, the line and what it raised.
    """
    namespace: dict[str, Any] = {"__name__": _PATH, "c": c, "get_config": lambda: c, "custom": custom}
    for name in sorted(snippets):
        file, source = f"{_PATH}.{name}", snippets[name]
        # A traceback in the hub's log, also of what a hook raises later, shows the lines of the snippet.
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        try:
            exec(compile(source, file, "exec"), namespace)  # noqa: S102 - that is what it is for
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(
                [f"{file}{_line(error, file)}: {type(error).__name__}: {_words(error)}"]
            ) from error


def _line(error: Exception, file: str) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f", line {lines[-1]}" if lines else ""


def _words(error: Exception) -> str:
    return error.msg if isinstance(error, SyntaxError) else str(error)
