"""The home page in Chromium on a real hub: what runs and for how long, stopping, starting again, why a server ended."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from launching import launch, stop
from playwright.async_api import Browser, Locator, Page, expect
from running_hub import RunningHub
from servers_hub import servers_hub, sign_in

from gpuspawner.cluster.failures import OOMKilledError

PAID = {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "medium"}
FREE = {"workspace": "everyone", "profile": "notebook"}
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningHub]:
    async with servers_hub(tmp_path_factory.mktemp("hub")) as (running, _):
        yield running


@pytest.fixture(autouse=True)
async def no_server_stays(hub: RunningHub) -> AsyncIterator[None]:
    """Whatever a test did, the next one finds ada with nothing, and nothing to remember."""
    yield
    user = hub.user("ada")
    for name in list(user.orm_spawners):
        await stop(hub, "ada", name, **({"remove": True} if name else {}))
    if "" in user.orm_spawners:
        user.spawners[""]._ending = None
        user.orm_spawners[""].user_options, user.orm_spawners[""].state = {}, {}
        hub.app.db.commit()


def card(page: Page, name: str = "default") -> Locator:
    return page.locator(f"#server-{name}")


async def test_without_a_server_the_page_leads_to_the_form(hub: RunningHub, browser: Browser) -> None:
    page = await sign_in(browser, hub, "ada")
    await expect(page.get_by_text("No server yet")).to_be_visible()
    await page.get_by_role("link", name="Choose what to start").click()
    await expect(page.locator("#spawn_form")).to_be_visible()
    await page.context.close()


async def test_a_running_server_shows_what_it_has_is_extended_and_stopped_and_started_as_before(
    hub: RunningHub, browser: Browser
) -> None:
    assert await launch(hub, "ada", PAID) == ""
    page = await sign_in(browser, hub, "ada")
    one = card(page)
    for words in ("PyTorch in CSE 151A", "1 Medium GPU", "2 CPU cores, 8 GB of memory", "of 2 SU at most"):
        await expect(one).to_contain_text(words)
    apps = [await link.get_attribute("href") for link in await one.get_by_role("link").all()]
    assert apps == ["/user/ada/", "/user/ada/proxy/6006/", "/user/ada/desktop/"]
    await expect(page.locator("#gs-budgets")).to_contain_text("8 of 10 SU left this week")

    await page.clock.install()
    await page.clock.fast_forward(30 * 60 * 1000)
    await expect(one.locator("[data-gs-left]")).to_have_text("1 h 30 min")
    await expect(one.locator("[data-gs-cost]")).to_have_text("0.5 SU")
    await page.clock.resume()

    await one.get_by_role("button", name="Extend by 1 h (1 SU)").click()
    await expect(one.locator("[data-gs-left]")).to_have_text("3 h")
    await expect(one).to_contain_text("of 3 SU at most")
    await expect(page.locator("#gs-budgets")).to_contain_text("7 of 10 SU left")
    assert page.url.endswith("/hub/home")

    await one.get_by_label("Stop Your server", exact=True).press("Enter")
    await expect(one.get_by_role("button", name="Stop it now")).to_be_focused()
    await page.keyboard.press("Enter")
    again = one.get_by_role("button", name="Start as before")
    await expect(again).to_be_visible(timeout=15_000)
    await expect(one).to_contain_text("PyTorch on 1 GPU (Medium), 2 CPU cores, 8 GB, for 2 h")
    await again.click()
    await page.wait_for_url("**/user/ada/**")
    sessions: Any = hub.app.tornado_settings["gpuspawner_sessions"]
    assert sessions.holds(sessions.lease("ada", "")).gpu_classes == ("medium",)
    await page.context.close()


async def test_without_javascript_servers_are_named_extended_stopped_and_deleted(
    hub: RunningHub, browser: Browser
) -> None:
    assert await launch(hub, "ada", PAID, server="thesis") == ""
    page = await sign_in(browser, hub, "ada", java_script_enabled=False)
    one = card(page, "thesis")
    await one.get_by_role("button", name="Extend by 30 min").click()
    await expect(one).to_contain_text("2 h 30 min")
    await one.get_by_label("Stop thesis", exact=True).click()
    await one.get_by_role("button", name="Stop it now").click()
    await expect(one.get_by_role("button", name="Start as before")).to_be_visible()
    await one.get_by_label("Delete thesis", exact=True).click()
    await one.get_by_role("button", name="Delete it").click()
    await expect(page.get_by_text("The server thesis is deleted.")).to_be_visible()
    await expect(one).to_have_count(0)
    await page.get_by_label("Its name").fill("My 2nd Experiment!")
    await page.get_by_role("button", name="Choose what to start").click()
    await expect(page).to_have_url(re.compile(r"/hub/spawn/ada/my-2nd-experiment"))
    await expect(page.locator("#spawn_form")).to_contain_text("my-2nd-experiment")
    await page.context.close()


async def test_a_launch_under_way_says_where_it_is_and_is_cancelled(hub: RunningHub, browser: Browser) -> None:
    assert await launch(hub, "ada", FREE) == ""
    await hub.api("POST", "users/ada/servers/slow", json={**FREE, "profile": "silent"})
    page = await sign_in(browser, hub, "ada")
    one = card(page, "slow")
    await expect(one).to_contain_text("waiting for its first answer", timeout=15_000)
    await expect(one.get_by_role("link", name="See how it goes")).to_have_attribute(
        "href", "/hub/spawn-pending/ada/slow"
    )
    await one.get_by_label("Cancel slow", exact=True).click()
    await one.get_by_role("button", name="Cancel the launch").click()
    await expect(page.get_by_text("The launch was cancelled.")).to_be_visible(timeout=15_000)
    await expect(one).to_contain_text("stopped")
    await page.context.close()


async def test_a_server_that_ended_says_why_and_a_button_starts_what_helps(hub: RunningHub, browser: Browser) -> None:
    assert await launch(hub, "ada", FREE) == ""
    sessions: Any = hub.app.tornado_settings["gpuspawner_sessions"]
    page = await sign_in(browser, hub, "ada")
    await expect(card(page)).to_contain_text("running")
    await sessions.end("ada", "", OOMKilledError(8 * 10**9, "Exit code 137 <img src=x>"))
    await page.reload()
    one = card(page)
    await expect(one).to_contain_text("The server used more memory than its 8 GB and was ended.")
    await one.get_by_text("What the system said").click()
    await expect(one).to_contain_text("Exit code 137 <img src=x>")
    await one.get_by_role("button", name="Start with 16 GB of memory").click()
    await page.wait_for_url("**/user/ada/**")
    assert sessions.holds(sessions.lease("ada", "")).memory == 16 * 10**9
    await page.context.close()


async def test_what_happens_elsewhere_appears_by_itself(hub: RunningHub, browser: Browser) -> None:
    page = await sign_in(browser, hub, "ada")
    await page.clock.install()
    await page.reload()
    await expect(page.get_by_text("No server yet")).to_be_visible()
    assert await launch(hub, "ada", FREE) == ""
    await page.clock.fast_forward(60_000)
    await expect(card(page)).to_contain_text("running")
    await page.context.close()


async def test_in_both_themes_and_on_a_telephone_everything_is_accessible(hub: RunningHub, browser: Browser) -> None:
    assert await launch(hub, "ada", PAID) == ""
    assert await launch(hub, "ada", FREE, server="ended") == ""
    await hub.app.tornado_settings["gpuspawner_sessions"].end("ada", "ended", OOMKilledError(8 * 10**9, "Killed"))
    page = await sign_in(browser, hub, "ada")
    await card(page).get_by_label("Stop Your server", exact=True).click()
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await page.locator(f"html[data-bs-theme={theme}]").wait_for()
        results = await Axe().run(page, options=WCAG)
        assert results.violations_count == 0, results.generate_report()
    await page.set_viewport_size({"width": 390, "height": 844})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.context.close()
