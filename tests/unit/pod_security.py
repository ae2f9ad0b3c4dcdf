"""Pod Security Standards, level "restricted", as a function over a pod: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""

from typing import Any

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
    "image",
}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
}


def violations(pod: dict[str, Any]) -> list[str]:
    """What a pod does that "restricted" forbids; empty where it is admitted."""
    spec = pod["spec"]
    whole = spec.get("securityContext", {})
    found = [f"{key} is shared" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    found += [
        f"volume {volume['name']} is {kind}"
        for volume in spec.get("volumes", [])
        for kind in set(volume) - {"name"} - _VOLUMES
    ]
    found += [f"sysctl {one['name']}" for one in whole.get("sysctls", []) if one["name"] not in _SYSCTLS]
    if whole.get("runAsUser") == 0:
        found.append("the pod runs as root")
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        own = container.get("securityContext", {})
        found += [f"{container['name']}: {text}" for text in _of_container(container, own, whole)]
    return found


def _of_container(container: dict[str, Any], own: dict[str, Any], whole: dict[str, Any]) -> list[str]:
    capabilities = own.get("capabilities", {})
    seccomp = own.get("seccompProfile", whole.get("seccompProfile", {})).get("type")
    checks = {
        "privileged": own.get("privileged", False),
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is not False,
        "runAsNonRoot": own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True,
        "runAsUser 0": own.get("runAsUser") == 0,
        "seccompProfile": seccomp not in ("RuntimeDefault", "Localhost"),
        "capabilities.drop": "ALL" not in capabilities.get("drop", []),
        "capabilities.add": not set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
        "procMount": own.get("procMount", "Default") != "Default",
        "hostPort": any(port.get("hostPort") for port in container.get("ports", [])),
    }
    return [name for name, broken in checks.items() if broken]
