"""Secrets in values of the chart that go where others can read them: what the chart's own template refuses. Pure."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gpuspawner.values.document import value_at

__all__ = ["misplaced_secrets"]

_CONFIG = "a ConfigMap is no place for secrets; say it below hub.secretConfig, by the same class and name"
_SECTION = (
    "a ConfigMap is no place for secrets; say it below hub.secretConfig.GPUSpawner, or have servers read a Secret"
)
_VARIABLE = "a pod's spec is no place for secrets; take it from a Secret, with valueFrom and secretKeyRef"
_ALONE = "a ConfigMap is no place for secrets; say secret: true beside it"
_PLACES = (
    ("hub.config", _CONFIG),
    ("gpuspawner", _SECTION),
    ("hub.extraEnv", _VARIABLE),
    ("hub.extraContainers", _VARIABLE),
    ("hub.initContainers", _VARIABLE),
    ("proxy.extraEnv", _VARIABLE),
    ("proxy.extraArgs", _VARIABLE),
)
_NAME = re.compile(
    r"(?i)(secret|password|passwd|passphrase|token|credential|(api|private|secret|access|account|signing|crypt)[_-]?key)"
    r"s?\Z"
)
_ALSO = {"consumers", "keys", "password_groups"}
_NAMES_OF_SECRETS = {"image_pull_secrets", "imagePullSecrets", "existingSecret"}
_TEXT = re.compile(r"://[^/@:\s]*:[^/@\s]+@|-----BEGIN [A-Z ]*PRIVATE KEY")


def misplaced_secrets(values: Mapping[str, Any]) -> list[str]:
    """One line for each, as templates/hub/_misplaced.tpl of the chart tells it; none has the secret itself."""
    found = []
    for place, remedy in _PLACES:
        # Only in hub.config names are those of traits, also of lists and maps.
        found += [f"{path}: {remedy}" for path in _secrets_in(place, value_at(values, place), place == "hub.config")]
    for place in ("hub.extraFiles", "singleuser.extraFiles"):
        files = value_at(values, place)
        for name, file in sorted(files.items()) if isinstance(files, Mapping) else ():
            if isinstance(file, Mapping) and not file.get("from") and not file.get("secret"):
                said = [file.get("stringData"), file.get("data"), _decoded(file.get("binaryData"))]
                found += [f"{place}.{name}: {_ALONE}"] if any(_secrets_in("", said, deep=False)) else []
    return found


def _secrets_in(path: str, value: Any, deep: bool) -> Iterator[str]:
    """The paths of texts below a secret's name, of variables with one, of URLs with a password, of private keys."""
    if isinstance(value, Mapping):
        if _is_text(value.get("name")) and _is_text(value.get("value")) and _is_secret(value["name"]):
            yield f"{path}[{value['name']}].value"
        for key, inner in sorted(value.items()):
            text = inner.get("value") if isinstance(inner, Mapping) else inner
            texts = deep and isinstance(inner, Mapping | list)
            if inner and ((_is_text(text) and text) or texts) and _is_secret(key):
                yield f"{path}.{key}"
            else:
                yield from _secrets_in(f"{path}.{key}", inner, deep)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _secrets_in(f"{path}[{index}]", inner, deep)
    elif _is_text(value) and _TEXT.search(value):
        yield path


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_secret(name: str) -> bool:
    return (name in _ALSO or _NAME.search(name) is not None) and name not in _NAMES_OF_SECRETS


def _decoded(text: Any) -> str:
    try:
        return base64.b64decode("".join(str(text or "").split()), validate=True).decode(errors="replace")
    except binascii.Error:
        return ""
