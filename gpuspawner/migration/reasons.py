"""Why a trait of KubeSpawner is not taken over, and what says the same."""

from collections.abc import Mapping

__all__ = ["REASONS"]

_SLOW_SPAWN = "is not needed: the page of a launch says what it waits for, from the first second."
_FORM = "has no equivalent: the form is gpuspawner's own; JupyterHub.template_paths can change its template."
_ADDRESS = "has no equivalent: the hub reaches servers by the address of their pod or, with services, by a name."
_REQUESTS = "is not needed: requests are repeated until the launch's own deadline."

REASONS: Mapping[str, str] = {
    "additional_profile_form_template_paths": _FORM,
    "after_pod_created_hook": "has no equivalent: modify_pod_hook and pre_spawn_hook come before the pod.",
    "apply_user_options": "is gpuspawner's own: what a member asks for is checked against profile and quota.",
    "component_label": "has no equivalent: hub_name tells several hubs of a namespace apart.",
    "delete_stopped_pods": "has no equivalent: pods that ended are deleted, and the launch's page and the log say why.",
    "events_enabled": "is not needed: events are read for servers that start, and only then.",
    "get_pod_url": _ADDRESS,
    "handle_legacy_names": "is not needed: storage names the claim; see docs/from-kubespawner.md.",
    "hub_connect_ip": "is deprecated: set c.JupyterHub.hub_connect_ip.",
    "hub_connect_port": "is deprecated: set c.JupyterHub.hub_connect_url.",
    "k8s_api_request_retry_timeout": _REQUESTS,
    "k8s_api_request_timeout": _REQUESTS,
    "k8s_api_threadpool_workers": "has had no effect since KubeSpawner 3.",
    "modify_pod_hook": "is a function: copy it, and set c.GPUSpawner.modify_pod_hook; the pod is a dict there.",
    "options_form": _FORM,
    "options_from_form": _FORM,
    "pod_connect_ip": _ADDRESS,
    "pod_name_template": "has no equivalent: pods are called jupyter-USER and jupyter-USER--SERVER.",
    "profile_form_template": _FORM,
    "remember_pvc_name": "is not needed: storage names the claim; see docs/from-kubespawner.md.",
    "secret_mount_path": "has no equivalent: it is /etc/jupyterhub/ssl, as by default there.",
    "secret_name_template": "has no equivalent: the Secret of a server is called as its pod.",
    "slow_spawn_message": _SLOW_SPAWN,
    "slow_spawn_message_frequency": _SLOW_SPAWN,
    "slow_spawn_message_threshold": _SLOW_SPAWN,
    "start_timeout": "is not needed: wait and deadlines of a profile say how long a launch may take.",
}
"""Traits that are not taken over, each with the end of a sentence that begins with its name."""
