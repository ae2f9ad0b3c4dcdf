"""The verbs of the API on stored objects, without HTTP."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gpuspawner.local.apiserver.admission import admit, check_namespace, mutate
from gpuspawner.local.apiserver.apply import apply_configuration, drop_overwritten
from gpuspawner.local.apiserver.binding import bind, set_condition
from gpuspawner.local.apiserver.defaults import apply_defaults, prepare_new
from gpuspawner.local.apiserver.disruption import check_eviction
from gpuspawner.local.apiserver.eventshapes import from_events_group, to_events_group
from gpuspawner.local.apiserver.patch import apply_patch
from gpuspawner.local.apiserver.quota import admit_to_quotas
from gpuspawner.local.apiserver.resources import Resource
from gpuspawner.local.apiserver.schema import DecodeError, decode, definition_name
from gpuspawner.local.apiserver.service_addresses import give_addresses, keep_addresses
from gpuspawner.local.apiserver.status import StatusError, success
from gpuspawner.local.apiserver.store import Store, clone, random_suffix, timestamp
from gpuspawner.local.apiserver.validation import validate, validate_update

__all__ = ["DeleteOptions", "Operations", "WriteOptions"]

Object = dict[str, Any]
APPLY_PATCH = "application/apply-patch+yaml"
_SERVER_SIDE = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_ALSO_SERVER_SIDE = ("generation", "selfLink", "managedFields")
_GENERATED_NAME_BASE = 58
_ANSWERED_WITH_OBJECT = frozenset(
    {
        "namespaces",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "resourcequotas",
        "serviceaccounts",
        "services",
    }
)


@dataclass(slots=True)
class WriteOptions:
    """What the query of a write says, and the warnings that the write gives back."""

    dry_run: bool = False
    field_validation: str = "Warn"
    """``Strict``, ``Warn`` or ``Ignore``."""
    field_manager: str = "unknown"
    force: bool = False
    """Whether an apply takes fields over from other managers."""
    warnings: list[str] = field(default_factory=list)
    guard: Callable[[Resource, Object, Object | None], None] = lambda resource, new, old: None
    """Refuses, by raising StatusError 403, a new or changed object that its writer may not write."""


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What the query and the body of a deletion say."""

    grace_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    propagation: str = "Background"
    dry_run: bool = False


def _merge_string_data(secret: Object) -> None:
    plain = secret.pop("stringData", {})
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = secret.get("data", {}) | encoded


class Operations:
    """Create, replace, patch, delete and the pods' subresources, as a kube-apiserver does them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """Return one object, *shared*; StatusError 404."""
        try:
            obj = self.store.stored(resource.stored_as, namespace, name).obj
        except StatusError:
            raise StatusError.not_found(resource.key, name) from None
        return to_events_group(obj) if resource.key == "events.events.k8s.io" else obj

    def create(self, resource: Resource, namespace: str | None, body: Any, options: WriteOptions) -> Object:
        """Add an object and return it; StatusError 400, 403, 404, 409 or 422."""
        obj = self._decode(resource, body, options)
        metadata = obj.setdefault("metadata", {})
        if metadata.get("resourceVersion"):
            raise StatusError.bad_request("resourceVersion should not be set on objects to be created")
        for name in (*_SERVER_SIDE, *_ALSO_SERVER_SIDE):
            metadata.pop(name, None)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"][:_GENERATED_NAME_BASE] + random_suffix()
        metadata.setdefault("name", "")
        self._place(resource, namespace, metadata)
        if namespace is not None:
            check_namespace(self.store, resource, namespace, metadata["name"])
        if resource.key == "secrets":
            _merge_string_data(obj)
        apply_defaults(resource.stored_as, obj)
        mutate(self.store, resource, obj)
        if resource.key == "services":
            give_addresses(self.store, obj)
        prepare_new(resource.stored_as, obj)
        options.guard(resource, obj, None)
        validate(resource, obj)
        options.warnings += admit(self.store, resource, obj)
        return self._out(resource, self.store.create(resource.stored_as, obj, dry_run=options.dry_run))

    def replace(
        self, resource: Resource, namespace: str | None, name: str, body: Any, options: WriteOptions, part: str = ""
    ) -> Object:
        """Replace an object, or only its ``status``; StatusError 400, 403, 404, 409 or 422."""
        old = self.store.stored(resource.stored_as, namespace, name).obj
        new = self._decode(resource, body, options)
        metadata = new.setdefault("metadata", {})
        self._place(resource, namespace, metadata)
        if metadata.setdefault("name", name) != name:
            why = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            raise StatusError.bad_request(why)
        return self._update(resource, old, new, options, part)

    def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        content_type: str,
        body: Any,
        options: WriteOptions,
        part: str = "",
    ) -> tuple[Object, bool]:
        """Patch an object, or only its ``status``; return it and whether an apply created it."""
        if content_type == APPLY_PATCH:
            return self._apply(resource, namespace, name, body, options, part)
        old = self.store.stored(resource.stored_as, namespace, name).obj
        patched = apply_patch(content_type, self._out(resource, old), body)
        new = self._decode(resource, patched, options)
        if (new.get("metadata", {}).get("name"), new["metadata"].get("namespace", "")) != (name, namespace or ""):
            raise StatusError.bad_request("the name and namespace of an object cannot be patched")
        return self._update(resource, old, new, options, part), False

    def _apply(
        self, resource: Resource, namespace: str | None, name: str, body: Any, options: WriteOptions, part: str
    ) -> tuple[Object, bool]:
        config = self._decode(resource, body, options)
        metadata = config.setdefault("metadata", {})
        self._place(resource, namespace, metadata)
        if metadata.setdefault("name", name) != name:
            raise StatusError.bad_request(f"metadata.name {metadata['name']} does not match the URL's {name}")
        old = self.store.find(resource.stored_as, namespace, name)
        when = timestamp(self.store.clock())
        new = apply_configuration(resource, old, config, options.field_manager, options.force, part, when)
        if old is not None:
            return self._update(resource, old, new, options, part, keep_managers=True), False
        managed = new["metadata"].pop("managedFields")
        created = self.create(resource, namespace, new, options)
        if options.dry_run:
            return created, True
        key = (resource.stored_as, namespace, name)
        return self.store.modify(*key, lambda obj: obj["metadata"].update(managedFields=managed)), True

    def _update(
        self,
        resource: Resource,
        old: Object,
        new: Object,
        options: WriteOptions,
        part: str,
        keep_managers: bool = False,
    ) -> Object:
        if part == "status":
            new = {**old, "status": new.get("status", {}), "metadata": new["metadata"]}
        else:
            if "status" in old:
                new["status"] = clone(old["status"])
            else:
                new.pop("status", None)
            if resource.key == "namespaces" and part != "finalize":
                new["spec"] = clone(old.get("spec", {}))
            if resource.key == "secrets":
                _merge_string_data(new)
            apply_defaults(resource.stored_as, new)
            if resource.key == "services":
                keep_addresses(new, old)
                give_addresses(self.store, new)
            options.guard(resource, new, old)
            validate_update(resource, new, old)
            if resource.key == "persistentvolumeclaims":
                admit_to_quotas(self.store, resource.key, new, old)
        if not keep_managers:
            drop_overwritten(new, old, resource)
        return self._out(resource, self.store.update(resource.stored_as, new, dry_run=options.dry_run))

    def delete(self, resource: Resource, namespace: str | None, name: str, options: DeleteOptions) -> Object:
        """Delete an object; return it, or a Status for kinds that a kube-apiserver answers so."""
        old = self.get(resource, namespace, name)
        if options.propagation == "Orphan" and not options.dry_run:
            self._orphan(old["metadata"]["uid"])
        gone = self.store.delete(
            resource.stored_as,
            namespace,
            name,
            grace_seconds=options.grace_seconds,
            uid=options.uid,
            resource_version=options.resource_version,
            dry_run=options.dry_run,
        )
        still_there = self.store.find(resource.stored_as, namespace, name) is not None and not options.dry_run
        if resource.key in _ANSWERED_WITH_OBJECT or still_there:
            return self._out(resource, gone)
        group = {"group": resource.group} if resource.group else {}
        return success(details={"name": name} | group | {"kind": resource.plural, "uid": old["metadata"]["uid"]})

    def _orphan(self, uid: str) -> None:
        for resource, stored in self.store.dependents(uid):
            metadata = clone(stored.obj["metadata"])
            metadata["ownerReferences"] = [one for one in metadata["ownerReferences"] if one.get("uid") != uid]
            self.store.update(resource, stored.obj | {"metadata": metadata})

    def evict(self, namespace: str, name: str, body: Any, options: DeleteOptions) -> Object:
        """Evict a pod: mark it as disrupted and delete it."""
        check_eviction(self.store, self.store.stored("pods", namespace, name).obj)
        asked = body.get("deleteOptions") or {}
        grace = asked.get("gracePeriodSeconds", options.grace_seconds)
        uid = (asked.get("preconditions") or {}).get("uid")
        if not options.dry_run and not asked.get("dryRun"):
            condition = {"type": "DisruptionTarget", "status": "True", "lastProbeTime": None}
            condition |= {"lastTransitionTime": timestamp(self.store.clock()), "reason": "EvictionByEvictionAPI"}
            condition |= {"message": "Eviction API: evicting"}
            self.store.modify(
                "pods", namespace, name, lambda pod: set_condition(pod.setdefault("status", {}), condition)
            )
            self.store.delete("pods", namespace, name, grace_seconds=grace, uid=uid)
        return success(201)

    def bind(self, namespace: str, name: str, body: Any) -> Object:
        """Assign a pod to the node that a Binding names."""
        node = (body.get("target") or {}).get("name")
        if not node:
            raise StatusError.bad_request("target.name: Required value")
        bind(self.store, namespace, name, node)
        return success(201)

    def _place(self, resource: Resource, namespace: str | None, metadata: Object) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
        elif metadata.setdefault("namespace", namespace) != namespace:
            why = "the namespace of the provided object does not match the namespace sent on the request"
            raise StatusError.bad_request(why)

    def _decode(self, resource: Resource, body: Any, options: WriteOptions) -> Object:
        if isinstance(body, dict):
            version, kind = body.get("apiVersion", resource.api_version), body.get("kind", resource.kind)
            if version != resource.api_version:
                why = f"does not match the expected API version ({resource.api_version})"
                raise StatusError.bad_request(f"the API version in the data ({version}) {why}")
            if kind != resource.kind:
                raise StatusError.bad_request(f'{kind} in version "{version}" cannot be handled as a {resource.kind}')
        prefix = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        try:
            decoded = decode(body, definition_name(resource.group, resource.version, resource.kind))
        except DecodeError as error:
            raise StatusError.bad_request(f"{prefix}: {error}") from None
        unknown = [f'unknown field "{path}"' for path in decoded.unknown]
        if unknown and options.field_validation == "Strict":
            raise StatusError.bad_request(f"{prefix}: strict decoding error: {', '.join(unknown)}")
        if options.field_validation == "Warn":
            options.warnings += unknown
        decoded.obj |= {"kind": resource.kind, "apiVersion": resource.api_version}
        return from_events_group(decoded.obj) if resource.key == "events.events.k8s.io" else decoded.obj

    def _out(self, resource: Resource, obj: Object) -> Object:
        return to_events_group(obj) if resource.key == "events.events.k8s.io" else obj
