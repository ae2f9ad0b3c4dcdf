"""What holds for every page in Chromium: accessible, at home on a telephone, by keyboard alone, and deaf to markup."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from every_page import ALL, Shown
from full_hub import HOSTILE, MARKUP, STOPPED, FullHub, full_hub
from playwright.async_api import Browser, Page, expect

WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
DESK, TELEPHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FIRST_PAGE = 100_000
"""Bytes of our own files that the first page may take."""
WITHOUT_TITLES = {"gpuspawner/admin/configuration"}
"""It names things as the configuration does."""

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


@pytest.mark.parametrize("shown", ALL, ids=lambda shown: shown.path)
async def test_a_page_is_for_everybody(full: FullHub, browser: Browser, shown: Shown) -> None:
    """Accessible in the light theme and by keyboard, accessible in the dark one and on a telephone, deaf to markup."""
    look = await Look.at(full, browser, shown, viewport=DESK, color_scheme="light", reduced_motion="reduce")
    text = await look.page.locator("body").inner_text()
    assert MARKUP in text or HOSTILE in text or shown.path in WITHOUT_TITLES
    if shown.path == "home":
        assert STOPPED in text
    if shown.path.startswith("spawn-pending"):
        await expect(look.page.locator("body")).to_contain_text(MARKUP)  # the pod's event, by the stream
    await _is_accessible(look)
    await _is_reached_by_keyboard(look)
    await look.close()
    look = await Look.at(full, browser, shown, viewport=TELEPHONE, color_scheme="dark", reduced_motion="reduce")
    assert await look.page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["width"]
    await _is_accessible(look)
    await look.close()


async def _is_accessible(look: Look) -> None:
    page = look.page
    assert await page.locator("h1").count() == 1
    assert await page.locator("main").count() == 1
    assert await page.locator("img[src=x], [onerror]").count() == 0
    assert look.complaints == []  # before axe, which has some of its own to make
    results = await Axe().run(page, options=WCAG)
    assert results.violations_count == 0, results.generate_report()


async def _is_reached_by_keyboard(look: Look) -> None:
    controls = await look.page.evaluate(TABBABLE)
    reached: dict[int, Any] = {}
    last = None
    for _ in range(4 * controls + 20):  # the field of a date has several stops of its own
        await look.page.keyboard.press("Tab")
        focused = await look.page.evaluate(FOCUSED)
        if focused is None or (focused["key"] in reached and focused["key"] != last):
            break
        last = focused["key"]
        reached[last] = focused
    assert [one["what"] for one in reached.values() if not one["drawn"]] == []
    assert [one["what"] for one in reached.values() if not one["seen"]] == []
    assert len(reached) >= controls, f"{controls} controls, reached: {[one['what'] for one in reached.values()]}"


async def test_the_first_page_takes_less_than_100_kb_of_our_own_files(full: FullHub, browser: Browser) -> None:
    (form,) = [shown for shown in ALL if shown.path.startswith("spawn/")]
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
