"""What is free, for everybody who looks: computed once per change, and only while somebody looks."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from small_hub import MONDAY, small_hub

from gpuspawner.admission import Availability, Capacity, Held, OfferCapacity, State
from gpuspawner.catalog import GPUClass
from gpuspawner.cluster.outlook import Outlook
from gpuspawner.live import LiveAvailability
from gpuspawner.reports.availability import AvailabilityReport, availability_report

SETTINGS = small_hub()
SMALL = SETTINGS.catalog.gpu_classes["small"]
PATIENCE = 10


def expected(gpu_class: GPUClass, gpus: int) -> Outlook | None:
    return Outlook(ahead=2, seconds=1130.0) if gpu_class is SMALL else None


def report(
    workspaces: Collection[str] = ("everyone",), *, free: int = 3, held: int = 0, live: bool = True, minutes: int = 0
) -> AvailabilityReport:
    return availability_report(
        SETTINGS,
        Capacity({SMALL.accepts[0]: OfferCapacity(free, 8, min(free, 2), 4)}, live=live, cluster_wide=True),
        [Held("bob", str(number), "everyone", ("small",), 1, 1, 10**9) for number in range(held)],
        MONDAY + timedelta(minutes=minutes),
        workspaces=workspaces,
        choices={("everyone", "pytorch", "small"): Availability(State.BUSY, "")} if live else {},
        expected=expected,
    )


def test_a_class_with_free_gpus_says_how_many() -> None:
    small = report().as_json()["classes"]["small"]
    assert small == {
        "title": "Small, 16 GB",
        "free": 3,
        "total": 8,
        "used": 5,
        "together": 2,
        "state": "free",
        "wait": None,
        "ahead": 0,
        "sentence": "3 of 8 free now",
    }


def test_a_class_that_is_taken_says_when_and_after_whom() -> None:
    small = report(free=0).as_json()["classes"]["small"]
    assert (small["state"], small["wait"], small["ahead"]) == ("busy", 1140, 2)
    assert small["sentence"] == "all 8 taken, your turn in about 19 min, 2 ahead"


def test_where_nodes_cannot_be_read_nothing_is_claimed() -> None:
    small = report(live=False).as_json()["classes"]["small"]
    assert (small["free"], small["total"], small["used"], small["state"], small["sentence"]) == (None,) * 4 + ("",)


def test_a_workspace_says_what_it_holds_of_its_quota_and_what_bounds_it() -> None:
    small = report(held=3).as_json()["workspaces"]["everyone"]["classes"]["small"]
    assert (small["held"], small["quota"], small["left"]) == (3, 4, 1)
    assert small["why"] == "Everyone holds 3 of its 4 GPUs of this class."


def test_what_a_profile_could_start_is_told_where_it_is_otherwise_than_with_the_class() -> None:
    found = report().as_json()["workspaces"]["everyone"]["profiles"]
    assert found == {
        "pytorch": {"small": {"state": "busy", "sentence": "3 of 8 free, but no node has room for this now"}}
    }


def test_a_launch_without_gpu_is_told_where_it_could_not_start() -> None:
    states = {"everyone": State.FREE, "cse151a": State.BUSY}
    told = availability_report(
        SETTINGS,
        Capacity(live=True),
        [],
        MONDAY,
        workspaces=states,
        choices={(name, "minimal", ""): Availability(state, "") for name, state in states.items()},
        expected=expected,
    ).as_json()["workspaces"]
    assert told["everyone"]["profiles"] == {}
    assert told["cse151a"]["profiles"]["minimal"][""] == {
        "state": "busy",
        "sentence": "no room now: your server waits for some",
    }


def test_only_the_workspaces_asked_for_are_told() -> None:
    both = report(("everyone", "cse151a"))
    assert set(both.as_json()["workspaces"]) == {"everyone", "cse151a"}
    assert set(both.as_json(["cse151a"])["workspaces"]) == {"cse151a"}
    assert set(report(()).as_json()["workspaces"]) == set()


class Cluster:
    """What is free, and how often that was worked out."""

    def __init__(self) -> None:
        self.free = 3
        self.minutes = 0
        self.asked: list[set[str]] = []
        self.rested = asyncio.Event()
        self.fails = False
        self.live = LiveAvailability(self.report, sleep=self.rest)

    def report(self, workspaces: Collection[str]) -> AvailabilityReport:
        self.asked.append(set(workspaces))
        if self.fails:
            raise RuntimeError("no idea")
        return report(workspaces, free=self.free, minutes=self.minutes)

    async def rest(self, seconds: float) -> None:
        await self.rested.wait()

    def change(self, free: int) -> None:
        self.free = free
        self.minutes += 1
        self.live.changed()


@asynccontextmanager
async def listening(cluster: Cluster, *workspaces: str) -> AsyncIterator[Any]:
    async with asyncio.timeout(PATIENCE), aclosing(cluster.live.listen(workspaces)) as news:
        yield news


def free(news: Mapping[str, Any]) -> Any:
    return news["classes"]["small"]["free"]


async def test_all_viewers_hear_of_one_computation() -> None:
    cluster = Cluster()
    cluster.rested.set()
    async with listening(cluster, "everyone") as one, listening(cluster, "everyone", "cse151a") as two:
        assert free(await anext(one)) == free(await anext(two)) == 3
        cluster.asked.clear()
        cluster.change(2)
        heard = [await anext(one), await anext(two)]
        assert [free(news) for news in heard] == [2, 2]
        assert [set(news["workspaces"]) for news in heard] == [{"everyone"}, {"everyone", "cse151a"}]
        assert cluster.asked == [{"everyone", "cse151a"}]


async def test_viewers_of_the_same_workspaces_share_the_very_answer() -> None:
    cluster = Cluster()
    cluster.rested.set()
    async with listening(cluster, "everyone") as one, listening(cluster, "everyone") as two:
        await anext(one)
        await anext(two)
        cluster.change(2)
        assert await anext(one) is await anext(two)


async def test_many_changes_at_once_are_computed_once_and_then_not_for_a_while() -> None:
    cluster = Cluster()
    async with listening(cluster, "everyone") as news:
        await anext(news)
        cluster.asked.clear()
        for number in (2, 1, 0, 1):
            cluster.change(number)
        assert free(await anext(news)) == 1
        cluster.change(4)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(cluster.asked) == 1
        cluster.rested.set()
        assert free(await anext(news)) == 4


async def test_what_changes_nothing_for_a_viewer_is_not_told() -> None:
    cluster = Cluster()
    cluster.rested.set()
    async with listening(cluster, "everyone") as news:
        await anext(news)
        coming = asyncio.ensure_future(anext(news))
        cluster.change(3)
        for _ in range(10):
            await asyncio.sleep(0)
        assert cluster.asked == [{"everyone"}, {"everyone"}]
        assert not coming.done()
        cluster.change(2)
        assert free(await coming) == 2


async def test_while_nobody_looks_nothing_is_computed() -> None:
    cluster = Cluster()
    cluster.rested.set()
    async with listening(cluster, "everyone") as news:
        await anext(news)
    cluster.asked.clear()
    cluster.change(1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert cluster.asked == []
    async with listening(cluster, "everyone") as news:
        assert free(await anext(news)) == 1


async def test_an_error_is_logged_and_the_next_change_is_told(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    cluster.rested.set()
    async with listening(cluster, "everyone") as news:
        await anext(news)
        coming = asyncio.ensure_future(anext(news))
        cluster.fails = True
        cluster.change(2)
        for _ in range(10):
            await asyncio.sleep(0)
        assert "Error while working out what is free" in caplog.text
        cluster.fails = False
        cluster.change(1)
        assert free(await coming) == 1
