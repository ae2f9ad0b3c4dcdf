"""Why the Kubernetes API refused a launch: its 401, 403, 422 and silence as typed errors with words. Pure."""

import re
from decimal import Decimal

from gpuspawner.errors import ClusterError, LaunchError
from gpuspawner.quantity import format_bytes, format_cores, parse_quantity

from .failures import plain
from .wire import ApiError, UnreachableError

__all__ = [
    "ApiBusyError",
    "ApiUnreachableError",
    "ConflictError",
    "CredentialsError",
    "HubNotAllowedError",
    "InvalidPodError",
    "LimitRangeError",
    "NamespaceMissingError",
    "PodSecurityError",
    "ResourceQuotaError",
    "WebhookError",
    "refused",
]

_ADMINISTRATOR = "Tell the administrator of the hub; nothing you can choose changes it."
_QUOTA = re.compile(r"exceeded quota: (\S+), requested: (.*?), used: (.*?), limited: (.*?)(?:, exceeded quota: .*)?$")
_UNSPECIFIED = re.compile(r"failed quota: (\S+): must specify (.*)$")
_RIGHTS = re.compile(r'cannot (\w+) resource "([^"]+)"')
_POD_SECURITY = re.compile(r'violates PodSecurity "([^"]+)": (.*)$', re.DOTALL)
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request:?\s*(.*)$', re.DOTALL)
_WEBHOOK_AWAY = re.compile(r'failed calling webhook "([^"]+)"')
_POLICY = re.compile(r"ValidatingAdmissionPolicy '([^']+)'.*? denied request:\s*(.*)$", re.DOTALL)
_LIMIT_RANGE = re.compile(r"((?:maximum|minimum) [\w./-]+ usage per \w+ is .*)$")


class ApiUnreachableError(ClusterError):
    """The API server does not answer."""

    code = "api_unreachable"

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            "Kubernetes does not answer right now.",
            "Servers that run go on running. Try again in a minute; if it lasts, tell the administrator of the hub.",
            detail,
        )


class ApiBusyError(ClusterError):
    """The API server answers that it cannot serve this now (429, 5xx)."""

    code = "api_busy"

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(
            f"Kubernetes could not take the request ({status}).",
            "Try again in a minute; if it lasts, tell the administrator of the hub.",
            detail,
        )


class CredentialsError(ClusterError):
    """401: the API server does not know the hub."""

    code = "credentials"

    def __init__(self, detail: str = "") -> None:
        super().__init__("Kubernetes does not accept the hub's credentials (401).", _ADMINISTRATOR, detail)


class HubNotAllowedError(ClusterError):
    """403 of RBAC: the hub's service account lacks a right."""

    code = "hub_not_allowed"

    def __init__(self, verb: str, resource: str, namespace: str, detail: str = "") -> None:
        super().__init__(
            f"The hub may not {plain(verb)} {plain(resource)} in namespace {plain(namespace)}.",
            "Tell the administrator of the hub: its service account needs a Role with that right.",
            detail,
        )


class NamespaceMissingError(ClusterError):
    """The namespace does not exist or is being deleted."""

    code = "namespace_missing"

    def __init__(self, namespace: str, detail: str = "") -> None:
        super().__init__(f"Namespace {plain(namespace)} does not exist or is being deleted.", _ADMINISTRATOR, detail)


class ResourceQuotaError(ClusterError):
    """403 of a ResourceQuota, in numbers."""

    code = "resource_quota"
    status = 403

    def __init__(self, quota: str, over: list[str], detail: str = "") -> None:
        super().__init__(
            f"The hub's share of the cluster is used up: {'; '.join(over)} (ResourceQuota {plain(quota)}).",
            "Ask for less, or try again when another server has stopped.",
            detail,
        )


class LimitRangeError(ClusterError):
    """403 of a LimitRange."""

    code = "limit_range"
    status = 403

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(f"The cluster limits what one server may have: {plain(what)}.", "Ask for less.", detail)


class PodSecurityError(ClusterError):
    """403 of Pod Security admission."""

    code = "pod_security"

    def __init__(self, level: str, violations: str, detail: str = "") -> None:
        super().__init__(
            f"The namespace's Pod Security level {plain(level)} does not allow this server: {plain(violations)}.",
            _ADMINISTRATOR,
            detail,
        )


class WebhookError(ClusterError):
    """An admission webhook or policy of the cluster refused the pod, or did not answer."""

    code = "webhook"

    def __init__(self, name: str, said: str = "", detail: str = "") -> None:
        reason = (
            f'A rule of the cluster ({plain(name)}) refused the server: "{plain(said).rstrip(".")}".'
            if said
            else f"A rule of the cluster ({plain(name)}) could not be asked."
        )
        super().__init__(reason, "Tell the administrator of the hub.", detail)


class InvalidPodError(ClusterError):
    """422 or 400: the manifest is not valid."""

    code = "invalid_pod"
    status = 500

    def __init__(self, problems: list[str], detail: str = "") -> None:
        told = "; ".join(plain(problem, 160) for problem in problems[:3])
        super().__init__(f"Kubernetes does not accept the server's manifest: {told}.", _ADMINISTRATOR, detail)


class ConflictError(ClusterError):
    """409: it exists already, or was changed or replaced meanwhile."""

    code = "conflict"
    status = 409

    def __init__(self, detail: str = "") -> None:
        super().__init__("An earlier server of the same name is still there.", "Try again in a minute.", detail)


def refused(
    error: ApiError | UnreachableError, namespace: str, *, verb: str = "create", resource: str = "pods"
) -> LaunchError:
    """The error for a person, of a request that failed; its ``detail`` is what the API said."""
    if isinstance(error, UnreachableError):
        return ApiUnreachableError(str(error))
    message = error.message
    if error.status == 401:
        return CredentialsError(message)
    webhook = _by_webhook(message)
    if webhook is not None:
        return webhook
    if error.status == 403:
        return _forbidden(error, namespace, verb, resource)
    if error.status == 404:
        return NamespaceMissingError(namespace, message)
    if error.status == 409:
        return ConflictError(message)
    if error.status in (400, 413, 422):
        return InvalidPodError(_causes(error), message)
    return ApiBusyError(error.status, message)


def _by_webhook(message: str) -> LaunchError | None:
    if denied := _WEBHOOK.search(message) or _POLICY.search(message):
        return WebhookError(denied[1], denied[2] or "without saying why", message)
    if away := _WEBHOOK_AWAY.search(message):
        return WebhookError(away[1], detail=message)
    return None


def _forbidden(error: ApiError, namespace: str, verb: str, resource: str) -> LaunchError:
    message = error.message
    if over := _QUOTA.search(message):
        return ResourceQuotaError(over[1], _over(over[2], over[3], over[4]), message)
    if missing := _UNSPECIFIED.search(message):
        return InvalidPodError([f"ResourceQuota {missing[1]} asks for {missing[2]}"], message)
    if violated := _POD_SECURITY.search(message):
        return PodSecurityError(violated[1].partition(":")[0], violated[2], message)
    if limit := _LIMIT_RANGE.search(message):
        return LimitRangeError(limit[1].rstrip("."), message)
    if "because it is being terminated" in message:
        return NamespaceMissingError(namespace, message)
    if rights := _RIGHTS.search(message):
        return HubNotAllowedError(rights[1], rights[2], namespace, message)
    if message:
        return InvalidPodError([message.partition(" is forbidden: ")[2] or message], message)
    return HubNotAllowedError(verb, resource, namespace, error.reason)


def _causes(error: ApiError) -> list[str]:
    causes = [cause for cause in error.details.get("causes") or () if isinstance(cause, dict)]
    told = [f"{cause.get('field', '')}: {cause.get('message', '')}".strip(": ").rstrip(".") for cause in causes]
    return told or [error.message.rstrip(".") or error.reason or str(error.status)]


def _over(requested: str, used: str, limited: str) -> list[str]:
    taken, limits = _amounts(used), _amounts(limited)
    return [
        f"{_show(name, taken.get(name, '0'))} of {_show(name, limits.get(name, '?'), unit=True)} in use, "
        f"and this server needs {_show(name, amount)} more"
        for name, amount in _amounts(requested).items()
    ]


def _amounts(text: str) -> dict[str, str]:
    return {name.strip(): amount for part in text.split(",") for name, _, amount in [part.partition("=")] if amount}


def _show(name: str, amount: str, *, unit: bool = False) -> str:
    """An amount of a quota's resource ("requests.nvidia.com/gpu") in a person's words."""
    kind = name.removeprefix("requests.").removeprefix("limits.")
    try:
        number = parse_quantity(amount)
    except ValueError:
        return f"{plain(amount)} {plain(kind)}"
    if kind in ("memory", "ephemeral-storage", "storage"):
        return format_bytes(int(number)) + (f" of {kind}" if unit else "")
    words = {"cpu": "CPU cores"}.get(kind) or ("GPUs" if "gpu" in kind else kind)
    shown = format_cores(float(number)) if number != number.to_integral_value() else str(int(Decimal(number)))
    return f"{shown} {plain(words)}" if unit else shown
