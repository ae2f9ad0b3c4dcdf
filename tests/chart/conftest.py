"""Fixtures of the tests that run what the chart renders: a real hub on the engine, and a browser."""

from pathlib import Path

import pytest
from chromium import browser, page
from hub_fixtures import engine, no_hub_in_the_environment, start_gpu_hub, start_hub
from hub_image import image_wheel

__all__ = ["browser", "engine", "no_hub_in_the_environment", "page", "start_gpu_hub", "start_hub", "wheel"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gpuspawner as it is installed in the images."""
    return image_wheel(tmp_path_factory.mktemp("wheel"))
