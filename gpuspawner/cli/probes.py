"""Whether a starting child answers yet, as the questions that a supervisor asks."""

import asyncio
import http.client
from pathlib import Path

from gpuspawner.cli.supervisor import Ready

__all__ = ["answers", "exists", "reachable_address", "reports_health"]

LOOPBACK = "127.0.0.1"


def answers(port: int) -> Ready:
    """Whether any HTTP answer comes from `port` on loopback."""

    async def ready() -> bool:
        return await asyncio.to_thread(_get, LOOPBACK, port, "/") > 0

    return ready


def exists(file: Path) -> Ready:
    """Whether `file` was written."""

    async def ready() -> bool:
        return await asyncio.to_thread(file.exists)

    return ready


def reports_health(*hubs: tuple[str, int]) -> Ready:
    """Whether a JupyterHub at each address and port, itself or through a proxy, calls itself healthy."""

    async def ready() -> bool:
        for ip, port in hubs:
            if await asyncio.to_thread(_get, reachable_address(ip), port, "/hub/health") != http.HTTPStatus.OK:
                return False
        return True

    return ready


def reachable_address(ip: str) -> str:
    """Where to reach what listens on `ip` from this machine."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(ip, ip)  # noqa: S104


def _get(host: str, port: int, path: str) -> int:
    """The HTTP status of one request, 0 when nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
