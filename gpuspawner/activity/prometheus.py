"""The use of GPUs and CPUs from Prometheus: NVIDIA's DCGM exporter and cAdvisor, all pods in two questions."""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from gpuspawner.sessions.idle import Prometheus, Sample

__all__ = ["Pod", "PrometheusSource", "SourceError"]

Pod = tuple[str, str]
"""Namespace and name."""

_MIB = 2**20
_TIMEOUT = 20.0
_RATE = 300
_MOST_POINTS = 10_000
_CONTAINER = "notebook"
_USED, _CPU = "DCGM_FI_DEV_FB_USED", "container_cpu_usage_seconds_total"
_NEEDED = {
    _USED: f"Prometheus has no {_USED}: is NVIDIA's DCGM exporter scraped? Without it no server ends for an idle GPU, "
    "unless it reports its use by the extension gpuspawner.notebook.",
    _CPU: f"Prometheus has no {_CPU}: is the kubelets' cAdvisor scraped? Without it no server ends for an idle GPU, "
    "unless it reports its use by the extension gpuspawner.notebook, or c.GPUSpawner.idle says cpu: None.",
}


class SourceError(Exception):
    """Prometheus does not answer, or not as it should; says so in one sentence."""


class PrometheusSource:
    """Asks one Prometheus.

    The memory of a GPU is ``DCGM_FI_DEV_FB_USED`` (MiB), which leaves out what the driver reserves and exists for MIG
    instances too; the labels ``pod`` and ``namespace`` of the exporter are ``exported_...`` where Prometheus has put
    its own in their place (https://github.com/NVIDIA/dcgm-exporter). The CPU is the rate of cAdvisor's
    ``container_cpu_usage_seconds_total`` over five minutes; a counter that has stopped to come would look like rest.

    Parameters
    ----------
    every
        Seconds between two looks; the most in use since the look before counts.
    """

    def __init__(self, config: Prometheus, every: int) -> None:
        self._config = config
        self._every = every
        self._session: aiohttp.ClientSession | None = None

    async def look(self, at: datetime) -> dict[Pod, list[Sample]]:
        """One sample of each pod that Prometheus knows. Raises ``SourceError``."""
        return await self._ask("query", {"time": _text(at)}, at, max(120, 2 * self._every))

    async def history(self, began: datetime, at: datetime) -> dict[Pod, list[Sample]]:
        """The samples since ``began`` until now, for a hub that has just started. Raises ``SourceError``."""
        length = (at - began).total_seconds()
        step = max(2 * self._every, round(length) // _MOST_POINTS + 1)
        first = at - timedelta(seconds=length // step * step)
        times = {"start": _text(first), "end": _text(at), "step": str(step)}
        return await self._ask("query_range", times, at, step + self._every)

    async def doubts(self, at: datetime, *, cpu: bool) -> list[str]:
        """What keeps this Prometheus from telling whether a GPU is idle, a sentence each; ``cpu``: if that counts."""
        try:
            needed = _NEEDED if cpu else {_USED: _NEEDED[_USED]}
            return [words for metric, words in needed.items() if not await self._has(metric, at)]
        except SourceError as error:
            return [str(error)]

    async def _has(self, metric: str, at: datetime) -> bool:
        query = f"count({metric}{{{self._config.selector}}})"
        answer = await self._post("query", {"query": query, "time": _text(at)})
        try:
            return bool(answer["data"]["result"])
        except (KeyError, TypeError):
            raise SourceError(f"{self._config.url} does not answer as a Prometheus does.") from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, path: str, times: Mapping[str, str], at: datetime, window: int) -> dict[Pod, list[Sample]]:
        ours = self._config.selector
        memory = f"max_over_time({_USED}{{{ours}}}[{window}s])"
        notebooks = _matchers(f'container="{_CONTAINER}"', ours)
        cpu = f"{_CPU}{{{notebooks}}}"
        cpu = f"sum by (namespace, pod) (rate({cpu}[{_RATE}s]) and present_over_time({cpu}[{window}s]))"
        found: dict[Pod, dict[float, tuple[float | None, float | None]]] = {}
        memories, rates = await asyncio.gather(self._series(path, memory, times), self._series(path, cpu, times))
        for pod, time, value in memories:
            before, _ = found.setdefault(pod, {}).get(time, (None, None))
            found[pod][time] = (max(value, before or 0.0), None)
        for pod, time, value in rates:
            used, _ = found.setdefault(pod, {}).get(time, (None, None))
            found[pod][time] = (used, value)
        return {pod: [_sample(time, *values, at) for time, values in sorted(of.items())] for pod, of in found.items()}

    async def _series(self, path: str, query: str, times: Mapping[str, str]) -> list[tuple[Pod, float, float]]:
        answer = await self._post(path, {"query": query, **times})
        points = []
        try:
            for series in answer["data"]["result"]:
                labels = series["metric"]
                namespace = labels.get("exported_namespace") or labels.get("namespace")
                pod = labels.get("exported_pod") or labels.get("pod")
                if namespace and pod:
                    values = series["values"] if "values" in series else [series["value"]]
                    points += [((namespace, pod), float(time), float(value)) for time, value in values]
        except (KeyError, TypeError, ValueError):
            raise SourceError(f"{self._config.url} does not answer as a Prometheus does.") from None
        return [point for point in points if point[2] == point[2]]

    async def _post(self, path: str, form: Mapping[str, str]) -> Any:
        session = await self._ready()
        headers = {}
        if self._config.token_file:
            token = await asyncio.to_thread(_read, self._config.token_file)
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with session.post(f"{self._config.url}/api/v1/{path}", data=form, headers=headers) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise SourceError(f"Prometheus at {self._config.url} does not answer: {words}.") from None
        except ValueError:
            raise SourceError(f"{self._config.url} answers {response.status} and no JSON.") from None
        if not isinstance(answer, dict) or answer.get("status") != "success":
            said = answer.get("error") if isinstance(answer, dict) else None
            raise SourceError(f"Prometheus at {self._config.url} refuses: {said or response.status}.")
        return answer

    async def _ready(self) -> aiohttp.ClientSession:
        if self._session is None:
            verified: ssl.SSLContext | bool = True
            if self._config.ca:
                verified = await asyncio.to_thread(ssl.create_default_context, cafile=self._config.ca)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=verified), timeout=aiohttp.ClientTimeout(total=_TIMEOUT)
            )
        return self._session


def _matchers(*parts: str) -> str:
    return ",".join(part for part in parts if part)


def _text(at: datetime) -> str:
    return f"{at.timestamp():.3f}"


def _read(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise SourceError(f"The token for Prometheus cannot be read: {error}.") from None


def _sample(time: float, memory: float | None, cpu: float | None, at: datetime) -> Sample:
    """A sample; an answer for ``at`` has that very time, which floats do not keep."""
    when = datetime.fromtimestamp(time, UTC)
    used = None if memory is None else round(memory * _MIB)
    return Sample(at if abs(when - at) < timedelta(seconds=1) else when, used, cpu)
