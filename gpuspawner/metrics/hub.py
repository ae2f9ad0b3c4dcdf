"""The collector on JupyterHub's registry: what the hub that runs holds, waits for and hears, at each scrape."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from weakref import ReferenceType, ref

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gpuspawner.cluster.gpus import NodeState, gpus_by_node, waiting_for
from gpuspawner.feed import Feed
from gpuspawner.launcher import Launcher
from gpuspawner.limits.checks import day_of
from gpuspawner.metrics.counts import NO_GPU
from gpuspawner.metrics.families import Kind, family
from gpuspawner.quantity import MICRO

__all__ = ["HubMetrics", "counted", "measure"]

Values = Iterable[tuple[tuple[str, ...], float]]


class HubMetrics(Collector):
    """The metrics of one hub, by its launcher. Nothing is asked of Kubernetes or of a database."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def collect(self) -> Iterator[Metric]:
        """For Prometheus."""
        for name, values in (
            ("info", self._info),
            ("gpus", self._gpus),
            ("gpus_held", self._gpus_held),
            ("gpus_quota", self._gpus_quota),
            ("servers", self._servers),
            ("launches_waiting", self._waiting),
            ("service_units_held", self._units_held),
            ("budget_pool_left", self._pools),
        ):
            yield _metric(name, values())
        yield from self._watches()
        yield from self._ledger()
        yield from self._launcher.counts.collect()

    def _info(self) -> Values:
        yield (metadata.version("gpuspawner"),), 1

    def _gpus(self) -> Values:
        launcher = self._launcher
        if launcher.view.capacity_unknown is not None:
            return
        for name, gpu_class in launcher.settings.catalog.gpu_classes.items():
            found = Counter(dict.fromkeys(("free", "used"), 0))
            for node in gpus_by_node(launcher.view.inventory, gpu_class):
                found["used"] += node.used
                found["free" if node.state is NodeState.OPEN else str(node.state)] += max(0, node.total - node.used)
            for state, count in found.items():
                yield (name, state), count

    def _gpus_held(self) -> Values:
        held = Counter[tuple[str, str]]()
        for one in self._launcher.usage():
            for gpu_class in one.gpu_classes:
                held[one.workspace, gpu_class] += one.gpus
        yield from held.items()

    def _gpus_quota(self) -> Values:
        settings = self._launcher.settings
        today = day_of(self._launcher.now(), settings)
        for name, space in settings.workspaces.items():
            if space.is_open(today):
                limits = space.limits(today)
                for gpu_class in settings.catalog.gpu_classes:
                    quota = limits.quota_of(gpu_class)
                    if quota:
                        yield (name, gpu_class), quota

    def _servers(self) -> Values:
        found = Counter(dict.fromkeys(self._launcher.settings.workspaces, 0))
        found.update(one.workspace for one in self._launcher.usage())
        yield from (((name,), count) for name, count in found.items())

    def _waiting(self) -> Values:
        launcher = self._launcher
        found = Counter(dict.fromkeys((*launcher.settings.catalog.gpu_classes, NO_GPU), 0))
        found.update((held.gpu_classes or (NO_GPU,))[0] for _, held in waiting_for(launcher.view, launcher.settings))
        yield from (((name,), count) for name, count in found.items())

    def _units_held(self) -> Values:
        if self._launcher.books.known:
            yield from (((name,), held / MICRO) for name, held in self._launcher.accounts.held_by_workspace().items())

    def _pools(self) -> Values:
        launcher = self._launcher
        for name in launcher.settings.workspaces if launcher.books.known else ():
            pool = launcher.accounts.pool(name, launcher.now())
            if pool is not None:
                yield (name,), pool.left / MICRO

    def _watches(self) -> Iterator[Metric]:
        watches = {watch.resource: watch for watch in self._launcher.view.watches}
        for name, read in (
            ("watch_synced", lambda watch: watch.synced),
            ("watch_up", lambda watch: watch.outage is None),
            ("watch_silent_seconds", lambda watch: watch.silent_for),
            ("watch_interruptions_total", lambda watch: watch.interruptions),
            ("watch_renewals_total", lambda watch: watch.renewals),
            ("watch_lists_total", lambda watch: watch.lists),
        ):
            yield _metric(name, (((resource,), float(read(watch))) for resource, watch in watches.items()))

    def _ledger(self) -> Iterator[Metric]:
        books = self._launcher.books
        yield _metric("ledger_up", [((), books.unavailable is None)])
        yield _metric("ledger_synced", [((), books.known)])
        yield _metric("ledger_pending_writes", [((), books.pending)])


def _metric(name: str, values: Values) -> Metric:
    said = family(name)
    kind = CounterMetricFamily if said.kind is Kind.COUNTER else GaugeMetricFamily
    found = kind(said.name, said.help, labels=said.labels)
    for labels, value in values:
        found.add_metric(labels, float(value))
    return found


@contextmanager
def counted(launcher: Launcher, user: str, server: str, feed: Feed) -> Iterator[None]:
    """Count a launch of a server that happens within, which tells ``feed`` how it goes."""
    began = launcher.now()
    try:
        yield
    except BaseException as error:
        launcher.counts.not_launched(getattr(error, "error", error), feed.so_far, began)
        raise
    launcher.counts.launched(launcher.class_of(user, server), feed.so_far, began, launcher.now())


class _Current(Collector):
    """The hub of this process: JupyterHub's registry belongs to the process, and outlives a hub that tests stop."""

    def __init__(self) -> None:
        self.launcher: Callable[[], Launcher | None] = lambda: None

    def describe(self) -> Iterable[Metric]:
        """Names that are known beforehand; none, so that a scrape asks for them."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Of the last hub that was started, if it still is there."""
        launcher = self.launcher()
        if launcher is not None:
            yield from HubMetrics(launcher).collect()


_CURRENT = _Current()
REGISTRY.register(_CURRENT)


def measure(launcher: Launcher) -> None:
    """From now on ``/metrics`` tells of this hub."""
    found: ReferenceType[Launcher] = ref(launcher)
    _CURRENT.launcher = found
