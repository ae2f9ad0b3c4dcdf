"""Recordings of a real kube-apiserver 1.36, and what in them differs from one run to the next."""

import base64
import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "data" / "kubernetes-api"
Object = dict[str, Any]

_VOLATILE = {
    "uid": "<uid>",
    "resourceVersion": "<version>",
    "creationTimestamp": "<time>",
    "deletionTimestamp": "<time>",
    "lastTransitionTime": "<time>",
    "startTime": "<time>",
    "startedAt": "<time>",
}
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
_OLDEST = re.compile(r"(too old resource version: \d+) \(\d+\)")


def numbers() -> list[int]:
    """Return the numbers of all recordings."""
    return sorted(int(path.name.partition("-")[0]) for path in FOLDER.glob("*.json"))


def recording(number: int) -> Object:
    """Return one recording: ``request`` and ``response``, or ``watch_events``."""
    (path,) = FOLDER.glob(f"{number:02d}-*.json")
    found: Object = json.loads(path.read_text(encoding="utf-8"))
    return found


def comparable(value: Any) -> Any:
    """Return a body with what differs between two runs replaced by its name.

    ``managedFields`` were left out of the recordings, and the difference at the end of a refused change is
    written in Go's own notation there.
    """
    if isinstance(value, dict):
        out = {}
        for key, item in value.items():
            if key == "managedFields":
                continue
            if key == "continue":
                out[key] = _comparable_token(item)
            else:
                out[key] = _VOLATILE[key] if key in _VOLATILE and isinstance(item, str) else comparable(item)
        return out
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, str):
        value = _TOKEN_VOLUME.sub("kube-api-access-<suffix>", value)
        value = _OLDEST.sub(r"\1 (<version>)", value)
        return value.partition("\n@@")[0]
    return value


def _comparable_token(token: str) -> Object:
    decoded: Object = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return decoded | {"rv": "<version>"}
