"""Fixtures of the tests that run what the chart renders: a real hub on the engine, and a browser."""

from chromium import browser, page
from hub_fixtures import engine, no_hub_in_the_environment, start_gpu_hub, start_hub

__all__ = ["browser", "engine", "no_hub_in_the_environment", "page", "start_gpu_hub", "start_hub"]
