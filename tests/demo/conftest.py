"""Fixtures: demos that are ended whatever the test did."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_demo import Demo, StartDemo


@pytest.fixture
def start_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartDemo]:
    """``start_demo()``; a second call starts another one, by default in the same data folder."""
    for name in [name for name in os.environ if name.startswith(("JUPYTERHUB_", "CONFIGPROXY_"))]:
        monkeypatch.delenv(name)
    started: list[Demo] = []

    def start(*more: str, data: Path = tmp_path / "a demo", port: int | None = None) -> Demo:
        started.append(Demo.start(data, port, *more))
        return started[-1]

    yield start
    for demo in started:
        if demo.process.poll() is None:
            demo.end()
        for process in demo.seen:
            if process.is_running():
                process.kill()
