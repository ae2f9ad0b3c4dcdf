"""The administration in Chromium: each page's main task, by keyboard and without JavaScript, and who may see it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from administered_hub import MEDIUM, log_in, prepared
from busy_hub import BusyHub
from playwright.async_api import Browser, Page, expect

PAGES = {
    "overview": "gpuspawner/admin",
    "workspaces": "gpuspawner/admin/workspaces",
    "limits": "gpuspawner/admin/limits?workspace=cse151a",
    "explain": "gpuspawner/admin/explain?user=ada&workspace=cse151a&profile=pytorch&gpu_class=medium&gpus=4",
    "grants": "gpuspawner/admin/grants?over=1",
    "queue": "gpuspawner/admin/queue",
    "capacity": "gpuspawner/admin/capacity?days=30",
    "audit": "gpuspawner/admin/audit",
    "configuration": "gpuspawner/admin/configuration",
}


@pytest.fixture(scope="module")
async def busy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BusyHub]:
    """One hub for all of these."""
    async with prepared(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
async def root(browser: Browser, busy: BusyHub) -> AsyncIterator[Page]:
    """An administrator without JavaScript: every page works so."""
    page = await log_in(browser, busy, "root", java_script_enabled=False)
    yield page
    await page.context.close()


async def test_the_overview_tells_how_the_hub_is_and_leads_on(root: Page, busy: BusyHub) -> None:
    await root.goto(f"{busy.hub.url}{PAGES['overview']}")
    await expect(root.get_by_role("region", name="GPUs now")).to_contain_text("4 of 4 in use")
    await expect(root.get_by_role("region", name="Needs a hand")).to_contain_text("can hardly be meant")
    ahead = root.get_by_role("region", name="Limits that change")
    await expect(ahead).to_contain_text("Medium, 80 GB GPUs at once: 4 GPUs instead of 2 GPUs")
    await expect(root.get_by_role("region", name="Done lately")).to_contain_text("40 SU: Camera-ready deadline")
    await ahead.get_by_role("link", name="CSE 151A, Fall 2026").click()
    await expect(root.get_by_role("heading", name="CSE 151A, Fall 2026 on")).to_be_visible()
    row = root.get_by_role("row", name="Medium, 80 GB GPUs at once")
    await expect(row).to_contain_text("4 GPUs")
    await expect(row).to_contain_text("otherwise 2 GPUs")
    await expect(row).to_contain_text("exceptions")
    await root.get_by_role("link", name="Before").click()
    await expect(row).not_to_contain_text("exception")
    await expect(row).to_contain_text("2 GPUs")


async def test_all_workspaces_are_found_and_ordered_and_lead_to_their_limits(root: Page, busy: BusyHub) -> None:
    await root.goto(f"{busy.hub.url}{PAGES['workspaces']}")
    rows = root.get_by_role("table").get_by_role("rowheader")
    assert await rows.count() == 4
    await root.get_by_label("Order").select_option("units")
    await root.get_by_role("button", name="Show").click()
    await expect(rows.first).to_contain_text("CSE 151A")
    await root.get_by_label("Name or title").fill("vision")
    await root.get_by_role("button", name="Show").click()
    await expect(rows).to_have_count(1)
    await expect(root.get_by_role("table")).to_contain_text("4 of 8 in use, 1 starting")
    await root.get_by_role("link", name="By date").click()
    await expect(root.get_by_role("heading", name="Vision Lab on")).to_be_visible()


async def test_a_grant_is_given_and_revoked_and_found_in_the_audit_log(root: Page, busy: BusyHub) -> None:
    await root.goto(f"{busy.hub.url}gpuspawner/admin/grants")
    give = root.get_by_role("region", name="Give more")
    await give.get_by_label("Workspace").select_option("cse151a")
    await give.get_by_label("Member").fill("nobody-of-that-name")
    await give.get_by_label("Service units").fill("7.5")
    await give.get_by_label("Reason").fill("Thesis <b>due</b>")
    await give.get_by_role("button", name="Grant").click()
    await expect(root.get_by_role("alert")).to_contain_text("Nothing was granted. The hub knows no user")
    await expect(give.get_by_label("Reason")).to_have_value("Thesis <b>due</b>")
    await give.get_by_label("Member").fill("eve")
    await give.get_by_role("button", name="Grant").click()
    await expect(root.get_by_role("status")).to_contain_text("7.5 SU more for eve in CSE 151A, Fall 2026.")
    row = root.get_by_role("row", name="Thesis <b>due</b>")
    await expect(row).to_contain_text("by root")
    launcher = busy.launcher
    account = launcher.accounts.member("cse151a", "eve", launcher.now())
    assert account is not None
    assert account.granted == 7_500_000

    await row.get_by_text("Revoke", exact=False).first.click()
    await row.get_by_role("button", name="Revoke it").click()
    await expect(root.get_by_role("status")).to_contain_text("The grant of 7.5 SU to eve is revoked.")
    await expect(root.get_by_role("row", name="Thesis <b>due</b>")).to_have_count(0)

    await root.get_by_role("navigation", name="Administration").get_by_role("link", name="Audit log").click()
    await root.get_by_label("What").select_option("grant")
    await root.get_by_label("About user").fill("eve")
    await root.get_by_role("button", name="Search").click()
    entries = root.get_by_role("table").get_by_role("rowheader")
    await expect(entries).to_have_count(1)
    await expect(root.get_by_role("table")).to_contain_text("7.5 SU: Thesis <b>due</b>")
    async with root.expect_download() as download:
        await root.get_by_role("link", name="Download what was found (CSV)").click()
    written = (await asyncio.to_thread((await (await download.value).path()).read_bytes)).decode()
    assert len(written.splitlines()) == 2
    assert "7.5 SU: Thesis <b>due</b>" in written


async def test_the_audit_log_is_read_page_by_page(root: Page, busy: BusyHub) -> None:
    await root.goto(f"{busy.hub.url}gpuspawner/admin/audit?action=charge&user=ada")
    first = await root.get_by_role("table").inner_text()
    await root.get_by_role("link", name="More").click()
    assert await root.get_by_role("table").inner_text() != first
    await root.get_by_role("link", name="From the beginning").click()
    assert await root.get_by_role("table").inner_text() == first


async def test_a_launch_that_waits_is_called_off_with_a_message(root: Page, busy: BusyHub) -> None:
    asked = {**MEDIUM, "gpus": 2}
    waiting = asyncio.create_task(busy.hub.api("POST", "users/grace/servers/second", json=asked))
    async with asyncio.timeout(30):
        while busy.launcher.outlook("grace", "second") is None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
    await root.goto(f"{busy.hub.url}gpuspawner/admin/queue?workspace=vision-lab")
    row = root.get_by_role("row", name="grace second")
    await expect(row).to_contain_text("2 × Medium, 80 GB")
    await expect(row).to_contain_text("No. 2")
    await row.get_by_text("Call off", exact=False).first.click()
    await row.get_by_label("What grace will read").fill("The node is being repaired.")
    await row.get_by_role("button", name="Call it off").click()
    await expect(root.get_by_role("status")).to_contain_text("The launch of grace is called off.")
    await expect(root.get_by_role("row", name="grace second")).to_have_count(0)
    told = await (await waiting).text()
    assert "root called the launch off" in told
    assert "The node is being repaired." in told


async def test_capacity_over_time_is_a_chart_and_a_table(root: Page, busy: BusyHub) -> None:
    await root.goto(f"{busy.hub.url}{PAGES['capacity']}")
    row = root.get_by_role("row", name="Medium, 80 GB").first
    await expect(row).to_contain_text("96")
    chart = root.locator("#capacity-1")
    assert await chart.locator(".gs-chart-line").count() > 10
    await expect(chart.locator(".gs-chart-numbers")).to_contain_text("The numbers as a table")
    await root.get_by_role("link", name="24 hours").click()
    await expect(root.get_by_role("link", name="24 hours")).to_have_attribute("aria-current", "true")


async def test_the_configuration_and_an_explanation_name_places_in_it(root: Page, busy: BusyHub) -> None:
    await root.goto(f"{busy.hub.url}{PAGES['configuration']}")
    remark = root.get_by_role("region", name="Can hardly be meant")
    await expect(remark).to_contain_text("Nobody belongs to this workspace.")
    assert "workspaces\u200b['chem']\u200b.members" in await remark.inner_text()
    await expect(root.get_by_role("region", name="What the cluster has for it")).to_contain_text("All 4 are taken.")
    await root.goto(f"{busy.hub.url}gpuspawner/admin/explain")
    await root.get_by_label("User").fill("ada")
    await root.get_by_label("Workspace").select_option("cse151a")
    await root.get_by_label("GPU class").select_option("medium")
    await root.get_by_label("GPUs").fill("2")
    await root.get_by_role("button", name="Explain").click()
    await expect(root.get_by_role("status")).to_contain_text("ada may not start this now.")
    await expect(root.get_by_role("row", name="GPUs of each member here")).to_contain_text("no")
    await root.get_by_label("User").fill("nobody-of-that-name")
    await root.get_by_role("button", name="Explain").click()
    await expect(root.get_by_role("status")).to_contain_text("The hub knows no user 'nobody-of-that-name'.")


async def test_only_administrators_see_these_pages(browser: Browser, busy: BusyHub) -> None:
    for name in ("ada", "prof"):
        page = await log_in(browser, busy, name)
        for path in PAGES.values():
            answer = await page.goto(f"{busy.hub.url}{path}")
            assert answer is not None
            assert answer.status == 403, path
        await expect(page.get_by_role("link", name="Administration")).to_have_count(0)
        for path in ("grants", "grants/revoke", "queue"):
            posted = await page.request.post(f"{busy.hub.url}gpuspawner/admin/{path}", form={"user": "ada"})
            assert posted.status == 403, path
        await page.context.close()
