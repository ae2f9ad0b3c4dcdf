"""The item in JupyterLab's status bar, in a real JupyterLab on the demo: time left, more of it, and warnings."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from notebook_driver import settings_with_driver
from playwright.async_api import Locator, Page, expect
from running_demo import Demo, Member

import gpuspawner
from gpuspawner import notebook
from gpuspawner.cli.ports import free_ports

MINUTE = 60_000
_RUNNING_AT = re.compile(r"http://127\.0\.0\.1:(?P<port>\d+)/lab")
WARNED_AT_ONCE = "30m15s"
"""A runtime so that the warning of the last half hour comes while the page opens."""
OURS = {"include": [["#gpuspawner-status"], [".gs-panel"]]}
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
DARK = """async () => {
  const xsrf = decodeURIComponent(document.cookie.match(/_xsrf=([^;]*)/)[1]);
  const headers = {"X-XSRFToken": xsrf, "Content-Type": "application/json"};
  const themes = "lab/api/settings/@jupyterlab/apputils-extension:themes";
  await fetch(themes, {method: "PUT", headers, body: JSON.stringify({raw: '{"theme": "JupyterLab Dark"}'})});
}"""


@pytest.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """The demo, whose servers find a driver with one T4."""
    settings = tmp_path_factory.mktemp("settings")
    settings_with_driver(settings, 3072, Path(gpuspawner.__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_CONFIG_PATH", str(settings))
        running = await asyncio.to_thread(Demo.start, tmp_path_factory.mktemp("demo"))
    yield running
    await asyncio.to_thread(running.end)


@pytest.fixture
async def student(demo: Demo) -> AsyncIterator[Member]:
    """A student whose server runs."""
    student = await asyncio.to_thread(Member, demo, "student")
    launch = {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "small", "runtime": WARNED_AT_ONCE}
    await asyncio.to_thread(student.start_server, **launch)
    yield student
    await asyncio.to_thread(student.stop_server)


async def open_server(page: Page, demo: Demo, path: str) -> Locator:
    """Sign in and go to a page of the student's server; the item."""
    await page.goto(f"{demo.url}/hub/login")
    await page.fill("#username_input", "student")
    await page.fill("#password_input", "demo")
    await page.click("#login_submit")
    await page.goto(f"{demo.url}/user/student/{path}")
    item = page.locator("#gpuspawner-status")
    await expect(item).to_be_visible(timeout=MINUTE)
    return item


async def no_barriers(page: Page) -> None:
    found = await Axe().run(page, context=OURS, options=WCAG)
    assert found.violations_count == 0, found.generate_report()


async def test_whoever_works_is_told_how_long_is_warned_and_gives_the_server_more_time(
    demo: Demo, student: Member, page: Page
) -> None:
    item = await open_server(page, demo, "lab?reset")
    await expect(item).to_have_text(re.compile(r"^3[01] minGPU 45 %, 3 of 15 GiB9\.\d+ SU$"), timeout=MINUTE)
    warning = page.locator(".Toastify__toast", has_text="Your server ends in 30 min")
    await expect(warning).to_be_visible(timeout=MINUTE)
    await warning.get_by_role("button", name="Extend by 1 h (0.25 SU)").click()
    await expect(page.locator(".Toastify__toast", has_text="Your server now runs until")).to_be_visible(timeout=MINUTE)
    await expect(item).to_have_text(re.compile("^1 h (29|30) min"), timeout=MINUTE)
    await expect(warning).to_have_count(0, timeout=MINUTE)

    await item.focus()
    await page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="This server")
    for told in ("PyTorch, CSE 151A", "may run for 1 h 30 min", "Tesla T4", "45 % busy, 3 of 15 GiB", "of your 10 SU"):
        await expect(panel).to_contain_text(told)
    await expect(panel.get_by_role("link", name="My servers")).to_have_attribute("href", "/hub/home")
    await no_barriers(page)
    await page.keyboard.press("Tab")
    half = panel.get_by_role("button", name="Extend by 30 min, costs 0.13 SU at most")
    await expect(half).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(panel.get_by_role("status")).to_contain_text("Your server now runs until", timeout=MINUTE)
    await expect(panel).to_contain_text(re.compile("(1 h 59 min|2 h) left"), timeout=MINUTE)
    await page.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
    await expect(item).to_be_focused()
    [session] = (await asyncio.to_thread(student.ask, "GET", "/hub/api/gpuspawner/sessions/student")).json()["sessions"]
    assert session["runtime"] == 30 * 60 + 15 + 90 * 60

    prof = await asyncio.to_thread(Member, demo, "prof")
    extend = "/hub/api/gpuspawner/sessions/student/extend"
    (await asyncio.to_thread(prof.ask, "POST", extend, json={"by": "2h"})).raise_for_status()
    news = page.locator(".Toastify__toast", has_text="2 h longer. prof has extended it.")
    await expect(news).to_be_visible(timeout=MINUTE)
    await expect(item).to_have_text(re.compile("^(3 h 5\\d min|4 h)"))

    await page.evaluate(DARK)
    await page.reload()
    await expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false", timeout=MINUTE)
    await item.click()
    await expect(panel).to_be_visible(timeout=MINUTE)
    await no_barriers(page)

    notebook_7 = await page.context.new_page()  # which has no status bar
    await notebook_7.goto(f"{demo.url}/user/student/tree")
    item, panel = notebook_7.locator("#gpuspawner-status"), notebook_7.get_by_role("dialog", name="This server")
    await expect(item).to_have_text(re.compile(r"^(3 h 5\d min|4 h)"), timeout=MINUTE)
    await item.click()
    await expect(panel).to_be_in_viewport(ratio=1)


async def test_a_jupyterlab_that_no_hub_has_started_shows_nothing(page: Page, tmp_path: Path) -> None:
    [port] = free_ports(1)
    folder = str(Path(notebook.__file__).parent)
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(gpuspawner.__file__).parents[1]),
        "JUPYTER_PATH": folder,
        "JUPYTER_CONFIG_PATH": folder,
    }
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", f"--port={port}"]
    plain = [*command, "--IdentityProvider.token=", f"--ServerApp.root_dir={tmp_path}"]
    with (tmp_path / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(*plain, env=environment, stderr=log)
    try:
        async with asyncio.timeout(60):
            # Where its port was taken meanwhile, it has taken another one.
            while not (running := _RUNNING_AT.search((tmp_path / "log").read_text())):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        said: list[str] = []
        page.on("console", lambda message: said.append(f"{message.type} {message.text}"))
        async with page.expect_response("**/gpuspawner/status*", timeout=MINUTE) as asked:
            await page.goto(f"http://127.0.0.1:{running['port']}/lab")
        assert (await (await asked.value).json()) == {"hub": None}
        await expect(page.locator("#jp-main-statusbar")).to_be_visible(timeout=MINUTE)
        await expect(page.locator("#gpuspawner-status")).to_have_count(0)
        assert not [line for line in said if "gpuspawner" in line]
        await page.goto("about:blank")  # before its server is gone
    finally:
        process.kill()
        await process.wait()
