"""Chromium, and a fresh tab of it, or of somebody who has logged in."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from running_hub import Person

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
EXECUTABLE = CHROMIUM if CHROMIUM.exists() else None


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, or Playwright's own where that is not installed."""
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A fresh tab of a fresh visitor; an error in a page's script fails the test."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    await context.close()
    assert errors == []


async def signed_in(browser: Browser, person: Person, **how: Any) -> BrowserContext:
    """A browser window, as ``how`` says, of somebody who has logged in."""
    context = await browser.new_context(**how)
    cookies = [
        {"name": one.key, "value": one.value, "domain": "127.0.0.1", "path": one["path"] or "/"}
        for one in person.session.cookie_jar
    ]
    await context.add_cookies(cookies)  # type: ignore[arg-type]
    return context
