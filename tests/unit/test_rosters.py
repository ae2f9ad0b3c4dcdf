"""Roster files: read at the start, read again when they have changed, and never half."""

import logging
import os
import threading
from pathlib import Path

import pytest

from gpuspawner.membership.roster import Line
from gpuspawner.membership.rosters import Rosters


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("user\nada\nbob\n")
    return path


@pytest.fixture
def rosters(file: Path) -> Rosters:
    made = Rosters([str(file)])
    made.read()
    return made


def people(rosters: Rosters) -> set[str]:
    return {line.user for roster in rosters.current.values() for line in roster.lines}


def write(file: Path, content: str | None) -> None:
    """None: there is no such file."""
    if content is None:
        file.unlink()
    else:
        file.write_text(content)


async def looked_twice(rosters: Rosters) -> frozenset[Line]:
    return await rosters.check() | await rosters.check()


async def test_a_change_is_taken_and_who_is_new_or_gone_is_told(rosters: Rosters, file: Path) -> None:
    assert people(rosters) == {"ada", "bob"}
    write(file, "user\nada\ngrace\n")
    assert await looked_twice(rosters) == {Line("bob"), Line("grace")}
    assert people(rosters) == {"ada", "grace"}
    assert await looked_twice(rosters) == set()


async def test_a_file_that_is_still_being_written_waits_until_it_stays_the_same(rosters: Rosters, file: Path) -> None:
    write(file, "user\n")
    assert await rosters.check() == set()
    write(file, "user\nada\ngr")
    assert await rosters.check() == set()
    assert people(rosters) == {"ada", "bob"}
    write(file, "user\nada\ngrace\n")
    assert await looked_twice(rosters) == {Line("bob"), Line("grace")}


async def test_a_file_that_changes_while_it_is_read_is_read_again(
    rosters: Rosters, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(file, "user\nada\n")
    await rosters.check()
    read = Path.read_bytes

    def reads_and_somebody_writes(path: Path) -> bytes:
        content = read(path)
        write(file, "user\nada\ngrace\n")
        return content

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", reads_and_somebody_writes)
        assert await rosters.check() == set()
    assert people(rosters) == {"ada", "bob"}
    await looked_twice(rosters)
    assert people(rosters) == {"ada", "grace"}


@pytest.mark.parametrize("content", ["", "name\nada\n", "user,role\nada,boss\n", None])
async def test_a_broken_or_missing_file_changes_nothing_says_why_once_and_recovers(
    rosters: Rosters, file: Path, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    write(file, content)
    with caplog.at_level(logging.ERROR):
        for _ in range(4):
            assert await rosters.check() == set()
    assert people(rosters) == {"ada", "bob"}
    assert len(rosters.problems[str(file)]) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"Roster {file} is not taken, memberships stay as they are: {rosters.problems[str(file)][0]}"
    ]
    write(file, "user\nada\n")
    assert await looked_twice(rosters) == {Line("bob")}
    assert not rosters.problems


async def test_a_file_that_was_broken_at_the_start_is_taken_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    rosters = Rosters([str(path)])
    rosters.read()
    assert rosters.problems == {str(path): ("cannot be read: No such file or directory",)}
    assert not rosters.current
    write(path, "user\nada\n")
    assert await looked_twice(rosters) == {Line("ada")}


async def test_an_exchanged_link_is_seen_as_kubernetes_exchanges_a_configmap(tmp_path: Path) -> None:
    """Same name, same size, same time: only the file behind the link is another."""
    for folder, name in (("one", "ada"), ("two", "bob")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "people.csv").write_text(f"user\n{name}\n")
        os.utime(tmp_path / folder / "people.csv", ns=(10**18, 10**18))
    (tmp_path / "data").symlink_to("one")
    rosters = Rosters([str(tmp_path / "data" / "people.csv")])
    rosters.read()
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "data")
    await looked_twice(rosters)
    assert people(rosters) == {"bob"}


async def test_files_are_looked_at_off_the_loop(rosters: Rosters, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat, seen = Path.stat, set()

    def watched(path: Path, **kwargs: bool) -> os.stat_result:
        if path == file:
            seen.add(threading.current_thread())
        return stat(path, **kwargs)

    monkeypatch.setattr(Path, "stat", watched)
    write(file, "user\nada\n")
    await looked_twice(rosters)
    assert people(rosters) == {"ada"}
    assert seen
    assert threading.main_thread() not in seen
