"""What of the Kubernetes API a configuration uses: each permission, and what does not work without it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpuspawner.catalog import uses_devices
from gpuspawner.labels import QUEUE
from gpuspawner.settings import NAMESPACE_OBJECTS, Settings

__all__ = ["Permission", "permissions", "told"]

_DEVICES = "resource.k8s.io"
_KUEUE = "visibility.kueue.x-k8s.io"


@dataclass(frozen=True, slots=True)
class Permission:
    """One verb on one resource."""

    resource: str
    """As a Role names it: ``pods``, ``pods/log``."""
    verb: str
    without: str
    """What does not work without it, as the end of a sentence."""
    group: str = ""
    everywhere: bool = False
    """In all namespaces, or of no namespace at all; else where the servers are."""


def permissions(settings: Settings, *, cluster_wide: bool = True, internal_ssl: bool = False) -> tuple[Permission, ...]:
    """What a hub with these settings needs, in the order in which it comes to need it.

    Parameters
    ----------
    cluster_wide
        Whether it is to read nodes and the pods of all namespaces, to know how many GPUs are free.
    internal_ssl
        JupyterHub's ``internal_ssl``: servers speak TLS, by a Service and with certificates of their own.
    """
    apart = settings.user_namespaces is not None
    own = [*_servers(settings, internal_ssl), *([] if cluster_wide or apart else _seen(settings, everywhere=False))]
    cluster = [
        *(_of("nodes", ("list", "watch"), "nobody sees how many GPUs there are") if cluster_wide else ()),
        *(_seen(settings, everywhere=True) if cluster_wide or apart else ()),
        *(_namespaces(settings) if apart else ()),
        *(_device_kinds() if uses_devices(settings.catalog) else ()),
    ]
    everywhere = [*cluster, *(own if apart else ())]
    return (*(replace(one, everywhere=True) for one in everywhere), *(() if apart else own))


def _of(resource: str, verbs: Iterable[str], without: str, group: str = "") -> Iterator[Permission]:
    for verb in verbs:
        yield Permission(resource, verb, without, group)


def _kept(resource: str, what: str, without: str, group: str = "") -> Iterator[Permission]:
    """An object of each server: made, replaced where a hub that crashed left one, cleared away."""
    yield Permission(resource, "create", without, group)
    yield Permission(resource, "get", f"{what} that a crashed hub left is not replaced", group)
    yield Permission(resource, "delete", f"{what} is left behind", group)


def _servers(settings: Settings, internal_ssl: bool) -> Iterator[Permission]:
    if settings.token_in_secret or internal_ssl:
        yield from _kept("secrets", "the Secret of a server", "no server starts")
    storage = settings.storage
    if storage is not None and storage.home:
        if storage.create:
            yield Permission("persistentvolumeclaims", "create", "nobody new gets a home")
        yield Permission("persistentvolumeclaims", "get", "nobody gets at a home that exists")
        namespaces = settings.user_namespaces
        deleted_with_namespace = namespaces is not None and namespaces.delete_with_user
        if storage.delete_with_user and storage.scope[0] and not deleted_with_namespace:
            without = "the home of a deleted user is left behind"
            yield from _of("persistentvolumeclaims", ("list", "delete"), without)
    if uses_devices(settings.catalog):
        without = "no server with such a device starts"
        yield from _kept("resourceclaimtemplates", "a server's template of devices", without, _DEVICES)
    yield Permission("pods", "create", "no server starts")
    yield Permission("pods", "get", "a server that a crashed hub left is neither found nor replaced")
    yield Permission("pods", "patch", "no server's time is extended, and why it ended is not kept")
    yield Permission("pods", "delete", "no server stops")
    if settings.services or internal_ssl:
        yield from _kept("services", "the Service of a server", "no server starts")
    yield Permission("pods/log", "get", "a launch that fails does not show the server's log")
    yield from _of("events", ("list", "watch"), "members are not told what a launch waits for")
    if any(QUEUE in _labels(patch) for _, patch in settings.patches()):
        yield Permission("localqueues/pendingworkloads", "get", "members are not told who is ahead of them", _KUEUE)


def _labels(patch: Mapping[str, Any]) -> Mapping[str, str]:
    return (patch.get("metadata") or {}).get("labels") or {}


def _seen(settings: Settings, *, everywhere: bool) -> Iterator[Permission]:
    without = "the hub does not see its servers" + (", nor the GPUs that others hold" if everywhere else "")
    yield from _of("pods", ("list", "watch"), without)
    if uses_devices(settings.catalog):
        yield from _of("resourceclaims", ("list", "watch"), "the hub does not see which devices are taken", _DEVICES)


def _namespaces(settings: Settings) -> Iterator[Permission]:
    yield Permission("namespaces", "create", "nobody new gets a namespace")
    yield Permission("namespaces", "get", "nobody gets at a namespace that exists")
    if settings.user_namespaces is not None and settings.user_namespaces.delete_with_user:
        yield Permission("namespaces", "delete", "the namespace of a deleted user is left behind")
    objects = settings.user_namespaces.objects if settings.user_namespaces is not None else ()
    for kind in sorted({one["kind"] for one in objects}):
        version, resource = NAMESPACE_OBJECTS[kind]
        yield from _of(resource, ("create", "patch"), "no server starts", version.rpartition("/")[0])


def _device_kinds() -> Iterator[Permission]:
    for resource in ("deviceclasses", "resourceslices"):
        yield from _of(resource, ("list", "watch"), "the hub does not see which devices there are", _DEVICES)


def told(missing: Iterable[Permission], namespace: str) -> list[str]:
    """A sentence for each resource on which permissions are missing."""
    found: dict[tuple[str, str, bool], dict[str, str]] = {}
    for one in missing:
        found.setdefault((one.group, one.resource, one.everywhere), {})[one.verb] = one.without
    sentences = []
    for (group, resource, everywhere), verbs in found.items():
        *first, last = verbs
        what = f"{', '.join(first)} and {last}" if first else last
        of = f"{resource} of {group}" if group else resource
        where = "in the whole cluster" if everywhere else f"in the namespace {namespace}"
        role = "ClusterRole" if everywhere else "Role"
        without = "; ".join(dict.fromkeys(verbs.values()))
        sentences.append(
            f"Kubernetes does not let this login {what} {of} {where}: {without}. Where it is the hub's, add it to its "
            f"{role}."
        )
    return sentences
