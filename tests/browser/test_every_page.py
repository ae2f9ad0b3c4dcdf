"""What holds for every page in Chromium: accessible, at home on a telephone, by keyboard alone, and deaf to markup."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from every_page import ALL, Shown, registered
from full_hub import HOSTILE, MARKUP, STOPPED, FullHub, full_hub
from playwright.async_api import Browser, Page, expect

WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
DESK, TELEPHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FIRST_PAGE = 100_000
"""Bytes of our own files that the first page may take."""
PAGES = [page for page in ALL if registered(page)]

TABBABLE = """() => {
  const named = new Set();
  return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")].filter(
    (one) => {
      if (one.disabled || one.tabIndex < 0 || !one.checkVisibility({ visibilityProperty: true })) return false;
      if (one.type === "hidden" || one.closest("[inert]")) return false;
      if (one.type !== "radio") return true;
      const group = one.form + one.name;
      const first = !named.has(group);
      named.add(group);
      return first;
    }).length;
}"""
FOCUSED = """() => {
  const one = document.activeElement;
  if (!one || one === document.body || one === document.documentElement) return null;
  const label = one.closest("label") ?? one;
  const drawn = [one, label, one.parentElement].some((part) => {
    const style = getComputedStyle(part);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2) || style.boxShadow !== "none";
  });
  window.gsSeen ??= new Map();
  if (!window.gsSeen.has(one)) window.gsSeen.set(one, window.gsSeen.size);
  const box = one.getBoundingClientRect();
  const seen = box.width > 0 && box.height > 0;
  return { key: window.gsSeen.get(one), drawn, seen, what: one.outerHTML.slice(0, 200) };
}"""


@pytest.fixture(scope="module")
async def full(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FullHub]:
    """One hub for all of these."""
    async with full_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


class Look:
    """A tab in which one page is looked at, and what its console complains about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    @classmethod
    async def at(cls, full: FullHub, browser: Browser, shown: Shown, **how: Any) -> "Look":
        look = cls(await (await full.visitor(browser, shown.by, **how)).new_page())
        answer = await look.page.goto(full.url(shown.seen_by(shown.by)))
        assert answer is not None
        assert answer.status == 200, shown.path
        return look

    async def close(self) -> None:
        await self.page.context.close()


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.path)
async def test_a_page_is_accessible_in_both_themes_and_fits_a_telephone(
    full: FullHub, browser: Browser, shown: Shown
) -> None:
    for theme, size in (("light", DESK), ("dark", TELEPHONE)):
        look = await Look.at(full, browser, shown, viewport=size, color_scheme=theme, reduced_motion="reduce")
        page = look.page
        assert await page.locator("h1").count() == 1
        assert await page.locator("main").count() == 1
        assert look.complaints == []  # before axe, which has some of its own to make
        results = await Axe().run(page, options=WCAG)
        assert results.violations_count == 0, f"{shown.path} {theme}: {results.generate_report()}"
        assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"], shown.path
        assert await page.locator("img[src=x], [onerror]").count() == 0
        await look.close()


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.path)
async def test_the_keyboard_reaches_every_control_of_a_page_and_focus_is_visible(
    full: FullHub, browser: Browser, shown: Shown
) -> None:
    look = await Look.at(full, browser, shown, viewport=DESK)
    controls = await look.page.evaluate(TABBABLE)
    reached: dict[int, Any] = {}
    for _ in range(controls + 20):
        await look.page.keyboard.press("Tab")
        focused = await look.page.evaluate(FOCUSED)
        if focused is None or focused["key"] in reached:
            break
        reached[focused["key"]] = focused
    assert [one["what"] for one in reached.values() if not one["drawn"]] == []
    assert [one["what"] for one in reached.values() if not one["seen"]] == []
    assert len(reached) >= controls, f"{controls} controls, reached: {[one['what'] for one in reached.values()]}"
    await look.close()


async def test_the_names_that_want_to_be_markup_are_on_the_pages_as_text(full: FullHub, browser: Browser) -> None:
    found = {}
    for shown in PAGES:
        look = await Look.at(full, browser, shown)
        text = await look.page.locator("body").inner_text()
        if shown.path == "home":
            assert STOPPED in text
        if shown.path.startswith("spawn-pending"):
            await expect(look.page.locator("body")).to_contain_text(MARKUP)  # the pod's event, by the stream
        found[shown.path] = (MARKUP in text, HOSTILE in text.replace(MARKUP, ""))
        await look.close()
    assert all(markup or name for markup, name in found.values()), found
    assert sum(markup for markup, _ in found.values()) >= len(PAGES) // 2, found


async def test_the_first_page_takes_less_than_100_kb_of_our_own_files(full: FullHub, browser: Browser) -> None:
    (form,) = [shown for shown in PAGES if shown.path.startswith("spawn/")]
    page = await (await full.visitor(browser, form.by)).new_page()
    taken: dict[str, int] = {}
    session = await page.context.new_cdp_session(page)
    names: dict[str, str] = {}
    session.on("Network.responseReceived", lambda event: names.update({event["requestId"]: event["response"]["url"]}))
    session.on(
        "Network.loadingFinished",
        lambda event: taken.update({names.get(event["requestId"], ""): event["encodedDataLength"]}),
    )
    await session.send("Network.enable")
    await page.goto(full.url(form.seen_by(form.by)), wait_until="load")
    ours = {url.rpartition("/")[2]: size for url, size in taken.items() if "/gpuspawner/static/" in url}
    assert {"gpuspawner.css", "frame.js", "launch.js"} <= set(ours)
    assert sum(ours.values()) < FIRST_PAGE, ours
    await page.context.close()
