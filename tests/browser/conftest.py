"""Chromium, and pages to show it."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from chromium import browser, page
from pages import Pages

__all__ = ["browser", "page", "pages"]


@pytest.fixture
async def pages() -> AsyncIterator[Pages]:
    """Our pages without a hub."""
    pages = Pages()
    runner = web.AppRunner(pages.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    pages.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield pages
    pages.news.put_nowait(None)
    await runner.cleanup()
