"""Connections to Services: a listener at each Service's address and port that passes them on to its ready pods."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from gpuspawner.local.apiserver.events import record_event
from gpuspawner.local.apiserver.store import Object, Store

__all__ = ["ServiceProxy"]

Place = tuple[str, int]
_NODE = "127.0.0.1"
_CHUNK = 64 * 1024


class ServiceProxy:
    """What kube-proxy does on nodes: TCP of ClusterIP, NodePort and LoadBalancer Services, one backend after another.

    A Service without a ready pod refuses connections. Node ports are open at 127.0.0.1.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: dict[Place, asyncio.Server] = {}
        self._backends: dict[Place, list[Place]] = {}
        self._turn = count()
        self._changed = asyncio.Event()
        self._syncing: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Listen for what the store holds and follow it; needs a running event loop."""
        self._unsubscribe = self._store.subscribe(self._on_change)
        self._changed.set()
        self._syncing = asyncio.get_running_loop().create_task(self._sync())

    async def stop(self) -> None:
        """Close everything."""
        if self._unsubscribe:
            self._unsubscribe()
            self._unsubscribe = None
        tasks = [*self._connections, *([self._syncing] if self._syncing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def _on_change(self, resource: str, type_: str, obj: Object) -> None:
        if resource in ("services", "endpoints"):
            self._changed.set()

    async def _sync(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted, services = self._wanted()
            self._backends = wanted
            for place in self._listeners.keys() - wanted.keys():
                self._listeners.pop(place).close()
            for place in wanted.keys() - self._listeners.keys():
                await self._listen(place, services[place])

    async def _listen(self, place: Place, service: Object) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._pass_on(place, reader, writer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        try:
            self._listeners[place] = await asyncio.start_server(accept, *place, limit=_CHUNK)
        except OSError as error:
            why = f"{place[0]}:{place[1]} cannot be listened on: {error.strerror}"
            record_event(self._store, service, "Warning", "FailedToListen", why, "service-proxy")

    def _wanted(self) -> tuple[dict[Place, list[Place]], dict[Place, Object]]:
        """The backends of each address and port that has any, and the Service it is of."""
        backends: dict[Place, list[Place]] = {}
        services: dict[Place, Object] = {}
        for stored in self._store.items("services"):
            spec, address = stored.obj["spec"], stored.obj["spec"].get("clusterIP")
            endpoints = self._store.find("endpoints", stored.namespace, stored.name)
            if not address or address == "None" or endpoints is None:
                continue
            for port in spec.get("ports", []):
                found = _addresses(endpoints, port)
                places = [(address, port["port"])] + ([(_NODE, port["nodePort"])] if port.get("nodePort") else [])
                for place in places if found else ():
                    backends[place], services[place] = found, stored.obj
        return backends, services

    async def _pass_on(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = None
        try:
            backends = self._backends.get(place) or []
            for _ in backends:
                with suppress(OSError):
                    there = await asyncio.open_connection(*backends[next(self._turn) % len(backends)], limit=_CHUNK)
                    break
            if there is None:
                return
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, there[1]))
                both.create_task(_pump(there[0], writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one side went away: so does the other
        finally:
            for end in (writer, *([there[1]] if there else [])):
                end.transport.abort() if there is None else end.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


def _addresses(endpoints: Object, port: Object) -> list[Place]:
    if port.get("protocol", "TCP") != "TCP":
        return []
    return [
        (address["ip"], target["port"])
        for subset in endpoints.get("subsets", [])
        for target in subset.get("ports", [])
        if target.get("name", "") == port.get("name", "")
        for address in subset.get("addresses", [])
    ]
