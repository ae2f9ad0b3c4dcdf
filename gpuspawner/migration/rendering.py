"""A translated configuration as the text of a ``jupyterhub_config.py``."""

from collections.abc import Iterable
from textwrap import fill
from typing import Any

from gpuspawner.migration.translation import Translation

__all__ = ["render"]

_WIDTH = 110
_NOTES = {
    "profiles": "A server here ends after its runtime: 6 hours unless asked for otherwise, at most 12. KubeSpawner "
    "has no such limit; give a profile another one with runtime.",
    "workspaces": "KubeSpawner has no quota. Everyone may have everything until workspaces say otherwise.",
    "storage": "Claims that are there already are taken over by their name, as KubeSpawner 7 makes it. KubeSpawner 6 "
    "and Zero-to-JupyterHub 3 wrote {escaped_username} and {escaped_user_server}: docs/from-kubespawner.md says more.",
}


def render(translation: Translation, source: str, problems: Iterable[str] = ()) -> str:
    """A file that JupyterHub can load. What needs a person is in comments, at its end.

    ``problems`` are the mistakes that are left in it.
    """
    begin = (
        f"# What {source} says of KubeSpawner, for gpuspawner. Put the rest of that file (authenticator, proxy,\n"
        "# services) before these lines, without what it says of KubeSpawner.\n"
        "from gpuspawner import configure\n\n"
        "c = get_config()  # noqa: F821"
    )
    parts = [begin]
    for key, value in translation.section.items():
        note = _comment(_NOTES[key]) + "\n" if key in _NOTES and value is not None else ""
        parts.append(f"{note}c.GPUSpawner.{key} = {_literal(value, len(f'c.GPUSpawner.{key} = '))}")
    parts.append('c.JupyterHub.spawner_class = "gpuspawner"\nconfigure(c)')
    if translation.remarks:
        remarks = [_comment(f"{place} {sentence}", "- ") for place, sentence in translation.remarks]
        parts.append("\n".join(["# What is not the same, and what is left to do:", *remarks]))
    if mistakes := [_comment(problem, "- ") for problem in problems]:
        parts.append("\n".join(["# What has to be put right before a hub can start with it:", *mistakes]))
    return "\n\n".join(parts) + "\n"


def _comment(text: str, mark: str = "") -> str:
    return fill(
        text, _WIDTH, initial_indent=f"# {mark}", subsequent_indent="# " + " " * len(mark), break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def _literal(value: Any, indent: int, depth: int = 0) -> str:
    """Python source of plain values, on one line where that fits, else an entry a line."""
    short = _short(value)
    if len(short) + indent <= _WIDTH or not isinstance(value, dict | list) or not value:
        return short
    margin = "    " * (depth + 1)
    if isinstance(value, dict):
        lines = [f"{_short(key)}: " for key in value]
        inner = list(value.values())
    else:
        lines, inner = [""] * len(value), value
    entries = [
        f"{margin}{line}{_literal(one, len(margin) + len(line) + 1, depth + 1)},"
        for line, one in zip(lines, inner, strict=True)
    ]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, *entries, "    " * depth + closing])


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_short(key)}: {_short(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_short, value)) + "]"
    text = repr(value)
    return f'"{text[1:-1]}"' if isinstance(value, str) and text[0] == "'" and '"' not in text else text
