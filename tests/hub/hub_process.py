"""A hub as a process of its own, started as the rendered Deployment says, over files as its pod has them mounted."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mounted import mount
from rendering import Manifests
from running_hub import Person
from yarl import URL

__all__ = ["HubProcess"]

MOUNTED = "/etc/gpuspawner"
READY = b"JupyterHub is now running"
PATIENCE = 90


class HubProcess:
    """Runs while the ``async with`` block does. ``url`` is that of the release for people, ``others`` are Secrets that
    are there already, ``environment`` is added to that of the pod, ``python`` has the packages."""

    def __init__(
        self,
        rendered: Manifests,
        folder: Path,
        url: str,
        others: Sequence[dict[str, Any]] = (),
        *,
        python: str | Path = sys.executable,
        **environment: str,
    ) -> None:
        [container] = rendered.pods()["Deployment/gpuspawner-hub"]["spec"]["containers"]
        self.files = mount(rendered, "Deployment/gpuspawner-hub", "config", folder / "mounted", others)
        command = [str(python), "-m", *(self._here(word) for word in container["args"])]
        self._begin(command, folder / "data", url, self._variables(container["env"]) | environment)

    @classmethod
    def of_command(cls, command: Sequence[str], data: Path, url: str, **environment: str) -> Self:
        """A hub that another chart than ours starts, with nothing else in its environment."""
        process = cls.__new__(cls)
        process._begin(command, data, url, environment)
        return process

    def _begin(self, command: Sequence[str], data: Path, url: str, environment: Mapping[str, str]) -> None:
        self.url = URL(url) / "hub"
        self.people: list[Person] = []
        self.said = ""
        self.data = data
        self.data.mkdir(exist_ok=True)
        self._command, self._environment = command, environment

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for person in self.people:
            await person.session.close()
        await self.stop()

    async def start(self) -> None:
        """Start it and read what it says until it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self.data,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            async for line in self._process.stdout:
                self.said += line.decode()
                if READY in line:
                    self._reading = asyncio.create_task(self._read())
                    return
        raise AssertionError(f"the hub ended with {await self._process.wait()}:\n{self.said}")

    async def stop(self) -> None:
        """End it as the kubelet does."""
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        await self._reading

    def person(self) -> Person:
        """A fresh browser."""
        self.people.append(Person(self))  # type: ignore[arg-type]  # has all that a browser asks of a hub
        return self.people[-1]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.said += line.decode()

    def _here(self, text: str) -> str:
        return text.replace(MOUNTED, str(self.files))

    def _variables(self, env: list[Mapping[str, Any]]) -> dict[str, str]:
        """The pod's, over what a process of this machine needs."""
        own = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        return own | {one["name"]: self._here(one["value"]) for one in env if "value" in one}
