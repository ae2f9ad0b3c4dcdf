"""The processes of one run: a simulated cluster and a hub, and what is asked of both."""

import asyncio
import json
import math
import os
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import psutil

HERE = Path(__file__).parent
TOKEN = "token-of-the-benchmark-service"
_PATIENCE = 180.0
_NOT_PASSED_ON = ("JUPYTERHUB_", "CONFIGPROXY_", "KUBERNETES_")


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which this share lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


class Cluster:
    """The simulated cluster's process."""

    def __init__(self, process: asyncio.subprocess.Process, told: dict[str, Any]) -> None:
        self.process, self.control, self.kubeconfig = process, told["control"], told["kubeconfig"]
        self.pod_port: int = told["pod_port"]

    @classmethod
    async def start(cls, folder: Path) -> Self:
        """Start it and wait for its addresses."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, HERE / "simulated_cluster.py", folder, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        return cls(process, json.loads(await asyncio.wait_for(process.stdout.readline(), _PATIENCE)))

    async def stop(self) -> None:
        """End it."""
        self.process.kill()
        await self.process.wait()


class Hub:
    """A hub's process: its CPU seconds and memory, and its REST API."""

    def __init__(
        self, spawner: str, cluster: Cluster, folder: Path, session: aiohttp.ClientSession, port: int, **told: str
    ) -> None:
        self.spawner, self._cluster, self._folder, self._session, self._told = spawner, cluster, folder, session, told
        self.url = f"http://127.0.0.1:{port}/hub"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, storage: bool = False) -> float:
        """Start the process; seconds until the API answers."""
        passed = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
        passed |= {
            "BENCH_SPAWNER": self.spawner,
            "BENCH_FOLDER": str(self._folder),
            "BENCH_HUB_URL": self.url + "/",
            "BENCH_TOKEN": TOKEN,
            "BENCH_POD_PORT": str(self._cluster.pod_port),
            "BENCH_STORAGE": "1" if storage else "",
            "KUBECONFIG": self._cluster.kubeconfig,
            **self._told,
            "PYTHONPATH": os.pathsep.join([str(HERE), passed.get("PYTHONPATH", "")]).strip(os.pathsep),
        }
        began = time.monotonic()
        with (self._folder / "hub.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "jupyterhub", "-f", HERE / "hub_config.py",
                env=passed, cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip
        while True:
            try:
                async with self._session.get(f"{self.url}/api/") as answer:
                    if answer.status == 200:
                        return time.monotonic() - began
            except aiohttp.ClientError:
                pass
            if self._process.returncode is not None or time.monotonic() - began > _PATIENCE:
                raise RuntimeError(f"The hub does not start: see {self._folder / 'hub.log'}")
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End the hub and leave its servers."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the REST API; its answer."""
        headers = {"Authorization": f"token {TOKEN}"}
        async with self._session.request(method, f"{self.url}/api/{path}", json=body, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]}")
            return json.loads(text) if text else None

    async def inside(self, query: str = "") -> Any:
        """What the hub's own process tells of itself."""
        async with self._session.get(f"{self.url}/bench{query}") as answer:
            return json.loads(await answer.text())

    def cpu(self) -> float:
        """CPU seconds that the process has used."""
        times = self._psutil().cpu_times()
        return float(times.user + times.system)

    def memory(self) -> float:
        """Resident memory in MB (10^6 bytes)."""
        return float(self._psutil().memory_info().rss) / 1e6

    def _psutil(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)


class Visitor:
    """A browser of somebody who has logged in."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name

    async def __aenter__(self) -> Self:
        jar = aiohttp.CookieJar(unsafe=True)
        self._session = aiohttp.ClientSession(cookie_jar=jar, headers={"Sec-Fetch-Mode": "navigate"})
        await self.open("login")
        (token,) = (cookie.value for cookie in jar if cookie.key == "_xsrf")
        form = {"username": self._name, "password": "x", "_xsrf": token}
        async with self._session.post(f"{self._url}/login?next=%2Fhub%2Ftoken", data=form) as answer:
            assert answer.url.path == "/hub/token", answer.status
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def open(self, path: str) -> int:
        """Open a page, below ``/hub/``; its status."""
        async with self._session.get(f"{self._url}/{path}", allow_redirects=False) as answer:
            await answer.read()
            return answer.status


class Run:
    """One cluster and one hub, and launches through the hub's REST API."""

    def __init__(self, spawner: str, folder: Path, **told: str) -> None:
        self._spawner, self._folder, self._told = spawner, folder, told
        for process in ("cluster", "hub"):
            (folder / process).mkdir(parents=True)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=900)
        )
        self.cluster = await Cluster.start(self._folder / "cluster")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        self.hub = Hub(self._spawner, self.cluster, self._folder / "hub", self._session, port, **self._told)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.hub.stop()
        await self.cluster.stop()
        await self._session.close()

    async def set(self, **told: Any) -> None:
        """Steer the cluster."""
        async with self._session.post(f"{self.cluster.control}/set", json=told) as answer:
            answer.raise_for_status()

    async def stats(self) -> dict[str, Any]:
        """The cluster's counters."""
        async with self._session.get(f"{self.cluster.control}/stats") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def add_users(self, names: list[str]) -> None:
        """Make users; the hub knows them as if they had logged in once."""
        for first in range(0, len(names), 200):
            await self.hub.api("POST", "users", {"usernames": names[first : first + 200]})

    async def launch(self, names: list[str], at_once: int) -> dict[str, float]:
        """Start these users' servers; seconds from each POST until its server was ready."""
        return await self._all("POST", names, at_once)

    async def end(self, names: list[str], at_once: int) -> dict[str, float]:
        """Stop these users' servers; seconds of each."""
        return await self._all("DELETE", names, at_once)

    async def _all(self, method: str, names: list[str], at_once: int) -> dict[str, float]:
        turn, took = asyncio.Semaphore(at_once), {}

        async def one(name: str) -> None:
            async with turn:
                began = time.monotonic()
                await self.hub.api(method, f"users/{name}/server")
                took[name] = time.monotonic() - began

        await asyncio.gather(*(one(name) for name in names))
        return took

    async def quiet(self, seconds: float = 5.0) -> None:
        """Wait until the hub has nothing left to do, at most ``seconds``."""
        before = self.hub.cpu()
        for _ in range(round(seconds / 0.5)):
            await asyncio.sleep(0.5)
            now = self.hub.cpu()
            if now - before < 0.01:
                return
            before = now


def difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """What was asked between two looks."""
    return {what: count - before.get(what, 0) for what, count in after.items() if count != before.get(what, 0)}
