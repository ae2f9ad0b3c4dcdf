"""What is written when, and what is made of it after outages: each session is charged once what its pod ran."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from desk import NOON, Desk, session, written

from gpuspawner.bookkeeping.book import HoldError
from gpuspawner.bookkeeping.bookkeeper import Bookkeeper
from gpuspawner.bookkeeping.runs import FINALIZER
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.ledger.records import AuditEntry, Session

FREE = {"workspace": "open", "held": 0}


async def held(desk: Desk, books: Bookkeeper, asked: Session, *, paid: bool = True) -> None:
    """Admitted, and written."""
    desk.accounts.hold(asked)
    await books.hold(asked, paid=paid)


async def launched(
    desk: Desk, books: Bookkeeper, asked: Session, gpu_class: str = "small", *, paid: bool = True
) -> str:
    """A launch that has succeeded; the uid of its pod."""
    await held(desk, books, asked, paid=paid)
    pod = desk.cluster.create(asked, paid=paid)
    desk.pass_(40)
    desk.cluster.start(pod.uid, gpu_class)
    books.launched(asked.id)
    await desk.done()
    return pod.uid


async def stopped(desk: Desk, uid: str) -> None:
    desk.cluster.delete(uid)
    desk.cluster.end(uid)
    await desk.done()


def balance(desk: Desk) -> tuple[int, int]:
    """What ada has spent and holds, in units."""
    account = desk.accounts.member("course", "ada", desk.now)
    assert account is not None
    return account.spent // MICRO, account.held // MICRO


async def test_a_session_is_in_the_database_before_its_hold_is_confirmed(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    await held(desk, books, session("one"))
    assert desk.charged() == {"one": None}


async def test_a_session_is_charged_what_its_pod_ran_on_the_class_it_got(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"), "medium")
    assert balance(desk) == (0, 7200)
    desk.pass_(600)
    await stopped(desk, uid)
    (row,) = desk.ledger.rows()
    assert (row.charged, row.gpu_class, row.cause) == (1200 * MICRO, "medium", "deleted")
    assert (row.started, row.ended) == (NOON + timedelta(seconds=40), NOON + timedelta(seconds=640))
    assert balance(desk) == (1200, 0)
    assert desk.cluster.pods == {}


async def test_a_pod_is_not_let_go_before_its_charge_is_written(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    desk.switch.away = True
    desk.pass_(100)
    await stopped(desk, uid)
    assert desk.cluster.pods[uid].finalizers == (FINALIZER,)
    assert balance(desk) == (100, 0), "the balance does not wait for the database"
    assert books.unavailable is not None
    await desk.quiet()
    assert desk.charged() == {"one": 100 * MICRO}
    assert desk.cluster.pods == {}
    assert books.unavailable is None


async def test_what_costs_is_refused_while_the_database_is_away_and_what_is_free_goes_on(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    desk.switch.away = True
    with pytest.raises(HoldError, match=r"It costs up to 7,200 SU, and the ledger.* does not answer"):
        await held(desk, books, session("one"))
    books.withdrawn("one", "ledger_unavailable")
    uid = await launched(desk, books, session("two", **FREE), paid=False)
    desk.pass_(100)
    await stopped(desk, uid)
    assert balance(desk) == (0, 0)
    assert desk.charged() == {}
    await desk.quiet()
    rows = {row.id: row for row in desk.ledger.rows()}
    assert rows["two"].ended == NOON + timedelta(seconds=140)
    assert rows["two"].charged == 0
    assert "one" not in rows or rows["one"].charged == 0


async def test_a_hold_whose_answer_is_lost_is_given_back(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    desk.switch.answers_lost = 1
    with pytest.raises(HoldError):
        await held(desk, books, session("one"))
    assert desk.charged() == {"one": None}, "it was written all the same"
    books.withdrawn("one", "ledger_unavailable")
    await desk.quiet()
    assert desk.charged() == {"one": 0}
    assert balance(desk) == (0, 0)


async def test_a_charge_whose_answer_is_lost_is_not_charged_twice(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    desk.pass_(100)
    desk.switch.answers_lost = 1
    await stopped(desk, uid)
    await desk.quiet()
    assert desk.charged() == {"one": 100 * MICRO}
    assert len((await desk.ledger.audit()).rows) == 1
    assert desk.cluster.pods == {}


async def test_what_waits_for_the_database_is_written_in_its_order(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    desk.switch.away = True
    for number in range(5):
        books.note(AuditEntry(id=str(number), at=NOON, actor="ada", action="denial"))
    uid = await launched(desk, books, session("free", **FREE), paid=False)
    await stopped(desk, uid)
    await desk.quiet()
    entries = (await desk.ledger.audit()).rows
    assert [entry.id for entry in reversed(entries)] == ["0", "1", "2", "3", "4"]
    assert desk.charged() == {"free": 0}


async def test_a_launch_that_never_ran_costs_nothing(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    await held(desk, books, session("one"))
    pod = desk.cluster.create(session("one"), paid=True)
    desk.pass_(1800)
    desk.cluster.delete(pod.uid)
    await desk.done()
    assert desk.cluster.pods == {}, "nothing is to be charged, so nobody waits for the database"
    assert books.is_open("one")
    books.withdrawn("one", "too_slow")
    await desk.done()
    (row,) = desk.ledger.rows()
    assert (row.charged, row.started, row.cause) == (0, None, "too_slow")
    assert balance(desk) == (0, 0)


async def test_a_launch_that_moves_on_keeps_its_session_if_its_first_pod_never_ran(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    await held(desk, books, session("one"))
    first = desk.cluster.create(session("one"), paid=True)
    desk.cluster.delete(first.uid)
    await desk.done()
    second = desk.cluster.create(session("one"), paid=True)
    desk.cluster.start(second.uid, "small")
    books.launched("one")
    desk.pass_(50)
    await stopped(desk, second.uid)
    assert desk.charged() == {"one": 50 * MICRO}


async def test_two_pods_of_one_launch_that_both_ran_are_both_charged(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    await held(desk, books, session("one"))
    first = desk.cluster.create(session("one"), paid=True)
    desk.cluster.start(first.uid, "small")
    desk.pass_(7)
    await stopped(desk, first.uid)
    assert not books.is_open("one")
    second = desk.cluster.create(session("one"), paid=True)
    desk.cluster.start(second.uid, "medium")
    desk.pass_(10)
    await stopped(desk, second.uid)
    assert sorted(desk.charged().values()) == [7 * MICRO, 20 * MICRO]
    assert balance(desk) == (27, 0)
    assert desk.cluster.pods == {}


async def test_a_pod_that_comes_through_after_its_launch_was_given_up_is_charged_for_what_it_ran(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    await held(desk, books, session("one"))
    books.withdrawn("one", "cancelled")
    await desk.done()
    late = desk.cluster.create(session("one"), paid=True)
    desk.cluster.start(late.uid, "small")
    desk.pass_(3)
    await stopped(desk, late.uid)
    assert sorted(desk.charged().values()) == [0, 3 * MICRO]
    assert desk.cluster.pods == {}


async def test_a_pod_that_was_deleted_while_the_hub_was_down_is_charged_what_it_ran(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    await desk.kill()
    desk.pass_(500)
    await stopped(desk, uid)
    desk.pass_(86400)
    desk.begin()
    await desk.quiet()
    assert desk.charged() == {"one": 500 * MICRO}
    assert desk.cluster.pods == {}


@pytest.mark.parametrize(("calls", "after"), [(0, False), (0, True), (1, False), (1, True)])
async def test_a_hub_that_dies_while_it_charges_is_no_reason_to_charge_twice(
    desk: Desk, calls: int, after: bool
) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    desk.pass_(500)
    desk.switch.dies_in, desk.switch.dies_after = calls, after
    await stopped(desk, uid)
    assert desk.switch.dead, "in the charge, or in what follows it"
    await desk.kill()
    desk.begin()
    await desk.quiet()
    assert desk.charged() == {"one": 500 * MICRO}
    assert balance(desk) == (500, 0)
    assert desk.cluster.pods == {}


async def test_a_free_session_that_the_ledger_never_saw_is_written_from_its_pod(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    desk.switch.away = True
    uid = await launched(desk, books, session("one", **FREE), paid=False)
    await desk.kill()
    desk.switch.away = False
    desk.begin()
    await desk.quiet()
    (row,) = desk.ledger.rows()
    assert (row.id, row.started, row.charged) == ("one", NOON + timedelta(seconds=40), None)
    desk.pass_(60)
    await stopped(desk, uid)
    assert desk.charged() == {"one": 0}


async def test_a_held_session_without_a_pod_is_over_and_costs_nothing_if_it_never_ran(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    await held(desk, books, session("one"))
    await desk.kill()
    desk.begin()
    await desk.quiet()
    (row,) = desk.ledger.rows()
    assert (row.charged, row.cause) == (0, "never_ran")
    assert balance(desk) == (0, 0)


async def test_a_session_whose_pod_was_robbed_of_its_finalizer_is_charged_until_its_runtime_at_most(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    await desk.kill()
    desk.cluster.pods.pop(uid)
    desk.pass_(86400)
    desk.begin()
    await desk.quiet()
    (row,) = desk.ledger.rows()
    assert (row.charged, row.cause) == (3600 * MICRO, "unseen_end")


async def test_nothing_is_closed_before_the_pods_are_known(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    await desk.kill()
    books = desk.begin(all_known=False)
    await desk.quiet()
    assert desk.charged() == {"one": None}
    desk.pass_(60)
    await stopped(desk, uid)
    assert desk.charged() == {"one": None}
    books.all_known()
    await desk.quiet()
    assert desk.charged() == {"one": 60 * MICRO}


async def test_a_ledger_that_lost_its_rows_gets_them_from_the_pods(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    with desk.ledger.database.write() as connection:
        from gpuspawner.ledger.rows import SESSIONS

        connection.execute(SESSIONS.delete())
    desk.pass_(20)
    await stopped(desk, uid)
    assert desk.charged() == {"one": 20 * MICRO}


async def test_an_extension_holds_more_and_is_durable(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    await books.extend("one", 7200, 14400 * MICRO, "ada")
    assert balance(desk) == (0, 14400)
    await desk.kill()
    desk.begin()
    await desk.quiet()
    assert balance(desk) == (0, 14400)
    desk.pass_(7000)
    await stopped(desk, uid)
    assert desk.charged() == {"one": 7000 * MICRO}


async def test_an_extension_that_cannot_be_written_leaves_the_hold_as_it_was(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    await launched(desk, books, session("one"))
    desk.switch.answers_lost = 1
    with pytest.raises(HoldError):
        await books.extend("one", 7200, 14400 * MICRO, "ada")
    assert balance(desk) == (0, 7200)
    await desk.quiet()
    (row,) = desk.ledger.rows()
    assert (row.runtime, row.held) == (3600, 7200 * MICRO)


async def test_a_session_that_is_over_is_not_extended(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    await stopped(desk, uid)
    with pytest.raises(LookupError):
        await books.extend("one", 7200, 14400 * MICRO, "ada")


@pytest.mark.parametrize(("jump", "charged"), [(-3600, 0), (1000, 1000), (86400 * 400, 7200)])
async def test_a_kubelet_s_clock_that_jumps_never_charges_more_than_was_held(
    desk: Desk, jump: int, charged: int
) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    desk.pass_(jump)
    await stopped(desk, uid)
    assert desk.charged() == {"one": charged * MICRO}
    (row,) = desk.ledger.rows()
    assert row.started <= row.ended


async def test_the_hub_s_own_clock_has_no_say_in_a_charge(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    desk.pass_(100)
    desk.cluster.delete(uid)
    desk.cluster.told = lambda pod, gone: None
    desk.cluster.end(uid)
    over = desk.cluster.pods[uid]
    desk.cluster.told = books.pod_changed
    desk.pass_(-86400 * 3)
    books.pod_changed(over, False)
    await desk.done()
    assert desk.charged() == {"one": 100 * MICRO}


async def test_a_pod_of_a_lost_node_is_charged_until_it_was_taken_off_it(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    desk.pass_(300)
    lost = written(desk.now)
    desk.pass_(900)
    desk.cluster.delete(uid)
    desk.cluster.end(uid, ran_until="", disruption_reason="DeletionByPodGC", disrupted_at=lost)
    await desk.done()
    assert desk.charged() == {"one": 300 * MICRO}


async def test_a_forced_deletion_whose_node_never_tells_the_end_is_the_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    desk.pass_(100)
    soon: list[float] = []
    loop = asyncio.get_running_loop()
    later = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda delay, *args: soon.append(delay) or later(0, *args))
    desk.cluster.delete(uid, grace=0)
    monkeypatch.undo()
    assert soon == [300], "its node has five minutes"
    desk.pass_(300)
    await desk.done()
    assert desk.charged() == {"one": 100 * MICRO}
    assert desk.cluster.pods[uid].finalizers == ()


async def test_a_pod_on_a_node_that_cannot_be_reached_is_held_until_somebody_decides(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"))
    desk.cluster.delete(uid)
    desk.pass_(86400)
    await desk.kill()
    desk.begin()
    await desk.quiet()
    assert desk.charged() == {"one": None}
    desk.cluster.end(uid)
    await desk.done()
    assert desk.charged() == {"one": 7200 * MICRO}


async def test_the_class_of_a_pod_may_be_known_only_after_it_started(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    await held(desk, books, session("one"))
    pod = desk.cluster.create(session("one"), paid=True)
    desk.cluster.start(pod.uid, "medium")
    gpu_class = desk.cluster.classes.pop(pod.uid)
    books.pod_changed(desk.cluster.pods[pod.uid], False)
    await desk.done()
    desk.cluster.classes[pod.uid] = gpu_class
    books.pod_changed(replace(desk.cluster.pods[pod.uid], version="99"), False)
    del desk.cluster.classes[pod.uid]
    desk.pass_(10)
    await stopped(desk, pod.uid)
    (row,) = desk.ledger.rows()
    assert (row.gpu_class, row.charged) == ("medium", 20 * MICRO)


async def test_whoever_s_class_nobody_knows_pays_the_cheapest(desk: Desk) -> None:
    books = desk.begin()
    await desk.done()
    uid = await launched(desk, books, session("one"), "medium")
    await desk.kill()
    desk.cluster.classes.clear()
    with desk.ledger.database.write() as connection:
        from gpuspawner.ledger.rows import SESSIONS

        connection.execute(SESSIONS.update().values(gpu_class=None))
    desk.pass_(10)
    await stopped(desk, uid)
    desk.begin()
    await desk.quiet()
    assert desk.charged() == {"one": 10 * MICRO}


async def test_a_write_that_can_never_succeed_does_not_keep_back_the_others(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    books = desk.begin()
    await desk.done()
    books.note(AuditEntry(id="bad", at=NOON.replace(tzinfo=None), actor="ada", action="denial"))
    uid = await launched(desk, books, session("one"))
    await stopped(desk, uid)
    assert desk.charged() == {"one": 0}
    assert "is passed over" in caplog.text


async def test_a_hub_that_starts_without_its_ledger_knows_no_balance_until_it_answers(desk: Desk) -> None:
    desk.switch.away = True
    books = desk.begin()
    await desk.done()
    assert not await books.ready()
    with pytest.raises(HoldError):
        await held(desk, books, session("one"))
    books.withdrawn("one", "ledger_unavailable")
    await desk.quiet()
    assert await books.ready()
    assert balance(desk) == (0, 0)
