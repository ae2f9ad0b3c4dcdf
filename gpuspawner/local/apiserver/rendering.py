"""How answers look: objects, lists, tables or metadata only, as the Accept header asks."""

import json
from dataclasses import dataclass
from typing import Any

from gpuspawner.local.apiserver.eventshapes import to_events_group
from gpuspawner.local.apiserver.history import Change, Stored
from gpuspawner.local.apiserver.listing import Page
from gpuspawner.local.apiserver.resources import Resource
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store
from gpuspawner.local.apiserver.table import columns, row

__all__ = ["Renderer", "dump", "renderer"]

Object = dict[str, Any]
_META = "meta.k8s.io/v1"


def dump(value: Any) -> bytes:
    """Write JSON without needless spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(slots=True)
class Renderer:
    """Writes objects of one resource in one form: ``""`` (whole), ``Table`` or ``PartialObjectMetadata``."""

    resource: Resource
    form: str
    store: Store
    include_object: str = "Metadata"
    """What a table's rows carry of the object: ``None``, ``Metadata`` or ``Object``."""
    _headed: bool = False

    @property
    def content_type(self) -> str:
        """The response's content type."""
        return "application/json"

    def whole(self, stored: Stored) -> str:
        """Write one object as it is."""
        if self.resource.key == "events.events.k8s.io":
            return json.dumps(to_events_group(stored.obj), separators=(",", ":"), ensure_ascii=False)
        return stored.text

    def one(self, stored: Stored) -> bytes:
        """Write one object in the form."""
        if not self.form:
            return self.whole(stored).encode()
        if self.form == "Table":
            return dump(self._table([stored], {"resourceVersion": str(stored.version)}))
        return dump(_partial(stored.obj))

    def page(self, page: Page) -> bytes:
        """Write a list in the form."""
        metadata = page.metadata()
        if self.form == "Table":
            return dump(self._table(page.items, metadata))
        if self.form:
            head = {"kind": f"{self.form}List", "apiVersion": _META, "metadata": metadata}
            return dump(head | {"items": [_partial(stored.obj) for stored in page.items]})
        head = {"kind": f"{self.resource.kind}List", "apiVersion": self.resource.api_version, "metadata": metadata}
        if self.resource.key == "events.events.k8s.io":
            items = ",".join(dump(_bare(to_events_group(stored.obj))).decode() for stored in page.items)
        else:
            items = ",".join(stored.item for stored in page.items)
        return f'{dump(head).decode()[:-1]},"items":[{items}]}}'.encode()

    def change(self, change: Change) -> bytes:
        """Write one line of a watch."""
        if not self.form and self.resource.stored_as == self.resource.key:
            return change.line
        if not self.form:
            obj: Any = to_events_group(change.new.obj)
        elif self.form == "Table":
            obj = self._table([change.new], {"resourceVersion": str(change.version)})
        else:
            obj = _partial(change.new.obj)
        return dump({"type": change.type, "object": obj}) + b"\n"

    def bookmark(self, version: int, initial: bool = False) -> bytes:
        """Write the line that tells a watch how far it has come."""
        metadata: Object = {"resourceVersion": str(version)}
        if not self.form:
            metadata["creationTimestamp"] = None
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj: Object = {"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": metadata}
        if self.form == "Table":
            obj = {"kind": "Table", "apiVersion": _META, "metadata": metadata, "columnDefinitions": [], "rows": []}
        elif self.form:
            obj |= {"kind": self.form, "apiVersion": _META}
        return dump({"type": "BOOKMARK", "object": obj}) + b"\n"

    def _table(self, items: list[Stored], metadata: Object) -> Object:
        table: Object = {"kind": "Table", "apiVersion": _META, "metadata": metadata}
        table["columnDefinitions"] = None if self._headed else columns(self.resource.stored_as)
        self._headed = True
        now = self.store.clock()
        table["rows"] = [self._row(stored, row(self.resource.stored_as, stored.obj, now)) for stored in items]
        return table

    def _row(self, stored: Stored, cells: list[Any]) -> Object:
        if self.include_object == "None":
            return {"cells": cells, "object": None}
        whole = self.include_object == "Object"
        return {"cells": cells, "object": json.loads(self.whole(stored)) if whole else _partial(stored.obj)}


def _bare(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def _partial(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": obj["metadata"]}


def renderer(store: Store, resource: Resource, accept: str, include_object: str) -> Renderer:
    """Choose the form that an Accept header asks for first; StatusError 406 if it takes no JSON."""
    include_object = include_object or "Metadata"
    for part in accept.split(",") if accept else ["application/json"]:
        media, *parameters = (piece.strip() for piece in part.split(";"))
        options = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
        if media not in ("application/json", "application/*", "*/*"):
            continue
        form = options.get("as", "").removesuffix("List")
        if not form:
            return Renderer(resource, "", store, include_object)
        known = form in ("Table", "PartialObjectMetadata") and options.get("g", "meta.k8s.io") == "meta.k8s.io"
        if known and options.get("v", "v1") == "v1":
            return Renderer(resource, form, store, include_object)
    message = "only the following media types are accepted: application/json"
    raise StatusError(406, "NotAcceptable", message, {})
