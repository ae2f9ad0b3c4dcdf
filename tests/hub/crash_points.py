"""Where a hub's process can be killed: before the first and after each of the steps by which a launch and a stop change
anything outside it.  What a process that is killed leaves is what these have left; so there are no other points.

A hub's configuration calls :func:`install`. The environment names the point (``CRASH_AFTER``), and a file to which each
step is written when it is done (``CRASH_STEPS``).
"""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGINNING = "the beginning"
LAUNCH = (
    "hold",
    "create persistentvolumeclaims",
    "create secrets",
    "create pods",
    "started",
    "start returns",
)
STOP = (
    "delete pods",
    "settle",
    "let go pods",
    "delete secrets",
    "stop returns",
)
_VERBS = {"POST": "create", "DELETE": "delete", "PATCH": "patch"}


def install() -> None:
    """Count the steps of this process, and kill it at the one that the environment names."""
    from gpuspawner.cluster.client import Client
    from gpuspawner.ledger.store import Store
    from gpuspawner.spawner import GPUSpawner

    for name in ("hold", "started", "extend", "settle"):
        _wrap(Store, name, lambda args, name=name: name)
    _wrap(Client, "_request", _request)
    for name in ("start", "stop"):
        _wrap(GPUSpawner, name, lambda args, name=name: f"{name} returns")


def _request(args: dict[str, Any]) -> str | None:
    method, path = args["method"], args["path"]
    if method not in _VERBS:
        return None
    resource = path.split("/namespaces/")[-1].split("/")[1]
    verb = "let go" if "$deleteFromPrimitiveList" in str(args.get("body")) else _VERBS[method]
    return f"{verb} {resource}"


def _wrap(kind: type, name: str, named: Callable[[dict[str, Any]], str | None]) -> None:
    plain = getattr(kind, name)

    @functools.wraps(plain)
    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        step = named({**dict(zip(("method", "path", "query"), args, strict=False)), **kwargs})
        if step is None:
            return await plain(self, *args, **kwargs)
        if step == LAUNCH[0] and os.environ.get("CRASH_AFTER") == BEGINNING:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await plain(self, *args, **kwargs)
        _note(step)
        if step == os.environ.get("CRASH_AFTER"):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(kind, name, counted)


def _note(step: str) -> None:
    with Path(os.environ["CRASH_STEPS"]).open("a") as file:
        file.write(f"{step}\n")
