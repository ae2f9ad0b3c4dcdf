"""Every metric: its name, type, labels and meaning, from which the reference page and its test are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["BUCKETS", "FAMILIES", "Family", "Kind", "family"]

BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200)
"""Seconds: from a server on a warm node to a launch that waits for half a day."""


class Kind(StrEnum):
    """The types of Prometheus."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; ``name`` is as queries write it, a counter's with ``_total``."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which queries find it."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


_G, _C, _H = Kind.GAUGE, Kind.COUNTER, Kind.HISTOGRAM
FAMILIES = (
    Family("gpuspawner_info", _G, ("version",), "1; which version of gpuspawner the hub runs."),
    Family(
        "gpuspawner_gpus",
        _G,
        ("gpu_class", "state"),
        "GPUs of a class. used: by anybody's pods; free: a server could get it now, be it in a placeholder's stead; "
        "else why its node takes none: cordoned, closing, not ready, reserved (by a taint). A card that is in two "
        "classes counts in both. Absent while the hub cannot read the nodes.",
    ),
    Family(
        "gpuspawner_gpus_held",
        _G,
        ("workspace", "gpu_class"),
        "GPUs that count against the quota of a workspace: of servers that run, start or wait. One that may still land "
        "on several classes counts in each.",
    ),
    Family(
        "gpuspawner_gpus_quota",
        _G,
        ("workspace", "gpu_class"),
        "GPUs that a workspace may hold today. Absent where nothing bounds it.",
    ),
    Family("gpuspawner_servers", _G, ("workspace",), "Servers that run, start or wait."),
    Family(
        "gpuspawner_launches_waiting",
        _G,
        ("gpu_class",),
        "Launches whose pod has no node yet, by the class they prefer; none: without GPU.",
    ),
    Family(
        "gpuspawner_launches_total",
        _C,
        ("outcome", "reason"),
        "Launches that are over. outcome: started, refused (by a limit, or not on offer), failed, cancelled; reason: "
        "the code of the error, as in the API and the audit log, empty for those that started.",
    ),
    Family(
        "gpuspawner_launch_phase_seconds",
        _H,
        ("phase",),
        "How long a launch spent in a phase that it left: accepted, place (waiting for a GPU or for room), node (one "
        "that is added), storage, image, starting.",
    ),
    Family(
        "gpuspawner_launch_wait_seconds",
        _H,
        ("gpu_class",),
        "How long a launch that started had waited for a GPU, for room, or for a node to be added; none: without GPU.",
    ),
    Family(
        "gpuspawner_launch_start_seconds",
        _H,
        ("gpu_class",),
        "How long it then took until its server answered.",
    ),
    Family(
        "gpuspawner_sessions_ended_total",
        _C,
        ("cause",),
        "Sessions that are over, by why; those of launches that failed among them.",
    ),
    Family(
        "gpuspawner_service_units_charged_total",
        _C,
        ("workspace", "gpu_class"),
        "Service units charged for sessions that are over; none: without GPU.",
    ),
    Family(
        "gpuspawner_service_units_held",
        _G,
        ("workspace",),
        "Service units that sessions which are not over may cost at most. Absent until the ledger has been read.",
    ),
    Family(
        "gpuspawner_budget_pool_left",
        _G,
        ("workspace",),
        "Service units left of the pool of a workspace in this period. Absent where it has no pool.",
    ),
    Family("gpuspawner_watch_synced", _G, ("resource",), "1 once all objects of a kind have been read."),
    Family("gpuspawner_watch_up", _G, ("resource",), "0 while the Kubernetes API refuses a kind or does not answer."),
    Family(
        "gpuspawner_watch_silent_seconds",
        _G,
        ("resource",),
        "Since when nothing was heard of a kind, bookmarks included, which come each minute.",
    ),
    Family("gpuspawner_watch_interruptions_total", _C, ("resource",), "How often a watch broke off with an error."),
    Family("gpuspawner_watch_renewals_total", _C, ("resource",), "How often a watch was renewed since it was silent."),
    Family("gpuspawner_watch_lists_total", _C, ("resource",), "How often all objects of a kind were read."),
    Family("gpuspawner_ledger_up", _G, (), "0 while the database of the ledger takes no writes."),
    Family("gpuspawner_ledger_synced", _G, (), "1 once balances have been read from the ledger."),
    Family("gpuspawner_ledger_pending_writes", _G, (), "Writes that wait for the database."),
)
"""In the order of the reference page."""

_BY_NAME: Mapping[str, Family] = {one.name: one for one in FAMILIES}


def family(name: str) -> Family:
    """The family of this name, without its ``gpuspawner_``."""
    return _BY_NAME[f"gpuspawner_{name}"]
