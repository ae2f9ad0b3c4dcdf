"""What a newcomer does with the demo, in a real browser: choose, work in a notebook, stop, ask for too much."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect
from running_demo import Demo, Member

MINUTE = 60_000
WHICH_GPU = "import os; print('GPU', os.environ['CUDA_VISIBLE_DEVICES'], os.environ['GPUSPAWNER_GPU_CLASS'])"


@pytest.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """The demo as `make demo` starts it."""
    running = await asyncio.to_thread(Demo.start, tmp_path_factory.mktemp("demo"))
    yield running
    await asyncio.to_thread(running.end)


@pytest.fixture(autouse=True)
async def no_server_stays(demo: Demo) -> AsyncIterator[None]:
    """Whatever a test did, the next one finds the student without a server."""
    yield
    student = await asyncio.to_thread(Member, demo, "student")
    await asyncio.to_thread(student.stop_server)


async def sign_in(page: Page, demo: Demo, name: str) -> None:
    await page.goto(demo.url)
    await page.fill("#username_input", name)
    await page.fill("#password_input", "demo")
    await page.click("#login_submit")
    await page.wait_for_selector("#spawn_form")


async def test_a_student_signs_in_picks_a_gpu_runs_a_cell_and_gives_the_gpu_back(
    demo: Demo, page: Page, browser: Browser
) -> None:
    await sign_in(page, demo, "student")
    form = page.locator("#spawn_form")
    await expect(form.get_by_text("CSE 151A", exact=True)).to_be_visible()
    await expect(form.get_by_text("Vision Lab")).to_have_count(0)
    await expect(form.get_by_text("4 of 4 free now").first).to_be_visible()
    await page.click("#spawn_form [type=submit]")
    await page.wait_for_url("**/user/student/lab**", timeout=MINUTE)

    await page.locator(".jp-LauncherCard[data-category='Notebook']").first.click(timeout=MINUTE)
    await expect(page.locator("#jp-main-statusbar")).to_contain_text("Idle", timeout=MINUTE)
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    await cell.click(timeout=MINUTE)
    await page.keyboard.insert_text(WHICH_GPU)
    await expect(cell).to_have_text(WHICH_GPU)
    await page.keyboard.press("Shift+Enter")
    output = page.locator(".jp-OutputArea-output").first
    await expect(output).to_have_text("GPU 0 small", timeout=MINUTE)

    context = await browser.new_context()
    colleague = await context.new_page()
    await sign_in(colleague, demo, "researcher")
    await expect(colleague.locator("#spawn_form").get_by_text("3 of 4 free now").first).to_be_visible()

    await page.goto(f"{demo.url}/hub/home")
    await page.get_by_label("Stop Your server", exact=True).click()
    await page.get_by_role("button", name="Stop it now").click()
    await expect(page.get_by_role("button", name="Start as before")).to_be_visible(timeout=MINUTE)
    await expect(colleague.locator("#spawn_form").get_by_text("4 of 4 free now").first).to_be_visible(timeout=MINUTE)
    await context.close()


async def test_more_than_the_quota_is_refused_in_the_form_with_what_why_and_what_next(
    demo: Demo, browser: Browser
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await sign_in(page, demo, "student")
    await page.get_by_label("GPUs", exact=True).fill("3")
    await page.click("#spawn_form [type=submit]")
    refusal = page.locator(".gs-refusal")
    await expect(refusal).to_contain_text("Not started: You asked for 3 GPUs")
    await expect(refusal).to_contain_text("Ask for at most 2")
    await expect(page.locator("#spawn_form")).to_be_visible()
    await context.close()


async def test_more_than_the_quota_is_refused_by_the_api_with_what_why_and_what_next(demo: Demo) -> None:
    student = await asyncio.to_thread(Member, demo, "student")
    answer = await asyncio.to_thread(student.request_server, workspace="cse151a", profile="pytorch", gpus=2)
    assert answer.status_code == 403
    message = answer.json()["message"]
    assert message == ("Not started: You asked for 2 GPUs; CSE 151A allows each member 1 GPU. Ask for at most 1 GPU.")


async def test_who_signs_in_sees_their_own_workspaces(demo: Demo, browser: Browser) -> None:
    seen = {}
    for name in ("student", "researcher", "prof", "admin"):
        context = await browser.new_context()
        page = await context.new_page()
        await sign_in(page, demo, name)
        form = page.locator("#spawn_form")
        seen[name] = [
            title
            for title in ("Everyone", "CSE 151A", "Vision Lab")
            if await form.get_by_text(title, exact=True).count()
        ]
        await context.close()
    assert seen == {
        "student": ["Everyone", "CSE 151A"],
        "researcher": ["Everyone", "Vision Lab"],
        "prof": ["Everyone", "CSE 151A"],
        "admin": ["Everyone"],
    }
