"""Launches that are followed as pages do: by the stream of their progress, in the browser of who has logged in."""

import json
from collections.abc import Mapping
from typing import Any

from running_hub import Person

__all__ = ["follow"]


async def follow(person: Person, server: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for a server, and follow it to its last message."""
    where = person.hub.url / f"api/users/{person.name}" / (f"servers/{server}" if server else "server")
    headers = person.xsrf_header()
    async with person.session.post(where, json=dict(options), headers=headers) as answer:
        assert answer.status in (201, 202), await answer.text()
    async with person.session.get(where / "progress", headers=headers) as stream:
        assert stream.status == 200
        async for line in stream.content:
            if line.startswith(b"data: "):
                last = json.loads(line.removeprefix(b"data: "))
                if last.get("ready") or last.get("failed"):
                    return dict(last)
    raise AssertionError("the stream ended")
