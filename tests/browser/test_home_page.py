"""The home page in Chromium: running servers, when each ends, and more time for them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from pages import BASE_URL, Pages
from playwright.async_api import Browser, Page, expect

from gpuspawner.sessions.notices import Level, Notice, Notices
from gpuspawner.web.sessions import RunningServer, notices_html

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTILE = "<img src=x onerror=\"document.title='taken over'\">"
STEPS = ((1800, "30 min (0.5 SU)"), (3600, "1 h (1 SU)"), (10800, "3 h, the longest (3 SU)"))


def running(server: str = "", **changes: Any) -> RunningServer:
    shown: dict[str, Any] = {
        "server": server,
        "title": "PyTorch, CSE 151A",
        "until": "14:35",
        "left": "2 h 35 min",
        "why": "it may run for 6 h",
        "steps": STEPS,
        "action": f"{BASE_URL}page?server={server}",
    }
    return RunningServer(**{**shown, **changes})


def home(*servers: RunningServer, announcement: str = "") -> Mapping[str, Any]:
    return {
        "gpuspawner_servers": lambda: list(servers),
        "default_server": SimpleNamespace(active=True),
        "allow_named_servers": False,
        "announcement": announcement,
    }


async def warned() -> str:
    """The announcement of a member whose server ends soon."""
    notices = Notices(clock=lambda: NOW)
    for kind, more, sentence in (
        ("ends-soon", 3600, "Your server ends in 5 min, at 12:05: it may run for 6 h. Extend it, or save your work."),
        ("budget", 0, f"You have used 90 % of your budget in {HOSTILE}."),
    ):
        data = {"extendable_by": more}
        notices.tell(Notice(kind=kind, user="ada", sentence=sentence, at=NOW, level=Level.DANGER, data=data))
    hub = SimpleNamespace(base_url=BASE_URL)
    user = SimpleNamespace(name="ada", settings={"gpuspawner_sessions": SimpleNamespace(notices=notices), "hub": hub})
    return notices_html(user)


async def test_a_button_gives_a_server_more_time_without_javascript(browser: Browser, pages: Pages) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(pages.show("home.html", **home(running(), running("thesis"))))
    await expect(page.get_by_text("thesis (PyTorch, CSE 151A) runs until 14:35")).to_be_visible()
    form = page.get_by_role("form", name="More time for thesis")
    await form.get_by_role("button", name="1 h (1 SU)").click()
    await expect(page).to_have_title("posted")
    assert pages.posted[-1] == {"by": ["3600"], "_xsrf": ["token"]}
    await context.close()


async def test_a_server_that_cannot_be_extended_shows_its_end_and_no_button(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("home.html", **home(running(steps=()))))
    await expect(
        page.get_by_text("Your server (PyTorch, CSE 151A) runs until 14:35, another 2 h 35 min")
    ).to_be_visible()
    assert await page.locator("#gs-servers button").count() == 0


async def test_without_servers_the_page_is_jupyterhubs_own(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("home.html", **home()))
    assert await page.locator("#gs-servers").count() == 0
    await expect(page.get_by_role("button", name="My Server", exact=True)).to_be_visible()


async def test_a_warning_leads_to_the_buttons_and_stays_text(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("home.html", **home(running(), announcement=await warned())))
    await expect(page.locator("[data-gs-level=danger]").first).to_contain_text("ends in 5 min, at 12:05")
    await expect(page.get_by_text(HOSTILE)).to_be_visible()
    assert await page.locator("img[src=x]").count() == 0
    assert await page.get_by_role("link", name="Give it more time").count() == 1
    assert (
        await page.get_by_role("link", name="Give it more time").get_attribute("href")
    ) == f"{BASE_URL}home#gs-servers"


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_running_servers_are_accessible_and_fit_a_phone(browser: Browser, pages: Pages, theme: Any) -> None:
    context = await browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=theme)
    page = await context.new_page()
    await page.goto(pages.show("home.html", **home(running(), running("thesis"), announcement=await warned())))
    for part in ("#gs-servers", ".announcement"):
        results = await Axe().run(
            page, context=part, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}
        )
        assert results.violations_count == 0, results.generate_report()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await context.close()
