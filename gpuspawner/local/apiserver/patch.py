"""JSON patch, merge patch and strategic merge patch of stored objects."""

from typing import Any

import jsonpatch
import jsonpointer

from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import clone
from gpuspawner.strategic_merge import strategic_merge

__all__ = ["JSON_PATCH", "MERGE_PATCH", "STRATEGIC_MERGE_PATCH", "apply_patch", "merge_patch"]

Object = dict[str, Any]
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
_REJECTED = "the server rejected our request due to an error in our request"


def apply_patch(content_type: str, base: Object, patch: Any) -> Object:
    """Return ``base`` with a patch of one of the three content types applied.

    StatusError 400 for a body that is no such patch, 422 where it cannot be applied.
    """
    if content_type == JSON_PATCH:
        return _json_patch(base, patch)
    if not isinstance(patch, dict):
        raise StatusError.bad_request("error decoding patch: json: cannot unmarshal array into Go value of type map")
    if content_type == MERGE_PATCH:
        merged: Object = merge_patch(base, patch)
        return merged
    try:
        return strategic_merge(base, patch)
    except ValueError as error:
        raise StatusError.bad_request(str(error)) from None


def merge_patch(base: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return clone(patch)
    merged = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _json_patch(base: Object, patch: Any) -> Object:
    if not isinstance(patch, list):
        raise StatusError.bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    try:
        patched = jsonpatch.JsonPatch(patch).apply(clone(base))
    except jsonpatch.InvalidJsonPatch as error:
        raise StatusError.bad_request(f"error decoding patch: {error}") from None
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise StatusError(422, "Invalid", _REJECTED, {"causes": [{"message": str(error)}]}) from None
    if not isinstance(patched, dict):
        raise StatusError(422, "Invalid", _REJECTED, {})
    return patched
