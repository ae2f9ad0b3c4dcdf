"""What a launch costs, in the form's summary, in Chromium."""

from copy import deepcopy
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from pages import Pages
from playwright.async_api import Page, expect
from spending import Launch
from test_launch_form import NOW, SECTION, choose, form

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.quote import costs_of
from gpuspawner.config import load_settings

RATES = {"small": 0.5, "medium": 1, "large": 4}


def costly_form(spent: float, *, budget: dict[str, Any] | None = None, **more: Any) -> str:
    """The form where CSE 151A has 10 SU a week for each member, of which so many are spent."""
    section = {**deepcopy(SECTION), **more}
    for name, rate in RATES.items():
        section["gpu_classes"][name]["rate"] = rate
    section["workspaces"]["cse151a"]["budget"] = {"per_member": 10, **(budget or {})}
    settings = load_settings(section)
    accounts = Accounts(settings.workspaces, settings.timezone)
    accounts.hold(Launch("spent", spent, NOW, "ada", "cse151a"))
    return form(section, costs=costs_of("ada", set(settings.workspaces), settings, accounts, NOW))


async def set_runtime(page: Page, hours: str) -> None:
    await page.get_by_role("spinbutton", name="Runtime").fill(hours)


async def test_the_summary_says_what_the_choice_costs_and_what_is_left(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("spawn.html", spawner_options_form=costly_form(2.5)))
    cost = page.locator("[data-gs-summary-cost]")
    await expect(cost).to_be_hidden()
    await choose(page, "CSE 151A")
    await choose(page, "PyTorch")
    await choose(page, "Medium")
    await expect(cost).to_have_text(
        "Costs 6 SU at most. 7.5 of your 10 SU are left this week; it renews on 30 November."
    )
    await choose(page, "Small")
    await set_runtime(page, "1.25")
    await expect(cost).to_contain_text("Costs 0.63 SU at most.")
    await choose(page, "No GPU")
    await expect(cost).to_contain_text("Costs nothing.")


async def test_what_the_budget_does_not_cover_cannot_be_started_and_what_fits_is_said(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("spawn.html", spawner_options_form=costly_form(7.5)))
    await choose(page, "CSE 151A")
    await choose(page, "PyTorch")
    await choose(page, "Medium")
    start = page.get_by_role("button", name="Start")
    await expect(page.locator("[data-gs-summary-cost]")).to_contain_text(
        "Costs 6 SU, more than is left. Your budget lasts for 2 h 30 min of it."
    )
    await expect(start).to_be_disabled()
    assert (await Axe().run(page)).violations_count == 0
    await set_runtime(page, "2.5")
    await expect(start).to_be_enabled()
    await choose(page, "Any of these")
    await set_runtime(page, "4")
    await expect(page.locator("[data-gs-summary-cost]")).to_contain_text("Costs 2 SU at most.")


async def test_where_a_used_up_budget_ends_the_server_it_may_start(page: Page, pages: Pages) -> None:
    shown = costly_form(7.5, budget={"when_used_up": "end"})
    await page.goto(pages.show("spawn.html", spawner_options_form=shown))
    await choose(page, "CSE 151A")
    await choose(page, "PyTorch")
    await choose(page, "Medium")
    await expect(page.locator("[data-gs-summary-cost]")).to_contain_text(
        "Costs 6 SU. Your budget lasts for 2 h 30 min of it; then the server ends."
    )
    await expect(page.get_by_role("button", name="Start")).to_be_enabled()


@pytest.mark.parametrize(("hours", "cost"), [("1", "1 SU"), ("4", "3.5 SU"), ("12", "9 SU")])
async def test_off_peak_hours_count_from_the_moment_they_begin(page: Page, pages: Pages, hours: str, cost: str) -> None:
    """It is 12:00 UTC; from 15:00 to 21:00 half is due."""
    shown = costly_form(0, off_peak={"hours": "15:00-21:00", "rate": 0.5})
    await page.goto(pages.show("spawn.html", spawner_options_form=shown))
    await choose(page, "CSE 151A")
    await choose(page, "PyTorch")
    await choose(page, "Medium")
    await set_runtime(page, hours)
    await expect(page.locator("[data-gs-summary-cost]")).to_contain_text(f"Costs {cost} at most.")
    await expect(page.locator("[data-gs-off-peak]")).to_have_text("From 15:00 to 21:00 everything costs 50% of that.")
