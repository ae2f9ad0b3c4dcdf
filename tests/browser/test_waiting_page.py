"""The page of a launch in Chromium on a real hub: its steps, its place, being told, cancelling, and what helps."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from launching import launch, stop
from playwright.async_api import Browser, Page, expect
from running_hub import RunningHub
from servers_hub import servers_hub, sign_in

COURSE = {"workspace": "cse151a"}
SMALL = {**COURSE, "profile": "pytorch", "gpu_class": "small"}
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}
NOTIFICATIONS = """
window.told = JSON.parse(sessionStorage.told ?? "[]");
window.Notification = class {
  static permission = "default";
  static async requestPermission() { return (Notification.permission = "granted"); }
  constructor(title) { sessionStorage.told = JSON.stringify([...window.told, title]); }
};
"""


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningHub]:
    """One on which grace has both Small GPUs that there are."""
    async with servers_hub(tmp_path_factory.mktemp("hub")) as (running, _):
        for name in ("ada", "grace"):
            await running.login(name, "x")
        assert await launch(running, "grace", {**SMALL, "gpus": 2}) == ""
        yield running


@pytest.fixture(autouse=True)
async def no_server_stays(hub: RunningHub) -> AsyncIterator[None]:
    yield
    await stop(hub, "ada")


async def begin(hub: RunningHub, page: Page, **options: Any) -> None:
    """Start a launch, and see its page."""
    await hub.api("POST", "users/ada/server", json={**SMALL, **options})
    await page.goto(str(hub.url / "spawn-pending/ada"))


async def steps(page: Page) -> list[str]:
    found = page.locator("[data-gs-step]")
    return [f"{await one.get_attribute('data-gs-step')} {await one.locator('[data-gs-word]').inner_text()}"
            for one in await found.all()]  # fmt: skip


async def test_a_launch_that_waits_shows_its_steps_and_place_and_tells_when_it_is_ready(
    hub: RunningHub, browser: Browser
) -> None:
    page = await sign_in(browser, hub, "ada")
    await page.add_init_script(NOTIFICATIONS)
    await begin(hub, page)
    await expect(page.locator("#progress-message")).to_contain_text("All 2 Small GPUs are taken.")
    await expect(page.locator("[data-gs-step=place]")).to_have_attribute("aria-current", "step")
    assert (await steps(page))[:3] == ["accepted done", "place now", "node still to come"]
    await expect(page.locator("[data-gs-fact=queue]")).to_have_text("Your placeYou are next")
    await expect(page.locator("[data-gs-fact=expected]")).to_contain_text("in about 2 h")
    await expect(page.locator("[data-gs-fact=until]")).to_contain_text("which is before your turn")
    await expect(page.locator("[data-gs-elapsed]")).to_have_text("0:02", timeout=10_000)
    await page.locator("#progress-log details").first.click()
    await expect(page.locator("#progress-log code").first).to_contain_text("Insufficient nvidia.com/gpu")
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await page.locator(f"html[data-bs-theme={theme}]").wait_for()
        results = await Axe().run(page, options=WCAG)
        assert results.violations_count == 0, results.generate_report()
    tell = page.get_by_role("button", name="Tell me when it is ready")
    await expect(tell).to_have_attribute("aria-pressed", "false")
    await tell.click()
    await expect(page.get_by_role("button", name="You will be told")).to_have_attribute("aria-pressed", "true")
    await page.set_viewport_size({"width": 390, "height": 844})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await stop(hub, "grace")
    await page.wait_for_url("**/user/ada/**", timeout=20_000)
    assert await page.evaluate("sessionStorage.told") == '["Your server is ready"]'
    await page.context.close()
    await stop(hub, "ada")
    assert await launch(hub, "grace", {**SMALL, "gpus": 2}) == ""


async def test_without_javascript_the_page_looks_again_and_cancels(hub: RunningHub, browser: Browser) -> None:
    page = await sign_in(browser, hub, "ada", java_script_enabled=False)
    await begin(hub, page)
    await expect(page.get_by_text("All 2 Small GPUs are taken.").first).to_be_visible(timeout=15_000)
    assert await page.locator("meta[http-equiv=refresh]").get_attribute("content") == "5"
    assert (await steps(page))[1] == "place now"
    await expect(page.locator("#progress-log")).to_contain_text("Kubernetes has taken the request")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_text("The launch was cancelled.")).to_be_visible()
    await page.context.close()


async def test_a_launch_that_waited_in_vain_offers_what_starts_and_a_button_starts_it(
    hub: RunningHub, browser: Browser
) -> None:
    page = await sign_in(browser, hub, "ada")
    await begin(hub, page, profile="hasty")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server did not start", timeout=15_000)
    failure = page.get_by_role("alert")
    await expect(failure).to_contain_text("Nothing was free for the server within 2 s, as long as this launch may wait")
    buttons = [" ".join((await one.inner_text()).split()) for one in await failure.get_by_role("button").all()]
    assert buttons == [
        "Wait up to 2 h for a Small GPU waits until one is free",
        "Start on a Medium GPU free now",
        "Start without a GPU",
    ]
    await expect(page.locator("[data-gs-step=place]")).to_have_attribute("data-gs-state", "failed")
    results = await Axe().run(page, options=WCAG)
    assert results.violations_count == 0, results.generate_report()
    await failure.get_by_role("button", name="Start on a Medium GPU").click()
    await page.wait_for_url("**/user/ada/**", timeout=20_000)
    sessions: Any = hub.app.tornado_settings["gpuspawner_sessions"]
    assert sessions.holds(sessions.lease("ada", "")).gpu_classes == ("medium",)
    await page.context.close()


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_refused_launch_starts_at_a_click_on_what_fits(
    hub: RunningHub, browser: Browser, scripts: bool
) -> None:
    hub.user("ada").orm_spawners[""].user_options = {**SMALL, "gpu_class": "medium", "gpus": 2}
    hub.app.db.commit()
    page = await sign_in(browser, hub, "ada", java_script_enabled=scripts)
    await page.get_by_role("button", name="Start as before").click()
    refusal = page.locator(".gs-refusal")
    await expect(refusal).to_contain_text("Not started: You asked for 2 GPUs; CSE 151A may hold 1 Medium GPU at once.")
    await refusal.get_by_role("button", name="Start on a Medium GPU").click()
    await page.wait_for_url(re.compile(r"/hub/spawn-pending/ada|/user/ada/"))
    await page.context.close()
