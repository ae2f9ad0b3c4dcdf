"""Stores on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from running_postgres import RunningPostgres

from gpuspawner.ledger.store import Store

BOTH = ("sqlite", "postgresql")


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger_url whose database is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gpuspawner.sqlite'}"
    server: RunningPostgres = request.getfixturevalue("postgres")
    return server.schema()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened = Store(url, "hub")
    await opened.open()
    yield opened
    await opened.close()
