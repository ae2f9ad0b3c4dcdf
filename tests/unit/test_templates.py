"""What the strict policy of the pages forbids is in none of them, ours or JupyterHub's."""

import re
from pathlib import Path

import pytest
from jupyterhub._data import DATA_FILES_PATH

from gpuspawner.web import static_dir, template_dir

OURS = {path.name: path for path in template_dir.glob("*.html")}
THEIRS = {path.name: path for path in Path(DATA_FILES_PATH, "templates").glob("*.html")}
INLINE = {
    "an inline script": re.compile(r"<script(?![^>]*(?:\bsrc=|type=\"application/json\"))[^>]*>"),
    "an inline style": re.compile(r"\sstyle=(?!\"\"|')|<style\b"),
    "an event handler": re.compile(r"\son[a-z]+="),
    "a javascript: address": re.compile(r"javascript:"),
}


def without_comments(text: str) -> str:
    return re.sub(r"{#.*?#}", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", OURS)
def test_no_template_of_ours_has_what_the_policy_forbids(name: str) -> None:
    text = without_comments(OURS[name].read_text())
    if name == "token.html":
        text = text.replace("""replace('style="display: none;"'""", "")
    for what, pattern in INLINE.items():
        assert not pattern.search(text), f"{name} has {what}"


def test_what_jupyterhub_has_inline_is_overridden_by_a_template_of_ours() -> None:
    """Its home, spawn, pending and error pages, its login, its tokens and its administration."""
    found = {
        name
        for name, path in THEIRS.items()
        if any(pattern.search(without_comments(path.read_text())) for pattern in INLINE.values())
    }
    assert {"page.html", "login.html", "token.html", "admin.html", "not_running.html"} <= found
    assert found <= set(OURS)


@pytest.mark.parametrize("name", [path.name for path in static_dir.rglob("*.js")])
def test_no_module_sets_markup_from_what_it_was_sent(name: str) -> None:
    """``failure.innerHTML`` in pending.js takes the hub's own piece of a page, in which every value is escaped."""
    (path,) = static_dir.rglob(name)
    sets = r"[\w.]*\b(?:inner|outer)HTML(?=\s*\+?=(?!=))|insertAdjacentHTML|document\.write"
    uses = re.findall(sets, path.read_text())
    assert set(uses) <= ({"failure.innerHTML"} if name == "pending.js" else set())


@pytest.mark.parametrize("name", [path.name for path in static_dir.glob("*.css")])
def test_no_style_sheet_fetches_anything_from_elsewhere(name: str) -> None:
    assert not re.search(r"@import|url\((?!['\"]?data:)", (static_dir / name).read_text())


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it, of two colours as ``#rrggbb``."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#212529")])
def test_colours_can_be_told_from_the_page_in_both_themes(theme: str, page: str) -> None:
    sheet = (static_dir / "gpuspawner.css").read_text()
    (block,) = re.findall(rf'^\[data-bs-theme="{theme}"\] {{(.*?)^}}', sheet, flags=re.DOTALL | re.MULTILINE)
    tokens = dict(re.findall(r"--gs-([a-z0-9-]+): (#[0-9a-f]{6});", block))
    assert len([name for name in tokens if name.startswith("class-")]) == 8
    for name, colour in tokens.items():
        if name.startswith("class-"):
            assert contrast(colour, page) >= 3, name
    for name in ("good", "warn", "bad", "info"):
        assert contrast(tokens[name], tokens[f"{name}-bg"]) >= 4.5, name
    assert contrast(tokens["quiet"], page) >= 4.5
