"""The launches under way, calling one off, and the queue they make."""

import asyncio
from datetime import timedelta

import pytest
from small_hub import MONDAY, ask, small_hub

from gpuspawner.cluster.events import Phase, Progress
from gpuspawner.cluster.outlook import Outlook
from gpuspawner.reports.queue import queue
from gpuspawner.under_way import CalledOffError, UnderWays

HUB = small_hub()


async def test_a_launch_that_is_called_off_ends_with_its_cause_and_not_as_cancelled() -> None:
    launches, begun = UnderWays(), asyncio.Event()

    async def launch() -> None:
        with launches.launching(ask(HUB), MONDAY, lambda step: None):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(launch())
    await begun.wait()
    assert launches.call_off("ada", "", CalledOffError("root", "Maintenance"))
    assert not launches.call_off("ada", "", CalledOffError("root")), "once"
    with pytest.raises(CalledOffError, match="root called the launch off: “Maintenance”"):
        await task
    assert (task.cancelling(), len(launches)) == (0, 0)
    assert not launches.call_off("ada", "", CalledOffError("root"))


async def test_a_launch_that_its_member_cancels_stays_cancelled() -> None:
    launches, begun = UnderWays(), asyncio.Event()

    async def launch() -> None:
        with launches.launching(ask(HUB), MONDAY, lambda step: None):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(launch())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_queue_tells_who_waits_for_what_since_when_and_why() -> None:
    launches, heard = UnderWays(), list[Progress]()
    outlooks = {"grace": Outlook(1, 0, MONDAY + timedelta(hours=1), 3600), "ada": Outlook(0)}
    now = MONDAY + timedelta(minutes=2)
    asked = {
        "ada": {"workspace": "lab", "gpu_class": ["medium", "small"], "gpus": 2},
        "grace": {"gpu_class": "small"},
        "eve": {"profile": "minimal"},
    }
    ada, grace, eve = (ask(HUB, options, user=user) for user, options in asked.items())
    with (
        launches.launching(ada, MONDAY, heard.append) as first,
        launches.launching(grace, MONDAY + timedelta(minutes=1), heard.append) as second,
        launches.launching(eve, MONDAY, heard.append) as third,
    ):
        first.tell(Progress(Phase.WAITING, "All 4 are taken.", 10))
        second.tell(Progress(Phase.WAITING, "1 launch is ahead of you.", 10))
        third.tell(Progress(Phase.PULLING, "The image is loaded.", 40))
        lines = queue(launches, HUB, lambda user, server: outlooks.get(user), now)
        told = [(line.request.user, line.position, line.seconds, line.why, line.phase_title) for line in lines]
        assert told == [
            ("ada", 1, 120, "All 4 are taken.", "Waiting for a GPU"),
            ("grace", 2, 60, "1 launch is ahead of you.", "Waiting for a GPU"),
            ("eve", None, 120, "The image is loaded.", "Loading the image"),
        ]
        assert [line.asks for line in lines] == ["2 × Medium, then Small, 16 GB", "1 × Small, 16 GB", "no GPU"]
        assert lines[1].as_json()["by"] == "2026-11-23T11:00:00-08:00"
        assert queue(launches, HUB, lambda user, server: None, now, workspaces=["nowhere"]) == ()
    assert heard[0].message == "All 4 are taken."
    assert queue(launches, HUB, lambda user, server: None, now) == ()
