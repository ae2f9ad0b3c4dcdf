"""Listening to the event streams of a hub, as a browser's EventSource does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from running_hub import Person

_PATIENCE = 20


async def event(lines: AsyncIterator[bytes]) -> dict[str, str]:
    """The next event of a stream that is no comment: its fields."""
    fields: dict[str, str] = {}
    async for raw in lines:
        line = raw.decode().rstrip("\n")
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            return fields
    raise AssertionError("the stream has ended")


@asynccontextmanager
async def listening(person: Person, path: str, last: str = "") -> AsyncIterator[AsyncIterator[bytes]]:
    """The lines of a stream, ``path`` below ``/hub/api/gpuspawner/``; ``last`` is the id of the last event heard."""
    headers = {"Accept": "text/event-stream", "Sec-Fetch-Mode": "cors", **({"Last-Event-ID": last} if last else {})}
    token = person.xsrf_header()["X-XSRFToken"]
    url = (person.hub.url / "api/gpuspawner" / path).with_query({"_xsrf": token})
    async with asyncio.timeout(_PATIENCE), person.session.get(url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        yield aiter(answer.content)
