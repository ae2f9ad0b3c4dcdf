"""A database that goes away, comes back, answers late or never: no call harms the loop, and each may be repeated."""

import asyncio
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from recorded import denial, ending, session
from running_postgres import RunningPostgres
from sqlalchemy import text

from gpuspawner.ledger import database
from gpuspawner.ledger.store import Store, StoreUnavailableError


@pytest.fixture
def own_postgres() -> Iterator[RunningPostgres]:
    """A server to be stopped."""
    server = RunningPostgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def test_while_the_server_is_away_every_call_says_so_and_the_same_call_succeeds_afterwards(
    own_postgres: RunningPostgres,
) -> None:
    store = Store(own_postgres.database(), "hub")
    await store.hold(session())
    own_postgres.stop()
    for call in (
        lambda: store.hold(session("two")),
        lambda: store.settle("one", **ending()),
        lambda: store.write_audit([denial("a")]),
        store.unsettled,
        store.audit,
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            await call()
        assert caught.value.reason == "The ledger's database cannot be reached."
        assert caught.value.status == 503
    own_postgres.start()
    assert await store.hold(session("two"))
    assert await store.settle("one", **ending())
    await store.write_audit([denial("a")])
    assert [one.id for one in await store.unsettled()] == ["two"]
    assert {entry.id for entry in (await store.audit()).rows} == {"one-charge", "a"}
    await store.close()


async def test_a_hub_may_start_before_its_database(own_postgres: RunningPostgres) -> None:
    url = own_postgres.database()
    own_postgres.stop()
    store = Store(url, "hub")
    with pytest.raises(StoreUnavailableError):
        await store.open()
    with pytest.raises(StoreUnavailableError):
        await store.unsettled()
    own_postgres.start()
    assert await store.hold(session())
    await store.close()


async def test_what_was_written_is_there_after_the_server_crashed(own_postgres: RunningPostgres) -> None:
    store = Store(own_postgres.database(), "hub")
    for number in range(50):
        await store.hold(session(str(number)))
    own_postgres.stop()
    own_postgres.start()
    assert len(await store.unsettled()) == 50
    await store.close()


async def test_a_connection_that_was_cut_is_replaced_unnoticed(postgres: RunningPostgres) -> None:
    store = Store(postgres.database(), "hub")
    await store.hold(session())
    assert await store.unsettled() == [session()]
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'gpuspawner'"
    assert int(postgres.sql("postgres", cut)) >= 1
    assert await store.settle("one", **ending())
    postgres.sql("postgres", cut)
    assert await store.unsettled() == []
    await store.close()


async def test_whoever_cannot_write_is_told_and_the_detail_names_the_cause(postgres: RunningPostgres) -> None:
    url = postgres.database()
    store = Store(url, "hub")
    await store.open()
    name = url.partition("@/")[2].partition("?")[0]
    postgres.sql("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    store.database.dispose()
    with pytest.raises(StoreUnavailableError) as caught:
        await store.hold(session())
    assert "read-only" in caught.value.detail
    assert await store.unsettled() == []
    await store.close()


@pytest.fixture
def locked(store: Store) -> Iterator[object]:
    """A transaction of somebody else that keeps everybody from writing; closed, it lets them."""
    with closing(store.database._engine.connect()) as other:
        if store.database.is_sqlite:
            other.execute(text("SELECT 1"))
        else:
            other.execute(text("LOCK TABLE gpuspawner_sessions IN EXCLUSIVE MODE"))
        yield other


async def test_the_loop_goes_on_while_the_database_waits_for_somebody(store: Store, locked) -> None:  # type: ignore[no-untyped-def]
    writing = asyncio.create_task(store.hold(session()))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not writing.done()
    locked.rollback()
    assert await writing


async def test_who_reads_does_not_wait_for_who_writes(store: Store, locked) -> None:  # type: ignore[no-untyped-def]
    writing = asyncio.create_task(store.hold(session()))
    assert await store.unsettled() == []
    assert (await store.sessions()).rows == ()
    assert not writing.done()
    locked.rollback()
    assert await writing
    assert await store.unsettled() == [session()]


async def test_a_call_that_is_cancelled_before_its_turn_is_not_written(store: Store, locked) -> None:  # type: ignore[no-untyped-def]
    first = asyncio.create_task(store.hold(session("first")))
    second = asyncio.create_task(store.hold(session("second")))
    for _ in range(100):
        await asyncio.sleep(0)
    second.cancel()
    locked.rollback()
    assert await first
    await asyncio.gather(second, return_exceptions=True)
    assert await store.hold(session("third"))
    assert {one.id for one in await store.unsettled()} == {"first", "third"}


async def test_writes_happen_in_the_order_of_their_calls(store: Store, locked) -> None:  # type: ignore[no-untyped-def]
    calls = [asyncio.create_task(store.write_audit([denial(f"{number:02}")])) for number in range(20)]
    for _ in range(10):
        await asyncio.sleep(0)
    locked.rollback()
    await asyncio.gather(*calls)
    assert [entry.id for entry in (await store.audit()).rows] == [f"{number:02}" for number in reversed(range(20))]


async def test_a_database_that_is_locked_for_long_is_one_that_does_not_answer(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = database.Database(url)
    other.migrate()
    monkeypatch.setattr(database, "_CONNECTS_WITHIN", 0.05)
    monkeypatch.setattr(database, "_ANSWERS_WITHIN", 0.05)
    impatient = Store(url, "hub")
    with other.write() as connection:
        if not other.is_sqlite:
            connection.execute(text("LOCK TABLE gpuspawner_sessions"))
        with pytest.raises(StoreUnavailableError) as caught:
            await impatient.hold(session())
    assert "timeout" in caught.value.detail or "locked" in caught.value.detail
    await impatient.close()
    monkeypatch.undo()
    patient = Store(url, "hub")
    assert await patient.hold(session())
    await patient.close()
    other.dispose()


async def test_who_waits_for_a_server_that_never_answers_may_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_CONNECTS_WITHIN", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        store = Store(f"postgresql://hub:secret@127.0.0.1:{silent.getsockname()[1]}/ledger", "hub")
        calls = [asyncio.create_task(store.hold(session(str(number)))) for number in range(20)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(calls[0], 0.05)
        for call in calls[1:]:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.wait_for(store.close(), 10)


async def test_a_server_that_is_not_there_is_told_without_its_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        store = Store(f"postgresql://hub:secret@127.0.0.1:{free.getsockname()[1]}/ledger", "hub")
        with pytest.raises(StoreUnavailableError) as caught:
            await store.open()
    assert "secret" not in caught.value.detail + caught.value.sentence
    assert "127.0.0.1" in caught.value.detail
    await store.close()


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'missing' / 'ledger.sqlite'}", "hub")
    with pytest.raises(StoreUnavailableError) as caught:
        await store.hold(session())
    assert "missing" in caught.value.detail
    (tmp_path / "missing").mkdir()
    assert await store.hold(session())
    await store.close()


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 1000)
    store = Store(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "hub")
    with pytest.raises(StoreUnavailableError) as caught:
        await store.hold(session())
    assert "not a database" in caught.value.detail
    await store.close()


async def test_a_file_is_written_through_to_the_disk_and_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    store = Store(f"sqlite:///{path}", "hub")
    await store.hold(session())
    with store.database.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT id FROM gpuspawner_sessions").fetchall() == [("one",)]
    await store.close()
