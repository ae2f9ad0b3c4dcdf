"""Pod Security Standards by namespace label, in the words of Kubernetes' admission plugin."""

from collections.abc import Callable, Iterator
from typing import Any

from gpuspawner.local.apiserver.pod_defaults import containers
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store

__all__ = ["enforce_pod_security", "violations", "warn_of_pod_security"]

Object = dict[str, Any]
Check = Callable[[Object], str | None]
_LABEL = "pod-security.kubernetes.io/"
_BASELINE_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"}
    | {"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)
_RESTRICTED_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"}
    | {"persistentVolumeClaim", "projected", "secret"}
)
_SAFE_SYSCTLS = frozenset(
    {"kernel.shm_rmid_forced"}
    | {f"net.ipv4.ip_{name}" for name in ("local_port_range", "local_reserved_ports", "unprivileged_port_start")}
    | {f"net.ipv4.tcp_{name}" for name in ("fin_timeout", "rmem", "syncookies", "wmem")}
    | {f"net.ipv4.tcp_keepalive_{name}" for name in ("intvl", "probes", "time")}
    | {"net.ipv4.ping_group_range"}
)


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _plural(word: str, names: list[str]) -> str:
    return f"{word}{'' if len(names) == 1 else 's'} {_quoted(names)}"


def _security(container: Object) -> Object:
    context: Object = container.get("securityContext", {})
    return context


def _bad(spec: Object, is_bad: Callable[[Object], bool]) -> list[str]:
    return [container["name"] for container in containers(spec) if is_bad(container)]


def _host_namespaces(spec: Object) -> str | None:
    used = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return f"host namespaces ({', '.join(used)})" if used else None


def _host_path(spec: Object) -> str | None:
    names = [volume["name"] for volume in spec.get("volumes", []) if "hostPath" in volume]
    return f"hostPath volumes ({_plural('volume', names)})" if names else None


def _host_ports(spec: Object) -> str | None:
    ports = [str(p["hostPort"]) for c in containers(spec) for p in c.get("ports", []) if p.get("hostPort")]
    names = _bad(spec, lambda c: any(port.get("hostPort") for port in c.get("ports", [])))
    if not names:
        return None
    uses = "uses" if len(names) == 1 else "use"
    word = "hostPort" if len(ports) == 1 else "hostPorts"
    return f"hostPort ({_plural('container', names)} {uses} {word} {', '.join(ports)})"


def _privileged(spec: Object) -> str | None:
    names = _bad(spec, lambda c: bool(_security(c).get("privileged")))
    return f"privileged ({_plural('container', names)} must not set securityContext.privileged=true)" if names else None


def _added(container: Object) -> list[str]:
    return list(_security(container).get("capabilities", {}).get("add", []))


def _baseline_capabilities(spec: Object) -> str | None:
    names = _bad(spec, lambda c: bool(set(_added(c)) - _BASELINE_CAPABILITIES))
    if not names:
        return None
    added = sorted({name for c in containers(spec) for name in _added(c)} - _BASELINE_CAPABILITIES)
    return (
        f"non-default capabilities ({_plural('container', names)} must not include {_quoted(added)} in "
        "securityContext.capabilities.add)"
    )


def _unconfined(spec: Object) -> str | None:
    setters = ["pod"] if spec.get("securityContext", {}).get("seccompProfile", {}).get("type") == "Unconfined" else []
    names = _bad(spec, lambda c: _security(c).get("seccompProfile", {}).get("type") == "Unconfined")
    if names:
        setters.append(_plural("container", names))
    if not setters:
        return None
    return f'seccompProfile ({" and ".join(setters)} must not set securityContext.seccompProfile.type to "Unconfined")'


def _proc_mount(spec: Object) -> str | None:
    names = _bad(spec, lambda c: _security(c).get("procMount", "Default") != "Default")
    return (
        f'procMount ({_plural("container", names)} must not set securityContext.procMount to "Unmasked")'
        if names
        else None
    )


def _sysctls(spec: Object) -> str | None:
    names = [
        one["name"] for one in spec.get("securityContext", {}).get("sysctls", []) if one["name"] not in _SAFE_SYSCTLS
    ]
    return f"forbidden sysctls ({', '.join(names)})" if names else None


def _volume_types(spec: Object) -> str | None:
    bad = {v["name"]: next(iter(set(v) - {"name"} - _RESTRICTED_VOLUMES), None) for v in spec.get("volumes", [])}
    names = [name for name, kind in bad.items() if kind]
    if not names:
        return None
    kinds = sorted({kind for kind in bad.values() if kind})
    uses = "uses" if len(names) == 1 else "use"
    word = "type" if len(kinds) == 1 else "types"
    return f"restricted volume types ({_plural('volume', names)} {uses} restricted volume {word} {_quoted(kinds)})"


def _escalation(spec: Object) -> str | None:
    names = _bad(spec, lambda c: _security(c).get("allowPrivilegeEscalation") is not False)
    if not names:
        return None
    who = _plural("container", names)
    return f"allowPrivilegeEscalation != false ({who} must set securityContext.allowPrivilegeEscalation=false)"


def _restricted_capabilities(spec: Object) -> str | None:
    undropped = _bad(spec, lambda c: "ALL" not in _security(c).get("capabilities", {}).get("drop", []))
    adding = _bad(spec, lambda c: bool(set(_added(c)) - {"NET_BIND_SERVICE"}))
    said = []
    if undropped:
        said.append(f'{_plural("container", undropped)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        added = sorted({name for c in containers(spec) for name in _added(c)} - {"NET_BIND_SERVICE"})
        said.append(
            f"{_plural('container', adding)} must not include {_quoted(added)} in securityContext.capabilities.add"
        )
    return f"unrestricted capabilities ({'; '.join(said)})" if said else None


def _non_root(spec: Object) -> str | None:
    pod = spec.get("securityContext", {}).get("runAsNonRoot")
    explicit = _bad(spec, lambda c: _security(c).get("runAsNonRoot") is False)
    if explicit or (pod is False and _bad(spec, lambda c: "runAsNonRoot" not in _security(c))):
        setters = ["pod"] if pod is False else []
        if explicit:
            setters.append(_plural("container", explicit))
        return f"runAsNonRoot != true ({' and '.join(setters)} must not set securityContext.runAsNonRoot=false)"
    names = [] if pod else _bad(spec, lambda c: not _security(c).get("runAsNonRoot"))
    if not names:
        return None
    return f"runAsNonRoot != true (pod or {_plural('container', names)} must set securityContext.runAsNonRoot=true)"


def _root_user(spec: Object) -> str | None:
    setters = ["pod"] if spec.get("securityContext", {}).get("runAsUser") == 0 else []
    names = _bad(spec, lambda c: _security(c).get("runAsUser") == 0)
    if names:
        setters.append(_plural("container", names))
    return f"runAsUser=0 ({' and '.join(setters)} must not set runAsUser=0)" if setters else None


def _seccomp(spec: Object) -> str | None:
    good = ("RuntimeDefault", "Localhost")
    if spec.get("securityContext", {}).get("seccompProfile", {}).get("type") in good:
        return None
    names = _bad(spec, lambda c: _security(c).get("seccompProfile", {}).get("type") not in good)
    if not names:
        return None
    return (
        f"seccompProfile (pod or {_plural('container', names)} must set securityContext.seccompProfile.type to "
        '"RuntimeDefault" or "Localhost")'
    )


_BASELINE: tuple[Check, ...] = (
    _host_namespaces, _host_path, _host_ports, _baseline_capabilities, _privileged, _proc_mount, _sysctls, _unconfined,
)  # fmt: skip
_RESTRICTED: tuple[Check, ...] = (
    _escalation, _restricted_capabilities, _volume_types, _non_root, _root_user, _seccomp,
)  # fmt: skip


def violations(level: str, spec: Object) -> list[str]:
    """Return what a pod's spec does that ``privileged``, ``baseline`` or ``restricted`` forbids."""

    def found() -> Iterator[str | None]:
        checks = _BASELINE if level in ("baseline", "restricted") else ()
        if level == "restricted":
            checks = tuple(c for c in checks if c not in (_baseline_capabilities, _unconfined)) + _RESTRICTED
        yield from (check(spec) for check in checks)

    return [said for said in found() if said]


def enforce_pod_security(store: Store, pod: Object) -> list[str]:
    """Refuse a pod (StatusError 403) that its namespace's ``enforce`` label forbids; return warnings of ``warn``."""
    namespace = store.find("namespaces", None, pod["metadata"]["namespace"]) or {"metadata": {}}
    labels = namespace["metadata"].get("labels", {})
    enforced = labels.get(_LABEL + "enforce", "privileged")
    said = violations(enforced, pod["spec"])
    if said:
        version = labels.get(_LABEL + "enforce-version", "latest")
        why = f'violates PodSecurity "{enforced}:{version}": {", ".join(said)}'
        raise StatusError.forbidden("pods", pod["metadata"]["name"], why)
    return warn_of_pod_security(store, pod["metadata"]["namespace"], pod["spec"])


def warn_of_pod_security(store: Store, namespace: str, spec: Object) -> list[str]:
    """Return what the ``warn`` label of a namespace has to say of a pod's spec, also of a workload's template."""
    found = store.find("namespaces", None, namespace) or {"metadata": {}}
    labels = found["metadata"].get("labels", {})
    level, version = labels.get(_LABEL + "warn", "privileged"), labels.get(_LABEL + "warn-version", "latest")
    said = violations(level, spec)
    return [f'would violate PodSecurity "{level}:{version}": {", ".join(said)}'] if said else []
