"""Discovery: /version, /api, /apis and the resources of each group, old and aggregated."""

from typing import Any

from gpuspawner.local.apiserver.resources import RESOURCES, Resource

__all__ = ["AGGREGATED", "VERSION", "api_group", "api_groups", "api_resources", "api_versions", "group_discovery"]

Object = dict[str, Any]
VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0+gpuspawner",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_POLICY = ("policy", "v1")
_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "status": ("", "", "", ("get", "patch", "update")),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "log": ("", "", "", ("get",)),
    "finalize": ("", "", "", ("update",)),
    "binding": ("", "v1", "Binding", ("create",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}


def _versions() -> list[tuple[str, str]]:
    return sorted({(resource.group, resource.version) for resource in RESOURCES if resource.group} | {_POLICY})


def api_versions(address: str) -> Object:
    """Answer ``/api``."""
    where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": where}


def api_group(group: str) -> Object | None:
    """Answer ``/apis/GROUP``; None for an unknown group."""
    versions = [
        {"groupVersion": f"{name}/{version}", "version": version} for name, version in _versions() if name == group
    ]
    if not versions:
        return None
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": group,
        "versions": versions,
        "preferredVersion": versions[0],
    }


def api_groups() -> Object:
    """Answer ``/apis``."""
    found = [group for name in sorted({name for name, _ in _versions()}) if (group := api_group(name))]
    groups = [{key: value for key, value in group.items() if key not in ("kind", "apiVersion")} for group in found]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _entry(resource: Resource) -> Object:
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def _sub_entry(resource: Resource, name: str) -> Object:
    group, version, kind, verbs = _SUBRESOURCES[name]
    entry = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
    entry |= {"kind": kind or resource.kind, "verbs": list(verbs)}
    return entry | ({"group": group, "version": version} if group else {})


def api_resources(group: str, version: str) -> Object | None:
    """Answer ``/api/v1`` and ``/apis/GROUP/VERSION``; None for an unknown one."""
    if (group, version) not in (*_versions(), ("", "v1")):
        return None
    entries = []
    for resource in RESOURCES:
        if (resource.group, resource.version) == (group, version):
            entries += [_entry(resource), *(_sub_entry(resource, name) for name in resource.subresources)]
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": entries}


def _discover(resource: Resource) -> Object:
    def kind(group: str, version: str, name: str) -> Object:
        return {"group": group, "version": version, "kind": name}

    own = kind(resource.group, resource.version, resource.kind)
    entry: Object = {
        "resource": resource.plural,
        "responseKind": own,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {"subresource": name, "responseKind": kind(*of[:3]) if of[2] else own, "verbs": list(of[3])}
            for name in resource.subresources
            for of in (_SUBRESOURCES[name],)
        ]
    return entry


def group_discovery(core: bool) -> Object:
    """Answer ``/api`` (core) or ``/apis`` as an aggregated ``APIGroupDiscoveryList``."""
    items = []
    for group, version in [("", "v1")] if core else _versions():
        found = [_discover(one) for one in RESOURCES if (one.group, one.version) == (group, version)]
        of = {"version": version, "resources": found, "freshness": "Current"}
        metadata = {"creationTimestamp": None} | ({"name": group} if group else {})
        items.append({"metadata": metadata, "versions": [of]})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}
