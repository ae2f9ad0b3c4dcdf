"""The workspace pages in Chromium, as a manager steers a course with them and an auditor reads them."""

import asyncio
import csv
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from busy_hub import SECTION, BusyHub, busy_hub, tab
from launching import stop
from playwright.async_api import Browser, Page, expect

COURSE = {**SECTION["workspaces"]["cse151a"], "members": ["ada", "eve", "newcomer"], "auditors": ["dean"]}
PROFILES = {**SECTION["profiles"], "pytorch": {**SECTION["profiles"]["pytorch"], "extend_to": "12h"}}
GPU = {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "small"}
PATIENCE = 30_000
HERE = "gpuspawner/workspaces/cse151a"


@pytest.fixture(scope="module")
async def busy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BusyHub]:
    """A course that prof manages and the dean audits, with a month of sessions; ada and eve have a small GPU each."""
    folder: Path = tmp_path_factory.mktemp("workspaces")
    spaces = {**SECTION["workspaces"], "cse151a": COURSE}
    async with busy_hub(folder, workspaces=spaces, profiles=PROFILES) as hub:
        for name in ("ada", "eve", "prof", "dean", "root"):
            await hub.hub.login(name, "x")
        await hub.remember("ada", 30)
        await hub.remember("eve", 10)
        await hub.launch("ada", **GPU)
        await hub.launch("eve", **GPU)
        yield hub


async def until_gone(page: Page, user: str) -> None:
    """A machine that is busy may take its time to stop a server."""
    async with asyncio.timeout(PATIENCE / 1000):
        while await page.get_by_role("row", name=user).count():
            await page.reload()


async def test_a_manager_goes_from_the_overview_to_a_member_and_takes_the_list_along(
    busy: BusyHub, browser: Browser, tmp_path: Path
) -> None:
    page = await tab(busy, browser, "prof", "home")
    await page.get_by_role("link", name="Workspaces").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("CSE 151A, Fall 2026")
    await expect(page.get_by_role("region", name="GPUs now")).to_contain_text("2 of 6 in use")
    await expect(page.locator("#use-by-day")).to_be_visible()

    await page.get_by_role("link", name="Members", exact=True).click()
    table = page.get_by_role("table", name="Members of CSE 151A")
    await expect(table.get_by_role("row", name="newcomer")).to_contain_text("Has not logged in yet")
    await table.get_by_role("link", name="Used").click()
    used = table.get_by_role("columnheader", name="Used")
    await expect(used).to_have_attribute("aria-sort", "descending")
    first = await table.locator("tbody th").first.inner_text()
    await table.get_by_role("link", name="Used").click()
    await expect(used).to_have_attribute("aria-sort", "ascending")
    assert await table.locator("tbody th").first.inner_text() != first
    await page.get_by_label("Search by name").fill("AD")
    await page.keyboard.press("Enter")
    await expect(table.locator("tbody tr")).to_have_count(1)

    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download members (CSV)").click()
    saved = tmp_path / "members.csv"
    await (await downloading.value).save_as(saved)
    with saved.open(newline="") as file:
        assert {row["user"] for row in csv.DictReader(file)} == {"ada", "eve", "prof", "dean", "newcomer"}

    await table.get_by_role("link", name="ada").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Usage of ada")
    await page.context.close()


async def test_a_manager_extends_and_stops_a_server_by_keyboard_and_its_member_reads_why(
    busy: BusyHub, browser: Browser
) -> None:
    page = await tab(busy, browser, "prof", f"{HERE}/servers")
    row = page.get_by_role("row", name="ada")
    await row.get_by_text("Extend", exact=False).first.focus()
    await page.keyboard.press("Enter")
    await row.get_by_role("button", name="1 h", exact=True).click()
    await expect(page.get_by_text("The server of ada now runs until")).to_be_visible(timeout=PATIENCE)

    await row.locator("summary", has_text="Stop").focus()
    await page.keyboard.press("Enter")
    await row.get_by_label("What ada will read").fill("The exam begins.")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    stopped = page.get_by_text(re.compile("The server of ada (was|is being) stopped. ada reads your message."))
    await expect(stopped).to_be_visible(timeout=PATIENCE)
    await until_gone(page, "ada")
    await page.context.close()

    member = await tab(busy, browser, "ada", "home")
    await expect(member.get_by_text("prof stopped the server: “The exam begins.”").first).to_be_visible()
    await member.context.close()


async def test_the_pages_follow_what_happens_and_leave_alone_what_somebody_is_writing(
    busy: BusyHub, browser: Browser
) -> None:
    overview = await tab(busy, browser, "dean", HERE)
    servers = await tab(busy, browser, "prof", f"{HERE}/servers")
    small = overview.locator('[data-gs-bar="cse151a/small"]')
    before = await small.inner_text()
    row = servers.get_by_role("row", name="eve")
    await row.locator("summary", has_text="Stop").click()
    await row.get_by_label("What eve will read").fill("Half a sen")
    async with overview.expect_response("**/api/gpuspawner/availability**"):
        await overview.reload()
    await busy.launch("eve", "second", **GPU)
    await expect(small).not_to_have_text(before, timeout=PATIENCE)
    assert await row.first.get_by_label("What eve will read").input_value() == "Half a sen"
    await row.locator("summary", has_text="Stop").click()
    await servers.locator("#main").focus()
    await stop(busy.hub, "eve", "second")
    await asyncio.gather(overview.context.close(), servers.context.close())


async def test_without_javascript_an_auditor_reads_everything_and_a_manager_stops_a_server(
    busy: BusyHub, browser: Browser
) -> None:
    page = await tab(busy, browser, "dean", f"{HERE}/limits", script=False)
    await expect(page.get_by_text("You see this workspace as an auditor")).to_be_visible()
    await expect(page.get_by_role("region", name="Limits today")).to_contain_text("SU a week")
    await expect(page.locator("#spent .gs-chart-area rect").first).to_be_attached()
    await page.get_by_role("link", name="Servers", exact=True).click()
    await expect(page.get_by_role("row", name="eve")).to_be_visible()
    assert await page.locator("form[method=post]").count() == 0
    await page.context.close()

    page = await tab(busy, browser, "prof", f"{HERE}/servers", script=False)
    row = page.get_by_role("row", name="eve")
    await row.locator("summary", has_text="Stop").click()
    await row.get_by_role("button", name="Stop it").click()
    await expect(page.get_by_text(re.compile("The server of eve (was|is being) stopped."))).to_be_visible(
        timeout=PATIENCE
    )
    await until_gone(page, "eve")
    await expect(page.get_by_text("No server runs")).to_be_visible()
    await page.context.close()


async def test_an_administrator_sees_all_workspaces_at_a_glance(busy: BusyHub, browser: Browser) -> None:
    page = await tab(busy, browser, "root", "gpuspawner/workspaces")
    await expect(page.get_by_role("heading", level=2)).to_have_text(["CSE 151A, Fall 2026", "Everyone", "Vision Lab"])
    await page.get_by_role("link", name="Vision Lab").click()
    await expect(page.get_by_role("link", name="All workspaces")).to_be_visible()
    await page.context.close()
