"""What a watch has reported, and the time it believes in: it passes only in the pauses of the watch."""

import asyncio
from typing import Any


class Told:
    """What a watch reported, and the time it believed in."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.pauses: list[float] = []
        self.now = 0.0

    def upsert(self, raw: dict[str, Any]) -> None:
        self.news.put_nowait(("upsert", raw["metadata"]["name"]))

    def delete(self, key: tuple[str, str], raw: dict[str, Any] | None) -> None:
        self.news.put_nowait(("delete", key[1]))

    def sync(self) -> None:
        self.news.put_nowait(("sync", ""))

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def next(self, count: int) -> list[tuple[str, str]]:
        async with asyncio.timeout(10):
            return [await self.news.get() for _ in range(count)]
