"""What may be some seconds old is worked out once for all who look meanwhile."""

import asyncio

import pytest

from gpuspawner.web.kept import Kept


class Work:
    """Counts; waits until it may go on."""

    def __init__(self) -> None:
        self.times = 0
        self.go_on = asyncio.Event()

    async def __call__(self) -> int:
        self.times += 1
        await self.go_on.wait()
        return self.times


async def test_those_who_look_at_the_same_time_and_soon_after_get_one_answer() -> None:
    now, work = [0.0], Work()
    kept = Kept(5, lambda: now[0])
    both = asyncio.gather(kept.get("a", work), kept.get("a", work))
    await asyncio.sleep(0)
    work.go_on.set()
    assert await both == [1, 1]
    now[0] = 5
    assert await kept.get("a", work) == 1
    assert await kept.get("b", work) == 2
    now[0] = 5.1
    assert await kept.get("a", work) == 3


async def test_what_fails_is_not_kept() -> None:
    kept = Kept(5, lambda: 0.0)

    async def fail() -> int:
        raise ValueError("no answer")

    with pytest.raises(ValueError, match="no answer"):
        await kept.get("a", fail)
    work = Work()
    work.go_on.set()
    assert await kept.get("a", work) == 1


async def test_who_leaves_does_not_take_the_answer_from_the_others() -> None:
    kept, work = Kept(5, lambda: 0.0), Work()
    leaves, stays = (asyncio.ensure_future(kept.get("a", work)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    work.go_on.set()
    assert await stays == 1
