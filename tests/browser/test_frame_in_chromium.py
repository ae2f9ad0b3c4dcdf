"""The frame in Chromium: news of one's servers on any page, JupyterHub's own pages under the strict policy."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from full_hub import HOSTILE, MARKUP, MEMBER, SUPERUSER, FullHub, full_hub
from playwright.async_api import Browser, Page, expect

from gpuspawner.sessions.notices import Level, Notice


@pytest.fixture(scope="module")
async def full(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FullHub]:
    """One hub for all of these."""
    async with full_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


async def opened(full: FullHub, browser: Browser, name: str, path: str, **how: Any) -> tuple[Page, list[str]]:
    """A page, and what its console has to complain about."""
    page = await (await full.visitor(browser, name, **how)).new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(full.url(path))
    return page, complaints


def tell(full: FullHub, sentence: str, **more: Any) -> Notice:
    notice = Notice(kind="ends-soon", user=MEMBER, sentence=sentence, at=datetime.now(UTC), **more)
    full.hub.app.tornado_settings["gpuspawner_sessions"].notices.tell(notice)
    return notice


async def test_news_appear_on_any_page_as_text_are_closed_by_keyboard_and_go_when_they_no_longer_hold(
    full: FullHub, browser: Browser
) -> None:
    page, complaints = await opened(full, browser, MEMBER, "token", reduced_motion="reduce")
    notices = full.hub.app.tornado_settings["gpuspawner_sessions"].notices
    toasts = page.get_by_role("region", name="News of your servers")
    async with page.expect_request("**/api/gpuspawner/notices**"):
        await page.reload()
    tell(full, f"Your server ends in 5 min {MARKUP}", level=Level.DANGER, data={"extendable_by": 60}, about="one")
    tell(full, "Half of your budget is used.", about="two")
    await expect(toasts.get_by_text(f"Your server ends in 5 min {MARKUP}")).to_be_visible()
    assert await page.locator("img[src=x]").count() == 0
    await expect(toasts.get_by_role("link", name="Give it more time")).to_have_attribute("href", "/hub/home#gs-servers")
    await expect(toasts.get_by_text("Half of your budget")).to_be_visible()

    close = toasts.get_by_role("button", name="Close")
    await close.first.focus()
    await page.keyboard.press("Escape")
    await expect(toasts.get_by_text("Your server ends")).to_have_count(0)
    await expect(close).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(toasts.locator(".gs-toast")).to_have_count(0)
    assert await page.evaluate("document.activeElement.id") == "main"

    withdrawn = tell(full, "It has been idle.", about="three")
    await expect(toasts.get_by_text("It has been idle.")).to_be_visible()
    assert [one.id for one in notices.of(MEMBER)].count(withdrawn.id) == 1
    for about in ("one", "two", "three"):
        notices.withdraw(MEMBER, "", kind="ends-soon", about=about)
    await expect(toasts.get_by_text("It has been idle.")).to_have_count(0)
    assert complaints == []
    await page.context.close()


async def test_a_page_that_says_something_already_does_not_say_it_twice(full: FullHub, browser: Browser) -> None:
    said = tell(full, "Ends in a moment.", about="here")
    page, _ = await opened(full, browser, MEMBER, "home")
    tell(full, "And another.", about="there")
    await expect(page.locator("#gs-toasts").get_by_text("And another.")).to_be_visible()
    assert await page.locator(f'[data-gs-notice="{said.id}"]').count() == 1
    full.hub.app.tornado_settings["gpuspawner_sessions"].notices.withdraw(MEMBER, "", kind="ends-soon", about="here")
    await expect(page.get_by_text("Ends in a moment.")).to_have_count(0)
    await page.context.close()


async def test_the_token_page_makes_and_revokes_a_token_under_the_strict_policy(
    full: FullHub, browser: Browser
) -> None:
    page, complaints = await opened(full, browser, HOSTILE, "token")
    await expect(page.locator("#token-area")).to_be_hidden()
    await page.get_by_label("Note").fill(MARKUP)
    await page.get_by_role("button", name="Request new API token").click()
    await expect(page.locator("#token-area")).to_be_visible()
    await page.reload()
    row = page.locator(".token-row", has_text=MARKUP)
    await expect(row).to_be_visible()
    await row.get_by_role("button", name="revoke").click()
    await expect(row).to_have_count(0)
    assert complaints == []
    await page.context.close()


async def test_the_administration_of_jupyterhub_works_with_style_elements_and_nothing_else_allowed(
    full: FullHub, browser: Browser
) -> None:
    page, complaints = await opened(full, browser, SUPERUSER, "admin")
    await expect(page.get_by_text(HOSTILE).first).to_be_visible()
    policy = await page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy is not None
    assert "style-src 'self' 'unsafe-inline'; " in policy
    assert policy.count("unsafe") == 1
    assert complaints == []
    await page.context.close()


async def test_signing_in_works_with_and_without_javascript_and_a_password_can_be_looked_at(
    full: FullHub, browser: Browser
) -> None:
    page, complaints = await opened(full, browser, "", "login?next=%2Fhub%2Ftoken")
    await page.get_by_label("Username").fill(MEMBER)
    await page.locator("#password_input").fill("x")
    look = page.get_by_role("button", name="Show password")
    await look.click()
    await expect(page.locator("#password_input")).to_have_attribute("type", "text")
    await expect(look).to_have_attribute("aria-pressed", "true")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/hub/token")
    assert complaints == []
    await page.context.close()
    page, _ = await opened(full, browser, "", "login?next=%2Fhub%2Ftoken", java_script_enabled=False)
    await page.get_by_label("Username").fill(MEMBER)
    await page.locator("#password_input").fill("x")
    await expect(page.get_by_role("button", name="Show password")).to_have_count(0)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/hub/token")
    await expect(page.get_by_role("link", name="Usage")).to_be_visible()
    await page.context.close()
