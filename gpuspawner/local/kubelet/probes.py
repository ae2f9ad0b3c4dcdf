"""Startup, readiness and liveness probes, with the kubelet's words when they fail."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from gpuspawner.local.apiserver.store import Object

__all__ = ["Execute", "Outcome", "ProbeTimes", "port_number", "probe_once", "request"]

Execute = Callable[[list[str], float], Awaitable[tuple[int | None, str]]]
"""(command, seconds) -> its exit code, None if it took too long, and its output."""

_MOST_OUTPUT = 10 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a probe or hook succeeded, and what to say if not."""

    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """When a probe runs and how its results count; seconds and numbers of results."""

    delay: float
    period: float
    timeout: float
    successes: int
    failures: int

    @classmethod
    def of(cls, probe: Object) -> "ProbeTimes":
        """Read a Probe, with Kubernetes' defaults."""
        return cls(
            delay=probe.get("initialDelaySeconds") or 0,
            period=probe.get("periodSeconds") or 10,
            timeout=probe.get("timeoutSeconds") or 1,
            successes=probe.get("successThreshold") or 1,
            failures=probe.get("failureThreshold") or 3,
        )


def port_number(port: Any, container: Object) -> int:
    """A port by number, or by the name that the container gives it. Raises ``ValueError``."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for declared in container.get("ports") or []:
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise ValueError(f"couldn't find port: {port}")


async def probe_once(
    probe: Object, container: Object, address: str, session: aiohttp.ClientSession, execute: Execute
) -> Outcome:
    """Carry out a probe's action once."""
    seconds = ProbeTimes.of(probe).timeout
    try:
        if action := probe.get("httpGet"):
            return await request(action, container, address, session, seconds)
        if action := probe.get("tcpSocket"):
            return await _connect(action.get("host") or address, port_number(action["port"], container), seconds)
    except ValueError as error:
        return Outcome(ok=False, message=str(error))
    if action := probe.get("exec"):
        code, output = await execute(list(action.get("command") or []), seconds)
        if code is None:
            return Outcome(ok=False, message=f"command timed out after {seconds:g}s")
        return Outcome(code == 0, output[:_MOST_OUTPUT])
    return Outcome(ok=False, message="this engine knows httpGet, tcpSocket and exec probes only")


async def request(
    action: Object, container: Object, address: str, session: aiohttp.ClientSession, seconds: float
) -> Outcome:
    """Carry out an ``httpGet`` action: any status from 200 to 399 is a success. Raises ``ValueError`` for its port."""
    host, port = action.get("host") or address, port_number(action["port"], container)
    path = action.get("path") or "/"
    url = f"{(action.get('scheme') or 'HTTP').lower()}://{host}:{port}{path if path.startswith('/') else '/' + path}"
    headers = {header["name"]: header["value"] for header in action.get("httpHeaders") or []}
    headers.setdefault("User-Agent", "kube-probe/1.36")
    limit = aiohttp.ClientTimeout(total=seconds)
    try:
        # As the kubelet does: no certificate is checked, and a redirect is an answer.
        async with session.get(url, headers=headers, timeout=limit, ssl=False, allow_redirects=False) as response:
            if 200 <= response.status < 400:
                return Outcome(ok=True)
            return Outcome(ok=False, message=f"HTTP probe failed with statuscode: {response.status}")
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    except aiohttp.ClientConnectorError as error:
        why = _dial(host, port, error.os_error)
    except aiohttp.ClientError as error:
        why = str(error) or type(error).__name__
    return Outcome(ok=False, message=f'Get "{url}": {why}')


async def _connect(host: str, port: int, seconds: float) -> Outcome:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(ok=False, message=f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Outcome(ok=False, message=_dial(host, port, error))
    writer.close()
    return Outcome(ok=True)


def _dial(host: str, port: int, error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    return f"dial tcp {host}:{port}: connect: {(error.strerror or str(error)).lower()}"
