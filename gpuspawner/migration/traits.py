"""What a KubeSpawner hub configures: its traits by name, with KubeSpawner 7.1's defaults behind them."""

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from gpuspawner.schema import closest

__all__ = ["DEFAULTS", "INHERITED", "Remarks", "Traits", "camel", "listed", "plain"]

DEFAULTS: Mapping[str, Any] = {
    "allow_privilege_escalation": False,
    "args": [],
    "automount_service_account_token": None,
    "cmd": None,
    "common_labels": {
        "app.kubernetes.io/name": "jupyterhub",
        "app.kubernetes.io/managed-by": "kubespawner",
        "app": "jupyterhub",
        "heritage": "jupyterhub",
    },
    "container_security_context": {},
    "cpu_guarantee": None,
    "cpu_limit": None,
    "delete_grace_period": 1,
    "delete_pvc": True,
    "dns_name_template": "{name}.{namespace}.svc.cluster.local",
    "enable_user_namespaces": False,
    "environment": {},
    "extra_annotations": {},
    "extra_container_config": {},
    "extra_containers": [],
    "extra_labels": {},
    "extra_pod_config": {},
    "extra_resource_guarantees": {},
    "extra_resource_limits": {},
    "fs_gid": None,
    "gid": None,
    "image": "quay.io/jupyterhub/singleuser:latest",
    "image_pull_policy": None,
    "image_pull_secrets": [],
    "init_containers": [],
    "k8s_api_host": "",
    "k8s_api_ssl_ca_cert": "",
    "k8s_api_verify_ssl": None,
    "lifecycle_hooks": {},
    "mem_guarantee": None,
    "mem_limit": None,
    "namespace": "",
    "node_affinity_preferred": [],
    "node_affinity_required": [],
    "node_selector": {},
    "pod_affinity_preferred": [],
    "pod_affinity_required": [],
    "pod_anti_affinity_preferred": [],
    "pod_anti_affinity_required": [],
    "pod_security_context": {},
    "priority_class_name": "",
    "privileged": False,
    "profile_list": [],
    "pvc_name_template": "claim-{user_server}",
    "scheduler_name": None,
    "service_account": None,
    "services_enabled": False,
    "slug_scheme": "safe",
    "storage_access_modes": ["ReadWriteOnce"],
    "storage_capacity": None,
    "storage_class": None,
    "storage_extra_annotations": {},
    "storage_extra_labels": {},
    "storage_pvc_ensure": False,
    "storage_selector": {},
    "supplemental_gids": [],
    "tolerations": [],
    "uid": None,
    "user_namespace_annotations": {},
    "user_namespace_labels": {},
    "user_namespace_template": "{hubnamespace}-{username}",
    "volume_mounts": [],
    "volumes": [],
    "working_dir": None,
}
"""The traits that are taken over, and KubeSpawner's defaults for them."""

INHERITED = frozenset(
    {
        "auth_state_hook", "consecutive_failure_limit", "debug", "default_url", "disable_user_config", "env_keep",
        "group_overrides", "http_timeout", "hub_connect_url", "ip", "notebook_dir", "oauth_client_allowed_scopes",
        "oauth_roles", "poll_interval", "poll_jitter", "port", "post_stop_hook", "pre_spawn_hook",
        "progress_ready_hook", "server_token_scopes", "ssl_alt_names", "ssl_alt_names_include_local",
    }
)  # fmt: skip
"""JupyterHub's own: every spawner has them, and they mean the same here."""

_RENAMED = {"image_spec": "image", "singleuser_image_spec": "image"}
_ACRONYMS = {"host_ipc": "hostIPC", "host_pid": "hostPID", "set_hostname_as_fqdn": "setHostnameAsFQDN"}


@dataclass
class Remarks:
    """What has no equivalent, or not quite: one sentence each, with the place in KubeSpawner's configuration."""

    said: list[tuple[str, str]] = field(default_factory=list)

    def say(self, place: str, sentence: str) -> None:
        """Note it once."""
        if (place, sentence) not in self.said:
            self.said.append((place, sentence))


class Traits:
    """KubeSpawner's traits as set, at the level of the hub or of one profile; ``place`` says where they come from."""

    def __init__(self, values: Mapping[str, Any], remarks: Remarks, place: str = "c.KubeSpawner") -> None:
        self.remarks = remarks
        self.place = place
        self.set = {_new_name(name): plain(value) for name, value in values.items()}
        self._places: dict[str, str] = {}

    def of_profile(self, name: str) -> bool:
        """Whether a trait is set by the profile, and not for the whole hub."""
        return self._places.get(name, "").startswith("profile ")

    def __getitem__(self, name: str) -> Any:
        """The value as plain data, or KubeSpawner's default; a function is remarked upon, and not called."""
        value = self.set.get(name, DEFAULTS[name])
        if callable(value):
            self.say(name, "is a function of the spawner; say it in modify_pod_hook, or as one profile per case.")
            return deepcopy(DEFAULTS[name])
        return deepcopy(DEFAULTS[name]) if value is None else value

    def say(self, name: str, sentence: str) -> None:
        """A remark about one trait, or a part of it such as ``environment['HOME']``, where it was set."""
        place = self._places.get(name.partition("[")[0], "c.KubeSpawner")
        self.remarks.say(f"{place}.{name}", sentence)

    def overridden(self, override: Mapping[str, Any], place: str) -> "Traits":
        """These with a ``kubespawner_override`` applied: mappings are merged, None removes a key of theirs."""
        merged = deepcopy({name: value for name, value in self.set.items() if not callable(value)})
        merged |= {name: value for name, value in self.set.items() if callable(value)}
        for name, value in plain(override).items():
            own = _new_name(name)
            old = merged.get(own, DEFAULTS.get(own))
            merged[own] = _updated(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        result = Traits({}, self.remarks, place)
        result.set = merged
        result._places = {**self._places, **dict.fromkeys(map(_new_name, override), place)}
        return result

    def unknown(self, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Each trait that is set and not taken over, with the reason: from ``known``, or that there is no such one."""
        for name in self.set:
            if name in known:
                yield name, known[name]
            elif name not in DEFAULTS and name not in INHERITED:
                close = closest(name, [*DEFAULTS, *INHERITED, *known])
                hint = f"; did you mean {close}?" if close else "."
                yield name, f"is no trait of KubeSpawner 7.1{hint}"


def _new_name(name: str) -> str:
    if name in _RENAMED:
        return _RENAMED[name]
    return re.sub("^(singleuser_|user_(?=storage_))", "", name)


def _updated(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            inner = merged.get(key)
            merged[key] = _updated(inner if isinstance(inner, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def plain(value: Any) -> Any:
    """Mappings, lists and values only: models of the Kubernetes client become the mappings they stand for."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    names = getattr(value, "attribute_map", None)
    if isinstance(names, Mapping):
        filled = {names[name]: getattr(value, name) for name in names}
        return {name: plain(inner) for name, inner in filled.items() if inner is not None}
    return value


def listed(value: Any, keys: Callable[[str], str] = lambda key: key) -> list[Any]:
    """The items of a list, or of a mapping in the order of its keys, as KubeSpawner takes both."""
    items = [value[key] for key in sorted(value)] if isinstance(value, Mapping) else value or []
    return [{keys(key): inner for key, inner in item.items()} if isinstance(item, Mapping) else item for item in items]


def camel(name: str) -> str:
    """Kubernetes' own name of a field that the Python client writes with underscores."""
    return _ACRONYMS.get(name) or re.sub("_([a-z])", lambda letter: letter[1].upper(), name)
