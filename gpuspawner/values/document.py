"""The format of the files that the Helm chart mounts for its hub, and how they are read from text. Pure."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from gpuspawner.errors import ConfigurationError
from gpuspawner.schema import Schema, problems_of

__all__ = [
    "SECRET_CONFIG",
    "SECRET_VALUES",
    "SERVICE_TOKEN",
    "VALUES",
    "Hub",
    "HubLogin",
    "Release",
    "Secrets",
    "Values",
    "merged",
    "of_chart",
    "parse_secrets",
    "parse_values",
    "value_at",
]

VALUES = "values.json"
SECRET_VALUES = "secret-values.json"  # noqa: S105 - the name of a file
SECRET_CONFIG = "secret-config.json"  # noqa: S105 - the name of a file
SERVICE_TOKEN = "service-token."  # noqa: S105 - the beginning of file names
_LEAST_COOKIE_SECRET = 32
_CRYPT_KEY = 32
_BY_NAME: Mapping[str, tuple[str, ...]] = {
    "gpuspawner": ("gpu_classes", "profiles", "workspaces", "cohorts"),
    "hub": ("extraConfig", "services", "loadRoles"),
}
"""Maps of entries by names that the administrator chooses."""
_Sections = dict[str, dict[str, Any]]


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("a path such as / or /jupyter/")
    return value


class Release(Schema):
    """What the chart knows of the release: names, addresses, and what its other values mean for pods of servers."""

    name: str = Field(description="Full name of the release, `gpuspawner.fullname`; it becomes hub_name.")
    namespace: str = Field(description="Namespace of the hub.")
    user_namespace: str = Field(alias="userNamespace", description="Namespace of the servers.")
    hub_port: int = Field(default=8081, alias="hubPort", description="Port that the hub listens on.")
    hub_url: str = Field(alias="hubUrl", description="The hub's Service as proxy and servers reach it.")
    proxy_api_url: str = Field(alias="proxyApiUrl", description="The proxy's API as the hub reaches it.")
    image_pull_secrets: tuple[str, ...] = Field(
        default=(), alias="imagePullSecrets", description="Names of the Secrets that servers' images are pulled with."
    )
    pod_templates: tuple[dict[str, Any], ...] = Field(
        default=(),
        alias="podTemplates",
        description="Patches of every server's pod, merged in this order and below `gpuspawner.pod_template`.",
    )
    namespace_objects: tuple[dict[str, Any], ...] = Field(
        default=(),
        alias="namespaceObjects",
        description="What each user's namespace has, before what `gpuspawner.user_namespaces.objects` says.",
    )


class HubLogin(Schema):
    """How people log in."""

    authenticator: str = Field(
        default="shared-password",
        description="Entry point or import path of an authenticator; with_workspaces() wraps it.",
    )
    administrators: tuple[str, ...] = Field(
        default=(), description="JupyterHub's administrators. None named, with shared-password: admin."
    )


class Hub(Schema):
    """What the chart's `hub` values say to the hub itself."""

    base_url: Annotated[str, AfterValidator(_path)] = Field(
        default="/", alias="baseUrl", description="Path of its URL."
    )
    config: _Sections = Field(default_factory=dict, description="Traits by class.")
    secret_config: _Sections = Field(
        default_factory=dict, alias="secretConfig", description="Traits by class that must not be read by others."
    )
    extra_config: dict[str, str] = Field(
        default_factory=dict, alias="extraConfig", description="Python by name, run in the order of names."
    )
    services: dict[str, dict[str, Any]] = Field(default_factory=dict, description="JupyterHub's services by name.")
    load_roles: dict[str, dict[str, Any]] = Field(
        default_factory=dict, alias="loadRoles", description="JupyterHub's roles by name."
    )


class Values(Schema):
    """``values.json`` with ``secret-values.json`` merged over it: the part of the chart's values that the hub needs.

    Every key but ``release`` is the chart's value of that path, so that a mistake is told by the path in the values::

        {
            "release": {
                "name": "gpuspawner",
                "namespace": "jupyter",
                "userNamespace": "jupyter",
                "hubPort": 8081,
                "hubUrl": "http://gpuspawner-hub.jupyter:8081",
                "proxyApiUrl": "http://gpuspawner-proxy-api.jupyter:8001",
                "imagePullSecrets": ["registry"],
                "podTemplates": [{"spec": {"priorityClassName": "gpuspawner-servers"}}]
            },
            "gpuspawner": {"gpu_classes": {...}, "profiles": {...}, "workspaces": {...}},
            "login": {"authenticator": "generic-oauth", "administrators": ["ada"]},
            "hub": {
                "baseUrl": "/",
                "config": {"GenericOAuthenticator": {"client_id": "gpuspawner"}},
                "services": {"reports": {"url": "http://reports"}},
                "loadRoles": {"reports": {"services": ["reports"], "scopes": ["read:users"]}}
            }
        }

    ``secret-values.json`` has the same shape and holds what may be secret: ``hub.secretConfig``,
    ``hub.extraConfig``, ``hub.services`` and ``custom``. Beside it, in the same folder, lie the files of
    :class:`Secrets`.
    """

    release: Release | None = None
    gpuspawner: dict[str, Any] = Field(default_factory=dict)
    login: HubLogin = HubLogin()
    hub: Hub = Hub()
    custom: dict[str, Any] = Field(default_factory=dict, description="Whatever snippets of `hub.extraConfig` want.")


@dataclass(frozen=True, slots=True)
class Secrets:
    """One file each in the folder of ``values.json``; a Secret of one's own has them as keys. All are optional."""

    cookie_secret: bytes | None = None
    """``cookie-secret``: 32 bytes or more, hexadecimal; it signs the cookies of browsers."""
    proxy_token: str | None = None
    """``proxy-token``: what the hub shows to the proxy's API."""
    crypt_keys: tuple[bytes, ...] = ()
    """``crypt-keys``: keys of 32 bytes each, hexadecimal or base64, one a line; the first one encrypts logins that are
    kept (``enable_auth_state``), the others can still be read."""
    admin_password: str | None = None
    """``admin-password``: of the administrators, where ``login.authenticator`` is shared-password; 32 characters."""
    database_url: str | None = None
    """``database-url``: of hub and ledger, ``postgresql://USER:PASSWORD@HOST/DATABASE``. Without it both are SQLite
    files in the hub's working directory."""
    service_tokens: Mapping[str, str] = field(default_factory=dict)
    """``service-token.NAME``: the API token of a service in ``hub.services``."""
    config: _Sections = field(default_factory=dict)
    """``secret-config.json``: traits by class, as ``hub.secretConfig`` and joined over it, for those who keep no secret
    in values."""


def parse_values(text: str, secret: str | None = None) -> Values:
    """Read the text of ``values.json``, and that of ``secret-values.json``.

    Raises
    ------
    ConfigurationError
        With one line per mistake: its path in the values, what was found, what is allowed.
    """
    written = _mapping(text, VALUES)
    return _checked(written if secret is None else merged(written, _mapping(secret, SECRET_VALUES)))


def of_chart(values: Mapping[str, Any]) -> Values:
    """What the chart would hand to the hub of the values it is installed with, such as those of a ``values.yaml``.

    Raises :exc:`ConfigurationError` as :func:`parse_values` does.
    """
    known: dict[str, Any] = {key: values.get(key) or {} for key in ("gpuspawner", "custom")}
    for key, model in (("login", HubLogin), ("hub", Hub)):
        written = values.get(key) or {}
        names = {field.alias or name for name, field in model.model_fields.items()}
        found = isinstance(written, Mapping)
        known[key] = {name: written[name] for name in names if written.get(name) is not None} if found else written
    return _checked(known)


def parse_secrets(files: Mapping[str, str]) -> Secrets:
    """Read the secrets from the texts of the files, by file name; unknown files are passed over.

    Raises :exc:`ConfigurationError`, which never holds what was found.
    """
    said = {name: text.strip() for name, text in files.items() if text.strip()}
    problems: list[str] = []
    cookie = said.get("cookie-secret")
    cookie_secret = _unhex(cookie) if cookie else None
    if cookie and (cookie_secret is None or len(cookie_secret) < _LEAST_COOKIE_SECRET):
        problems.append(f"cookie-secret: found {len(cookie)} characters, allowed: 64 hexadecimal digits or more")
    crypt_keys = []
    for index, line in enumerate(said.get("crypt-keys", "").replace(";", "\n").split()):
        key = _unhex(line) or _unbase64(line)
        if key is None or len(key) != _CRYPT_KEY:
            problems.append(
                f"crypt-keys, line {index + 1}: found {len(line)} characters, allowed: 32 bytes as 64 hexadecimal "
                "digits or as base64"
            )
        else:
            crypt_keys.append(key)
    config: _Sections = {}
    try:
        config = TypeAdapter(_Sections).validate_json(said.get(SECRET_CONFIG, "{}"), strict=True)
    except ValidationError:
        problems.append(f'{SECRET_CONFIG}: found something else, allowed: JSON such as {{"Class": {{"trait": 1}}}}')
    if problems:
        raise ConfigurationError(problems)
    return Secrets(
        cookie_secret=cookie_secret,
        proxy_token=said.get("proxy-token"),
        crypt_keys=tuple(crypt_keys),
        admin_password=said.get("admin-password"),
        database_url=said.get("database-url"),
        service_tokens={
            name.removeprefix(SERVICE_TOKEN): text for name, text in said.items() if name.startswith(SERVICE_TOKEN)
        },
        config=config,
    )


def _checked(written: Mapping[str, Any]) -> Values:
    try:
        return Values.model_validate({key: _kept(key, part) for key, part in written.items()})
    except ValidationError as error:
        raise ConfigurationError([_told(one.removeprefix(".")) for one in problems_of("", error, Values)]) from None


def _told(problem: str) -> str:
    """Nobody writes ``release`` by hand."""
    newer = problem.startswith("release.") and "unknown key" in problem
    return f"{problem.partition(';')[0]}; the chart is newer than the image of the hub" if newer else problem


def _kept(part: str, written: Any) -> Any:
    """Without entries that are null: so a values file takes away what an earlier one says by name."""
    if not isinstance(written, Mapping):
        return written
    return {
        key: {name: entry for name, entry in value.items() if entry is not None}
        if key in _BY_NAME.get(part, ()) and isinstance(value, Mapping)
        else value
        for key, value in written.items()
    }


def _mapping(text: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError([f"{name}, line {error.lineno}: {error.msg}, allowed: JSON"]) from None
    if not isinstance(found, dict):
        raise ConfigurationError([f"{name}: found a {type(found).__name__}, allowed: a mapping"])
    return found


def value_at(values: Any, path: str) -> Any:
    """What stands at a path such as ``hub.database``; None where nothing does."""
    for key in path.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge key by key, as Helm merges values; everything else is replaced."""
    found = dict(base)
    for key, value in over.items():
        old = found.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        found[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return found


def _unhex(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _unbase64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
