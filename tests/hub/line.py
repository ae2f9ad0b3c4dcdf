"""The line between a hub and its Kubernetes API, which a test can cut, or let go dead without a word."""

import asyncio
import contextlib
import json
from pathlib import Path


class Line:
    """A TCP relay on a port of its own: ``cut()`` refuses and breaks, ``deaden()`` swallows (half-open), ``mend()``."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._dead = False
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        """Connections come through; those of before stay as they are."""
        self._dead = False
        if self._server is None:
            self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in tuple(self._ends):
            end.transport.abort()
        for pump in tuple(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def deaden(self) -> None:
        """Nothing comes through any more, and nobody is told: connections stay open, new ones are taken."""
        self._dead = True

    def write_kubeconfig(self, source: Path, path: Path) -> None:
        """The engine's kubeconfig, by way of this line."""
        config = json.loads(source.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.port}"
        path.write_text(json.dumps(config))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._ends |= {writer, far_writer}
        dead = [self._dead]
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink, dead))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, dead: list[bool]) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                dead[0] = dead[0] or self._dead
                if not dead[0]:
                    sink.write(data)
                    await sink.drain()
        if not dead[0]:
            sink.close()
        self._ends.discard(sink)
