"""The sentences of a launch: everybody hears all of them, whenever they come and however slow they listen."""

import asyncio

from gpuspawner.cluster.events import Phase, Progress
from gpuspawner.feed import Feed


def step(number: int, percent: int = 10) -> Progress:
    return Progress(Phase.WAITING, f"step {number}", percent)


async def heard(feed: Feed) -> list[str]:
    return [one.message async for one in feed]


async def test_what_is_said_while_a_slow_listener_is_busy_is_not_lost() -> None:
    feed = Feed()
    feed.tell(step(1))
    said = []
    async for one in feed:
        said.append(one.message)
        if one.message == "step 1":
            feed.tell(step(2))
            feed.tell(step(3))
            feed.close()
    assert said == ["step 1", "step 2", "step 3"]


async def test_a_latecomer_hears_it_from_the_beginning() -> None:
    feed = Feed()
    early = asyncio.create_task(heard(feed))
    await asyncio.sleep(0)
    feed.tell(step(1))
    await asyncio.sleep(0)
    feed.tell(step(2))
    feed.tell(step(2))
    feed.close()
    assert await early == await heard(feed) == ["step 1", "step 2"]


async def test_the_percentage_never_goes_back() -> None:
    feed = Feed()
    for number, percent in enumerate((10, 80, 0, 40, 90)):
        feed.tell(step(number, percent))
    feed.close()
    assert [one.percent async for one in feed] == [10, 80, 80, 80, 90]


async def test_a_launch_that_waits_for_days_is_remembered_by_its_last_sentences() -> None:
    feed = Feed()
    slow = aiter(feed)
    feed.tell(step(0))
    assert (await anext(slow)).message == "step 0"
    for number in range(1, 10_000):
        feed.tell(step(number))
    feed.close()
    late = await heard(feed)
    assert late == [f"step {number}" for number in range(9800, 10_000)]
    assert [one.message async for one in slow] == late
