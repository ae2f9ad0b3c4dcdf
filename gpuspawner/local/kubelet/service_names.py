"""Names of Services in the terms of this machine: there is no name server here, so each name becomes an address."""

import base64
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from gpuspawner.local.apiserver.store import Object, Store

__all__ = ["ServiceNames", "service_variables"]

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"(?<![\w.-])({_LABEL})\.({_LABEL})\.svc(?:\.cluster\.local)?(?![\w-]|\.\w)")


class ServiceNames:
    """Replaces ``NAME.NAMESPACE.svc`` and ``NAME.NAMESPACE.svc.cluster.local`` by the Service's address.

    Names of Services that are not there, or have no address (headless ones), stay as they stand, as do shorter names.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def resolve(self, text: str) -> str:
        """A text with the names replaced."""
        return _NAME.sub(self._address, text) if ".svc" in text else text

    def in_config(self, obj: Object) -> Object:
        """A config map or secret with the names in its texts replaced; the same object where there is none."""
        data = obj.get("data") or {}
        if obj.get("kind") == "Secret":
            resolved = {key: self._encoded(str(value)) for key, value in data.items()}
        else:
            resolved = {key: self.resolve(str(value)) for key, value in data.items()}
        return obj if resolved == data else obj | {"data": resolved}

    def _encoded(self, value: str) -> str:
        try:
            text = base64.b64decode(value).decode()
        except ValueError:
            return value
        resolved = self.resolve(text)
        return value if resolved == text else base64.b64encode(resolved.encode()).decode()

    def _address(self, match: re.Match[str]) -> str:
        service = self._store.find("services", match[2], match[1])
        spec = service["spec"] if service else {}
        if spec.get("type") == "ExternalName":
            return str(spec.get("externalName") or match[0])
        address = spec.get("clusterIP") or "None"
        return match[0] if address == "None" else str(address)

    def variables(self, pod: Object) -> dict[str, str]:
        """The variables of ``enableServiceLinks``: host and ports of every Service of the pod's namespace."""
        found: dict[str, str] = {}
        if pod["spec"].get("enableServiceLinks", True):
            for stored in self._store.items("services", pod["metadata"]["namespace"]):
                found |= dict(_links(stored.obj))
        return found


def service_variables(api_url: str) -> dict[str, str]:
    """The variables by which Kubernetes' clients know that they are in a cluster, and where its API is."""
    parts = urlsplit(api_url)
    host, port = parts.hostname or "", str(parts.port or 443)
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "KUBERNETES_SERVICE_PORT_HTTPS": port}


def _links(service: Object) -> Iterator[tuple[str, str]]:
    spec, name = service["spec"], service["metadata"]["name"].upper().replace("-", "_")
    if spec.get("clusterIP") in (None, "", "None") or not spec.get("ports"):
        return
    yield f"{name}_SERVICE_HOST", spec["clusterIP"]
    yield f"{name}_SERVICE_PORT", str(spec["ports"][0]["port"])
    for port in spec["ports"]:
        if port.get("name"):
            yield f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}", str(port["port"])
