"""Lists: selectors, pages with continue tokens, and versions."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gpuspawner.local.apiserver.history import Stored
from gpuspawner.local.apiserver.resources import Resource
from gpuspawner.local.apiserver.selectors import matches_labels, parse_fields, parse_labels
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store, Versions

__all__ = ["Page", "list_page", "parse_version", "selection"]

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter."
)


@dataclass(slots=True)
class Page:
    """One answer to a list."""

    items: Versions
    version: int
    continue_token: str = ""
    remaining: int | None = None

    def metadata(self) -> dict[str, object]:
        """Return the list's metadata."""
        data: dict[str, object] = {"resourceVersion": str(self.version)}
        if self.continue_token:
            data["continue"] = self.continue_token
        if self.remaining is not None:
            data["remainingItemCount"] = self.remaining
        return data


def selection(resource: Resource, query: Mapping[str, str], name: str | None = None) -> Callable[[Stored], bool] | None:
    """Return the test that a query's selectors make, or None if they select everything. StatusError 400."""
    labels = parse_labels(query.get("labelSelector", ""))
    fields = query.get("fieldSelector", "")
    by_fields = parse_fields(resource.key, fields) if fields else None
    if not labels and by_fields is None and name is None:
        return None

    def matches(stored: Stored) -> bool:
        if name is not None and stored.name != name:
            return False
        if labels and not matches_labels(labels, stored.obj["metadata"].get("labels") or {}):
            return False
        return by_fields is None or by_fields(stored.obj)

    return matches


def parse_version(query: Mapping[str, str]) -> int | None:
    """Return the resourceVersion of a query; None if absent. StatusError 400 if it is no number."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise StatusError.bad_request(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def _token(version: int, last: Stored, namespace: str | None) -> str:
    start = last.name if namespace is not None or not last.namespace else f"{last.namespace}/{last.name}"
    body = {"v": "meta.k8s.io/v1", "rv": version, "start": f"/{start}\u0000"}
    text = json.dumps(body, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _parse_token(token: str) -> tuple[int, str]:
    try:
        body = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(body["rv"]), str(body["start"]).removeprefix("/").rstrip("\u0000")
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise StatusError.bad_request("continue key is not valid: illegal base64 data") from None


def list_page(store: Store, resource: Resource, namespace: str | None, query: Mapping[str, str]) -> Page:
    """Return the page that a query asks for. StatusError 400, 410 for an old token, 504 for a future version."""
    matches = selection(resource, query)
    version = parse_version(query)
    start = None
    if query.get("continue"):
        if version:
            raise StatusError.bad_request("specifying resource version is not allowed when using continue")
        version, start = _parse_token(query["continue"])
        try:
            stored = store.items_at(resource.stored_as, namespace, version)
        except StatusError:
            raise StatusError(410, "Expired", _TOO_OLD) from None
    elif version and query.get("resourceVersionMatch") == "Exact":
        stored = store.items_at(resource.stored_as, namespace, version)
    elif version and version > store.version:
        raise _too_large(version, store.version)
    else:
        version, stored = store.version, store.items(resource.stored_as, namespace)
    if start is not None:
        key = ("", start) if "/" not in start else tuple(start.split("/", 1))
        stored = [one for one in stored if (one.namespace if "/" in start else "", one.name) > key]
    return _cut(stored, version, matches, _limit(query), namespace)


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", "") or "0"
    if not (text.isascii() and text.isdigit()):
        raise StatusError.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _cut(
    stored: Versions, version: int, matches: Callable[[Stored], bool] | None, limit: int, namespace: str | None
) -> Page:
    if matches:
        stored = [one for one in stored if matches(one)]
    if not limit or len(stored) <= limit:
        return Page(stored, version)
    page = Page(stored[:limit], version, _token(version, stored[limit - 1], namespace))
    if matches is None:
        page.remaining = len(stored) - limit
    return page


def _too_large(asked: int, current: int) -> StatusError:
    message = f"Too large resource version: {asked}, current: {current}"
    details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
    return StatusError(504, "Timeout", f"Timeout: {message}", details | {"retryAfterSeconds": 1})
