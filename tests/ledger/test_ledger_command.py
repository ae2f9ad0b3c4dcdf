"""`gpuspawner ledger`, as somebody types it, on both databases."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded import HOUR, NOON, denial, ending, grant, session
from sqlalchemy import text

from gpuspawner.cli import main
from gpuspawner.ledger.database import Database
from gpuspawner.ledger.store import Store

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(["ledger", *arguments])
        except SystemExit as error:
            status = int(str(error.code))
        output = capsys.readouterr()
        return status, output.out, output.err

    return run


@pytest.fixture
async def filled(url: str) -> str:
    """The URL of a ledger with history."""
    store = Store(url, "hub", clock=lambda: NOON + 3 * HOUR)
    await store.hold(session("a"))
    await store.settle("a", **ending())
    await store.hold(session("b", user="bob", workspace="lab", opened=NOON + HOUR, server='=HYPERLINK("x")'))
    await store.settle("b", **ending(ended=NOON + 2 * HOUR, charged=1_234_567))
    await store.hold(session("c", opened=NOON + 24 * HOUR))
    await store.grant(grant(id="g", reason="+1 for the thesis"))
    await store.write_audit([denial("d", details={"reason": "CSE 151A holds 12 of 12 Medium GPUs."})])
    await store.close()
    return url


def rows(output: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(output)))


def test_sessions_are_exported_as_csv_in_service_units(filled: str, told: Told) -> None:
    status, output, _ = told("export", "sessions", "--url", filled)
    assert status == 0
    found = rows(output)
    assert [row["id"] for row in found] == ["c", "b", "a"]
    assert (found[1]["charged"], found[1]["held"], found[0]["charged"]) == ("1.234567", "6", "")
    assert found[1]["opened"] == "2026-11-02T13:00:00+00:00"
    assert json.loads(found[2]["options"]) == {"gpu_class": ["small", "medium"], "gpus": 1}


def test_a_spreadsheet_runs_nothing_that_a_member_wrote(filled: str, told: Told) -> None:
    found = rows(told("export", "sessions", "--url", filled)[1])
    assert found[1]["server"] == '\'=HYPERLINK("x")'
    assert rows(told("export", "grants", "--url", filled)[1])[0]["reason"] == "'+1 for the thesis"


@pytest.mark.parametrize(("what", "ids"), [("sessions", ["c", "b", "a"]), ("grants", ["g"])])
def test_json_says_exactly_what_was_written(filled: str, told: Told, what: str, ids: list[str]) -> None:
    status, output, _ = told("export", what, "--url", filled, "--format", "json")
    assert status == 0
    assert [row["id"] for row in json.loads(output)] == ids


def test_the_audit_log_is_exported_too(filled: str, told: Told) -> None:
    found = json.loads(told("export", "audit", "--url", filled, "--format", "json")[1])
    assert {(row["action"], row["user"]) for row in found} == {
        ("charge", "ada"),
        ("charge", "bob"),
        ("grant", "ada"),
        ("denial", "ada"),
    }


def test_nothing_is_an_empty_array_and_a_csv_of_its_header(filled: str, told: Told) -> None:
    assert json.loads(told("export", "sessions", "--url", filled, "--user", "nobody", "--format", "json")[1]) == []
    assert rows(told("export", "sessions", "--url", filled, "--user", "nobody")[1]) == []


def test_an_export_is_narrowed_by_user_workspace_and_time(filled: str, told: Told) -> None:
    def ids(*options: str) -> list[str]:
        return [row["id"] for row in rows(told("export", "sessions", "--url", filled, *options)[1])]

    assert ids("--user", "ada") == ["c", "a"]
    assert ids("--workspace", "lab") == ["b"]
    assert ids("--since", "2026-11-03") == ["c"]
    assert ids("--until", "2026-11-02T13:00") == ["a"]
    assert ids("--since", "2026-11-02T14:30+01:00", "--until", "2026-11-03T12:00Z") == []
    assert ids("--hub", "other") == []


def test_a_time_that_is_none_is_told(filled: str, told: Told) -> None:
    status, _, error = told("export", "sessions", "--url", filled, "--since", "yesterday")
    assert status == 1
    assert "'yesterday' is no day and no time. Write 2026-09-21" in error


def test_more_rows_than_a_page_are_all_exported(url: str, told: Told, tmp_path: Path) -> None:
    from gpuspawner.ledger import rows as ledger_rows

    ledger = Database(url)
    ledger.migrate()
    with ledger.write() as connection:
        written = [ledger_rows._row(session(f"{number:04}")) for number in range(2001)]
        connection.execute(ledger_rows.SESSIONS.insert(), written)
    ledger.dispose()
    file = tmp_path / "sessions.csv"
    status, output, error = told("export", "sessions", "--url", url, "--output", str(file))
    assert (status, output) == (0, "")
    assert "2001 sessions" in error
    assert len({row["id"] for row in rows(file.read_text())}) == 2001


def test_use_is_summed_up(filled: str, told: Told) -> None:
    status, output, _ = told("usage", "--url", filled)
    assert status == 0
    lines = [line.split() for line in output.splitlines()]
    assert lines[0] == ["USER", "SESSIONS", "HOURS", "GPU-HOURS", "CHARGED", "HELD"]
    assert lines[1] == ["bob", "1", "2.0", "2.0", "1.23", "SU", "0", "SU"]
    assert lines[2] == ["ada", "2", "1.0", "1.0", "0.5", "SU", "6", "SU"]
    assert "GPU CLASS" in told("usage", "--url", filled, "--by", "gpu_class")[1]


def test_the_audit_log_is_searched(filled: str, told: Told) -> None:
    status, output, _ = told("audit", "--url", filled, "--action", "denial")
    assert status == 0
    assert len(output.splitlines()) == 2
    assert "2026-11-02 12:00:00+00:00" in output
    assert "reason: CSE 151A holds 12 of 12 Medium GPUs." in output
    assert len(told("audit", "--url", filled, "--limit", "2")[1].splitlines()) == 3
    assert "root" in told("audit", "--url", filled, "--actor", "root", "--user", "ada")[1]


async def test_a_whole_ledger_is_found_whole(filled: str, told: Told) -> None:
    store = Store(filled, "hub")
    await store.settle("c", **ending())
    await store.hold(session("d", opened=NOON.replace(year=9000)))
    await store.close()
    status, output, _ = told("check", "--url", filled)
    assert status == 0
    assert output.splitlines()[0] == "Hub hub: 4 sessions, 2.23 SU charged, 6 SU held."
    assert "whole" in output.splitlines()[1]


async def test_a_charge_that_was_changed_behind_the_ledger_is_found(store: Store, url: str, told: Told) -> None:
    for name in ("a", "b", "c"):
        await store.hold(session(name))
        await store.settle(name, **ending())
    with store.database.write() as connection:
        connection.execute(text("UPDATE gpuspawner_sessions SET charged = 1 WHERE id = 'a'"))
        connection.execute(text("DELETE FROM gpuspawner_sessions WHERE id = 'b'"))
        connection.execute(
            text("UPDATE gpuspawner_sessions SET id = 'z' WHERE id = 'c'"),
        )
    status, output, _ = told("check", "--url", url)
    assert status == 1
    assert "The session a of ada was charged 1e-06 SU, and 0.5 SU by the audit log." in output
    assert "By the audit log ada was charged for the session b, and by the ledger not." in output
    assert "The session z of ada was charged 0.5 SU, and the audit log says nothing of it." in output


async def test_an_audit_log_that_could_be_changed_is_found(store: Store, url: str, told: Told) -> None:
    drop = "DROP TRIGGER gpuspawner_audit_no_update"
    if not store.database.is_sqlite:
        drop = "ALTER TABLE gpuspawner_audit DISABLE TRIGGER gpuspawner_audit_no_change"
    with store.database.write() as connection:
        connection.execute(text(drop))
    status, output, _ = told("check", "--url", url)
    assert status == 1
    assert "Entries of the audit log can be changed" in output


async def test_a_session_that_nobody_settles_is_found(store: Store, url: str, told: Told) -> None:
    await store.hold(session(opened=NOON.replace(year=2020)))
    status, output, _ = told("check", "--url", url)
    assert status == 1
    assert "The session one of the hub hub is held since 2020-11-02 12:00 UTC, although its runtime is 6 h" in output


def test_migrate_makes_the_tables_and_says_from_where_to_where(url: str, told: Told) -> None:
    newest = Database(url).versions().newest
    status, output, _ = told("migrate", "--url", url)
    assert (status, f"from nothing to version {newest}" in output) == (0, True)
    status, output, _ = told("migrate", "--url", url)
    assert (status, f"version {newest}, which is the newest" in output) == (0, True)


def test_looking_at_a_ledger_makes_none(tmp_path: Path, told: Told) -> None:
    for command in (("check",), ("audit",), ("usage",), ("export", "sessions")):
        status, _, error = told(*command, "--url", f"sqlite:///{tmp_path / 'none.sqlite'}")
        assert status == 1
        assert "The hub makes it when it first starts." in error
    assert list(tmp_path.iterdir()) == []


def test_looking_at_an_older_ledger_does_not_migrate_it(url: str, told: Told) -> None:
    ledger = Database(url)
    ledger.migrate()
    with ledger.write() as connection:
        connection.execute(text("UPDATE gpuspawner_version SET version_num = '0001'"))
    status, _, error = told("audit", "--url", url)
    assert status == 1
    assert "Run: gpuspawner ledger migrate" in error
    assert ledger.versions().found == "0001"
    ledger.dispose()


def test_the_ledger_of_a_hub_is_found_by_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    monkeypatch.chdir(tmp_path)
    Database("sqlite:///gpuspawner.sqlite").migrate()
    config = tmp_path / "jupyterhub_config.py"
    config.write_text('c.GPUSpawner.hub_name = "teaching"\nc.GPUSpawner.timezone = "America/Los_Angeles"\n')
    assert told("check")[0] == 0
    config.write_text('c.GPUSpawner.ledger_url = "mysql://hub:secret@db/x"\n')
    status, _, error = told("check")
    assert (status, "ledger_url" in error, "secret" in error) == (2, True, False)
    config.unlink()
    assert told("check")[0] == 2
