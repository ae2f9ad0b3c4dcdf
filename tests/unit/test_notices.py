"""What members are told: kept for their pages, streamed to who listens, sent by a hook."""

import asyncio
import logging
import threading
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gpuspawner.sessions.notices import Level, Notice, Notices, Withdrawn

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PATIENCE = 10


def notice(sentence: str = "It ends.", **changes: Any) -> Notice:
    return Notice(**{"kind": "ends-soon", "user": "ada", "sentence": sentence, "at": NOW, **changes})


def board(hook: Any = None) -> Notices:
    return Notices(hook, lambda: NOW)


def sentences(notices: Notices, user: str = "ada") -> list[str]:
    return [one.sentence for one in notices.of(user)]


async def test_of_one_kind_about_one_server_the_last_word_counts() -> None:
    notices = board()
    notices.tell(notice("In 30 min."))
    notices.tell(notice("Budget.", kind="budget"))
    notices.tell(notice("Another server.", server="thesis"))
    notices.tell(notice("In 5 min."))
    assert sentences(notices) == ["Budget.", "Another server.", "In 5 min."]
    assert sentences(notices, "bob") == []


async def test_what_has_become_pointless_is_not_told() -> None:
    notices = board()
    notices.tell(notice("Over.", until=NOW))
    notices.tell(notice("Holds.", kind="budget", until=NOW + timedelta(seconds=1)))
    assert sentences(notices) == ["Holds."]


async def test_a_server_that_is_gone_takes_its_notices_with_it() -> None:
    notices = board()
    notices.tell(notice(server="thesis"))
    notices.tell(notice(kind="budget", server="thesis"))
    notices.tell(notice("Stays."))
    notices.withdraw("ada", "thesis")
    assert sentences(notices) == ["Stays."]


async def test_not_more_than_fifty_are_kept() -> None:
    notices = board()
    for number in range(60):
        notices.tell(notice(str(number), server=f"s{number}"))
    assert sentences(notices)[0] == "10"
    assert len(sentences(notices)) == 50


async def test_who_listens_hears_what_holds_and_then_what_comes() -> None:
    notices = board()
    notices.tell(notice("Before."))
    async with aclosing(notices.listen("ada")) as heard:
        first = await anext(heard)
        notices.tell(notice("For bob.", user="bob"))
        notices.tell(notice("After.", kind="budget"))
        second = await anext(heard)
        notices.withdraw("ada", "", "budget")
        third = await anext(heard)
    assert isinstance(first, Notice)
    assert isinstance(second, Notice)
    assert (first.sentence, second.sentence) == ("Before.", "After.")
    assert third == Withdrawn(second.id)
    assert not notices._listeners


async def test_who_comes_back_hears_only_what_is_new() -> None:
    notices = board()
    notices.tell(notice("Old."))
    [old] = notices.of("ada")
    notices.tell(notice("New.", kind="budget"))
    async with aclosing(notices.listen("ada", after=old.id)) as heard:
        new = await anext(heard)
    assert isinstance(new, Notice)
    assert new.sentence == "New."


async def test_who_does_not_read_keeps_the_newest_and_holds_up_nobody() -> None:
    notices = board()
    async with aclosing(notices.listen("ada")) as heard:
        waiting = asyncio.ensure_future(anext(heard))
        await asyncio.sleep(0)
        for number in range(500):
            notices.tell(notice(str(number)))
        told = [await waiting, *[await anext(heard) for _ in range(199)]]
    last = told[-1]
    assert isinstance(last, Notice)
    assert last.sentence == "499"


async def test_a_hook_that_takes_its_time_does_not_hold_up_the_hub() -> None:
    told, go = [], threading.Event()

    def slow(one: Notice) -> None:
        assert threading.current_thread() is not threading.main_thread()
        go.wait(PATIENCE)
        told.append(one.sentence)

    notices = board(slow)
    notices.tell(notice())
    await asyncio.sleep(0)
    assert told == []
    go.set()
    await notices.close()
    assert told == ["It ends."]


async def test_an_async_hook_is_awaited() -> None:
    told = []

    async def chat(one: Notice) -> None:
        await asyncio.sleep(0)
        told.append(one.kind)

    notices = board(chat)
    notices.tell(notice())
    notices.tell(notice(kind="budget"), quietly=True)
    await notices.close()
    assert told == ["ends-soon"]


async def test_a_hook_that_fails_is_logged_and_the_notice_stays(caplog: pytest.LogCaptureFixture) -> None:
    def broken(one: Notice) -> None:
        raise OSError("no mail today")

    notices = board(broken)
    with caplog.at_level(logging.ERROR):
        notices.tell(notice())
        await notices.close()
    assert "notify_hook" in caplog.text
    assert "no mail today" in caplog.text
    assert sentences(notices) == ["It ends."]


def test_a_notice_is_json_for_programs() -> None:
    found = notice(level=Level.DANGER, data={"seconds": 300}, id="1").as_json()
    assert found == {
        "id": "1",
        "kind": "ends-soon",
        "user": "ada",
        "server": "",
        "about": "",
        "at": "2026-11-21T12:00:00+00:00",
        "level": "danger",
        "sentence": "It ends.",
        "data": {"seconds": 300},
    }
