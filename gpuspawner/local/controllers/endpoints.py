"""Who stands behind a Service: its Endpoints and EndpointSlice, from the pods that it selects."""

from typing import Any

from gpuspawner.local.apiserver.selectors import selects
from gpuspawner.local.apiserver.store import Object, Store
from gpuspawner.local.controllers.pods import controller_reference, ready_since
from gpuspawner.local.controllers.work import WorkQueue

__all__ = ["ServiceEndpoints", "target_port"]

_SLICES = "endpointslices.discovery.k8s.io"
_NAME, _MANAGER = "kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"


def target_port(port: Object, pod: Object) -> int | None:
    """Return the port of a pod that a Service's port leads to; None where a name is no port of the pod."""
    target = str(port.get("targetPort") or port["port"])
    if target.isdigit():
        return int(target)
    for container in pod["spec"]["containers"]:
        for one in container.get("ports", []):
            if one.get("name") == target and one.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(one["containerPort"])
    return None


class ServiceEndpoints:
    """Keeps the Endpoints and one EndpointSlice of every Service that has a selector."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue = WorkQueue(self._reconcile)
        self.stop = self._queue.stop

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Take in one change of the store."""
        metadata = obj["metadata"]
        if resource == "services":
            self._queue.add(metadata["namespace"], metadata["name"])
        elif resource == "pods":
            labels = metadata.get("labels", {})
            for stored in self._store.items("services", metadata["namespace"]):
                selector = stored.obj["spec"].get("selector")
                if selector and selects({"matchLabels": selector}, labels):
                    self._queue.add(stored.namespace, stored.name)

    def _reconcile(self, namespace: str, name: str) -> None:
        service = self._store.find("services", namespace, name)
        if service is None or not service["spec"].get("selector"):
            if service is None and self._store.find("endpoints", namespace, name) is not None:
                self._store.delete("endpoints", namespace, name)
            return
        pods = self._behind(service)
        labels = service["metadata"].get("labels", {})
        about: Object = {"name": name, "namespace": namespace, "labels": labels}
        self._put("endpoints", {"metadata": about, "subsets": _subsets(service, pods)})
        about = about | {"labels": labels | {_NAME: name, _MANAGER: "endpointslice-controller.k8s.io"}}
        about |= {"ownerReferences": [controller_reference(service)]}
        self._put(_SLICES, {"metadata": about, "addressType": "IPv4"} | _slice(service, pods))

    def _behind(self, service: Object) -> list[Object]:
        wanted, namespace = {"matchLabels": service["spec"]["selector"]}, service["metadata"]["namespace"]
        everyone = (stored.obj for stored in self._store.items("pods", namespace))
        found = (pod for pod in everyone if selects(wanted, pod["metadata"].get("labels", {})))
        running = (pod for pod in found if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"))
        return [pod for pod in running if pod.get("status", {}).get("podIP")]

    def _put(self, resource: str, obj: Object) -> None:
        metadata = obj["metadata"]
        found = self._store.find(resource, metadata["namespace"], metadata["name"])
        if found is None:
            self._store.create(resource, obj)
        else:
            self._store.update(resource, found | obj | {"metadata": found["metadata"] | metadata})


def _serves(service: Object, pod: Object) -> bool:
    unready_too = service["spec"].get("publishNotReadyAddresses")
    return bool(unready_too) or (ready_since(pod) is not None and "deletionTimestamp" not in pod["metadata"])


def _reference(pod: Object) -> Object:
    metadata = pod["metadata"]
    return {"kind": "Pod"} | {key: metadata[key] for key in ("namespace", "name", "uid")}


def _ports(service: Object, pod: Object, number: str) -> list[Object]:
    ports: list[Object] = []
    for port in service["spec"].get("ports", []):
        target = target_port(port, pod)
        if target is not None:
            named: dict[str, Any] = {"name": port["name"]} if port.get("name") else {}
            ports.append(named | {number: target, "protocol": port.get("protocol", "TCP")})
    return ports


def _subsets(service: Object, pods: list[Object]) -> list[Object]:
    grouped: dict[str, Object] = {}
    for pod in pods:
        ports = _ports(service, pod, "port")
        if not ports:
            continue
        subset = grouped.setdefault(str(ports), {"ports": ports})
        key = "addresses" if _serves(service, pod) else "notReadyAddresses"
        address = {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName", "")}
        subset.setdefault(key, []).append(address | {"targetRef": _reference(pod)})
    return list(grouped.values())


def _slice(service: Object, pods: list[Object]) -> Object:
    endpoints = []
    for pod in pods:
        ready, leaving = ready_since(pod) is not None, "deletionTimestamp" in pod["metadata"]
        conditions = {"ready": _serves(service, pod), "serving": ready, "terminating": leaving}
        about = {"addresses": [pod["status"]["podIP"]], "conditions": conditions, "targetRef": _reference(pod)}
        endpoints.append(about | {"nodeName": pod["spec"].get("nodeName", "")})
    ports = _ports(service, pods[0], "port") if pods else []
    return {"endpoints": endpoints, "ports": ports}
