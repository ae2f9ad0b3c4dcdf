"""The log subresource of pods."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from aiohttp import web

from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.kubelet.logs import LogOptions

__all__ = ["LOG_PROVIDER", "LogProvider", "LogSource", "serve_log"]

Object = dict[str, Any]


class LogSource(Protocol):
    """One container's log."""

    def read(self, options: LogOptions) -> AsyncIterator[bytes]:
        """Yield lines; with ``follow`` until the container's run is over."""


LogProvider = Callable[[Object, str, bool], LogSource | None]
"""``(pod, container, previous) -> log``, or None where that run of the container has none."""

LOG_PROVIDER: web.AppKey[LogProvider] = web.AppKey("log_provider")


def _container(pod: Object, asked: str | None) -> str:
    spec, name = pod["spec"], pod["metadata"]["name"]
    names = [one["name"] for kind in ("containers", "initContainers") for one in spec.get(kind, [])]
    if asked:
        if asked not in names:
            raise StatusError.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    own = [container["name"] for container in spec["containers"]]
    default = pod["metadata"].get("annotations", {}).get("kubectl.kubernetes.io/default-container")
    if default in own:
        return str(default)
    if len(own) > 1:
        raise StatusError.bad_request(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(own)}]"
        )
    return str(own[0])


def _options(query: Any) -> LogOptions:
    def number(name: str) -> int | None:
        text = query.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()):
            raise StatusError.bad_request(f'{name}: Invalid value: "{text}": must be a number, 0 or more')
        return int(text)

    since = None
    try:
        if query.get("sinceTime"):
            since = datetime.fromisoformat(query["sinceTime"])
    except ValueError:
        raise StatusError.bad_request(f'sinceTime: Invalid value: "{query["sinceTime"]}"') from None
    seconds = number("sinceSeconds")
    if seconds is not None:
        since = datetime.now(UTC) - timedelta(seconds=seconds)
    flags = {name: query.get(name, "false").lower() in ("1", "true") for name in ("follow", "timestamps")}
    return LogOptions(
        follow=flags["follow"],
        tail_lines=number("tailLines"),
        since=since,
        limit_bytes=number("limitBytes"),
        timestamps=flags["timestamps"],
    )


def _missing(pod: Object, container: str, previous: bool) -> StatusError:
    name = pod["metadata"]["name"]
    if previous:
        return StatusError.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    if not pod["spec"].get("nodeName"):
        return StatusError.bad_request(f"pod {name} does not have a host assigned")
    waiting = "ContainerCreating"
    for state in pod.get("status", {}).get("containerStatuses", []):
        if state["name"] == container:
            waiting = state.get("state", {}).get("waiting", {}).get("reason", waiting)
    return StatusError.bad_request(f'container "{container}" in pod "{name}" is waiting to start: {waiting}')


async def serve_log(request: web.Request, pod: Object, provider: LogProvider) -> web.StreamResponse:
    """Answer ``GET pods/NAME/log``; StatusError 400 where there is no such container or no log yet."""
    container = _container(pod, request.query.get("container"))
    options = _options(request.query)
    previous = request.query.get("previous", "false").lower() in ("1", "true")
    source = provider(pod, container, previous)
    if source is None:
        raise _missing(pod, container, previous)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for chunk in source.read(options):
        await response.write(chunk)
    await response.write_eof()
    return response
