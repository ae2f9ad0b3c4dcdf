"""Settings of all tests, and what several folders of them use."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from running_postgres import RunningPostgres

# How long an example takes says nothing on a machine that does other things, too.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def postgres() -> Iterator[RunningPostgres]:
    """A server for all tests, each of which asks it for a database of its own; whoever stops it needs another."""
    server = RunningPostgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()
