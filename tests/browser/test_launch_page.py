"""The launch page in Chromium: an order of preference, links, and what is free as it changes."""

from copy import deepcopy
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from axe_playwright_python.async_playwright import Axe
from pages import Pages
from playwright.async_api import Browser, Page, expect
from test_launch_form import SECTION, choose, form, posted

HERE = {"workspace": "cse151a", "profile": "pytorch"}
LIMITLESS = deepcopy(SECTION)
LIMITLESS["workspaces"]["cse151a"]["quota"]["large"] = 8
LIMITLESS["profiles"]["pytorch"]["images"] = ["quay.io/lab/*"]


def card(page: Page, value: str) -> Any:
    return page.locator(f"[data-gs-card=gpu_class][data-gs-value={value}]")


async def show(page: Page, pages: Pages, section: dict[str, Any] = LIMITLESS, **initial: Any) -> None:
    await page.goto(pages.show("spawn.html", spawner_options_form=form(section, initial={**HERE, **initial})))


def news(small: int = 3, held: int = 0, medium_left: int = 12, wait: int | None = None) -> dict[str, Any]:
    """So many small GPUs are free, of which CSE 151A holds some; so many medium ones may it still take."""

    def gpus(free: int, total: int) -> dict[str, Any]:
        said = f"{free} of {total} free now" if free else f"all {total} taken"
        state = "free" if free else "busy"
        return {"sentence": said, "state": state, "free": free, "together": free, "wait": wait, "ahead": 2 * (not free)}

    def quota(held: int, quota: int, left: int) -> dict[str, Any]:
        return {"held": held, "quota": quota, "left": left, "why": f"CSE 151A holds {held} of its {quota} GPUs."}

    return {
        "classes": {"small": gpus(small, 8), "medium": gpus(0, 8), "large": gpus(2, 2)},
        "workspaces": {
            "cse151a": {
                "classes": {
                    "small": quota(held, 8, 8 - held),
                    "medium": quota(12 - medium_left, 12, medium_left),
                    "large": quota(2, 8, 6),
                },
                "profiles": {},
            }
        },
    }


async def test_an_order_of_preference_is_made_by_the_keyboard_and_posted(page: Page, pages: Pages) -> None:
    await show(page, pages)
    summary = page.get_by_role("status")
    await choose(page, "Any of these")
    await expect(summary).to_contain_text("PyTorch on 1 GPU (any class)")
    await page.get_by_role("button", name="large earlier").press("Enter")
    await expect(page.get_by_role("button", name="large earlier")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="large later")).to_be_focused()
    await expect(page.locator("[data-gs-order-said]")).to_have_text("large is choice 1 of 3.")
    await page.get_by_role("group", name="Your order").get_by_role("checkbox", name="Small").press("Space")
    await expect(summary).to_contain_text("PyTorch on 1 GPU (large or Medium)")
    assert (await Axe().run(page)).violations_count == 0
    assert (await posted(page, pages))["gpu_class"] == ["large", "medium"]


async def test_an_order_of_preference_is_there_again_the_next_time(page: Page, pages: Pages) -> None:
    await show(page, pages, gpu_class=["large", "small"])
    shown = page.locator(".gs-order-name")
    await expect(shown).to_have_text(["large", "Small", "Medium"])
    await expect(
        page.get_by_role("group", name="Your order").get_by_role("checkbox", name="Medium")
    ).not_to_be_checked()
    assert (await posted(page, pages))["gpu_class"] == ["large", "small"]


async def test_all_classes_in_the_order_of_the_hub_are_any(page: Page, pages: Pages) -> None:
    await show(page, pages, gpu_class="any")
    await expect(page.get_by_role("group", name="Your order")).to_be_visible()
    assert (await posted(page, pages))["gpu_class"] == ["any"]


async def test_a_link_to_this_choice_says_what_is_not_as_usual(page: Page, pages: Pages) -> None:
    await show(page, pages)
    await choose(page, "Any of these")
    await page.get_by_role("button", name="large earlier").click()
    await page.get_by_role("spinbutton", name="Memory").fill("48")
    await page.get_by_role("spinbutton", name="Runtime").fill("1.5")
    await page.get_by_label("Another image").fill("quay.io/lab/cuda:12")
    await page.get_by_role("button", name="Copy a link to this choice").click()
    shown = page.locator("[data-gs-link-text] input")
    await expect(shown).to_be_visible()
    link = urlsplit(await shown.input_value())
    assert link.path == "/hub/spawn"
    assert parse_qsl(link.query) == [
        ("opt-workspace", "cse151a"),
        ("opt-profile", "pytorch"),
        ("opt-gpu_class", "small"),
        ("opt-gpu_class", "large"),
        ("opt-gpu_class", "medium"),
        ("opt-memory", "48G"),
        ("opt-runtime", "90m"),
        ("opt-image", "quay.io/lab/cuda:12"),
    ]


async def test_what_is_free_is_shown_as_it_changes(page: Page, pages: Pages) -> None:
    await show(page, pages)
    small = card(page, "small").locator("[data-gs-free]")
    await expect(small).to_have_text("3 of 8 free now")
    pages.news.put_nowait(news(small=1, held=5))
    await expect(small).to_have_text("1 of 8 free now")
    await expect(card(page, "small")).to_contain_text("CSE 151A uses 5 of its 8")
    pages.news.put_nowait(news(small=0, held=7, wait=1200))
    await expect(small).to_have_text("all 8 taken")
    await expect(page.locator("[data-gs-summary-note]")).to_have_text(
        "None of these GPUs is free now: your server waits until one is returned. "
        "That is about 20 min from now. 2 launches are ahead of yours."
    )
    await expect(page.get_by_role("slider", name="GPUs")).to_be_hidden()


async def test_what_is_taken_meanwhile_stays_chosen_and_says_why_it_cannot_be_had(page: Page, pages: Pages) -> None:
    await show(page, pages)
    await choose(page, "Medium")
    start = page.get_by_role("button", name="Start")
    pages.news.put_nowait(news(medium_left=0))
    await expect(page.get_by_role("status")).to_have_text("CSE 151A holds 12 of its 12 GPUs.")
    await expect(page.get_by_role("radio", name="Medium")).to_be_checked()
    await expect(start).to_be_disabled()
    pages.news.put_nowait(news(medium_left=1))
    await expect(page.get_by_role("status")).to_contain_text("PyTorch on 1 GPU (Medium)")
    await expect(start).to_be_enabled()
    pages.news.put_nowait(news(medium_left=0))
    await expect(start).to_be_disabled()
    await choose(page, "Small")
    await expect(page.get_by_role("radio", name="Medium")).to_be_disabled()
    assert (await posted(page, pages))["gpu_class"] == ["small"]


async def test_numbers_that_are_being_typed_are_left_alone_by_the_news(page: Page, pages: Pages) -> None:
    await show(page, pages)
    memory = page.get_by_role("spinbutton", name="Memory")
    await memory.fill("")
    pages.news.put_nowait(news(small=2))
    await expect(card(page, "small")).to_contain_text("2 of 8 free now")
    await expect(memory).to_have_value("")


async def test_without_javascript_a_link_that_cannot_be_followed_says_so_on_a_telephone(
    browser: Browser, pages: Pages
) -> None:
    context = await browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = await context.new_page()
    shown = form(LIMITLESS, initial=HERE, link="The workspace 'x' is not on offer to your login.")
    await page.goto(pages.show("spawn.html", spawner_options_form=shown))
    await expect(page.get_by_role("alert")).to_contain_text("The link cannot be followed as it is.")
    await expect(page.get_by_role("radio", name="PyTorch")).to_be_checked()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await context.close()
