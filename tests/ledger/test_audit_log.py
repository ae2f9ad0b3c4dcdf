"""The audit log can only grow: the database itself refuses everything else, whoever asks."""

import pytest
from recorded import denial, ending, grant, session
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gpuspawner.ledger.store import Store, StoreUnavailableError

TAMPERING = {
    "change": "UPDATE gpuspawner_audit SET actor = 'nobody'",
    "change one": "UPDATE gpuspawner_audit SET details = '{}' WHERE id = 'a'",
    "delete": "DELETE FROM gpuspawner_audit",
    "delete one": "DELETE FROM gpuspawner_audit WHERE id = 'a'",
}


@pytest.mark.parametrize("statement", TAMPERING.values(), ids=TAMPERING)
async def test_nobody_can_change_or_delete_an_entry(store: Store, statement: str) -> None:
    await store.write_audit([denial("a"), denial("b")])
    before = await store.audit()
    with pytest.raises((StoreUnavailableError, IntegrityError)) as caught, store.database.write() as connection:
        connection.execute(text(statement))
    assert "the audit log can only grow" in f"{caught.value.__cause__} {caught.value}"
    assert await store.audit() == before


async def test_nobody_can_truncate_it_on_postgresql(store: Store) -> None:
    await store.write_audit([denial("a")])
    if store.database.is_sqlite:
        return  # SQLite has no TRUNCATE
    with pytest.raises(StoreUnavailableError) as caught, store.database.write() as connection:
        connection.execute(text("TRUNCATE gpuspawner_audit CASCADE"))
    assert "can only grow" in caught.value.detail
    assert len((await store.audit()).rows) == 1


@pytest.mark.parametrize("key", ["seq", "id"])
async def test_an_entry_is_not_replaced_on_sqlite(store: Store, key: str) -> None:
    await store.write_audit([denial("a")])
    before = await store.audit()
    if store.database.is_sqlite:
        number, name = (1, "other") if key == "seq" else (7, "a")
        with store.database.write() as connection:
            connection.execute(
                text(
                    "INSERT OR REPLACE INTO gpuspawner_audit (seq, id, hub, at, actor, action, details) "
                    "VALUES (:number, :name, 'hub', '2026-01-01 00:00:00.000000', 'x', 'x', '{}')"
                ),
                {"number": number, "name": name},
            )
    assert await store.audit() == before


async def test_every_charge_extension_grant_and_revocation_is_in_it(store: Store) -> None:
    await store.hold(session())
    await store.extend("one", 8 * 3600, 8_000_000, by="ada")
    await store.settle("one", **ending())
    given = grant()
    await store.grant(given)
    await store.revoke(given.id, "dean")
    said = [(entry.action, entry.actor, entry.user, entry.workspace) for entry in (await store.audit()).rows]
    assert sorted(said) == [
        ("charge", "gpuspawner", "ada", "cse151a"),
        ("extension", "ada", "ada", "cse151a"),
        ("grant", "root", "ada", "cse151a"),
        ("revocation", "dean", "ada", "cse151a"),
    ]


async def test_what_cannot_be_logged_is_not_done(store: Store) -> None:
    """A charge and its entry are one transaction."""
    await store.hold(session())
    with store.database.write() as connection:
        connection.execute(text("ALTER TABLE gpuspawner_audit RENAME TO elsewhere"))
    with pytest.raises(StoreUnavailableError):
        await store.settle("one", **ending())
    with pytest.raises(StoreUnavailableError):
        await store.grant(grant())
    assert await store.unsettled() == [session()]
    assert await store.grants() == []
