"""What needs a hand, which exceptions are ahead, and the names of limits for people."""

from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from small_hub import section, small_hub

from gpuspawner.config import load_settings
from gpuspawner.errors import LaunchError
from gpuspawner.limits.trace import Check, Unit
from gpuspawner.reports.configuration import Remark, remarks
from gpuspawner.reports.effective_limits import title_of
from gpuspawner.reports.overview import concerns, exceptions_ahead

HUB = small_hub()


@dataclass
class Report:
    mistakes: tuple[Remark, ...] = ()
    notes: tuple[Remark, ...] = ()
    cluster: Any = None
    cluster_unknown: str = ""


@dataclass
class View:
    unreachable: str | None = None
    silent_for: float = 0.0
    nodes: dict[str, Any] = field(default_factory=dict)


def node(name: str, *, usable: bool, gpus: int = 4) -> Any:
    return SimpleNamespace(name=name, usable=usable, allocatable={"nvidia.com/gpu": gpus})


def pool(title: str, left: int) -> Any:
    return SimpleNamespace(title=title, pool=SimpleNamespace(total=100, left=left, renews="renews on 1 December"))


def told(
    view: View | None = None,
    ledger: LaunchError | None = None,
    report: Report | None = None,
    waiting: Any = (),
    spaces: Any = (),
) -> list[tuple[str, str]]:
    seen: Any = view or View()
    return [(one.kind, one.sentence) for one in concerns(seen, ledger, report or Report(), waiting, spaces, HUB)]


def test_a_hub_that_is_well_needs_nothing() -> None:
    nodes = {"a": node("a", usable=True), "cpu": node("cpu", usable=False, gpus=0)}
    assert told(View(nodes=nodes), spaces=[pool("Lab", 11), SimpleNamespace(title="x", pool=None)]) == []


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"ledger": LaunchError("No answer.")}, "danger", "The ledger does not take what is to be written: No answer."),
        ({"view": View(unreachable="Kubernetes is away.")}, "danger", "Kubernetes is away."),
        ({"view": View(silent_for=240)}, "warning", "Kubernetes has said nothing for 4 min."),
        (
            {"view": View(nodes={name: node(name, usable=False) for name in "abcde"})},
            "warning",
            "5 nodes with GPUs take no launches: a, b, c and 2 more.",
        ),
        ({"report": Report(mistakes=remarks(["x"], mistakes=True))}, "danger", "1 mistake in the configuration."),
        (
            {"report": Report(notes=remarks(["x", "y"]))},
            "warning",
            "2 things in the configuration can hardly be meant.",
        ),
        (
            {"report": Report(cluster=SimpleNamespace(misconfigured=2))},
            "danger",
            "No node can ever hold 2 launches on offer.",
        ),
        ({"report": Report(cluster_unknown="forbidden")}, "warning", "The nodes are not known: forbidden."),
        (
            {"waiting": [SimpleNamespace(waits=True, seconds=seconds) for seconds in (10, 3700, 7300)]},
            "warning",
            "2 launches wait for over an hour, up to 2 h 1 min.",
        ),
        ({"spaces": [pool("Lab", 10)]}, "warning", "90 % of the pool of Lab are used or held."),
    ],
)
def test_what_needs_a_hand_says_so(changes: dict[str, Any], kind: str, words: str) -> None:
    assert told(**changes) == [(kind, words)]


def test_the_worst_comes_first() -> None:
    kinds = [kind for kind, _ in told(View(silent_for=999), LaunchError("Away."), spaces=[pool("Lab", 0)])]
    assert kinds == ["danger", "warning", "warning"]


def test_exceptions_that_hold_or_begin_soon_are_told_with_what_they_change() -> None:
    (one,) = exceptions_ahead(HUB, date(2026, 11, 20))
    assert (one.first, one.workspace, one.holds(date(2026, 12, 4))) == (date(2026, 11, 30), "cse151a", True)
    assert [(change.about, change.said, change.ordinarily) for change in one.changes] == [
        ("Medium GPUs at once", "24 GPUs", "12 GPUs"),
        ("whole GPUs at once", "1 GPU", "not granted"),
    ]
    assert exceptions_ahead(HUB, date(2026, 12, 4))
    assert exceptions_ahead(HUB, date(2026, 10, 1)) == []
    assert exceptions_ahead(HUB, date(2026, 12, 5)) == []


def test_an_exception_names_whom_it_is_about() -> None:
    hub = section()
    exception = {"from": "2026-12-01", "to": "2026-12-02", "per_member": {"gpus": 4}, "per_launch": {"cpu": 2}}
    hub["workspaces"]["cse151a"]["exceptions"] = [exception]
    (one,) = exceptions_ahead(load_settings(hub), date(2026, 12, 1))
    assert [change.about for change in one.changes] == ["GPUs of each member", "CPU of one launch"]


@pytest.mark.parametrize(
    ("limit", "gpu_class", "words"),
    [
        ("workspace.quota", "medium", "Quota of the workspace, Medium"),
        ("workspace.per_member.memory", "", "Memory of each member here"),
        ("hub.per_member.servers", "", "Servers of each member in all workspaces"),
        ("workspace.per_launch.runtime", "", "Runtime of one launch here"),
        ("profile.wait", "", "Wait of the profile"),
        ("workspace.budget.pool", "gone", "Budget of all members, gone"),
        ("of.a.newer.version", "", "of.a.newer.version"),
    ],
)
def test_a_limit_that_was_looked_at_has_a_name_for_people(limit: str, gpu_class: str, words: str) -> None:
    check = Check(limit=limit, unit=Unit.GPUS, value=1, asked=1, allowed=True, rule="", gpu_class=gpu_class)
    assert title_of(check, HUB) == words


def test_remarks_have_their_place_and_each_is_said_once() -> None:
    line = "c.GPUSpawner.workspaces['lab'].members: nobody belongs to this workspace"
    assert remarks([line, line, "something else"]) == (
        Remark("c.GPUSpawner.workspaces['lab'].members", "Nobody belongs to this workspace"),
        Remark("", "something else"),
    )
