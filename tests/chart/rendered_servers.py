"""What a rendered chart means for servers: the hub's settings, and the pods they make."""

from collections.abc import Mapping
from typing import Any

from rendering import Manifests
from small_hub import MONDAY, ask

from gpuspawner.admission import Capacity, admit
from gpuspawner.companions import namespace_of
from gpuspawner.config import Settings, load_settings
from gpuspawner.pod import Server, build_pod
from gpuspawner.values.derive import namespace_objects, pod_template, sections
from gpuspawner.values.document import Secrets, parse_values

__all__ = ["server_pod", "settings_of"]


def settings_of(manifests: Manifests) -> Settings:
    """The settings of ``c.GPUSpawner`` that the hub derives from the rendered values."""
    [config] = [item for item in manifests.all("ConfigMap") if "values.json" in item["data"]]
    values = parse_values(config["data"]["values.json"])
    section = sections(values, Secrets())["GPUSpawner"]
    changes = {"pod_template": pod_template(values, section.get("pod_template", {}))}
    if (own := section.get("user_namespaces")) is not None:
        changes["user_namespaces"] = {**own, "objects": namespace_objects(values, own.get("objects", ()))}
    return load_settings({**section, **changes})


def server_pod(manifests: Manifests, options: Mapping[str, Any] | None = None, user: str = "ada") -> dict[str, Any]:
    """The pod of a server that the hub makes; its namespace is added, which the API adds else."""
    settings = settings_of(manifests)
    granted = admit(ask(settings, dict(options or {}), user=user), settings, [], Capacity(), MONDAY)
    pod = build_pod(granted, Server({}, None, []), settings)
    pod["metadata"]["namespace"] = namespace_of(user, settings)
    return pod
