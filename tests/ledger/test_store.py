"""The ledger on SQLite and on PostgreSQL: whatever is repeated happens once."""

from datetime import timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from recorded import HOUR, NOON, UNIT, denial, ending, grant, session

from gpuspawner.errors import BadRequestError
from gpuspawner.ledger.records import EVERY_HUB, AuditEntry, AuditFilter, Charge, Session, SessionFilter, Usage
from gpuspawner.ledger.store import Store, StoreUnavailableError, UnknownSessionError


async def test_a_session_is_read_as_it_was_written(store: Store) -> None:
    assert await store.hold(session())
    assert await store.unsettled() == [session()]


async def test_a_session_is_held_once_however_often_it_is_written(store: Store) -> None:
    assert await store.hold(session())
    assert not await store.hold(session(held=99 * UNIT))
    assert await store.unsettled() == [session()]


async def test_a_settled_session_is_charged_and_no_longer_held(store: Store) -> None:
    await store.hold(session())
    await store.started("one", NOON + timedelta(minutes=1), "small")
    assert await store.settle("one", **ending(started=None, gpu_class=None))
    assert await store.unsettled() == []
    assert await store.settled_since(NOON) == [Charge("one", "ada", "cse151a", NOON, UNIT // 2)]
    kept = (await store.sessions()).rows[0]
    assert (kept.started, kept.gpu_class, kept.cause) == (NOON + timedelta(minutes=1), "small", "stopped")
    assert kept.settled


async def test_a_session_is_charged_once_however_often_it_is_settled(store: Store) -> None:
    await store.hold(session())
    assert await store.settle("one", **ending())
    assert not await store.settle("one", **ending(charged=99 * UNIT))
    await store.started("one", NOON + HOUR, "medium")
    assert not await store.extend("one", 9 * 3600, 9 * UNIT)
    kept = (await store.sessions()).rows[0]
    assert (kept.charged, kept.gpu_class, kept.runtime) == (UNIT // 2, "small", 6 * 3600)
    assert [entry.action for entry in (await store.audit()).rows] == ["charge"]


async def test_a_session_that_was_never_held_can_be_neither_settled_nor_extended(store: Store) -> None:
    with pytest.raises(UnknownSessionError, match="ghost"):
        await store.settle("ghost", **ending())
    with pytest.raises(UnknownSessionError):
        await store.extend("ghost", 1, 1)
    assert (await store.sessions()).rows == (await store.audit()).rows == ()


async def test_an_extension_raises_the_hold_and_is_in_the_audit_log_once(store: Store) -> None:
    await store.hold(session())
    assert await store.extend("one", 8 * 3600, 8 * UNIT, by="ada")
    assert await store.extend("one", 8 * 3600, 8 * UNIT, by="ada")
    (kept,) = await store.unsettled()
    assert (kept.runtime, kept.held) == (8 * 3600, 8 * UNIT)
    (entry,) = (await store.audit()).rows
    assert (entry.actor, entry.action, entry.user) == ("ada", "extension", "ada")
    assert entry.details == {"session": "one", "from": 6 * 3600, "runtime": 8 * 3600, "held": 8.0}


async def test_an_extension_that_is_taken_back_and_made_again_is_told_each_time(store: Store) -> None:
    await store.hold(session())
    for hours in (8, 6, 8):
        await store.extend("one", hours * 3600, hours * UNIT, by="ada")
    told = [(entry.details["from"] // 3600, entry.details["runtime"] // 3600) for entry in (await store.audit()).rows]
    assert told == [(6, 8), (8, 6), (6, 8)]


async def test_a_launch_that_never_ran_costs_nothing_and_gives_its_hold_back(store: Store) -> None:
    await store.hold(session())
    assert await store.settle("one", **ending(started=None, gpu_class=None, charged=0, cause="no node"))
    assert await store.unsettled() == []
    assert await store.settled_since(NOON) == []
    (entry,) = (await store.audit()).rows
    assert (entry.details["units"], entry.details["held"], entry.details["cause"]) == (0, 6.0, "no node")


async def test_a_free_session_is_kept_without_an_entry_in_the_audit_log(store: Store) -> None:
    await store.hold(session(held=0))
    assert await store.settle("one", **ending(charged=0))
    assert (await store.audit()).rows == ()
    assert len((await store.sessions()).rows) == 1


async def test_a_negative_charge_is_refused_by_the_database(store: Store) -> None:
    await store.hold(session())
    with pytest.raises(Exception, match="charged"):
        await store.settle("one", **ending(charged=-1))
    assert await store.unsettled() == [session()]


async def test_a_charge_is_in_the_audit_log_with_who_when_and_what(store: Store) -> None:
    await store.hold(session())
    await store.settle("one", **ending())
    (entry,) = (await store.audit()).rows
    assert (entry.actor, entry.action, entry.user, entry.workspace) == ("gpuspawner", "charge", "ada", "cse151a")
    assert entry.details == {
        "session": "one",
        "units": 0.5,
        "held": 6.0,
        "gpu_class": "small",
        "started": NOON.isoformat(),
        "ended": (NOON + HOUR).isoformat(),
        "cause": "stopped",
    }


async def test_a_grant_counts_until_it_is_over_or_revoked(store: Store) -> None:
    given, pool = grant(id="a", until=NOON + HOUR), grant(id="b", user=None, at=NOON + timedelta(minutes=1))
    assert await store.grant(given)
    assert not await store.grant(given)
    assert await store.grant(pool)
    assert [one.id for one in await store.grants()] == ["a", "b"]
    assert [one.id for one in await store.grants(user="ada")] == ["a"]
    assert [one.id for one in await store.grants(at=NOON + HOUR)] == ["b"]
    assert await store.revoke("b", "root", NOON + HOUR)
    assert not await store.revoke("b", "root", NOON + 2 * HOUR)
    assert not await store.revoke("nothing", "root")
    assert [one.id for one in await store.grants(at=NOON + timedelta(minutes=59))] == ["a", "b"]
    assert await store.grants(at=NOON + HOUR) == []
    said = [(entry.actor, entry.action, entry.details["grant"]) for entry in (await store.audit()).rows]
    assert said == [("root", "revocation", "b"), ("root", "grant", "b"), ("root", "grant", "a")]


async def test_an_entry_is_written_once_however_often_it_is_repeated(store: Store) -> None:
    await store.write_audit([denial("x"), denial("y")])
    await store.write_audit([denial("y", actor="mallory"), denial("z")])
    await store.write_audit([])
    entries = (await store.audit()).rows
    assert [entry.id for entry in entries] == ["z", "y", "x"]
    assert {entry.actor for entry in entries} == {"ada"}


async def test_history_comes_in_pages_newest_first_and_no_row_is_lost_where_times_are_equal(store: Store) -> None:
    for number in range(10):
        await store.hold(session(f"s{number}", opened=NOON + (number // 4) * HOUR))
    found: list[Session] = []
    after = None
    while True:
        page = await store.sessions(after=after, limit=3)
        found += page.rows
        after = page.next
        if after is None:
            break
    assert [one.id for one in found] == [f"s{number}" for number in reversed(range(10))]


async def test_a_page_of_the_audit_log_that_nobody_gave_out_is_refused(store: Store) -> None:
    for wrong in ("", "tomorrow", "2026-11-02T12:00:00+00:00~x", "2026-11-02T12:00:00~1"):
        with pytest.raises(BadRequestError, match="page"):
            await store.audit(after=wrong)


async def test_history_is_searched_by_everything_that_is_named(store: Store) -> None:
    await store.hold(session("a", opened=NOON))
    await store.hold(session("b", opened=NOON + HOUR, user="bob", profile="r"))
    await store.hold(session("c", opened=NOON + 2 * HOUR, workspace="lab"))
    await store.settle("a", **ending())

    async def ids(**wanted: object) -> list[str]:
        return [one.id for one in (await store.sessions(SessionFilter(**wanted))).rows]  # type: ignore[arg-type]

    assert await ids(user="bob") == ["b"]
    assert await ids(workspace="lab") == ["c"]
    assert await ids(profile="r") == ["b"]
    assert await ids(gpu_class="small") == ["a"]
    assert await ids(settled=True) == ["a"]
    assert await ids(settled=False) == ["c", "b"]
    assert await ids(since=NOON + HOUR) == ["c", "b"]
    assert await ids(until=NOON + HOUR) == ["a"]
    assert await ids(user="ada", workspace="lab", since=NOON, until=NOON + HOUR) == []


async def test_the_audit_log_is_searched_by_everything_that_is_named(store: Store) -> None:
    join = AuditEntry(id="j", at=NOON + HOUR, actor="registrar", action="join", user="bob", workspace="lab")
    await store.write_audit([denial("d"), join])

    async def ids(**wanted: object) -> list[str]:
        return [one.id for one in (await store.audit(AuditFilter(**wanted))).rows]  # type: ignore[arg-type]

    for wanted in ({"actor": "registrar"}, {"action": "join"}, {"user": "bob"}, {"workspace": "lab"}):
        assert await ids(**wanted) == ["j"]
    assert await ids(until=NOON + HOUR) == ["d"]
    assert await ids(since=NOON + HOUR, action="denial") == []


async def test_hubs_that_share_a_database_see_their_own_rows(store: Store, url: str) -> None:
    other = Store(url, "research")
    await store.hold(session())
    await other.hold(session("two", hub="research"))
    await other.grant(grant(id="g"))
    await other.settle("two", **ending())
    assert [one.id for one in await store.unsettled()] == ["one"]
    assert await store.unsettled("research") == []
    assert await store.settled_since(NOON) == []
    assert await store.grants() == []
    assert [one.id for one in (await store.sessions()).rows] == ["one"]
    assert len((await store.sessions(SessionFilter(hub=EVERY_HUB))).rows) == 2
    assert {entry.hub for entry in (await store.audit(AuditFilter(hub=EVERY_HUB))).rows} == {"research"}
    await other.close()


async def test_times_of_any_zone_are_the_same_instants_when_they_are_read(store: Store) -> None:
    local = NOON.astimezone(ZoneInfo("America/Los_Angeles"))
    await store.hold(session(opened=local))
    await store.hold(session("two", opened=NOON.astimezone(timezone(timedelta(hours=5.5))) + timedelta(microseconds=1)))
    first, second = await store.unsettled()
    assert first.opened == local
    assert first.opened.utcoffset() == timedelta(0)
    assert second.opened - first.opened == timedelta(microseconds=1)
    assert [one.id for one in (await store.sessions(SessionFilter(until=second.opened))).rows] == ["one"]


async def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="no time zone"):
        await store.hold(session(opened=NOON.replace(tzinfo=None)))


@pytest.mark.parametrize("words", ["a\0b", "\ud800", "λ 🚀", "x" * 100_000, "'; DROP TABLE gpuspawner_sessions; --"])
async def test_whatever_a_member_writes_the_session_can_be_stored(store: Store, words: str) -> None:
    strange = session(server=words, image=words, options={words: [words, float("nan"), {"deep": words}, 10**30]})
    await store.hold(strange)
    await store.settle("one", **ending(cause=words))
    kept = (await store.sessions(SessionFilter())).rows[0]
    readable = words.replace("\0", "\ufffd").replace("\ud800", "?")
    assert (kept.server, kept.cause) == (readable, readable)
    assert kept.options == {readable: [readable, "nan", {"deep": readable}, 10**30]}


async def test_a_closed_store_says_so(url: str) -> None:
    closed = Store(url, "hub")
    await closed.hold(session())
    await closed.close()
    with pytest.raises(StoreUnavailableError) as caught:
        await closed.hold(session("two"))
    assert "closed" in caught.value.detail


async def test_a_store_needs_no_opening(url: str) -> None:
    store = Store(url, "hub")
    assert await store.unsettled() == []
    await store.close()


async def test_a_ledger_in_memory_is_one_database() -> None:
    store = Store("sqlite://", "hub")
    await store.hold(session())
    assert await store.unsettled() == [session()]
    await store.close()


def test_a_session_is_the_same_after_a_round_through_json() -> None:
    import json

    ended = session(**ending())
    for one in (session(), ended):
        assert Session.load(json.loads(json.dumps(one.dump()))) == one


async def test_use_is_summed_up_by_what_sessions_have_in_common(store: Store) -> None:
    await store.hold(session("a"))
    await store.hold(session("b", gpus=2))
    await store.hold(session("c", user="bob", workspace="lab"))
    await store.hold(session("d", user="bob", gpu_classes=(), gpus=0, held=0))
    await store.settle("a", **ending())
    await store.settle("b", **ending(ended=NOON + 2 * HOUR, charged=2 * UNIT))
    await store.settle("d", **ending(gpu_class=None, charged=0))
    assert await store.usage() == [
        Usage("ada", sessions=2, seconds=3 * 3600, gpu_seconds=5 * 3600, charged=5 * UNIT // 2, held=0),
        Usage("bob", sessions=2, seconds=3600, gpu_seconds=0, charged=0, held=6 * UNIT),
    ]
    by_class = {one.name: one.sessions for one in await store.usage(by="gpu_class")}
    assert by_class == {"small": 2, None: 2}
    assert [one.name for one in await store.usage(SessionFilter(settled=False), by="workspace")] == ["lab"]
    assert await store.usage(SessionFilter(user="nobody")) == []


async def test_a_clock_that_jumps_back_makes_no_negative_use(store: Store) -> None:
    await store.hold(session())
    await store.settle("one", **ending(ended=NOON - HOUR, charged=0))
    assert (await store.usage())[0].seconds == 0
