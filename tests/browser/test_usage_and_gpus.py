"""The usage page and the page of GPUs in Chromium, as a member, a manager and somebody without JavaScript use them."""

import csv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from busy_hub import BusyHub, busy_hub, tab
from playwright.async_api import Browser, Page, expect

TELEPHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
async def busy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BusyHub]:
    """A hub with a month of sessions of ada; she has a small GPU, and grace all medium ones."""
    folder: Path = tmp_path_factory.mktemp("busy")
    async with busy_hub(folder) as hub:
        for name in ("ada", "eve", "grace", "prof"):
            await hub.hub.login(name, "x")
        await hub.remember("ada", 30)
        await hub.launch("grace", workspace="vision-lab", profile="pytorch", gpu_class="medium", gpus=4, runtime="5h")
        await hub.launch("ada", workspace="cse151a", profile="pytorch", gpu_class="small", runtime="2h")
        await hub.cordon("h100-0")
        yield hub


async def sessions_on(page: Page) -> list[str]:
    """When those in the table were launched."""
    times = page.locator("#sessions-table tbody time")
    return [str(await one.get_attribute("datetime")) for one in await times.all()]


async def test_a_member_sees_what_is_left_and_what_they_used_and_takes_it_along(
    busy: BusyHub, browser: Browser, tmp_path: Path
) -> None:
    page = await tab(busy, browser, "ada", "home")
    await page.get_by_role("link", name="Usage").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Usage")
    course = page.get_by_role("region", name="CSE 151A, Fall 2026")
    await expect(course).to_contain_text("SU left of 40 SU")
    await expect(course).to_contain_text("more held for running servers. Renews on")
    await expect(page.get_by_role("region", name="Everyone")).to_contain_text("No budget")

    chart = page.locator("#use-by-day")
    await expect(chart.locator("figcaption")).to_have_text("Service units by day of launch")
    assert await chart.locator("rect.gs-fill-1, rect.gs-fill-2").count() > 10
    await page.get_by_role("link", name="GPU hours").click()
    await expect(chart.locator("figcaption")).to_have_text("GPU hours by day of launch")
    await chart.get_by_text("The numbers as a table").click()
    rows = chart.locator("tbody tr")
    assert await rows.count() > 10
    await expect(rows.first).to_contain_text(" h")

    first = await sessions_on(page)
    await page.get_by_role("link", name="More").click()
    await page.wait_for_url("**after=**")
    more = await sessions_on(page)
    assert first
    assert more
    assert min(first) > max(more)
    await page.get_by_role("link", name="7 days").click()
    await page.wait_for_url("**days=7**")
    week = await sessions_on(page)
    assert 0 < len(week) < len(first) + len(more)

    await page.get_by_role("link", name="Vision Lab").click()
    await page.wait_for_url("**workspace=vision-lab**")
    assert await sessions_on(page) == []
    await page.get_by_role("link", name="CSE 151A, Fall 2026").click()
    await page.wait_for_url("**workspace=cse151a**")
    assert await sessions_on(page) == week

    async with page.expect_download() as coming:
        await page.get_by_role("link", name="Download sessions (CSV)").click()
    download = await coming.value
    file = tmp_path / download.suggested_filename
    await download.save_as(file)
    with file.open(newline="") as opened:
        assert [row["opened"] for row in csv.DictReader(opened)] == week
    assert file.suffix == ".csv"
    await page.context.close()


async def test_a_manager_sees_a_member_in_their_workspace_and_nowhere_else(busy: BusyHub, browser: Browser) -> None:
    page = await tab(busy, browser, "prof", "gpuspawner/usage?user=ada&workspace=cse151a")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Usage of ada")
    await expect(page.get_by_role("region", name="CSE 151A, Fall 2026")).to_contain_text("Their budget")
    await expect(page.get_by_role("region", name="Vision Lab")).to_have_count(0)
    assert await sessions_on(page)
    for path in ("usage?user=ada", "usage?user=ada&workspace=vision-lab"):
        answer = await page.goto(f"{busy.hub.url}gpuspawner/{path}")
        assert answer is not None
        assert answer.status == 403
        await expect(page.locator("main")).to_contain_text("it takes the scope" if "vision" not in path else "scope")
    await page.context.close()


async def test_the_page_of_gpus_says_what_this_login_may_start_and_follows_what_happens(
    busy: BusyHub, browser: Browser
) -> None:
    page = await tab(busy, browser, "ada", "gpuspawner/status")
    small = page.get_by_role("region", name="Small, 16 GB")
    await expect(small).to_contain_text("7 of 8 free now")
    await expect(small).to_contain_text("You can start on up to 4 GPUs now in Everyone.")
    medium = page.get_by_role("region", name="Medium, 80 GB")
    await expect(medium).to_contain_text("all 4 taken")
    await expect(medium).to_contain_text("as soon as one is free")
    await expect(medium.locator(".gs-chart-summary")).to_contain_text("4 GPUs free by")
    large = page.get_by_role("region", name="Large, 80 GB fast")
    await expect(large).to_contain_text("all 2 are on closed nodes")
    await expect(large).to_contain_text("None of your workspaces offers this class.")
    nodes = page.get_by_role("table", name="GPUs by node")
    await expect(nodes.get_by_role("row", name="h100-0")).to_contain_text("Closed for maintenance")

    await busy.launch("eve", workspace="cse151a", profile="pytorch", gpu_class="small", gpus=2)
    await expect(small).to_contain_text("5 of 8 free now")
    await expect(large).to_contain_text("all 2 are on closed nodes")

    await page.set_viewport_size(TELEPHONE)  # type: ignore[arg-type]
    assert await page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["width"]
    await page.context.close()


async def test_from_the_page_of_gpus_one_comes_to_a_launch_on_a_class(busy: BusyHub, browser: Browser) -> None:
    page = await tab(busy, browser, "prof", "gpuspawner/status")
    await expect(page.get_by_role("region", name="Large, 80 GB fast").get_by_role("link")).to_have_count(0)
    await page.get_by_role("link", name="Start on Medium, 80 GB").click()
    await expect(page.locator('[name="gpu_class"][value="medium"]')).to_be_checked()
    await expect(page.locator('[name="workspace"][value="cse151a"]')).to_be_checked()
    await page.context.close()


async def test_both_pages_tell_everything_without_javascript(busy: BusyHub, browser: Browser) -> None:
    page = await tab(busy, browser, "ada", "gpuspawner/usage", script=False)
    await page.get_by_role("link", name="7 days").click()
    await expect(page.locator("#use-by-day svg.gs-chart-area")).to_be_visible()
    assert await sessions_on(page)
    await page.get_by_role("link", name="GPUs", exact=True).click()
    await expect(page.get_by_role("region", name="Small, 16 GB")).to_contain_text("of 8 free now")
    await page.context.close()


async def test_who_has_used_nothing_is_told_how_to_begin(busy: BusyHub, browser: Browser) -> None:
    page = await tab(busy, browser, "prof", "gpuspawner/usage")
    await expect(page.locator("main")).to_contain_text("Nothing used in these 30 days")
    await page.get_by_role("link", name="Start a server").click()
    await page.wait_for_url("**/hub/spawn**")
    await page.context.close()
