"""Make the pictures of the README and the docs from the running demo. Run: make screenshots

Or some of them: python tools/screenshots.py jupyterlab
"""

import asyncio
import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("demo", "browser", "hub")]

from administered_hub import log_in, prepared  # noqa: E402
from busy_hub import busy_hub  # noqa: E402
from launching import launch, stop  # noqa: E402
from notebook_driver import settings_with_driver  # noqa: E402
from running_demo import Demo, Member  # noqa: E402
from screenshots_workspaces import take_workspaces  # noqa: E402
from servers_hub import servers_hub  # noqa: E402
from servers_hub import sign_in as enter  # noqa: E402

from gpuspawner.cluster.failures import OOMKilledError  # noqa: E402

ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
CODE = """import os
print("GPU ", os.environ["CUDA_VISIBLE_DEVICES"])
print("kind", os.environ["GPUSPAWNER_GPU_CLASS"])
print("in  ", os.environ["GPUSPAWNER_WORKSPACE"])"""


async def sign_in(browser: Browser, demo: Demo, name: str, width: int = 1280, height: int = 900, **how: Any) -> Page:
    """A fresh visitor who has signed in and sees the form."""
    context = await browser.new_context(viewport={"width": width, "height": height}, **how)
    page = await context.new_page()
    await page.goto(demo.url)
    await page.fill("#username_input", name)
    await page.fill("#password_input", "demo")
    await page.click("#login_submit")
    await page.wait_for_selector("#spawn_form [data-gs-summary], #spawn_form [type=submit]")
    return page


async def shoot(page: Page, name: str, *, full: bool = False) -> None:
    """Save a picture once nothing moves."""
    await page.wait_for_load_state("networkidle")
    if full:
        height = await page.evaluate("document.documentElement.scrollHeight")
        await page.set_viewport_size({"width": (page.viewport_size or {"width": 1280})["width"], "height": height})
    await page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


async def forms(browser: Browser, demo: Demo) -> None:
    """The launch page in both themes and on a telephone, and after a refusal."""
    pictures: tuple[tuple[str, dict[str, Any]], ...] = (
        ("launch", {}),
        ("launch-dark", {"color_scheme": "dark"}),
        ("launch-390", {"width": 390, "height": 844}),
    )
    for name, how in pictures:
        page = await sign_in(browser, demo, "student", **how)
        await page.get_by_role("radio", name="CSE 151A").check()
        await page.locator("#spawn_form").get_by_text("SU at most").first.wait_for()
        await shoot(page, name, full=True)
    page = await sign_in(browser, demo, "researcher")
    await page.evaluate("document.querySelector('#spawn_form').noValidate = true")
    await page.get_by_label("GPUs", exact=True).fill("3")
    await page.click("#spawn_form [type=submit]")
    await page.wait_for_selector(".gs-refusal")
    await shoot(page, "refusal")


async def notebook(browser: Browser, demo: Demo) -> None:
    """A notebook that says which GPU it was given."""
    page = await sign_in(browser, demo, "student")
    await page.click("#spawn_form [type=submit]")
    await page.wait_for_url("**/user/student/lab**", timeout=60_000)
    await page.locator(".jp-LauncherCard[data-category='Notebook']").first.click(timeout=60_000)
    await page.locator("#jp-main-statusbar", has_text="Idle").wait_for(timeout=60_000)
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    await cell.click(timeout=60_000)
    await page.keyboard.insert_text(CODE)
    await page.keyboard.press("Shift+Enter")
    await page.locator(".jp-OutputArea-output").first.wait_for(timeout=60_000)
    news = page.get_by_role("button", name="No", exact=True)
    if await news.count():
        await news.click()
        await news.wait_for(state="detached")
    await shoot(page, "notebook")


async def servers(browser: Browser, _: Demo | None = None) -> None:
    """The home page in both themes and on a telephone, a launch that waits, and one that waited in vain."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        async with servers_hub(Path(folder)) as (hub, _engine):
            course = {"workspace": "cse151a", "profile": "pytorch"}
            for name in ("ada", "grace"):
                await hub.login(name, "x")
            await launch(hub, "grace", {**course, "gpu_class": "small", "gpus": 2, "runtime": "25m"})
            page = await enter(browser, hub, "ada")
            await page.set_viewport_size({"width": 1280, "height": 720})
            asked = {**course, "gpu_class": "small"}
            for server, profile, seen, name in (
                ("first", "hasty", ".gs-refusal", "in-vain"),
                ("second", "pytorch", "[data-gs-fact=expected]", "waiting"),
            ):
                await hub.api("POST", f"users/ada/servers/{server}", json={**asked, "profile": profile})
                await page.goto(str(hub.url / "spawn-pending/ada" / server))
                await page.locator(seen).wait_for()
                await page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")
                await stop(hub, "ada", server, remove=True)
            await launch(hub, "ada", {**course, "gpu_class": "medium"})
            await launch(hub, "ada", {"workspace": "everyone", "profile": "notebook"}, server="thesis")
            cause = OOMKilledError(8 * 10**9, "Exit code 137")
            await hub.app.tornado_settings["gpuspawner_sessions"].end("ada", "thesis", cause)
            for name, how in (("home", {}), ("home-dark", {"color_scheme": "dark"}), ("home-390", {})):
                page = await enter(browser, hub, "ada", **how)
                await page.set_viewport_size({"width": 390 if name.endswith("390") else 1280, "height": 800})
                await page.locator(".gs-server").nth(1).wait_for()
                await shoot(page, name, full=True)
                await page.context.close()


async def usage_and_gpus(browser: Browser, _: Demo) -> None:
    """The usage page and the page of GPUs, of a hub that is in use."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        async with busy_hub(Path(folder)) as hub:
            for name in ("ada", "eve", "grace"):
                await hub.hub.login(name, "x")
            await hub.remember("ada", 30)
            await hub.launch("ada", "thesis", workspace="cse151a", profile="pytorch", gpu_class="small", runtime="3h")
            await hub.launch("eve", workspace="cse151a", profile="pytorch", gpu_class="small", gpus=2, runtime="1h")
            await hub.launch("grace", workspace="vision-lab", profile="pytorch", gpu_class="medium", gpus=4)
            await hub.cordon("h100-0")
            page = await (await browser.new_context(viewport={"width": 1280, "height": 1060})).new_page()
            await page.goto(str(hub.hub.url / "login"))
            await page.fill("#username_input", "ada")
            await page.fill("#password_input", "x")
            await page.click("#login_submit")
            await page.wait_for_selector("#spawn_form")
            for path, name in (("usage", "usage"), ("status", "gpus")):
                await page.goto(f"{hub.hub.url}gpuspawner/{path}")
                await shoot(page, name)


async def administration(browser: Browser, _: Demo) -> None:
    """The administration: overview, limits in a week with an exception, capacity over time."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        async with prepared(Path(folder)) as hub:
            page = await log_in(browser, hub, "root", viewport={"width": 1280, "height": 900})
            for path, name in (("", "administration"), ("/capacity?days=30", "administration-capacity")):
                await page.goto(f"{hub.hub.url}gpuspawner/admin{path}")
                await shoot(page, name, full=not path)
            await page.set_viewport_size({"width": 1280, "height": 900})
            await page.goto(f"{hub.hub.url}gpuspawner/admin")
            await page.locator("#ahead a").first.click()
            await shoot(page, "administration-limits")


async def jupyterlab(browser: Browser, demo: Demo) -> None:
    """The item in JupyterLab's status bar with its panel, and a warning."""
    page = await sign_in(browser, demo, "researcher", 1000, 640)
    researcher = await asyncio.to_thread(Member, demo, "researcher")
    launch = {"workspace": "vision-lab", "profile": "pytorch", "gpu_class": "small", "runtime": "30m10s"}
    await asyncio.to_thread(researcher.start_server, **launch)
    await page.goto(f"{demo.url}/user/researcher/lab?reset")
    await page.locator("#gpuspawner-status").wait_for(timeout=60_000)
    await page.get_by_role("button", name="No", exact=True).click(timeout=60_000)
    await page.locator(".Toastify__toast", has_text="ends in").wait_for(timeout=60_000)
    await page.click("#gpuspawner-status")
    await page.get_by_text("busy").first.wait_for()
    await shoot(page, "jupyterlab")


async def workspaces(browser: Browser, _: Demo) -> None:
    """The workspace pages, of a course in which things happen."""
    await take_workspaces(browser, shoot)


PICTURES = (forms, notebook, servers, jupyterlab, usage_and_gpus, workspaces, administration)


async def main(names: list[str]) -> None:
    """Start the demo, take the pictures of these functions, or of all, end the demo."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "settings"  # the demo's cards are pretended, and so is their driver
        settings.mkdir()
        settings_with_driver(settings, 9216, ROOT)
        os.environ["JUPYTER_CONFIG_PATH"] = str(settings)
        demo = await asyncio.to_thread(Demo.start, Path(folder) / "demo")
        try:
            prof = await asyncio.to_thread(Member, demo, "prof")
            await asyncio.to_thread(prof.start_server, workspace="cse151a", profile="pytorch", gpu_class="small")
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
                for take in PICTURES:
                    if not names or take.__name__ in names:
                        await take(browser, demo)
                await browser.close()
        finally:
            await asyncio.to_thread(demo.end)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
