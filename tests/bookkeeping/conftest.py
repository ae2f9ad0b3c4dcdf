"""Fixtures: a bookkeeper on its own loop."""

from collections.abc import AsyncIterator

import pytest
from desk import Desk


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    if desk.books is not None:
        await desk.books.close()
    await desk.ledger.close()
