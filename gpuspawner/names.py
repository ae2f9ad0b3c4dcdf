"""Names: safe slugs for any user and server, and the variables such as ``{username}`` in templates. Pure."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

__all__ = [
    "LAUNCH_VARIABLES",
    "NAME_VARIABLES",
    "RAW_VARIABLES",
    "USER_VARIABLES",
    "expand",
    "pod_name",
    "safe_slug",
    "scope_of",
    "server_variables",
    "user_variables",
    "variables_in",
    "z2jh_slug",
]

_SAFE = re.compile(r"[a-z0-9](?:-?[a-z0-9])*", re.ASCII)
_Z2JH_SAFE = re.compile(r"[a-z](?:-?[a-z0-9])*", re.ASCII)
_UNSAFE = re.compile(r"[^a-z0-9]+", re.ASCII)
_VARIABLE = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}", re.ASCII)
_Z2JH_LENGTH = 48
_Z2JH_DIGEST = 8

_OF_USER = ("username", "safe_username", "escaped_username")
_OF_SERVER = ("servername", "safe_servername", "escaped_servername")
_OF_BOTH = ("user_server", "safe_user_server", "escaped_user_server")
RAW_VARIABLES = ("unescaped_username", "unescaped_servername")
"""Variables that stand for what a person typed, unchanged."""
USER_VARIABLES = (*_OF_USER, "hubnamespace", "hub_name")
"""Variables that depend on the user alone."""
NAME_VARIABLES = (*USER_VARIABLES, "userid", *_OF_SERVER, *_OF_BOTH, "namespace", "workspace", "profile")
"""Variables that may stand in the name of an object."""
LAUNCH_VARIABLES = (*NAME_VARIABLES, *RAW_VARIABLES, "gpu_class", "pod_name", "pvc_name")
"""Every variable; patches of the pod may use all of them."""


def safe_slug(text: str, limit: int = 32) -> str:
    """A DNS label of at most ``limit`` characters (24 or more) for any text; different texts get different slugs.

    A text that is safe already stays as it is. Any other keeps what is safe of it and ends in ``---`` and 64 bits of
    its SHA-256; no safe text has two hyphens in a row, so that the two kinds never meet.
    """
    if len(text) <= limit and _SAFE.fullmatch(text):
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    kept = _UNSAFE.sub("-", text.lower()).strip("-")[: limit - 19].rstrip("-")
    return f"{kept or 'x'}---{digest}"


def pod_name(user: str, server: str) -> str:
    """The name of a server's pod, the same at every launch, at most 63 characters."""
    if not server:
        return f"jupyter-{safe_slug(user)}"
    return f"jupyter-{safe_slug(user, 24)}--{safe_slug(server, 24)}"


def z2jh_slug(text: str, limit: int = _Z2JH_LENGTH) -> str:
    """The slug that KubeSpawner 7, and so Zero-to-JupyterHub, makes of a text: claims of such hubs are named by it.

    It ends in 32 bits of the SHA-256 where the text is not safe already, so that somebody who may choose their own
    name can find one with the slug of another: whoever names objects by it checks whose they are.

    Source: https://jupyterhub-kubespawner.readthedocs.io/en/latest/templates.html
    """
    if len(text) <= limit and _Z2JH_SAFE.fullmatch(text):
        return text
    return f"{_z2jh_part(text, limit - _Z2JH_DIGEST - 3)}---{_z2jh_digest(text)}"


def user_variables(user: str, *, hub_namespace: str, hub_name: str) -> dict[str, str]:
    """The variables of a user alone. Like KubeSpawner's, ``hubnamespace`` is ``user`` for the namespace default."""
    slug = z2jh_slug(user)
    return {
        "username": slug,
        "safe_username": slug,
        "escaped_username": _escaped(user),
        "unescaped_username": user,
        "hubnamespace": "user" if hub_namespace == "default" else hub_namespace,
        "hub_name": hub_name,
    }


def server_variables(user: str, server: str) -> dict[str, str]:
    """The variables of a user and server together; without a server name those of the server are empty."""
    slug, escaped = z2jh_slug(server) if server else "", _escaped(server)
    both = _z2jh_both(user, server)
    return {
        "servername": slug,
        "safe_servername": slug,
        "escaped_servername": escaped,
        "unescaped_servername": server,
        "user_server": both,
        "safe_user_server": both,
        "escaped_user_server": f"{_escaped(user)}--{escaped}",
    }


def expand(value: Any, variables: Mapping[str, str]) -> Any:
    """``value`` with ``{name}`` replaced in every text within it but keys; ``{{name}}`` is ``{name}``.

    Braces around anything that is no variable stay as they are: shell, JSON and Go templates have their own. As in
    KubeSpawner, hyphens that an empty variable leaves at the end of a text go, unless the template ends so.
    """
    if isinstance(value, str):
        return _expand_text(value, variables)
    if isinstance(value, Mapping):
        return {key: expand(inner, variables) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [expand(inner, variables) for inner in value]
    return value


def variables_in(template: str) -> list[str]:
    """What stands in single braces in a template."""
    return [match[2] for match in _VARIABLE.finditer(template) if match[2]]


def scope_of(template: str) -> tuple[bool, bool, bool]:
    """Whether names made from a template differ by user, by workspace and by server."""
    names = set(variables_in(template))
    both = not names.isdisjoint(_OF_BOTH)
    user = both or "userid" in names or not names.isdisjoint(_OF_USER)
    return user, "workspace" in names, both or not names.isdisjoint(_OF_SERVER)


def _expand_text(template: str, variables: Mapping[str, str]) -> str:
    if "{" not in template:
        return template
    replaced = False

    def replace(match: re.Match[str]) -> str:
        nonlocal replaced
        if match[1]:
            return f"{{{match[1]}}}" if match[1] in LAUNCH_VARIABLES else match[0]
        if match[2] not in variables:
            return match[0]
        replaced = True
        return variables[match[2]]

    text = _VARIABLE.sub(replace, template)
    return text.rstrip("-") if replaced and not template.endswith("-") else text


def _z2jh_part(text: str, limit: int) -> str:
    kept = _UNSAFE.sub("-", text.lower()).lstrip("-")[:limit].rstrip("-")
    if kept and not "a" <= kept[0] <= "z":
        return f"x-{kept[: limit - 2]}"
    return kept or "x"


def _z2jh_digest(*texts: str) -> str:
    # No UTF-8 has the byte 0xff: it tells ("ab", "c") from ("a", "bc").
    joined = b"\xff".join(text.encode("utf-8", "surrogatepass") for text in texts)
    return sha256(joined).hexdigest()[:_Z2JH_DIGEST]


def _z2jh_both(user: str, server: str) -> str:
    mine, its = z2jh_slug(user), z2jh_slug(server) if server else ""
    if len(mine) + len(its) + 2 <= _Z2JH_LENGTH:
        return f"{mine}--{its}" if server else mine
    most = (_Z2JH_LENGTH - _Z2JH_DIGEST - 1) // 2 - 2
    return f"{_z2jh_part(user, most)}--{_z2jh_part(server, most)}---{_z2jh_digest(user, server)}"


def _escaped(text: str) -> str:
    """The slug of KubeSpawner before version 7: what is not a-z or 0-9 as ``-`` and its UTF-8 in hexadecimal."""
    letters = (
        letter if letter.isascii() and (letter.islower() or letter.isdigit()) else _hexadecimal(letter)
        for letter in text
    )
    return "".join(letters)


def _hexadecimal(letter: str) -> str:
    return "".join(f"-{byte:x}" for byte in letter.encode("utf-8", "surrogatepass"))
