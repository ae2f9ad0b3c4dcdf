"""How many GPUs there were, and were in use, over time, as the ledger keeps it."""

from datetime import timedelta

from recorded import HOUR, NOON, ending, session

from gpuspawner.ledger.records import CapacityChange, GPURun
from gpuspawner.ledger.store import Store

DAY = timedelta(days=1)


async def test_only_what_has_changed_is_written(store: Store) -> None:
    assert await store.note_capacity(NOON, {"small": 4, "medium": 2}) == 2
    assert await store.note_capacity(NOON + HOUR, {"small": 4, "medium": 2}) == 0
    assert await store.note_capacity(NOON + 2 * HOUR, {"small": 3, "medium": 2}) == 1
    changes, _ = await store.capacity(NOON, NOON + DAY)
    assert changes == [
        CapacityChange(NOON, "small", 4),
        CapacityChange(NOON, "medium", 2),
        CapacityChange(NOON + 2 * HOUR, "small", 3),
    ]


async def test_a_class_that_is_not_configured_any_more_has_none(store: Store) -> None:
    await store.note_capacity(NOON, {"small": 4, "old": 1})
    assert await store.note_capacity(NOON + HOUR, {"small": 4}) == 1
    assert await store.note_capacity(NOON + 2 * HOUR, {"small": 4}) == 0
    changes, _ = await store.capacity(NOON + HOUR, NOON + DAY)
    assert changes[-1] == CapacityChange(NOON + HOUR, "old", 0)


async def test_a_period_begins_with_what_there_was(store: Store) -> None:
    await store.note_capacity(NOON, {"small": 1})
    await store.note_capacity(NOON + HOUR, {"small": 2})
    await store.note_capacity(NOON + 2 * HOUR, {"small": 3})
    changes, _ = await store.capacity(NOON + 1.5 * HOUR, NOON + 2 * HOUR)
    assert changes == [CapacityChange(NOON + HOUR, "small", 2)]


async def test_each_hub_has_its_own(store: Store) -> None:
    await store.note_capacity(NOON, {"small": 1})
    other = Store(store.database.url.render_as_string(hide_password=False).replace("+psycopg", ""), "other")
    assert await other.capacity(NOON, NOON + DAY) == ([], [])
    assert await other.note_capacity(NOON, {"small": 1}) == 1
    await other.close()


async def test_the_gpus_of_sessions_that_ran_at_any_time_of_a_period_are_found(store: Store) -> None:
    for name in ("over", "before", "never", "without", "running", "late"):
        gpus = 0 if name == "without" else 2
        await store.hold(session(name, gpus=gpus, opened=NOON + DAY if name == "late" else NOON))
    await store.settle("over", **ending(ended=NOON + 2 * HOUR))
    await store.settle("before", **ending(ended=NOON + HOUR / 2))
    await store.settle("never", **ending(started=None, gpu_class=None, charged=0))
    await store.settle("without", **ending(gpu_class=None))
    await store.started("running", NOON, "medium")
    await store.started("late", NOON + DAY, "medium")
    _, runs = await store.capacity(NOON + HOUR, NOON + 3 * HOUR)
    assert runs == [GPURun("small", 2, NOON, NOON + 2 * HOUR), GPURun("medium", 2, NOON, None)]
