"""`gpuspawner simulate`: a ledger with history against a changed configuration, on both databases."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded import HOUR, NOON, ending, session

from gpuspawner.cli import main
from gpuspawner.ledger.store import Store

Told = Callable[..., tuple[int, str, str]]
SECTION: dict[str, Any] = {
    "gpu_classes": {
        name: {"accepts": [{"resource": "nvidia.com/gpu", "product": name}]} for name in ("small", "medium")
    },
    "profiles": {"pytorch": {"image": "x", "gpu_classes": ["small", "medium"], "gpus": {"default": 1, "max": 4}}},
    "workspaces": {"cse151a": {"members": "*"}, "lab": {"members": "*"}},
    "hub_name": "hub",
}


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["simulate", *arguments])
        output = capsys.readouterr()
        return status, output.out, output.err

    return run


@pytest.fixture
async def filled(url: str) -> str:
    """The URL of a ledger in which two members of a course held a GPU each at the same time, and one of the lab."""
    store = Store(url, "hub", clock=lambda: NOON)
    for name, user, workspace, at in (
        ("a", "ada", "cse151a", 0),
        ("b", "bob", "cse151a", 1),
        ("c", "ada", "lab", 1),
        ("d", "ada", "cse151a", 48),
    ):
        opened = NOON + at * HOUR
        one = session(name, user=user, server=name, workspace=workspace, opened=opened, options={"gpu_class": "any"})
        await store.hold(one)
        await store.settle(name, **ending(started=opened, ended=opened + 3 * HOUR, gpu_class="small"))
    await store.close()
    return url


def config(folder: Path, **changes: Any) -> str:
    """The path of a changed configuration."""
    section = {**SECTION, **changes}
    path = folder / "changed.py"
    path.write_text("".join(f"c.GPUSpawner.{name} = {value!r}\n" for name, value in section.items()))
    return str(path)


def test_a_configuration_that_changes_nothing_refuses_nothing(filled: str, told: Told, tmp_path: Path) -> None:
    assert told(config(tmp_path), "--url", filled) == (0, "Of 4 past launches, none would have been refused.\n", "")


def test_it_says_how_many_whose_when_and_by_which_rule(filled: str, told: Told, tmp_path: Path) -> None:
    smaller = {"cse151a": {"members": "*", "quota": {"small": 1}}, "lab": {"members": "*"}}
    new = config(tmp_path, workspaces=smaller)
    status, out, _ = told(new, "--url", filled)
    assert status == 1
    assert out.startswith("Of 4 past launches, 1 would have been refused.")
    assert "c.GPUSpawner.workspaces['cse151a'].quota['small']   1" in out
    assert re.search("bob +cse151a +pytorch +cse151a holds 1 of 1 small GPU; you asked for 1 more.", out)
    assert "2026-11-02 13:00+00:00" in out
    status, out, _ = told(new, "--url", filled, "--json")
    found = json.loads(out)
    assert (status, found["launches"], [one["user"] for one in found["refused"]]) == (1, 4, ["bob"])


def test_who_is_not_shown_still_holds_what_they_held(filled: str, told: Told, tmp_path: Path) -> None:
    smaller = {"cse151a": {"members": "*", "quota": {"small": 1}}, "lab": {"members": "*"}}
    new = config(tmp_path, workspaces=smaller)
    assert told(new, "--url", filled, "--user", "bob")[1].startswith("Of 1 past launch, 1 would")
    assert told(new, "--url", filled, "--since", "2026-11-02T12:30")[1].startswith("Of 3 past launches, 1 would")
    assert told(new, "--url", filled, "--until", "2026-11-02T12:30")[0] == 0
    assert told(new, "--url", filled, "--workspace", "none")[1] == "The ledger holds no such launch.\n"


def test_many_refusals_are_counted_and_some_are_named(filled: str, told: Told, tmp_path: Path) -> None:
    new = config(tmp_path, workspaces={"everyone": {"members": "*"}})
    _, out, _ = told(new, "--url", filled, "--limit", "1")
    assert "c.GPUSpawner.workspaces   4" in out
    assert "3 more are not named; see --limit and --json." in out


def test_what_cannot_be_simulated_is_told(told: Told, tmp_path: Path, filled: str) -> None:
    status, _, err = told(config(tmp_path, profiles={"p": {"imag": "x"}}), "--url", filled)
    assert (status, "imag: unknown key; did you mean 'image'?" in err) == (2, True)
    status, _, err = told(config(tmp_path, per_membr={"gpus": 1}), "--url", filled)
    assert (status, "per_membr: unknown key; did you mean 'per_member'?" in err) == (2, True)
    path = tmp_path / "by_user.py"
    path.write_text("c.GPUSpawner.profiles = lambda spawner: {}\n")
    status, _, err = told(str(path), "--url", filled)
    assert (status, "needs a running hub" in err) == (2, True)
    status, _, err = told(config(tmp_path), "--url", f"sqlite:///{tmp_path}/none.sqlite")
    assert (status, "there is no file" in err) == (1, True)
