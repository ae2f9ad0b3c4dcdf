"""What is counted as it happens: launches by outcome, the time they spend, sessions that end, units charged."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric

from gpuspawner.cluster.events import Progress, Step
from gpuspawner.errors import BadRequestError, DeniedError, LaunchError
from gpuspawner.ledger.records import Session
from gpuspawner.metrics.families import BUCKETS, family
from gpuspawner.quantity import MICRO

__all__ = ["NO_GPU", "Counts", "phases_of"]

NO_GPU = "none"
_WAITING = (Step.PLACE, Step.NODE)


class Counts:
    """Those of one hub since it was started."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._launches = self._counter("launches_total")
        self._ended = self._counter("sessions_ended_total")
        self._charged = self._counter("service_units_charged_total")
        self._phases = self._histogram("launch_phase_seconds")
        self._waits = self._histogram("launch_wait_seconds")
        self._starts = self._histogram("launch_start_seconds")

    def collect(self) -> Iterator[Metric]:
        """For Prometheus, without the times at which each series began, which double their number."""
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric

    def launched(self, gpu_class: str | None, told: Sequence[Progress], began: datetime, now: datetime) -> None:
        """A launch has succeeded on a class (None: without GPU), and told this on its way."""
        self._launches.labels("started", "").inc()
        phases = phases_of(told, began, now)
        for phase, seconds in phases.items():
            self._phases.labels(str(phase)).observe(seconds)
        waited = sum(phases.get(phase, 0.0) for phase in _WAITING)
        self._waits.labels(gpu_class or NO_GPU).observe(waited)
        self._starts.labels(gpu_class or NO_GPU).observe(max(0.0, (now - began).total_seconds() - waited))

    def not_launched(self, error: BaseException, told: Sequence[Progress], began: datetime) -> None:
        """A launch is over without a server; the phase that it was in does not count."""
        self._launches.labels(*_outcome(error)).inc()
        last = next((step.at for step in reversed(told) if step.at is not None), began)
        for phase, seconds in phases_of(told, began, last).items():
            if phase is not told[-1].step:
                self._phases.labels(str(phase)).observe(seconds)

    def settled(self, session: Session, gpu_class: str | None, charged: int, cause: str) -> None:
        """A session is over and has its charge, in millionths of a unit."""
        self._ended.labels(cause).inc()
        if charged:
            self._charged.labels(session.workspace, gpu_class or NO_GPU).inc(charged / MICRO)

    def _counter(self, name: str) -> Counter:
        said = family(name)
        return Counter(said.name.removesuffix("_total"), said.help, said.labels, registry=self._registry)

    def _histogram(self, name: str) -> Histogram:
        said = family(name)
        return Histogram(said.name, said.help, said.labels, registry=self._registry, buckets=BUCKETS)


def phases_of(told: Sequence[Progress], began: datetime, ended: datetime) -> dict[Step, float]:
    """Seconds that a launch spent in each of its phases, by what it told; the first one from its beginning on."""
    spent: dict[Step, float] = defaultdict(float)
    steps = [step for step in told if step.at is not None]
    for index, step in enumerate(steps):
        since = began if index == 0 else step.at
        until = steps[index + 1].at if index + 1 < len(steps) else ended
        if step.step is not Step.READY and since is not None and until is not None:
            spent[step.step] += max(0.0, (until - since).total_seconds())
    return dict(spent)


def _outcome(error: BaseException) -> tuple[str, str]:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", ""
    if not isinstance(error, LaunchError):
        return "failed", "internal"
    return "refused" if isinstance(error, BadRequestError | DeniedError) else "failed", error.code
