"""The launch form and the pages around it, in Chromium, without a hub."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from pages import Pages
from playwright.async_api import Browser, Page, expect

from gpuspawner.admission import Availability, Capacity, Held, OfferCapacity, Part, State
from gpuspawner.config import load_settings
from gpuspawner.entitlement import entitlements
from gpuspawner.errors import DeniedError
from gpuspawner.web.errors import html_of
from gpuspawner.web.form import render_form

HOSTILE = "<img src=x onerror=\"document.title='taken over'\">"
SECTION: dict[str, Any] = {
    "gpu_classes": {
        "small": {
            "display_name": "Small",
            "description": "Coursework and small models",
            "memory": "16Gi",
            "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
        },
        "medium": {
            "display_name": "Medium",
            "memory": "40Gi",
            "accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-40GB"}],
        },
        "large": {"accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}]},
    },
    "profiles": {
        "pytorch": {
            "display_name": "PyTorch",
            "description": "JupyterLab with PyTorch and the usual libraries.",
            "image": "pytorch",
            "cpu": {"default": 2, "max": 16},
            "memory": {"default": "8G", "max": "128G"},
            "gpu_classes": ["small", "medium", "large"],
            "gpus": {"default": 1, "max": 4},
        },
        "rapids": {
            "display_name": "RAPIDS",
            "image": "rapids",
            "cpu": {"default": 4, "max": 16},
            "memory": "16G",
            "gpu_classes": ["medium"],
            "gpus": {"default": 1, "min": 1, "max": 1},
        },
        "writing": {"display_name": "Notebook", "image": "scipy", "cpu": {"default": 1, "max": 4}, "memory": "2G"},
    },
    "workspaces": {
        "everyone": {"display_name": "Everyone", "members": "*", "quota": {"small": 4}, "profiles": ["writing"]},
        "cse151a": {
            "display_name": "CSE 151A",
            "ends": "2026-12-18",
            "quota": {"small": 8, "medium": 12, "large": 2},
            "per_member": {"gpus": 2, "cpu": 8, "memory": "64G", "servers": 2},
        },
        "lab": {"display_name": "Vision Lab", "per_member": {"servers": 1}},
    },
}
USAGE = [
    Held("ada", "other", "lab", (), 0, 1, 10**9),
    Held("bob", "", "cse151a", ("large",), 2, 1, 10**9),
]
REFUSAL = DeniedError("CSE 151A holds 12 of 12 Medium GPUs.", "A Small GPU is free now.", f"exceeded quota {HOSTILE}")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def form(
    section: dict[str, Any] = SECTION,
    states: Mapping[tuple[str, str, str], Availability] = MappingProxyType({}),
    **more: Any,
) -> str:
    settings = load_settings(section)
    small, medium, large = settings.catalog.offers()
    capacity = Capacity(
        {
            small: OfferCapacity(free=3, total=8, most_free_on_a_node=3, most_on_a_node=4),
            medium: OfferCapacity(free=0, total=8, most_free_on_a_node=0, most_on_a_node=8),
            large: OfferCapacity(free=2, total=2, most_free_on_a_node=2, most_on_a_node=2),
        },
        live=True,
        cluster_wide=True,
    )
    offers = entitlements(
        "ada",
        set(settings.workspaces),
        settings,
        USAGE,
        capacity,
        datetime(2026, 11, 23, 12, tzinfo=UTC),
        availability=states,
    )
    return render_form(offers, **more)


def spawner(name: str = "", summary: str = "") -> SimpleNamespace:
    return SimpleNamespace(name=name, launch_summary=summary, orm_spawner=SimpleNamespace(started=None))


async def choose(page: Page, name: str) -> None:
    await page.get_by_role("radio", name=name).check()


async def posted(page: Page, pages: Pages) -> dict[str, list[str]]:
    await page.get_by_role("button", name="Start").click()
    await page.wait_for_function("document.title === 'posted'")
    return pages.posted[-1]


async def test_a_workspace_shows_its_own_profiles_and_limits(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("spawn.html", spawner_options_form=form()))
    summary = page.get_by_role("status")
    await expect(summary).to_have_text("Notebook without a GPU, 1 CPU core, 2 GB, for 6 h.")
    await expect(page.get_by_role("radio", name="PyTorch")).to_have_count(0)
    await expect(page.get_by_role("group", name="GPU")).to_be_hidden()
    await choose(page, "CSE 151A")
    await choose(page, "PyTorch")
    await expect(summary).to_have_text("PyTorch on 1 GPU (Small), 2 CPU cores, 8 GB, for 6 h.")
    await expect(page.get_by_text("Your limit in CSE 151A is 8 cores.")).to_be_visible()
    await expect(page.get_by_text("3 of 8 free now")).to_be_visible()
    await expect(page.get_by_text("As usual")).to_be_hidden()
    await expect(page.get_by_text("CSE 151A uses 0 of its 8", exact=True)).to_be_visible()


async def test_what_cannot_be_had_is_greyed_with_its_reason(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("spawn.html", spawner_options_form=form(initial={"workspace": "cse151a"})))
    await expect(page.get_by_role("radio", name="Vision Lab")).to_be_disabled()
    await expect(page.get_by_text("You have 1 of your 1 server in Vision Lab")).to_be_visible()
    await expect(page.get_by_role("radio", name="large")).to_be_disabled()
    await expect(page.get_by_text("CSE 151A holds 2 of its 2 GPUs of this class.")).to_be_visible()


async def test_a_gpu_class_says_for_each_environment_whether_it_could_start_now(page: Page, pages: Pages) -> None:
    states = {
        ("cse151a", "pytorch", "small"): Availability(State.BUSY, "scattered"),
        ("cse151a", "pytorch", "medium"): Availability(State.NEEDS_NODE, "full"),
        ("cse151a", "rapids", "medium"): Availability(State.MISCONFIGURED, "too large", Part.SIZE),
    }
    await page.goto(
        pages.show("spawn.html", spawner_options_form=form(states=states, initial={"workspace": "cse151a"}))
    )
    await choose(page, "PyTorch")
    medium = page.locator("[data-gs-card=gpu_class][data-gs-value=medium] [data-gs-free]")
    await expect(page.get_by_text("3 of 8 free, but no node has room for this now")).to_be_visible()
    await expect(medium).to_have_text("a node is added when you start, which takes minutes")
    await choose(page, "RAPIDS")
    await expect(medium).to_have_text("not available here: no node can run it")
    await expect(medium).to_have_class(re.compile("gs-taken"))


async def test_slider_number_and_summary_go_together_and_are_posted(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("spawn.html", spawner_options_form=form(initial={"workspace": "cse151a"})))
    memory = page.get_by_role("spinbutton", name="Memory")
    slider = page.get_by_role("slider", name="Memory")
    await memory.fill("48")
    await expect(slider).to_have_attribute("aria-valuetext", "48 GB")
    await slider.press("ArrowRight")
    await expect(memory).to_have_value("64")
    await page.get_by_role("slider", name="CPU").press("Home")
    await page.get_by_role("spinbutton", name="Runtime").fill("1.5")
    await choose(page, "Any of these")
    await page.get_by_role("slider", name="GPUs").press("End")
    await expect(page.get_by_role("status")).to_have_text(
        "PyTorch on 2 GPUs (any class), 1 CPU core, 64 GB, for 1 h 30 min."
    )
    assert await posted(page, pages) == {
        "workspace": ["cse151a"],
        "profile": ["pytorch"],
        "gpu_class": ["any"],
        "gpus": ["2"],
        "cpu": ["1"],
        "memory_gb": ["64"],
        "runtime_hours": ["1.5"],
        "wait_minutes": ["30"],
    }


async def test_a_number_beyond_the_limit_is_not_sent(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("spawn.html", spawner_options_form=form(initial={"workspace": "cse151a"})))
    cpu = page.get_by_role("spinbutton", name="CPU")
    await cpu.fill("9")
    await page.get_by_role("button", name="Start").click()
    assert await cpu.evaluate("element => element.validity.rangeOverflow")
    assert pages.posted == []


async def test_a_class_that_is_taken_says_that_the_server_will_wait(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("spawn.html", spawner_options_form=form(initial={"workspace": "cse151a"})))
    note = page.locator("[data-gs-summary-note]")
    await expect(note).to_be_hidden()
    await choose(page, "Medium")
    await expect(note).to_have_text("None of these GPUs is free now: your server waits until one is returned.")


async def test_no_gpu_is_posted_as_such(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("spawn.html", spawner_options_form=form(initial={"workspace": "cse151a"})))
    await choose(page, "No GPU")
    await expect(page.get_by_role("slider", name="GPUs")).to_be_hidden()
    fields = await posted(page, pages)
    assert fields["gpu_class"] == ["none"]
    assert "gpus" not in fields


async def test_an_image_may_be_named_where_the_environment_offers_a_choice(page: Page, pages: Pages) -> None:
    rapids = {**SECTION["profiles"]["rapids"], "images": ["quay.io/lab/*"]}
    section = {**SECTION, "profiles": {**SECTION["profiles"], "rapids": rapids}}
    await page.goto(pages.show("spawn.html", spawner_options_form=form(section, initial={"workspace": "cse151a"})))
    image = page.get_by_label("Another image than the environment's own")
    await expect(image).to_be_hidden()
    await choose(page, "RAPIDS")
    await expect(page.get_by_text("Names like quay.io/lab/*.")).to_be_visible()
    await expect(image).to_have_attribute("placeholder", "rapids")
    await image.fill("quay.io/lab/cuda:12")
    await choose(page, "PyTorch")
    await expect(image).to_be_hidden()
    await choose(page, "RAPIDS")
    assert (await posted(page, pages))["image"] == ["quay.io/lab/cuda:12"]


async def test_the_last_choice_is_there_and_kept_per_profile(page: Page, pages: Pages) -> None:
    initial = {"workspace": "cse151a", "profile": "pytorch", "gpu_class": "medium", "gpus": "2", "memory": "16G"}
    await page.goto(pages.show("spawn.html", spawner_options_form=form(initial=initial)))
    summary = page.get_by_role("status")
    await expect(summary).to_have_text("PyTorch on 2 GPUs (Medium), 2 CPU cores, 16 GB, for 6 h.")
    await choose(page, "RAPIDS")
    await expect(summary).to_have_text("RAPIDS on 1 GPU (Medium), 4 CPU cores, 16 GB, for 6 h.")
    await choose(page, "PyTorch")
    await expect(summary).to_have_text("PyTorch on 2 GPUs (Medium), 2 CPU cores, 16 GB, for 6 h.")


async def test_the_keyboard_alone_chooses_and_starts(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("spawn.html", spawner_options_form=form()))
    await page.get_by_role("radio", name="Everyone").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("radio", name="Notebook")).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("radio", name="PyTorch")).to_be_checked()
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("radio", name="Medium")).to_be_checked()
    await page.keyboard.press("Enter")
    await page.wait_for_function("document.title === 'posted'")
    assert pages.posted[-1]["gpu_class"] == ["medium"]


async def test_the_form_works_without_javascript(browser: Browser, pages: Pages) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(pages.show("spawn.html", spawner_options_form=form()))
    await expect(page.get_by_role("radio", name="As usual")).to_be_checked()
    await choose(page, "CSE 151A")
    await choose(page, "PyTorch")
    await page.get_by_role("button", name="Start").click()
    await expect(page).to_have_title("posted")
    assert {key: values for key, values in pages.posted[-1].items() if values != [""]} == {
        "workspace": ["cse151a"],
        "profile": ["pytorch"],
    }
    await context.close()


async def test_the_form_works_on_jupyterhubs_own_page(page: Page, pages: Pages) -> None:
    await page.goto(pages.show("templates/spawn.html", spawner_options_form=form(initial={"workspace": "cse151a"})))
    await expect(page.get_by_role("status")).to_have_text("PyTorch on 1 GPU (Small), 2 CPU cores, 8 GB, for 6 h.")
    assert (await posted(page, pages))["profile"] == ["pytorch"]


async def test_hostile_names_stay_text(page: Page, pages: Pages) -> None:
    section = json.loads(json.dumps(SECTION))
    section["workspaces"]["everyone"]["display_name"] = HOSTILE
    section["profiles"]["writing"]["display_name"] = HOSTILE
    hostile = form(section, server=HOSTILE)
    await page.goto(pages.show("spawn.html", spawner_options_form=hostile, html_error_message=html_of(REFUSAL)))
    await expect(page.get_by_role("status")).to_contain_text(HOSTILE)
    assert await page.locator("img[src=x]").count() == 0
    assert await page.title() == "Start a server"


async def test_a_refusal_is_told_with_remedy_and_detail(page: Page, pages: Pages) -> None:
    await page.goto(
        pages.show("spawn.html", spawner_options_form=form(), html_error_message=html_of(REFUSAL), error_message="403")
    )
    alert = page.locator(".spawn-error-msg")
    await expect(alert).to_contain_text("Not started: CSE 151A holds 12 of 12 Medium GPUs.")
    await expect(alert).to_contain_text("A Small GPU is free now.")
    await expect(alert.get_by_text("exceeded quota")).to_be_hidden()
    await alert.get_by_text("What the system said").click()
    await expect(alert.get_by_text("exceeded quota")).to_be_visible()


async def test_a_launch_under_way_tells_its_sentences_as_text(page: Page, pages: Pages) -> None:
    pages.events = [
        json.dumps({"progress": 10, "message": "Asking for a pod."}),
        json.dumps({"progress": 40, "message": f"Pulling {HOSTILE}", "html_message": HOSTILE, "raw": HOSTILE}),
    ]
    url = pages.show("spawn_pending.html", progress_url="/hub/progress", spawner=spawner("thesis", "PyTorch for 6 h"))
    await page.goto(url)
    await expect(page.locator("#progress-message")).to_have_text(f"Pulling {HOSTILE}")
    await expect(page.locator("#progress-log li")).to_have_count(2)
    await expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "40")
    await expect(page.get_by_text("PyTorch for 6 h")).to_be_visible()
    assert await page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize(
    ("name", "path"),
    [("", "users/ada/server"), ("thesis", "users/ada/servers/thesis"), ("a/b", "users/ada/servers/a/b")],
)
async def test_cancel_stops_the_server_of_this_page(page: Page, pages: Pages, name: str, path: str) -> None:
    await page.goto(pages.show("spawn_pending.html", progress_url="/hub/progress", spawner=spawner(name)))
    await page.get_by_role("button", name="Cancel").click()
    await page.wait_for_url("**/hub/home")
    assert pages.api_calls == [("DELETE", path)]


async def test_a_launch_that_fails_says_why_and_leads_back_to_the_form(page: Page, pages: Pages) -> None:
    failed = {"progress": 100, "failed": True, "message": "Spawn failed", "html_message": html_of(REFUSAL)}
    pages.events = [json.dumps(failed)]
    await page.goto(pages.show("spawn_pending.html", progress_url="/hub/progress", spawner=spawner("thesis")))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server did not start")
    await expect(page.locator("#gs-failure")).to_contain_text("A Small GPU is free now.")
    await expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    await expect(page.get_by_role("link", name="Choose again")).to_have_attribute("href", "/hub/spawn/ada/thesis")


PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "form": ("spawn.html", {"spawner_options_form": form(initial={"workspace": "cse151a"})}),
    "refused": ("spawn.html", {"spawner_options_form": form(server="thesis"), "html_error_message": html_of(REFUSAL)}),
    "no workspace": ("spawn.html", {"spawner_options_form": render_form(())}),
    "pending": ("spawn_pending.html", {"progress_url": "/hub/progress", "spawner": spawner("thesis", "PyTorch")}),
    "not running": (
        "not_running.html",
        {"failed": True, "failed_html_message": html_of(REFUSAL), "server_name": "", "spawn_url": "/hub/spawn"},
    ),
    "error": (
        "error.html",
        {"status_code": 403, "exception": SimpleNamespace(jupyterhub_html_message=html_of(REFUSAL))},
    ),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
async def test_every_page_is_accessible_and_fits_a_phone(browser: Browser, pages: Pages, name: str, theme: Any) -> None:
    template, variables = PAGES[name]
    pages.events = [json.dumps({"progress": 40, "message": "Pulling the image.", "raw": "Pulling image pytorch"})]
    context = await browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=theme)
    page = await context.new_page()
    await page.goto(pages.show(template, **variables))
    results = await Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})
    assert results.violations_count == 0, results.generate_report()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await context.close()
