"""Several hubs in one database, at the same time, each in a process of its own: nothing is lost and nothing blocks."""

import asyncio
import sys
from pathlib import Path

import pytest
from recorded import ending, session
from running_postgres import RunningPostgres
from sqlalchemy import text

from gpuspawner.ledger.database import Database
from gpuspawner.ledger.records import EVERY_HUB, AuditFilter, SessionFilter
from gpuspawner.ledger.store import Store, StoreUnavailableError

HUB = """
import asyncio, sys
sys.path.insert(0, sys.argv[3])
from recorded import ending, session
from gpuspawner.ledger.store import Store

async def work(url, hub):
    store = Store(url, hub)
    async def one(number):
        await store.hold(session(f"{hub}-{number}", hub=hub))
        await store.started(f"{hub}-{number}", ending()["started"], "small")
        assert await store.settle(f"{hub}-{number}", **ending())
    await asyncio.gather(*(one(number) for number in range(30)))
    await store.close()

asyncio.run(work(*sys.argv[1:3]))
"""


async def test_hubs_that_write_at_the_same_time_lose_nothing(url: str) -> None:
    folder = str(Path(__file__).parent)
    hubs = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", HUB, url, f"hub{number}", folder)
        for number in range(3)
    ]
    statuses = await asyncio.gather(*(hub.wait() for hub in hubs))
    assert statuses == [0, 0, 0]
    store = Store(url, "hub0")
    everything = SessionFilter(hub=EVERY_HUB)
    assert {one.name: (one.sessions, one.charged) for one in await store.usage(everything, by="hub")} == {
        f"hub{number}": (30, 30 * 500_000) for number in range(3)
    }
    assert len((await store.audit(AuditFilter(hub=EVERY_HUB, action="charge"), limit=1000)).rows) == 90
    assert await store.unsettled() == []
    await store.close()


async def test_two_stores_that_settle_the_same_session_charge_it_once(url: str) -> None:
    stores = [Store(url, "hub") for _ in range(4)]
    for number in range(20):
        await stores[0].hold(session(str(number)))
        settled = await asyncio.gather(
            *(store.settle(str(number), **ending(charged=charged)) for charged, store in enumerate(stores))
        )
        assert settled.count(True) == 1
    assert len((await stores[0].audit(limit=100)).rows) == 20
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_hub_works_with_a_role_that_may_not_change_tables(postgres: RunningPostgres) -> None:
    owner = postgres.database()
    Database(owner).migrate()
    name = owner.partition("@/")[2].partition("?")[0]
    postgres.sql(
        name,
        "CREATE ROLE teaching LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO teaching",
        "GRANT INSERT, UPDATE ON gpuspawner_sessions, gpuspawner_grants TO teaching",
        "GRANT INSERT ON gpuspawner_audit TO teaching",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO teaching",
    )
    store = Store(owner.replace("postgres@", "teaching@"), "hub")
    await store.hold(session())
    assert await store.settle("one", **ending())
    assert len((await store.audit()).rows) == 1
    with pytest.raises(StoreUnavailableError) as caught, store.database.write() as connection:
        connection.execute(text("ALTER TABLE gpuspawner_audit DISABLE TRIGGER ALL"))
    assert "must be owner" in caught.value.detail
    await store.close()


async def test_a_role_that_may_not_make_the_tables_is_told_why(postgres: RunningPostgres) -> None:
    owner = postgres.database()
    postgres.sql("postgres", "CREATE ROLE nothing LOGIN")
    store = Store(owner.replace("postgres@", "nothing@"), "hub")
    with pytest.raises(StoreUnavailableError) as caught:
        await store.hold(session())
    assert "permission denied" in caught.value.detail
    await store.close()


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
async def test_the_url_of_jupyterhubs_database_serves_as_it_is(postgres: RunningPostgres, driver: str) -> None:
    store = Store(postgres.database().replace("postgresql", driver, 1), "hub")
    assert await store.hold(session())
    await store.close()
